import type { Knex } from 'knex';
import { usageTrigger } from './support.ts';

/** Networks, subnets, ports, security groups, routers and floating IPs. Status columns here are facts of the wiring, never transitional. */
export async function up(knex: Knex): Promise<void> {
  const common = `id uuid primary key, project_id text not null, name text not null default '', description text not null default '', tags text[] not null default '{}',
    revision_number integer not null default 1, created_at timestamptz not null default now(), updated_at timestamptz not null default now()`;
  await knex.raw(`create table networks (${common}, admin_state_up boolean not null default true, shared boolean not null default false, external boolean not null default false, is_default boolean not null default false,
    mtu integer not null, port_security_enabled boolean not null default true, dns_domain text not null default '')`);
  await knex.raw(`create index networks_project on networks (project_id, id)`);
  await knex.raw(`create unique index networks_default on networks ((true)) where is_default and external`);
  await knex.raw(`create table subnets (${common}, network_id uuid not null constraint subnets_network references networks (id) on delete cascade, ip_version integer not null default 4, cidr cidr not null, gateway_ip inet,
    enable_dhcp boolean not null default true, allocation_pools jsonb not null, dns_nameservers text[] not null default '{}', host_routes jsonb not null default '[]', service_types text[] not null default '{}', dns_publish_fixed_ip boolean not null default false)`);
  await knex.raw(`create index subnets_of_network on subnets (network_id)`);
  await knex.raw(`create index subnets_project on subnets (project_id, id)`);
  await knex.raw(`create table ports (${common}, network_id uuid not null constraint ports_network references networks (id), mac_address macaddr not null, admin_state_up boolean not null default true, status text not null default 'DOWN' check (status in ('ACTIVE', 'DOWN', 'BUILD', 'ERROR')),
    device_id text not null default '', device_owner text not null default '', binding_host text not null default '', binding_profile jsonb not null default '{}', binding_vnic_type text not null default 'normal',
    port_security_enabled boolean not null default true, allowed_address_pairs jsonb not null default '[]', extra_dhcp_opts jsonb not null default '[]', dns_name text not null default '',
    -- Made for a server that named only a network: goes when the server goes
    made_by_compute boolean not null default false,
    constraint ports_mac unique (network_id, mac_address))`);
  await knex.raw(`create index ports_of_network on ports (network_id, device_owner)`);
  await knex.raw(`create index ports_device on ports (device_id) where device_id <> ''`);
  await knex.raw(`create index ports_host on ports (binding_host) where binding_host <> ''`);
  await knex.raw(`create index ports_project on ports (project_id, id)`);
  await knex.raw(`create table ip_allocations (subnet_id uuid not null constraint ip_allocations_subnet references subnets (id), ip inet not null, network_id uuid not null, port_id uuid not null references ports (id) on delete cascade, position integer not null default 0,
    constraint ip_allocations_address primary key (subnet_id, ip))`);
  await knex.raw(`create index ip_allocations_port on ip_allocations (port_id, position)`);
  await knex.raw(`create index ip_allocations_network on ip_allocations (network_id, ip)`);
  await knex.raw(`create table security_groups (${common}, stateful boolean not null default true)`);
  await knex.raw(`create index security_groups_project on security_groups (project_id, name)`);
  await knex.raw(`create unique index security_groups_default on security_groups (project_id) where name = 'default'`);
  await knex.raw(`create table security_group_rules (id uuid primary key, project_id text not null, description text, revision_number integer not null default 0, created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
    security_group_id uuid not null references security_groups (id) on delete cascade, direction text not null, ethertype text not null, protocol text, port_range_min integer, port_range_max integer, remote_ip_prefix cidr,
    remote_group_id uuid constraint security_group_rules_remote references security_groups (id) on delete cascade)`);
  await knex.raw(`create index security_group_rules_group on security_group_rules (security_group_id)`);
  await knex.raw(`create index security_group_rules_remote on security_group_rules (remote_group_id) where remote_group_id is not null`);
  await knex.raw(`create unique index security_group_rules_same on security_group_rules (security_group_id, direction, ethertype, coalesce(protocol, ''), coalesce(port_range_min, -1), coalesce(port_range_max, -1), coalesce(remote_ip_prefix::text, ''), coalesce(remote_group_id::text, ''))`);
  await knex.raw(`create table port_security_groups (port_id uuid not null references ports (id) on delete cascade, security_group_id uuid not null constraint port_security_groups_group references security_groups (id), primary key (port_id, security_group_id))`);
  await knex.raw(`create index port_security_groups_group on port_security_groups (security_group_id)`);
  await knex.raw(`create table routers (${common}, admin_state_up boolean not null default true, host text not null default '', gateway_port_id uuid constraint routers_gateway references ports (id), external_network_id uuid references networks (id), enable_snat boolean not null default true, routes jsonb not null default '[]')`);
  await knex.raw(`create index routers_project on routers (project_id, id)`);
  await knex.raw(`create table floating_ips (${common}, floating_network_id uuid not null references networks (id), floating_port_id uuid not null references ports (id), floating_ip inet not null, port_id uuid constraint floating_ips_port references ports (id), fixed_ip inet, router_id uuid references routers (id),
    status text not null default 'DOWN', dns_name text not null default '', dns_domain text not null default '', constraint floating_ips_fixed unique (port_id, fixed_ip))`);
  await knex.raw(`create index floating_ips_project on floating_ips (project_id, id)`);
  await knex.raw(`create index floating_ips_router on floating_ips (router_id) where router_id is not null`);
  const tables = { networks: 'network', subnets: 'subnet', routers: 'router', floating_ips: 'floatingip', security_groups: 'security_group', security_group_rules: 'security_group_rule' };
  for (const [table, resource] of Object.entries(tables)) await usageTrigger(knex, { table, service: 'network', counts: { [`'${resource}'`]: '1' } });
  await usageTrigger(knex, { table: 'ports', service: 'network', counts: { "'port'": '1' }, when: `r.project_id <> ''` });
}
