import type { Knex } from 'knex';

/** QoS policies and their rules (all kinds in one table), and which policy networks and ports have. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table qos_policies (id uuid primary key, project_id text not null, name text not null default '', description text not null default '', tags text[] not null default '{}', is_default boolean not null default false,
    revision_number integer not null default 0, created_at timestamptz not null default now(), updated_at timestamptz not null default now())`);
  await knex.raw('create index qos_policies_project on qos_policies (project_id, id)');
  await knex.raw('create unique index qos_policies_default on qos_policies (project_id) where is_default');
  await knex.raw(`create table qos_rules (id uuid primary key, qos_policy_id uuid not null references qos_policies (id) on delete cascade, type text not null, direction text check (direction in ('egress', 'ingress', 'any')),
    max_kbps integer check (max_kbps >= 0), max_burst_kbps integer check (max_burst_kbps >= 0), dscp_mark integer check (dscp_mark between 0 and 63), min_kbps integer check (min_kbps >= 0),
    max_kpps integer check (max_kpps >= 0), max_burst_kpps integer check (max_burst_kpps >= 0), min_kpps integer check (min_kpps >= 0), created_at timestamptz not null default now(),
    check (case type when 'bandwidth_limit' then num_nulls(direction, max_kbps, max_burst_kbps) = 0 when 'dscp_marking' then dscp_mark is not null and direction is null when 'minimum_bandwidth' then num_nulls(direction, min_kbps) = 0
      when 'packet_rate_limit' then num_nulls(direction, max_kpps, max_burst_kpps) = 0 when 'minimum_packet_rate' then num_nulls(direction, min_kpps) = 0 else false end))`);
  await knex.raw(`create unique index qos_rules_same on qos_rules (qos_policy_id, type, coalesce(direction, ''))`);
  for (const table of ['networks', 'ports']) {
    await knex.raw('alter table ?? add column qos_policy_id uuid constraint ?? references qos_policies (id)', [table, `${table}_qos_policy`]);
    await knex.raw('create index ?? on ?? (qos_policy_id) where qos_policy_id is not null', [`${table}_of_qos_policy`, table]);
  }
  await knex.raw('alter table network_rbac_policies drop constraint network_rbac_policies_object_type_check');
  await knex.raw(`alter table network_rbac_policies add constraint network_rbac_policies_object_type_check check (object_type in ('network', 'subnetpool', 'address_scope', 'security_group', 'address_group', 'qos_policy'))`);
  await knex.raw('create trigger rbac_policies_go after delete on qos_policies for each row execute function rbac_policies_go_with_object()');
}
