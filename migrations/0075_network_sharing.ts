import type { Knex } from 'knex';
import { usageTrigger } from './support.ts';

/**
 * RBAC policies, address scopes and subnet pools. Who an object is shared with is a matter of its policies alone; `networks.shared` (with
 * everybody) and `networks.external` repeat what they say and are written by a trigger only.
 */
export async function up(knex: Knex): Promise<void> {
  const common = `id uuid primary key, project_id text not null, name text not null default '', description text not null default '', tags text[] not null default '{}',
    revision_number integer not null default 0, created_at timestamptz not null default now(), updated_at timestamptz not null default now()`;
  await knex.raw(`create table network_rbac_policies (id uuid primary key default gen_random_uuid(), project_id text not null, object_type text not null check (object_type in ('network', 'subnetpool', 'address_scope', 'security_group')), object_id uuid not null,
    action text not null check (action in ('access_as_shared', 'access_as_external')), target_project text not null, created_at timestamptz not null default now(), constraint network_rbac_policies_same unique (object_id, action, target_project))`);
  await knex.raw(`create index network_rbac_policies_project on network_rbac_policies (project_id, id)`);
  await knex.raw(`create table address_scopes (${common}, ip_version integer not null check (ip_version in (4, 6)))`);
  await knex.raw(`create index address_scopes_project on address_scopes (project_id, id)`);
  await knex.raw(`create table subnetpools (${common}, ip_version integer not null check (ip_version in (4, 6)), prefixes cidr[] not null, min_prefixlen integer not null, max_prefixlen integer not null, default_prefixlen integer not null, default_quota integer,
    is_default boolean not null default false, address_scope_id uuid constraint subnetpools_address_scope references address_scopes (id))`);
  await knex.raw(`create index subnetpools_project on subnetpools (project_id, id)`);
  await knex.raw(`create index subnetpools_of_scope on subnetpools (address_scope_id) where address_scope_id is not null`);
  await knex.raw(`create unique index subnetpools_default on subnetpools (ip_version) where is_default`);
  await knex.raw(`alter table subnets add column subnetpool_id uuid constraint subnets_subnetpool references subnetpools (id), add column ipv6_ra_mode text, add column ipv6_address_mode text`);
  await knex.raw(`create index subnets_of_pool on subnets (subnetpool_id) where subnetpool_id is not null`);

  await knex.raw(`insert into network_rbac_policies (project_id, object_type, object_id, action, target_project)
    select project_id, 'network', id, 'access_as_shared', '*' from networks where shared union all select project_id, 'network', id, 'access_as_external', '*' from networks where external`);
  await usageTrigger(knex, { table: 'subnetpools', service: 'network', counts: { "'subnetpool'": '1' } });
  await usageTrigger(knex, { table: 'network_rbac_policies', service: 'network', counts: { "'rbac_policy'": '1' } });
  // The policies made above came before the trigger that counts.
  await knex.raw(`select add_usage('network', project_id, jsonb_build_object('rbac_policy', count(*)), 1) from network_rbac_policies group by project_id`);
  await knex.raw(`create function networks_are_as_shared() returns trigger language plpgsql as $fn$
    declare of_network uuid := coalesce(new.object_id, old.object_id);
    begin
      if coalesce(new.object_type, old.object_type) = 'network' then
        update networks n set shared = p.shared, external = p.external from (
          select coalesce(bool_or(action = 'access_as_shared' and target_project = '*'), false) as shared, coalesce(bool_or(action = 'access_as_external'), false) as external from network_rbac_policies where object_id = of_network) p
        where n.id = of_network and (n.shared, n.external) is distinct from (p.shared, p.external);
      end if;
      return null;
    end $fn$`);
  await knex.raw(`create trigger networks_are_as_shared after insert or update or delete on network_rbac_policies for each row execute function networks_are_as_shared()`);
  await knex.raw(`create function rbac_policies_go_with_object() returns trigger language plpgsql as $fn$ begin delete from network_rbac_policies where object_id = old.id; return null; end $fn$`);
  for (const table of ['networks', 'subnetpools', 'address_scopes', 'security_groups']) await knex.raw(`create trigger rbac_policies_go after delete on ${table} for each row execute function rbac_policies_go_with_object()`);
}
