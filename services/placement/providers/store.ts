import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';

/** How much of each class. */
export type Amounts = Readonly<Record<string, number>>;

export interface Inventory {
  readonly total: number;
  readonly reserved: number;
  readonly min_unit: number;
  readonly max_unit: number;
  readonly step_size: number;
  readonly allocation_ratio: number;
}

/** Somebody who has resources: a compute host as the cloud knows it, with what administrators added, or a provider of their own. */
export interface Provider {
  readonly uuid: string;
  readonly name: string;
  /** Of the compute host that it is. */
  readonly host: string | undefined;
  /** Grows when what it has, or what others than servers hold of it, changes. */
  readonly generation: number;
  readonly changedAt: Date;
  readonly parent: string | null;
  readonly root: string;
  readonly inventories: Readonly<Record<string, Inventory>>;
  readonly used: Amounts;
  readonly aggregates: readonly string[];
  readonly traits: readonly string[];
}

/** What a host says of itself; nobody else does. */
export const COMPUTED_CLASSES = ['VCPU', 'MEMORY_MB', 'DISK_GB'] as const;

interface HostFacts {
  node: string; disabled: boolean; traits: unknown; vcpus: number; memory_mb: number; disk_gb: number; cpu_ratio: number; ram_ratio: number; disk_ratio: number; reserved_memory_mb: number;
  used_vcpus: number; used_memory_mb: number; used_disk_gb: number; aggregates: string[] | null;
}
interface Row {
  id: string; host: string | null; name: string | null; generation: number; changed_at: Date; parent_id: string | null; root_id: string; facts: HostFacts | null;
  inventories: Record<string, Inventory> | null; used: Record<string, number> | null; traits: string[] | null; aggregates: string[] | null;
}

/**
 * Every provider, or some. What a compute host has and what servers hold of it are compute's tables, which this only reads; so there is nothing that
 * could disagree with them. Placement's own rows hold the rest.
 */
export async function listProviders(db: Trx, of: { readonly ids?: readonly string[]; readonly hosts?: readonly string[] | 'all' } = {}): Promise<Provider[]> {
  const [which, bindings]: [string, Knex.RawBinding[]] = of.ids ? ['p.id = any(?::uuid[])', [[...of.ids]]] : of.hosts === 'all' ? ['p.host is not null', []] : of.hosts ? ['p.host = any(?)', [[...of.hosts]]] : ['true', []];
  const { rows } = await db.raw(`select p.id::text, p.host, p.name, p.generation, greatest(p.changed_at, h.changed_at) as changed_at, p.parent_id::text, p.root_id::text,
      case when h.host is not null then jsonb_build_object('node', h.node, 'disabled', h.disabled, 'traits', h.facts -> 'traits', 'vcpus', h.vcpus, 'memory_mb', h.memory_mb, 'disk_gb', h.disk_gb, 'cpu_ratio', h.cpu_ratio, 'ram_ratio', h.ram_ratio,
        'disk_ratio', h.disk_ratio, 'reserved_memory_mb', h.reserved_memory_mb, 'used_vcpus', h.used_vcpus, 'used_memory_mb', h.used_memory_mb, 'used_disk_gb', h.used_disk_gb,
        'aggregates', (select jsonb_agg(g.id order by g.num) from aggregates g where h.host = any (g.hosts))) end as facts,
      (select jsonb_object_agg(i.class, jsonb_build_object('total', i.total, 'reserved', i.reserved, 'min_unit', i.min_unit, 'max_unit', i.max_unit, 'step_size', i.step_size, 'allocation_ratio', i.allocation_ratio) order by i.class) from placement_inventories i where i.provider_id = p.id) as inventories,
      (select jsonb_object_agg(u.class, u.used) from (select held.class, sum(held.used) as used from (
          select a.class, a.used from placement_allocations a where a.provider_id = p.id
          union all select r.key, r.value::int from allocations s, jsonb_each_text(s.resources) r where s.host = p.host) held group by held.class) u) as used,
      (select array_agg(t.trait order by t.trait) from placement_provider_traits t where t.provider_id = p.id) as traits,
      (select array_agg(g.aggregate_id order by g.aggregate_id) from placement_provider_aggregates g where g.provider_id = p.id) as aggregates
    from placement_providers p left join compute_hosts h on h.host = p.host where ${which} order by p.num`, bindings);
  return (rows as Row[]).map(providerOf);
}

