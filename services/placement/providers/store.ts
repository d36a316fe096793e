import type { Trx } from '@cumulet/db';

/** The classes of resources that this cloud has. */
export const CLASSES = ['VCPU', 'MEMORY_MB', 'DISK_GB'] as const;
export type ResourceClass = (typeof CLASSES)[number];
export type Amounts = Partial<Record<ResourceClass, number>>;

export interface Inventory {
  readonly total: number;
  readonly reserved: number;
  readonly min_unit: number;
  readonly max_unit: number;
  readonly step_size: number;
  readonly allocation_ratio: number;
}

/** Every class that has a name upstream (os-resource-classes): all can be asked for, and of most there is nothing. */
export const STANDARD_CLASSES: readonly string[] = [
  ...CLASSES, 'PCI_DEVICE', 'SRIOV_NET_VF', 'NUMA_SOCKET', 'NUMA_CORE', 'NUMA_THREAD', 'NUMA_MEMORY_MB', 'IPV4_ADDRESS', 'VGPU', 'VGPU_DISPLAY_HEAD', 'NET_BW_EGR_KILOBIT_PER_SEC', 'NET_BW_IGR_KILOBIT_PER_SEC', 'PCPU',
  'MEM_ENCRYPTION_CONTEXT', 'FPGA', 'PGPU', 'NET_PACKET_RATE_KILOPACKET_PER_SEC', 'NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC', 'NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC',
];

/** A compute host, as placement sees it: a tree of one. */
export interface Provider {
  readonly uuid: string;
  readonly name: string;
  /** Grows when what the host has, or what is placed on it, changes. */
  readonly generation: number;
  readonly changedAt: Date;
  readonly inventories: Partial<Record<ResourceClass, Inventory>>;
  readonly used: Required<Amounts>;
  readonly aggregates: readonly string[];
  readonly traits: readonly string[];
}

interface Row {
  id: string; node: string; disabled: boolean; facts: { traits?: unknown }; changed_at: Date; aggregates: string[] | null; placed: string;
  vcpus: number; memory_mb: string; disk_gb: string; cpu_ratio: number; ram_ratio: number; disk_ratio: number; reserved_memory_mb: number; used_vcpus: string; used_memory_mb: string; used_disk_gb: string;
}

/**
 * Placement keeps no rows of its own: hosts and what servers hold of them are compute's tables, which this only reads. So
 * there is nothing that could disagree with them, and nothing to heal.
 */
export async function listProviders(db: Trx, uuid?: string): Promise<Provider[]> {
  const { rows } = await db.raw(`select h.id::text, h.node, h.disabled, h.facts, h.vcpus, h.memory_mb, h.disk_gb, h.cpu_ratio, h.ram_ratio, h.disk_ratio, h.reserved_memory_mb,
      greatest(h.changed_at, a.last) as changed_at, coalesce(a.n, 0) as placed, coalesce(a.vcpus, 0) as used_vcpus, coalesce(a.memory_mb, 0) as used_memory_mb, coalesce(a.disk_gb, 0) as used_disk_gb,
      (select array_agg(g.id::text order by g.num) from aggregates g where h.host = any (g.hosts)) as aggregates
    from compute_hosts h
    left join (select host, count(*) as n, max(created_at) as last, sum(vcpus) as vcpus, sum(memory_mb) as memory_mb, sum(disk_gb) as disk_gb from allocations group by host) a on a.host = h.host
    where not h.deleted and (?::uuid is null or h.id = ?::uuid) order by h.num`, [uuid ?? null, uuid ?? null]);
  return (rows as Row[]).map(providerOf);
}

function providerOf(row: Row): Provider {
  const of = (total: number, reserved: number, ratio: number): Inventory => ({ total, reserved, min_unit: 1, max_unit: total, step_size: 1, allocation_ratio: ratio });
  const inventories: Record<ResourceClass, Inventory> = {
    VCPU: of(row.vcpus, 0, row.cpu_ratio), MEMORY_MB: of(Number(row.memory_mb), row.reserved_memory_mb, row.ram_ratio), DISK_GB: of(Number(row.disk_gb), 0, row.disk_ratio),
  };
  return {
    uuid: row.id, name: row.node, generation: Math.floor(row.changed_at.getTime() / 1000) % 1_000_000_000 + Number(row.placed), changedAt: row.changed_at,
    inventories: Object.fromEntries(CLASSES.filter(c => inventories[c].total > 0).map(c => [c, inventories[c]])),
    used: { VCPU: Number(row.used_vcpus), MEMORY_MB: Number(row.used_memory_mb), DISK_GB: Number(row.used_disk_gb) },
    aggregates: row.aggregates ?? [],
    traits: [...new Set([...COMPUTE_TRAITS, ...(row.disabled ? ['COMPUTE_STATUS_DISABLED'] : []), ...(Array.isArray(row.facts.traits) ? row.facts.traits.map(String) : [])])],
  };
}

/** What every compute host here can do; the rest is among the host's facts. */
export const COMPUTE_TRAITS = ['COMPUTE_NODE', 'COMPUTE_IMAGE_TYPE_RAW', 'COMPUTE_IMAGE_TYPE_QCOW2', 'COMPUTE_NET_ATTACH_INTERFACE', 'COMPUTE_VOLUME_EXTEND', 'COMPUTE_DEVICE_TAGGING'] as const;

/** What may still be placed: `(total - reserved) × ratio`, as placement reckons it. */
export const capacityOf = (inventory: Inventory): number => Math.trunc((inventory.total - inventory.reserved) * inventory.allocation_ratio);

/** Whether so much of each class is free, in units that the inventory gives out. */
export function hasRoom(provider: Provider, wanted: Amounts): boolean {
  return (Object.entries(wanted) as [ResourceClass, number][]).every(([name, amount]) => {
    const inventory = provider.inventories[name];
    return inventory !== undefined && amount >= inventory.min_unit && amount <= inventory.max_unit && amount % inventory.step_size === 0
      && provider.used[name] + amount <= capacityOf(inventory);
  });
}
