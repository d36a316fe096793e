import type { Knex } from 'knex';

/** Resumable uploads: when the newest part came, so that parts nobody goes on with are forgotten. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table images add column parts_at timestamptz');
  await knex.raw('create index images_parts on images (parts_at) where parts_at is not null');
}
