import type { Knex } from 'knex';

/** Where a volume's creation has failed already: the scheduler looks elsewhere, and not for ever. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table volumes add column tried_hosts text[] not null default '{}'`);
}
