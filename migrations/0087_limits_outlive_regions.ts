import type { Knex } from 'knex';

/** A region goes though registered limits name it; they stay, and go on naming it (keystone's own tables have no such reference). */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table registered_limits drop constraint registered_limits_region_id_fkey');
}
