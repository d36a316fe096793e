import type { Knex } from 'knex';

/** What the tasks of a server's action did before the one that goes on with it on another host: steps as tasks keep them. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table server_actions add column earlier_steps jsonb not null default '[]'`);
}
