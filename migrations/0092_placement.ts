import type { Knex } from 'knex';

/**
 * Placement's own rows: providers that are no compute hosts, and what an administrator adds to hosts. A host has a row too, made by a trigger, for its generation, for
 * what refers to it and for its lock; what the host is and what servers hold of it stays in compute's tables alone.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table placement_providers (
    id uuid primary key, num integer generated always as identity, host text unique references compute_hosts (host), name text, generation integer not null default 0,
    parent_id uuid references placement_providers (id), root_id uuid not null references placement_providers (id),
    created_at timestamptz(3) not null default now(), changed_at timestamptz(3) not null default now(),
    check ((host is null) = (name is not null)), check (host is null or (parent_id is null and root_id = id)), check (parent_id <> id)
  )`);
  await knex.raw('create unique index placement_providers_name on placement_providers (name)');
  await knex.raw('create index placement_providers_parent on placement_providers (parent_id)');
  await knex.raw('create index placement_providers_root on placement_providers (root_id)');

  for (const table of ['placement_classes', 'placement_traits']) await knex.raw(`create table ${table} (name text primary key check (name ~ '^CUSTOM_[A-Z0-9_]+$'), changed_at timestamptz(3) not null default now())`);
  // What has a custom name refers to it: a name that is used cannot go, one that is gone cannot be used.
  const custom = (column: string, table: string, name: string) => `custom text generated always as (case when ${column} like 'CUSTOM\\_%' then ${column} end) stored constraint ${name} references ${table} (name)`;
  await knex.raw(`create table placement_inventories (
    provider_id uuid not null references placement_providers (id) on delete cascade, class text not null, ${custom('class', 'placement_classes', 'placement_inventories_class')},
    total integer not null check (total > 0), reserved integer not null check (reserved >= 0), min_unit integer not null, max_unit integer not null, step_size integer not null check (step_size > 0), allocation_ratio double precision not null,
    changed_at timestamptz(3) not null default now(), primary key (provider_id, class)
  )`);
  await knex.raw('create index placement_inventories_custom on placement_inventories (custom) where custom is not null');
  await knex.raw(`create table placement_provider_traits (provider_id uuid not null references placement_providers (id) on delete cascade, trait text not null, ${custom('trait', 'placement_traits', 'placement_provider_traits_trait')}, primary key (provider_id, trait))`);
  await knex.raw('create index placement_provider_traits_trait on placement_provider_traits (trait)');
  // An id is given back as it was written, with dashes or without.
  await knex.raw(`create table placement_provider_aggregates (provider_id uuid not null references placement_providers (id) on delete cascade, aggregate_id text not null, primary key (provider_id, aggregate_id))`);

  await knex.raw(`create table placement_consumers (
    id uuid primary key, generation integer not null default 0, project_id text not null, user_id text not null, type text, created_at timestamptz(3) not null default now(), changed_at timestamptz(3) not null default now()
  )`);
  await knex.raw('create index placement_consumers_owner on placement_consumers (project_id, user_id)');
  await knex.raw(`create table placement_allocations (
    consumer_id uuid not null references placement_consumers (id), provider_id uuid not null references placement_providers (id), class text not null, used integer not null check (used > 0), created_at timestamptz(3) not null default now(),
    primary key (consumer_id, provider_id, class)
  )`);
  await knex.raw('create index placement_allocations_provider on placement_allocations (provider_id, class)');

  // Of a host, what others hold counts as what servers hold: the scheduler compares one sum.
  await knex.raw(`create function placement_usage_of_host() returns trigger language plpgsql as $fn$
    declare r placement_allocations; amount integer;
    begin
      if tg_op = 'INSERT' then r := new; amount := new.used; else r := old; amount := -old.used; end if;
      if r.class = 'VCPU' then update compute_hosts set used_vcpus = used_vcpus + amount where id = r.provider_id;
      elsif r.class = 'MEMORY_MB' then update compute_hosts set used_memory_mb = used_memory_mb + amount where id = r.provider_id;
      elsif r.class = 'DISK_GB' then update compute_hosts set used_disk_gb = used_disk_gb + amount where id = r.provider_id;
      end if;
      return null;
    end $fn$`);
  await knex.raw(`create trigger placement_usage_of_host after insert or delete on placement_allocations for each row execute function placement_usage_of_host()`);

  // Custom classes that a server holds of its host, by the name of the class.
  await knex.raw(`alter table allocations add column resources jsonb not null default '{}'`);

  await knex.raw(`create function placement_provider_of_host() returns trigger language plpgsql as $fn$
    declare child uuid;
    begin
      if not new.deleted then
        insert into placement_providers (id, host, root_id) values (new.id, new.host, new.id) on conflict (id) do update set generation = placement_providers.generation + 1, changed_at = now();
        return null;
      end if;
      perform pg_advisory_xact_lock(hashtext('placement trees'));
      for child in select id from placement_providers where parent_id = new.id loop
        update placement_providers set root_id = child where id in (
          with recursive below as (select child as id union all select p.id from placement_providers p join below b on p.parent_id = b.id) select id from below);
        update placement_providers set parent_id = null, generation = generation + 1, changed_at = now() where id = child;
      end loop;
      delete from placement_allocations where provider_id = new.id;
      delete from placement_consumers c where not exists (select 1 from placement_allocations a where a.consumer_id = c.id);
      delete from placement_providers where id = new.id;
      return null;
    end $fn$`);
  const says = (r: string) => `(${['deleted', 'node', 'disabled', 'vcpus', 'memory_mb', 'disk_gb', 'cpu_ratio', 'ram_ratio', 'disk_ratio', 'reserved_memory_mb'].map(c => `${r}.${c}`).join(', ')}, ${r}.facts -> 'traits')`;
  await knex.raw('create trigger placement_provider_of_new_host after insert on compute_hosts for each row execute function placement_provider_of_host()');
  await knex.raw(`create trigger placement_provider_of_host after update on compute_hosts for each row when (${says('old')} is distinct from ${says('new')}) execute function placement_provider_of_host()`);
  await knex.raw('insert into placement_providers (id, host, root_id) select id, host, id from compute_hosts where not deleted order by num');
}
