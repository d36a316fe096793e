import type { Knex } from 'knex';

/** Address groups (named lists of prefixes that security group rules may name), and port forwardings of floating IPs. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table address_groups (id uuid primary key, project_id text not null, name text not null default '', description text not null default '', addresses cidr[] not null default '{}',
    revision_number integer not null default 0, created_at timestamptz not null default now(), updated_at timestamptz not null default now())`);
  await knex.raw('create index address_groups_project on address_groups (project_id, id)');
  await knex.raw('alter table security_group_rules add column remote_address_group_id uuid constraint security_group_rules_address_group references address_groups (id)');
  await knex.raw('create index security_group_rules_address_group on security_group_rules (remote_address_group_id) where remote_address_group_id is not null');
  await knex.raw('drop index security_group_rules_same');
  await knex.raw(`create unique index security_group_rules_same on security_group_rules (security_group_id, direction, ethertype, coalesce(protocol, ''), coalesce(port_range_min, -1), coalesce(port_range_max, -1), coalesce(remote_ip_prefix::text, ''),
    coalesce(remote_group_id::text, ''), coalesce(remote_address_group_id::text, ''))`);
  await knex.raw('alter table network_rbac_policies drop constraint network_rbac_policies_object_type_check');
  await knex.raw(`alter table network_rbac_policies add constraint network_rbac_policies_object_type_check check (object_type in ('network', 'subnetpool', 'address_scope', 'security_group', 'address_group'))`);
  await knex.raw('create trigger rbac_policies_go after delete on address_groups for each row execute function rbac_policies_go_with_object()');

  await knex.raw(`create table port_forwardings (id uuid primary key, floatingip_id uuid not null constraint port_forwardings_floating_ip references floating_ips (id), internal_port_id uuid not null constraint port_forwardings_port references ports (id) on delete cascade,
    internal_ip inet not null check (family(internal_ip) = 4), protocol text not null, external_min integer not null, external_max integer not null, internal_min integer not null, internal_max integer not null, description text not null default '', created_at timestamptz not null default now(),
    check (external_min between 1 and external_max and external_max <= 65535 and internal_min between 1 and internal_max and internal_max <= 65535 and (internal_max = internal_min or internal_max - internal_min = external_max - external_min)))`);
  await knex.raw('create index port_forwardings_of_floating_ip on port_forwardings (floatingip_id, id)');
  await knex.raw('create index port_forwardings_of_port on port_forwardings (internal_port_id)');
  // A floating IP that forwards nothing any more needs no router.
  await knex.raw(`create function floating_ip_without_forwardings() returns trigger language plpgsql as $fn$ begin
      update floating_ips f set router_id = null, status = 'DOWN' where f.id = old.floatingip_id and f.port_id is null and f.router_id is not null and not exists (select 1 from port_forwardings p where p.floatingip_id = f.id);
      return null;
    end $fn$`);
  await knex.raw('create trigger floating_ip_without_forwardings after delete on port_forwardings for each row execute function floating_ip_without_forwardings()');
}
