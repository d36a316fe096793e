import type { Knex } from 'knex';

/** A console's key works from the page that it was given out for, and a host says where its consoles can be reached by the API of another host. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table console_tokens add column origin text not null default ''`);
  await knex.raw(`alter table compute_hosts add column console_url text`);
}
