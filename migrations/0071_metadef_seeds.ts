import type { Knex } from 'knex';

/** Which namespaces of metadata definitions were loaded from files: one that an administrator deletes does not come back at the next start. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('create table metadef_seeds (namespace text primary key, loaded_at timestamptz not null default now())');
}
