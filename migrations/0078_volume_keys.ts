import type { Knex } from 'knex';

/**
 * Keys of encrypted volumes, sealed with the state folder's `secret.key`: who has the database alone opens no volume. A key outlives its volume while a backup or an
 * image still needs it, so nothing refers to it by a foreign key.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table volume_keys (
    id uuid primary key, project_id text not null, sealed bytea not null, created_at timestamptz(3) not null default clock_timestamp()
  )`);
  await knex.raw(`create index volumes_key on volumes (encryption_key_id) where encryption_key_id is not null`);
  await knex.raw(`create index volume_backups_key on volume_backups (encryption_key_id) where encryption_key_id is not null`);
}
