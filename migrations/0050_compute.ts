import type { Knex } from 'knex';
import { heldByTasks, usageTrigger } from './support.ts';

/** Servers, flavors, key pairs, hosts and everything that places and remembers servers. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table flavors (
    -- The number that migrations show
    num integer generated always as identity unique,
    id text primary key, name text not null unique,
    memory_mb integer not null check (memory_mb > 0), vcpus integer not null check (vcpus > 0), root_gb integer not null check (root_gb >= 0),
    ephemeral_gb integer not null default 0, swap_mb integer not null default 0, rxtx_factor double precision not null default 1,
    is_public boolean not null default true, disabled boolean not null default false, description text,
    extra_specs jsonb not null default '{}', created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create table flavor_projects (flavor_id text not null references flavors (id) on delete cascade, project_id text not null, primary key (flavor_id, project_id))`);

  await knex.raw(`create table keypairs (
    id integer generated always as identity primary key, user_id text not null, name text not null, type text not null default 'ssh' check (type in ('ssh', 'x509')),
    public_key text not null, fingerprint text not null, created_at timestamptz(3) not null default now(), unique (user_id, name)
  )`);

  // A host that runs servers; what the administrator said of it outlives its worker. The worker keeps \`facts\` and the capacities.
  await knex.raw(`create table compute_hosts (
    num integer generated always as identity unique, id uuid primary key default gen_random_uuid(), service_id uuid not null unique default gen_random_uuid(),
    host text not null unique, node text not null,
    disabled boolean not null default false, disabled_reason text, forced_down boolean not null default false, deleted boolean not null default false,
    vcpus integer not null, memory_mb bigint not null, disk_gb bigint not null,
    cpu_ratio double precision not null, ram_ratio double precision not null, disk_ratio double precision not null, reserved_memory_mb integer not null default 0,
    facts jsonb not null default '{}', seen_at timestamptz(3) not null default now(), changed_at timestamptz(3) not null default now(), created_at timestamptz(3) not null default now()
  )`);

  await knex.raw(`create table server_groups (
    id uuid primary key, name text not null, policy text not null, rules jsonb not null default '{}', project_id text not null, user_id text not null,
    created_at timestamptz(3) not null default clock_timestamp()
  )`);
  await knex.raw(`create index server_groups_project on server_groups (project_id, created_at)`);
  await usageTrigger(knex, { table: 'server_groups', service: 'compute', counts: { "'server_groups'": '1' } });

  await knex.raw(`create table servers (
    id uuid primary key, num integer generated always as identity,
    project_id text not null, user_id text not null,
    name text not null, description text, hostname text not null, reservation_id text not null, launch_index integer not null default 0,
    vm_state text not null, task_state text, power_state text not null default 'nostate', progress integer not null default 0,
    -- Where it is (or was last, when shelved and offloaded: null)
    host text, node text, availability_zone text, pinned_zone text,
    image_id text, image jsonb not null default '{}',
    flavor jsonb not null, old_flavor jsonb, new_flavor jsonb, vcpus integer not null, memory_mb integer not null,
    key_name text, key_data text, key_type text, user_data text, config_drive boolean not null default false, personality jsonb not null default '[]',
    metadata jsonb not null default '{}', tags text[] not null default '{}', system jsonb not null default '{}',
    locked_by text check (locked_by in ('owner', 'admin')), locked_reason text,
    access_ip_v4 text not null default '', access_ip_v6 text not null default '', disk_config text not null default 'MANUAL', root_device_name text,
    trusted_certs jsonb, scheduler_hints jsonb not null default '{}', group_id uuid references server_groups (id) on delete set null,
    fault jsonb, password text,
    shelved_image_id text, shelved_at timestamptz(3), rescue jsonb, wanted_power text not null default 'running',
    launched_at timestamptz(3), terminated_at timestamptz(3), hidden_since timestamptz(3),
    deleted boolean not null default false, deleted_at timestamptz(3),
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3) not null default clock_timestamp(),
    check (not deleted or vm_state in ('deleted', 'soft-delete'))
  )`);
  await heldByTasks(knex, 'servers', { column: 'task_state' });
  await knex.raw(`create index servers_project on servers (project_id, created_at nulls first, id nulls first) where not deleted`);
  await knex.raw(`create index servers_recent on servers (created_at nulls first, id nulls first) where not deleted`);
  await knex.raw(`create index servers_host on servers (host) where not deleted`);
  await knex.raw(`create index servers_changed on servers (updated_at)`);
  await knex.raw(`create index servers_gone on servers (project_id, created_at nulls first, id nulls first) where deleted`);
  await knex.raw(`create index servers_name on servers (project_id, name) where not deleted`);
  await knex.raw(`create index servers_group on servers (group_id) where group_id is not null`);
  await knex.raw(`create index servers_tags on servers using gin (tags)`);
  // An offloaded server still counts against its project, as in Nova; a deleted one does not.
  await usageTrigger(knex, { table: 'servers', service: 'compute', when: `not r.deleted and r.vm_state <> 'soft-delete'`, counts: { "'instances'": '1', "'cores'": 'r.vcpus', "'ram'": 'r.memory_mb' } });

  // What a server holds of a host. Owned by the server: nothing can leak.
  await knex.raw(`create table allocations (
    server_id uuid not null references servers (id) on delete cascade, host text not null, held_for text not null default 'server' check (held_for in ('server', 'migration')),
    vcpus integer not null, memory_mb integer not null, disk_gb integer not null, created_at timestamptz(3) not null default now(),
    primary key (server_id, host, held_for)
  )`);
  await knex.raw(`create index allocations_host on allocations (host)`);

  await knex.raw(`create table block_devices (
    id uuid primary key, server_id uuid not null references servers (id) on delete cascade,
    source_type text not null, destination_type text not null, boot_index integer, device_name text, device_type text, disk_bus text, guest_format text,
    image_id text, snapshot_id text, volume_id uuid, volume_size integer, volume_type text, delete_on_termination boolean not null default false, tag text,
    attachment_id uuid, connection jsonb, created_at timestamptz(3) not null default clock_timestamp()
  )`);
  await knex.raw(`create index block_devices_server on block_devices (server_id)`);
  await knex.raw(`create unique index block_devices_volume on block_devices (server_id, volume_id) where volume_id is not null`);

  // Which ports a server has, and in which order. The network service owns the ports.
  await knex.raw(`create table server_ports (
    server_id uuid not null references servers (id) on delete cascade, port_id uuid not null, network_id uuid not null, position integer not null,
    created_by_us boolean not null, tag text, primary key (server_id, port_id)
  )`);
  await knex.raw(`create index server_ports_port on server_ports (port_id)`);

  // The history that users see; the steps of an action are those of its task.
  await knex.raw(`create table server_actions (
    num bigint generated always as identity, server_id uuid not null references servers (id) on delete cascade, action text not null, request_id text not null, user_id text, project_id text,
    task_id uuid, message text, started_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3) not null default clock_timestamp(), primary key (server_id, num)
  )`);
  await knex.raw(`create index server_actions_request on server_actions (server_id, request_id)`);

  await knex.raw(`create table server_migrations (
    num integer generated always as identity primary key, id uuid not null unique, server_id uuid not null references servers (id) on delete cascade, project_id text not null, user_id text not null,
    type text not null, status text not null, source_host text, dest_host text, old_flavor integer, new_flavor integer, task_id uuid, flags jsonb not null default '{}',
    created_at timestamptz(3) not null default clock_timestamp(), updated_at timestamptz(3)
  )`);
  await knex.raw(`create index server_migrations_server on server_migrations (server_id)`);
  await knex.raw(`create index server_migrations_recent on server_migrations (created_at nulls first, num nulls first)`);

  await knex.raw(`create table aggregates (
    num integer generated always as identity primary key, id uuid not null unique default gen_random_uuid(), name text not null unique, metadata jsonb not null default '{}', hosts text[] not null default '{}',
    created_at timestamptz(3) not null default now(), updated_at timestamptz(3)
  )`);

  // One-time keys of consoles; only a digest is kept.
  await knex.raw(`create table console_tokens (
    digest text primary key, server_id uuid not null references servers (id) on delete cascade, kind text not null, host text not null, target jsonb not null, expires_at timestamptz(3) not null
  )`);
}
