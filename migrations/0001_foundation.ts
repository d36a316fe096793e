import type { Knex } from 'knex';

/** Tasks, workers, quotas: what every service stands on. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table tasks (
    id uuid primary key,
    plan text not null,
    revision integer not null default 1,
    -- Which workers may run it: 'any', 'host/NAME', 'backend/HOST@BACKEND'
    queue text not null default 'any',
    -- Tasks of one lane run one after the other, in the order of seq
    lane text not null,
    seq bigint generated always as identity,
    -- A second enqueue with the same key while one is alive is the same task
    dedupe text,
    project_id text,
    user_id text,
    request_id text,
    resource_type text not null,
    resource_id text not null,
    state text not null default 'queued' check (state in ('queued', 'running', 'parked', 'undoing', 'done', 'failed', 'cancelled')),
    live boolean not null generated always as (state in ('queued', 'running', 'parked', 'undoing')) stored,
    input jsonb not null,
    -- Results of finished steps, by step name
    out jsonb not null default '{}',
    -- The user-visible history: [{step, phase, attempt, host, started_at, ended_at, error}]
    steps jsonb not null default '[]',
    step text,
    -- Steps that have been undone, while undoing
    undone text[] not null default '{}',
    attempt integer not null default 0,
    fence bigint not null default 0,
    owner text,
    lease_until timestamptz,
    run_after timestamptz not null default now(),
    cancel_requested boolean not null default false,
    error jsonb,
    progress_done bigint not null default 0,
    progress_total bigint not null default 0,
    parent_id uuid references tasks (id) on delete cascade,
    -- The step of the parent that waits for it
    parent_step text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    updated_at timestamptz not null default now(),
    ended_at timestamptz,
    unique (id, live)
  )`);
  await knex.raw(`create index tasks_due on tasks (queue, run_after) where live`);
  await knex.raw(`create index tasks_lane on tasks (lane, seq) where live`);
  await knex.raw(`create unique index tasks_dedupe on tasks (dedupe) where live and dedupe is not null`);
  await knex.raw(`create unique index tasks_child on tasks (parent_id, parent_step, lane) where parent_id is not null`);
  await knex.raw(`create index tasks_project on tasks (project_id, created_at desc, id desc)`);
  await knex.raw(`create index tasks_recent on tasks (created_at desc, id desc)`);
  await knex.raw(`create index tasks_resource on tasks (resource_type, resource_id, seq)`);
  await knex.raw(`create index tasks_ended on tasks (ended_at) where not live`);
  // Every change of state, step or progress is heard by those who stream it.
  await knex.raw(`create function tell_task() returns trigger language plpgsql as $$
    begin perform pg_notify('cumulet_tasks', new.id::text); return null; end $$`);
  await knex.raw(`create trigger tell_task after insert on tasks for each row execute function tell_task()`);
  await knex.raw(`create trigger tell_task_change after update on tasks for each row
    when (old.state is distinct from new.state or old.step is distinct from new.step or old.progress_done is distinct from new.progress_done or old.cancel_requested is distinct from new.cancel_requested)
    execute function tell_task()`);

  // Worker processes, by heartbeat.
  await knex.raw(`create table workers (
    id text primary key,
    host text not null,
    pid integer not null,
    queues text[] not null,
    facts jsonb not null default '{}',
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
  )`);

  await knex.raw(`create table quotas (
    service text not null,
    -- A project's id, or 'class:default'
    project_id text not null,
    resource text not null,
    hard_limit bigint not null check (hard_limit >= -1),
    primary key (service, project_id, resource)
  )`);
  await knex.raw(`create table quota_usage (
    service text not null,
    project_id text not null,
    used jsonb not null default '{}',
    primary key (service, project_id)
  ) with (fillfactor = 70)`);
  await knex.raw(`create function add_usage(of_service text, of_project text, amounts jsonb, sign integer) returns void language plpgsql as $$
    begin
      insert into quota_usage as q (service, project_id, used)
        select of_service, of_project, jsonb_object_agg(key, value::bigint * sign) from jsonb_each_text(amounts)
      on conflict (service, project_id) do update set used = q.used || (
        select jsonb_object_agg(key, coalesce((q.used ->> key)::bigint, 0) + value::bigint * sign) from jsonb_each_text(amounts));
    end $$`);
}
