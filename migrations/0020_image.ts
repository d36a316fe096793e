import type { Knex } from 'knex';
import { heldByTasks, usageTrigger } from './support.ts';

/** Images, their members and what could not be removed from a store yet. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table images (
    id uuid primary key,
    name text,
    -- 'staging' is shown as 'uploading': bytes are coming in; 'uploading' rests with staged bytes. 'pending_delete' is shown to nobody.
    status text not null default 'queued' check (status in ('queued', 'saving', 'staging', 'uploading', 'importing', 'active', 'deactivated', 'pending_delete')),
    visibility text not null default 'shared' check (visibility in ('public', 'community', 'shared', 'private')),
    owner text,
    os_hidden boolean not null default false,
    protected boolean not null default false,
    disk_format text,
    container_format text,
    min_disk bigint not null default 0,
    min_ram bigint not null default 0,
    size bigint,
    virtual_size bigint,
    checksum text,
    os_hash_algo text,
    os_hash_value text,
    properties jsonb not null default '{}',
    tags text[] not null default '{}',
    -- [{url, metadata: {store?, …}}] in the order in which they are tried
    locations jsonb not null default '[]',
    staged_size bigint,
    -- Progress of the newest import, shown as os_glance_* properties: {importing: [store], failed: [store]}
    import_state jsonb,
    -- A copy between stores is at work on an active image
    copy_task_id uuid,
    copy_task_live boolean generated always as (case when copy_task_id is null then null else true end) stored,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    constraint images_live_copy_task foreign key (copy_task_id, copy_task_live) references tasks (id, live) deferrable initially deferred,
    constraint images_active_has_data check (status not in ('active', 'deactivated') or size is not null)
  )`);
  await heldByTasks(knex, 'images', { transitional: ['saving', 'staging', 'importing', 'pending_delete'] });
  await knex.raw('create index images_copy_task on images (copy_task_id) where copy_task_id is not null');
  // One walk for each way in which an image becomes visible, in each of the two orders that clients ask for.
  for (const [name, columns] of [['created', 'created_at nulls first, id'], ['name', 'name nulls first, created_at nulls first, id']] as const) {
    await knex.raw(`create index images_all_${name} on images (${columns})`);
    await knex.raw(`create index images_owner_${name} on images (owner, ${columns})`);
    await knex.raw(`create index images_public_${name} on images (${columns}) where visibility = 'public'`);
    await knex.raw(`create index images_community_${name} on images (${columns}) where visibility = 'community'`);
  }
  await knex.raw('create index images_tags on images using gin (tags)');
  await knex.raw('create index images_properties on images using gin (properties jsonb_path_ops)');
  await usageTrigger(knex, {
    table: 'images', service: 'image', project: "coalesce(r.owner, '')", when: "r.status <> 'pending_delete'",
    counts: {
      "'image_count_total'": '1',
      // Bytes; the limits are in MiB, as upstream's
      "'image_size_total'": 'coalesce(r.size, 0) * jsonb_array_length(r.locations)',
      "'image_stage_total'": 'coalesce(r.staged_size, 0)',
      "'image_count_uploading'": "(r.status in ('saving', 'staging', 'uploading', 'importing'))::int",
    },
  });

  await knex.raw(`create table image_members (
    image_id uuid not null references images (id) on delete cascade,
    member text not null,
    status text not null default 'pending' check (status in ('pending', 'accepted', 'rejected')),
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    primary key (image_id, member)
  )`);
  await knex.raw('create index image_members_of on image_members (member, status, image_id)');

  // Bytes whose deletion failed after every retry; a periodic job goes on with them.
  await knex.raw(`create table image_leftovers (
    store text not null,
    url text not null,
    since timestamptz not null default now(),
    primary key (store, url)
  )`);

  // What the first start brought along: made once, even when somebody deletes it afterwards.
  await knex.raw(`create table image_seeds (name text primary key, image_id uuid not null, made_at timestamptz not null default now())`);
}
