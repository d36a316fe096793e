import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';
import { choose, NoValidHost, type Amounts, type Candidate, type Wish } from './filters.ts';

export { NoValidHost, type Amounts, type Wish };
export const defaultZone = 'nova';

/** Every host with what is promised there, one query. */
export async function candidates(trx: Trx): Promise<Candidate[]> {
  const { rows } = await trx.raw(`select h.host, h.node, h.disabled, h.forced_down, extract(epoch from now() - h.seen_at)::float8 as age, h.vcpus, h.memory_mb, h.disk_gb, h.cpu_ratio, h.ram_ratio, h.disk_ratio, h.reserved_memory_mb, h.facts,
      coalesce(a.vcpus, 0)::int as used_vcpus, coalesce(a.memory_mb, 0)::int as used_memory_mb, coalesce(a.disk_gb, 0)::int as used_disk_gb,
      coalesce((select g.metadata ->> 'availability_zone' from aggregates g where h.host = any(g.hosts) and jsonb_exists(g.metadata, 'availability_zone') limit 1), '${defaultZone}') as zone,
      coalesce((select jsonb_agg(g.metadata) from aggregates g where h.host = any(g.hosts)), '[]') as aggregates
    from compute_hosts h left join (select host, sum(vcpus) as vcpus, sum(memory_mb) as memory_mb, sum(disk_gb) as disk_gb from allocations group by host) a on a.host = h.host where not h.deleted`);
  return rows;
}

/**
 * Picks a host and takes its share there, in the caller's transaction. The host's row is locked while the sums are compared, so that claims that race
 * never promise more than there is; one that lost tries the next best host.
 */
export async function claim(trx: Knex.Transaction, serverId: string, wish: Wish, o: { heldFor?: 'server' | 'migration'; hosts?: readonly Candidate[] } = {}): Promise<{ host: string; node: string; zone: string }> {
  const hosts = o.hosts ?? await candidates(trx);
  for (const h of choose(hosts, wish)) {
    if (!await take(trx, serverId, h.host, wish, o.heldFor ?? 'server', wish.forced ?? false)) continue;
    return { host: h.host, node: h.node, zone: h.zone };
  }
  throw new NoValidHost('Filter results: Resources: every host that passed was filled by others meanwhile');
}

/** False when it does not fit any more. */
export async function take(trx: Knex.Transaction, serverId: string, host: string, want: Amounts, heldFor: 'server' | 'migration', forced = false): Promise<boolean> {
  const row = await trx('compute_hosts').where({ host }).forUpdate().first('vcpus', 'memory_mb', 'disk_gb', 'cpu_ratio', 'ram_ratio', 'disk_ratio', 'reserved_memory_mb');
  if (!row) return false;
  const used = await trx('allocations').where({ host }).sum({ vcpus: 'vcpus', memory_mb: 'memory_mb', disk_gb: 'disk_gb' }).first() as unknown as Record<'vcpus' | 'memory_mb' | 'disk_gb', number | null>;
  const fits = forced || ((used.vcpus ?? 0) + want.vcpus <= row.vcpus * row.cpu_ratio && (used.memory_mb ?? 0) + want.memory_mb <= (row.memory_mb - row.reserved_memory_mb) * row.ram_ratio && (used.disk_gb ?? 0) + want.disk_gb <= row.disk_gb * row.disk_ratio);
  if (!fits) return false;
  await trx('allocations').insert({ server_id: serverId, host, held_for: heldFor, vcpus: want.vcpus, memory_mb: want.memory_mb, disk_gb: want.disk_gb }).onConflict(['server_id', 'host', 'held_for']).merge(['vcpus', 'memory_mb', 'disk_gb']);
  return true;
}

/** What a server takes of a host. A root disk that is a volume takes none there. */
export const amountsOf = (f: { vcpus: number; memory_mb: number; root_gb: number; ephemeral_gb: number; swap_mb: number }, volumeBacked: boolean): Amounts =>
  ({ vcpus: f.vcpus, memory_mb: f.memory_mb, disk_gb: (volumeBacked ? 0 : f.root_gb) + f.ephemeral_gb + Math.ceil(f.swap_mb / 1024) });

/** Who is in a server's group and where, for the group's policy. */
export async function groupWish(trx: Trx, groupId: string | null, except?: string): Promise<Wish['group']> {
  if (groupId === null) return undefined;
  const group = await trx('server_groups').where({ id: groupId }).first('policy', 'rules');
  if (!group) return undefined;
  const query = trx('servers').where({ group_id: groupId, deleted: false }).whereNotNull('host').select('host');
  if (except !== undefined) query.whereNot({ id: except });
  const members: { host: string }[] = await query;
  return { policy: group.policy, hosts: members.map(m => m.host), maxPerHost: Number(group.rules?.max_server_per_host ?? 1) };
}
