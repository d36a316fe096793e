import type { Knex } from 'knex';
import { heldByTasks, usageTrigger } from './support.ts';

/** Backups of volumes, and schedules that make them. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table volume_backup_schedules (
    id uuid primary key, project_id text not null, user_id text not null, name text, volume_id uuid not null references volumes (id) on delete cascade, enabled boolean not null default true,
    every_seconds integer not null check (every_seconds >= 60), keep integer not null check (keep >= 1),
    -- After so many increments a full one is made; 0: only full ones
    increments integer not null default 0 check (increments >= 0),
    force boolean not null default true, container text, metadata jsonb not null default '{}',
    next_at timestamptz(3) not null, last_at timestamptz(3), last_backup_id uuid, last_error text,
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create index volume_backup_schedules_project on volume_backup_schedules (project_id, created_at desc, id desc)`);
  await knex.raw(`create index volume_backup_schedules_due on volume_backup_schedules (next_at) where enabled`);
  await knex.raw(`create index volume_backup_schedules_volume on volume_backup_schedules (volume_id)`);

  // volume_id, parent_id and snapshot_id are facts of the past: what they name may be gone, or belong to another cloud.
  await knex.raw(`create table volume_backups (
    id uuid primary key, project_id text not null, user_id text not null, name text, description text,
    volume_id uuid not null, snapshot_id uuid, parent_id uuid, status text not null, fail_reason text,
    size integer not null check (size >= 0), object_count integer not null default 0,
    -- The target by its name in the settings, upstream's name of its driver, and where in it the objects are
    target text, service text, container text, service_metadata text, host text, availability_zone text,
    data_timestamp timestamptz(3) not null default clock_timestamp(), restore_volume_id uuid, encryption_key_id uuid, metadata jsonb not null default '{}',
    -- How far the restore that is at work has come, and whose it is
    restored jsonb,
    verified_at timestamptz(3), verify_problem text,
    schedule_id uuid references volume_backup_schedules (id) on delete set null,
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await heldByTasks(knex, 'volume_backups', { transitional: ['creating', 'deleting', 'restoring'] });
  await knex.raw(`create index volume_backups_project on volume_backups (project_id, created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volume_backups_recent on volume_backups (created_at desc nulls last, id desc nulls last)`);
  await knex.raw(`create index volume_backups_volume on volume_backups (volume_id, data_timestamp desc)`);
  await knex.raw(`create index volume_backups_parent on volume_backups (parent_id) where parent_id is not null`);
  await knex.raw(`create index volume_backups_objects on volume_backups (service_metadata) where service_metadata is not null`);
  await knex.raw(`create index volume_backups_schedule on volume_backups (schedule_id) where schedule_id is not null`);
  await usageTrigger(knex, { table: 'volume_backups', service: 'volume', counts: { "'backups'": '1', "'backup_gigabytes'": 'r.size' } });
}
