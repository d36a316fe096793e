import type { Trx } from '@cumulet/db';
import { hasRoom, listProviders } from '@cumulet/placement';
import type { Knex } from 'knex';
import { asksMore, asksOf, besides } from './asks.ts';
import type { Amounts, Candidate, SchedulerSettings, Wish } from './candidate.ts';
import { NoValidHost, passing } from './filters.ts';
import { ranked } from './weighers.ts';

export { NoValidHost, type Amounts, type Candidate, type Wish };
export const defaultZone = 'nova';
/** Which of a host's facts only some ask for: the long lists of `cpu_info`, and what placement knows of it. */
export const needsOf = (extraSpecs: Readonly<Record<string, string>>, image: Readonly<Record<string, string>> = {}): Needs => ({ cpu: Object.keys(extraSpecs).some(k => k.startsWith('capabilities:cpu_info')), provider: asksMore(asksOf(extraSpecs, image)) });
export interface Needs { readonly cpu?: boolean; readonly provider?: boolean }
const counted: ReadonlySet<string> = new Set(['NumInstancesFilter', 'AggregateNumInstancesFilter', 'JsonFilter']);

/** Every host with what is promised there, one query that reads each host once and of servers only what is under way. */
export async function candidates(trx: Trx, s: SchedulerSettings, o: Needs = {}): Promise<Candidate[]> {
  const servers = s.filters.some(f => counted.has(f)) || s.weights.numInstances !== 0;
  const { rows } = await trx.raw(`with busy as (select host, count(*)::int as n from servers where task_state is not null and not deleted and host is not null group by host),
      held as (select host, count(distinct server_id)::int as n from allocations where ${servers} group by host),
      grouped as (select m.host, jsonb_agg(g.metadata) as metadata, min(g.metadata ->> 'availability_zone') as zone from aggregates g, unnest(g.hosts) m (host) group by m.host)
    select h.host, h.node, h.disabled, h.forced_down, extract(epoch from now() - h.seen_at)::float8 as age, h.vcpus, h.memory_mb::int, h.disk_gb::int, h.cpu_ratio, h.ram_ratio, h.disk_ratio, h.reserved_memory_mb, h.build_failures,
      jsonb_strip_nulls(jsonb_build_object('type', h.facts -> 'type', 'version', h.facts -> 'version', 'arch', h.facts #> '{cpuInfo,arch}', 'address', h.facts -> 'address', 'storageId', h.facts -> 'storageId', 'disksUrl', h.facts -> 'disksUrl', 'live', h.facts -> 'live', 'virtType', h.facts -> 'virtType'${o.cpu ? `, 'cpu', h.facts -> 'cpuInfo'` : ''})) as facts,
      h.used_vcpus, h.used_memory_mb::int, h.used_disk_gb::int, coalesce(held.n, 0) as servers, coalesce(busy.n, 0) as busy, coalesce(grouped.zone, '${defaultZone}') as zone, coalesce(grouped.metadata, '[]') as aggregates
    from compute_hosts h left join busy on busy.host = h.host left join held on held.host = h.host left join grouped on grouped.host = h.host where not h.deleted`);
  if (!o.provider) return rows;
  const providers = new Map((await listProviders(trx, { hosts: 'all' })).map(p => [p.host, p]));
  return (rows as Candidate[]).map(h => ({ ...h, provider: providers.get(h.host) }));
}

/**
 * Picks a host and takes its share there, in the caller's transaction. The host's row is locked while the sums are compared, so that claims that race
 * never promise more than there is; one that lost tries the next best host. `alternates` are the next best ones, for a build that fails.
 */
export async function claim(trx: Knex.Transaction, serverId: string, wish: Wish, o: { scheduler: SchedulerSettings; heldFor?: 'server' | 'migration'; hosts?: readonly Candidate[] }): Promise<{ host: string; node: string; zone: string; alternates: string[] }> {
  const order = ranked(passing(o.hosts ?? await candidates(trx, o.scheduler, needsOf(wish.extraSpecs ?? {}, wish.image)), wish, o.scheduler), wish, o.scheduler);
  for (const [i, h] of order.entries()) {
    if (!await take(trx, serverId, h.host, wish, o.heldFor ?? 'server', wish.forced ?? false)) continue;
    return { host: h.host, node: h.node, zone: h.zone, alternates: order.slice(i + 1, i + 10).map(x => x.host) };
  }
  throw new NoValidHost(`Filter results: Resources: (start: ${order.length}, end: 0): every host that passed was filled by others meanwhile`);
}

/** False when it does not fit any more. */
export async function take(trx: Knex.Transaction, serverId: string, host: string, want: Amounts, heldFor: 'server' | 'migration', forced = false): Promise<boolean> {
  const h = await trx('compute_hosts').where({ host }).forNoKeyUpdate().first('vcpus', 'memory_mb', 'disk_gb', 'cpu_ratio', 'ram_ratio', 'disk_ratio', 'reserved_memory_mb', 'used_vcpus', 'used_memory_mb', 'used_disk_gb');
  if (!h) return false;
  const fits = forced || (h.used_vcpus + want.vcpus <= h.vcpus * h.cpu_ratio && Number(h.used_memory_mb) + want.memory_mb <= (h.memory_mb - h.reserved_memory_mb) * h.ram_ratio && Number(h.used_disk_gb) + want.disk_gb <= h.disk_gb * h.disk_ratio);
  if (!fits) return false;
  // The lock of the host is that of its further inventories too (placement writes them under it).
  const resources = want.resources ?? {};
  if (Object.keys(resources).length > 0 && !forced) {
    const [provider] = await listProviders(trx, { hosts: [host] });
    if (!provider || !hasRoom(provider, resources)) return false;
  }
  await trx('allocations').insert({ server_id: serverId, host, held_for: heldFor, vcpus: want.vcpus, memory_mb: want.memory_mb, disk_gb: want.disk_gb, resources }).onConflict(['server_id', 'host', 'held_for']).merge(['vcpus', 'memory_mb', 'disk_gb', 'resources']);
  return true;
}

/** What a server takes of a host, where its flavor does not say otherwise by placement's names. A root disk that is a volume takes none there. */
export function amountsOf(f: { vcpus: number; memory_mb: number; root_gb: number; ephemeral_gb: number; swap_mb: number; extra_specs: Readonly<Record<string, string>> }, volumeBacked: boolean): Required<Amounts> {
  const { resources } = asksOf(f.extra_specs);
  return {
    vcpus: resources['VCPU'] ?? f.vcpus, memory_mb: resources['MEMORY_MB'] ?? f.memory_mb, disk_gb: resources['DISK_GB'] ?? (volumeBacked ? 0 : f.root_gb) + f.ephemeral_gb + Math.ceil(f.swap_mb / 1024),
    resources: besides(resources),
  };
}

/** What of it is more than that, class by class. */
export const beyond = (then: Readonly<Record<string, number>>, now: Readonly<Record<string, number>>): Record<string, number> => Object.fromEntries(Object.entries(then).map(([name, amount]) => [name, amount - (now[name] ?? 0)] as const).filter(([, more]) => more > 0));
