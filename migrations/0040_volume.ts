import type { Knex } from 'knex';
import { heldByTasks, usageTrigger } from './support.ts';

/** Statuses in which a task is at work; everything else rests. What an administrator calls a resource by os-reset_status rests too: it is stored as `forced:creating`. */
const volumeBusy = ['creating', 'downloading', 'deleting', 'extending', 'uploading', 'retyping', 'managing', 'unmanaging', 'reverting', 'backing-up', 'restoring-backup'];

/** Volumes, snapshots, attachments, types, pools: the tables of the volume service. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table volume_qos_specs (
    id uuid primary key, name text not null unique, consumer text not null default 'back-end' check (consumer in ('front-end', 'back-end', 'both')),
    specs jsonb not null default '{}', created_at timestamptz not null default now(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create table volume_types (
    id uuid primary key, name text not null unique, description text, is_public boolean not null default true,
    extra_specs jsonb not null default '{}', qos_specs_id uuid references volume_qos_specs (id),
    encryption_id uuid unique, encryption jsonb,
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create table volume_type_access (
    type_id uuid not null references volume_types (id) on delete cascade, project_id text not null, primary key (type_id, project_id)
  )`);
  await knex.raw(`create table volume_default_types (
    project_id text primary key, type_id uuid not null references volume_types (id) on delete cascade
  )`);

  // A backend of a host, as cinder-volume is a service of a host; what the administrator said of it outlives its worker.
  await knex.raw(`create table volume_services (
    id uuid not null default gen_random_uuid() unique, binary_name text not null, host text not null,
    availability_zone text not null default 'nova', disabled boolean not null default false, disabled_reason text, frozen boolean not null default false,
    cluster text, capabilities jsonb not null default '{}', seen_at timestamptz not null default now(), created_at timestamptz not null default now(),
    primary key (binary_name, host)
  )`);
  // What the driver said at its last report, beside what this database has placed there: a decision is taken under the lock of one of these rows.
  await knex.raw(`create table volume_pools (
    id text primary key,
    service_host text not null,
    backend text not null,
    pool text not null,
    total_gb double precision not null, free_gb double precision not null, provisioned_gb double precision not null,
    thin boolean not null, reserved_percentage integer not null, max_over_subscription_ratio double precision, ratio_auto boolean not null default false,
    capabilities jsonb not null default '{}',
    allocated_gb bigint not null default 0, volume_count bigint not null default 0,
    -- Of the volumes that were certainly in the report
    allocated_at_report bigint not null default 0,
    reported_at timestamptz not null default now()
  )`);
  await knex.raw(`create index volume_pools_service on volume_pools (service_host)`);

  await knex.raw(`create table volume_group_types (
    id uuid primary key, name text not null unique, description text, is_public boolean not null default true, group_specs jsonb not null default '{}',
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create table volume_groups (
    id uuid primary key, project_id text not null, user_id text, name text, description text, status text not null, host text, availability_zone text,
    group_type_id uuid not null references volume_group_types (id), volume_type_ids uuid[] not null default '{}',
    group_snapshot_id uuid, source_group_id uuid, replication_status text,
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await heldByTasks(knex, 'volume_groups', { transitional: ['creating', 'deleting', 'updating'] });
  await knex.raw(`create index volume_groups_project on volume_groups (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create table volume_group_snapshots (
    id uuid primary key, group_id uuid not null references volume_groups (id), group_type_id uuid not null, project_id text not null, user_id text, name text, description text,
    status text not null, created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await heldByTasks(knex, 'volume_group_snapshots', { transitional: ['creating', 'deleting'] });
  await knex.raw(`create index volume_group_snapshots_project on volume_group_snapshots (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volume_group_snapshots_group on volume_group_snapshots (group_id)`);

  await knex.raw(`create table volumes (
    id uuid primary key,
    project_id text not null, user_id text not null,
    name text, description text, size integer not null check (size >= 0),
    status text not null, previous_status text, migration_status text,
    -- host@backend#pool; null until placed
    host text, availability_zone text not null,
    type_id uuid not null references volume_types (id),
    bootable boolean not null default false, multiattach boolean not null default false, consumes_quota boolean not null default true,
    metadata jsonb not null default '{}', admin_metadata jsonb not null default '{}', image_metadata jsonb,
    snapshot_id uuid, source_volid uuid, group_id uuid references volume_groups (id),
    encryption_key_id uuid,
    -- The backend's name for it when that is not volume-<id>
    backend_name text,
    provider_id text, provider_meta jsonb,
    replication_status text,
    -- A migration's or clone's hidden helper: not shown to its project
    hidden boolean not null default false,
    launched_at timestamptz,
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await heldByTasks(knex, 'volumes', { transitional: volumeBusy });
  // A migration does not change the status; it has a task all the same.
  await knex.raw(`alter table volumes add column migration_task_id uuid, add column migration_task_live boolean generated always as (case when migration_task_id is null then null else true end) stored`);
  await knex.raw(`alter table volumes add constraint volumes_migration_live_task foreign key (migration_task_id, migration_task_live) references tasks (id, live) deferrable initially deferred`);
  await knex.raw(`alter table volumes add constraint volumes_migration_never_stuck check ((coalesce(migration_status, '') in ('starting', 'migrating', 'completing')) = (migration_task_id is not null))`);
  await knex.raw(`create index volumes_project on volumes (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volumes_recent on volumes (created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volumes_name on volumes (project_id, name)`);
  await knex.raw(`create index volumes_status on volumes (project_id, status)`);
  await knex.raw(`create index volumes_host on volumes (host)`);
  await knex.raw(`create index volumes_type on volumes (type_id)`);
  await knex.raw(`create index volumes_group on volumes (group_id) where group_id is not null`);
  await knex.raw(`create index volumes_snapshot on volumes (snapshot_id) where snapshot_id is not null`);
  await knex.raw(`create index volumes_source on volumes (source_volid) where source_volid is not null`);
  await knex.raw(`create index volumes_metadata on volumes using gin (metadata jsonb_path_ops)`);
  // The pool's row is locked before the project's usage row, everywhere: triggers run in the order of their names.
  await knex.raw(`create function allocate_in_pool() returns trigger language plpgsql as $$
    begin
      if tg_op <> 'INSERT' and old.host is not null and (tg_op = 'DELETE' or old.host is distinct from new.host or old.size <> new.size) then
        update volume_pools set allocated_gb = allocated_gb - old.size, volume_count = volume_count - 1 where id = old.host;
      end if;
      if tg_op <> 'DELETE' and new.host is not null and (tg_op = 'INSERT' or old.host is distinct from new.host or old.size <> new.size) then
        update volume_pools set allocated_gb = allocated_gb + new.size, volume_count = volume_count + 1 where id = new.host;
      end if;
      return null;
    end $$`);
  await knex.raw(`create trigger allocate_in_pool after insert or update or delete on volumes for each row execute function allocate_in_pool()`);
  await usageTrigger(knex, {
    table: 'volumes', service: 'volume', when: 'r.consumes_quota',
    counts: { "'volumes'": '1', "'gigabytes'": 'r.size', "'volumes_' || r.type_id": '1', "'gigabytes_' || r.type_id": 'r.size' },
  });

  await knex.raw(`create table volume_snapshots (
    id uuid primary key, volume_id uuid not null references volumes (id), project_id text not null, user_id text, name text, description text,
    status text not null, size integer not null, type_id uuid not null, metadata jsonb not null default '{}', consumes_quota boolean not null default true,
    group_snapshot_id uuid references volume_group_snapshots (id), progress text not null default '0%',
    backend_name text, provider_id text, provider_meta jsonb,
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await heldByTasks(knex, 'volume_snapshots', { transitional: ['creating', 'deleting', 'managing', 'unmanaging', 'restoring', 'backing-up'] });
  await knex.raw(`create index volume_snapshots_project on volume_snapshots (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volume_snapshots_volume on volume_snapshots (volume_id, created_at desc)`);
  await knex.raw(`create index volume_snapshots_group on volume_snapshots (group_snapshot_id) where group_snapshot_id is not null`);
  await usageTrigger(knex, {
    table: 'volume_snapshots', service: 'volume', when: 'r.consumes_quota',
    counts: { "'snapshots'": '1', "'gigabytes'": 'r.size', "'snapshots_' || r.type_id": '1', "'gigabytes_' || r.type_id": 'r.size' },
  });
  await usageTrigger(knex, { table: 'volume_groups', service: 'volume', counts: { "'groups'": '1' } });

  // One row serves both this API and compute's: whoever is attached, or about to be, is here.
  await knex.raw(`create table volume_attachments (
    id uuid primary key, volume_id uuid not null references volumes (id), project_id text not null, server_id uuid,
    status text not null check (status in ('reserved', 'attaching', 'attached', 'detaching', 'error_attaching', 'error_detaching')),
    mode text not null default 'rw' check (mode in ('rw', 'ro', 'null')),
    -- A volume that may have one attachment only has one: copied from the volume when made
    multiattach boolean not null,
    attached_host text, device text, connector jsonb, connection_info jsonb,
    -- Made by compute for a server: its owner may not take it away here (CVE-2023-2088)
    by_compute boolean not null default false,
    attached_at timestamptz, created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create unique index volume_attachments_single on volume_attachments (volume_id) where not multiattach`);
  await knex.raw(`create unique index volume_attachments_server on volume_attachments (volume_id, server_id) where server_id is not null`);
  await knex.raw(`create index volume_attachments_volume on volume_attachments (volume_id)`);
  await knex.raw(`create index volume_attachments_by_server on volume_attachments (server_id) where server_id is not null`);
  await knex.raw(`create index volume_attachments_project on volume_attachments (project_id, created_at desc nulls last, id desc nulls last)`);

  await knex.raw(`create table volume_transfers (
    id uuid primary key, volume_id uuid not null references volumes (id) on delete cascade, project_id text not null, name text, salt text not null, key_hash text not null,
    no_snapshots boolean not null default false, destination_project_id text, accepted boolean not null default false, created_at timestamptz(3) not null default clock_timestamp()
  )`);
  await knex.raw(`create unique index volume_transfers_volume on volume_transfers (volume_id) where not accepted`);
  await knex.raw(`create index volume_transfers_project on volume_transfers (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create table volume_messages (
    id uuid primary key, project_id text not null, request_id text, resource_type text, resource_uuid uuid, action_id text not null, detail_id text not null, event_id text not null,
    user_message text not null, message_level text not null default 'ERROR', expires_at timestamptz not null, created_at timestamptz(3) not null default clock_timestamp()
  )`);
  await knex.raw(`create index volume_messages_project on volume_messages (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volume_messages_expiry on volume_messages (expires_at)`);
}
