import type { Knex } from 'knex';

/** Tasks of others for whose end a parked task waits. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table tasks add column waits_for uuid[]`);
  await knex.raw(`create index tasks_waiting on tasks using gin (waits_for) where waits_for is not null and live`);
}
