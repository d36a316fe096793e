import type { Knex } from 'knex';

/** Copies of images on hosts, as the image cache API shows them. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table image_cache (
    host text not null,
    -- On that host
    folder text not null,
    -- Not a reference: a copy outlives its image
    image_id uuid not null,
    size bigint not null,
    hits bigint not null default 0,
    cached_at timestamptz(3) not null default now(),
    used_at timestamptz(3) not null default now(),
    primary key (host, folder, image_id)
  )`);
  await knex.raw('create index image_cache_image on image_cache (image_id)');
}
