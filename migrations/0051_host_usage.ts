import type { Knex } from 'knex';

/** What is promised of a host is kept with the host, by a trigger, so that placing a server costs the same whatever runs in the cloud. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table compute_hosts add column used_vcpus integer not null default 0, add column used_memory_mb bigint not null default 0, add column used_disk_gb bigint not null default 0, add column build_failures integer not null default 0`);
  await knex.raw(`update compute_hosts h set used_vcpus = a.vcpus, used_memory_mb = a.memory_mb, used_disk_gb = a.disk_gb
    from (select host, sum(vcpus) as vcpus, sum(memory_mb) as memory_mb, sum(disk_gb) as disk_gb from allocations group by host) a where a.host = h.host`);
  await knex.raw(`create function host_usage() returns trigger language plpgsql as $fn$
    begin
      if tg_op <> 'INSERT' and (tg_op = 'DELETE' or (old.host, old.vcpus, old.memory_mb, old.disk_gb) is distinct from (new.host, new.vcpus, new.memory_mb, new.disk_gb)) then
        update compute_hosts set used_vcpus = used_vcpus - old.vcpus, used_memory_mb = used_memory_mb - old.memory_mb, used_disk_gb = used_disk_gb - old.disk_gb where host = old.host;
      end if;
      if tg_op <> 'DELETE' and (tg_op = 'INSERT' or (old.host, old.vcpus, old.memory_mb, old.disk_gb) is distinct from (new.host, new.vcpus, new.memory_mb, new.disk_gb)) then
        update compute_hosts set used_vcpus = used_vcpus + new.vcpus, used_memory_mb = used_memory_mb + new.memory_mb, used_disk_gb = used_disk_gb + new.disk_gb where host = new.host;
      end if;
      return null;
    end $fn$`);
  await knex.raw(`create trigger host_usage after insert or update or delete on allocations for each row execute function host_usage()`);
  // A host that registers after servers hold a share of it (its row was lost) learns of them.
  await knex.raw(`create function host_usage_of_new() returns trigger language plpgsql as $fn$
    begin
      select coalesce(sum(vcpus), 0), coalesce(sum(memory_mb), 0), coalesce(sum(disk_gb), 0) into new.used_vcpus, new.used_memory_mb, new.used_disk_gb from allocations where host = new.host;
      return new;
    end $fn$`);
  await knex.raw(`create trigger host_usage_of_new before insert on compute_hosts for each row execute function host_usage_of_new()`);
  // Servers of a host that something is being done to, for the filters and weighers that count them.
  await knex.raw(`create index servers_busy_host on servers (host) where task_state is not null and not deleted`);
}