const providerOf = (row: Row): Provider => {
  const h = row.facts;
  return {
    uuid: row.id, name: h?.node ?? row.name ?? '', host: row.host ?? undefined, generation: row.generation, changedAt: row.changed_at, parent: row.parent_id, root: row.root_id,
    inventories: { ...(h ? inventoriesOf(h) : {}), ...row.inventories },
    used: { ...row.used, ...(h ? { VCPU: h.used_vcpus, MEMORY_MB: h.used_memory_mb, DISK_GB: h.used_disk_gb } : {}) },
    aggregates: [...new Set([...(h?.aggregates ?? []), ...(row.aggregates ?? [])])],
    traits: [...new Set([...(h ? [...COMPUTE_TRAITS, ...(h.disabled ? ['COMPUTE_STATUS_DISABLED'] : []), ...(Array.isArray(h.traits) ? h.traits.map(String) : [])] : []), ...(row.traits ?? [])])],
  };
};

/** A host without disk (or memory) has no inventory of it. */
function inventoriesOf(h: HostFacts): Record<string, Inventory> {
  const of = (total: number, reserved: number, ratio: number): Inventory => ({ total, reserved, min_unit: 1, max_unit: total, step_size: 1, allocation_ratio: ratio });
  const all = { VCPU: of(h.vcpus, 0, h.cpu_ratio), MEMORY_MB: of(h.memory_mb, h.reserved_memory_mb, h.ram_ratio), DISK_GB: of(h.disk_gb, 0, h.disk_ratio) };
  return Object.fromEntries(Object.entries(all).filter(([, inventory]) => inventory.total > 0));
}

/** What every compute host here can do; the rest is among the host's facts. */
export const COMPUTE_TRAITS = ['COMPUTE_NODE', 'COMPUTE_IMAGE_TYPE_RAW', 'COMPUTE_IMAGE_TYPE_QCOW2', 'COMPUTE_NET_ATTACH_INTERFACE', 'COMPUTE_VOLUME_EXTEND', 'COMPUTE_DEVICE_TAGGING'] as const;

/** What may be placed in all: `(total - reserved) × ratio`, as placement reckons it. */
export const capacityOf = (inventory: Inventory): number => Math.trunc((inventory.total - inventory.reserved) * inventory.allocation_ratio);

/** Whether so much of one class is a unit that the inventory gives out. */
export const isUnit = (inventory: Inventory, amount: number): boolean => amount >= inventory.min_unit && amount <= inventory.max_unit && amount % inventory.step_size === 0;

/** Whether so much of each class is free, in units that the inventory gives out. */
export function hasRoom(provider: Provider, wanted: Amounts): boolean {
  return Object.entries(wanted).every(([name, amount]) => {
    const inventory = provider.inventories[name];
    return inventory !== undefined && isUnit(inventory, amount) && (provider.used[name] ?? 0) + amount <= capacityOf(inventory);
  });
}

/** Holds the shape of all trees until the transaction ends: parents, children and roots are only changed by who has it. */
export const holdTrees = async (trx: Trx): Promise<void> => { await trx.raw(`select pg_advisory_xact_lock(hashtext('placement trees'))`); };

/**
 * Locks providers, hosts first (as the scheduler's claims do) and each kind in order, and reads them: nobody else changes what they have, or places
 * anything there, before the transaction ends. Those that do not exist are left out.
 */
export async function lockProviders(trx: Trx, ids: readonly string[]): Promise<Map<string, Provider>> {
  if (ids.length === 0) return new Map();
  await trx('compute_hosts').whereIn('id', ids).orderBy('host').forNoKeyUpdate().select('id');
  await trx('placement_providers').whereIn('id', ids).orderBy('id').forNoKeyUpdate().select('id');
  return new Map((await listProviders(trx, { ids })).map(p => [p.uuid, p]));
}

/** Says that a provider is another one now; returns its generation. */
export async function grow(trx: Trx, id: string, by = 1): Promise<number> {
  const [row] = await trx('placement_providers').where({ id }).update({ generation: trx.raw('generation + ?', [by]), changed_at: trx.fn.now() }).returning('generation') as { generation: number }[];
  return row?.generation ?? 0;
}
