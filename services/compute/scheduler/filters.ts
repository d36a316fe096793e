import { downAfterSeconds } from '../servers/store.ts';

/** A host with what is promised there already. MiB and GiB. */
export interface Candidate {
  readonly host: string; readonly node: string; readonly disabled: boolean; readonly forced_down: boolean; readonly age: number;
  readonly vcpus: number; readonly memory_mb: number; readonly disk_gb: number; readonly cpu_ratio: number; readonly ram_ratio: number; readonly disk_ratio: number; readonly reserved_memory_mb: number;
  readonly used_vcpus: number; readonly used_memory_mb: number; readonly used_disk_gb: number;
  readonly facts: { readonly cpuInfo?: { readonly arch?: string }; readonly type?: string };
  readonly zone: string;
  /** Metadata of the aggregates that it is in. */
  readonly aggregates: readonly Readonly<Record<string, string>>[];
}
export interface Amounts { readonly vcpus: number; readonly memory_mb: number; readonly disk_gb: number }
export interface Wish extends Amounts {
  readonly zone?: string | undefined;
  /** Only this host: `az:host`, `host`, live migration to a named one. */
  readonly host?: string | undefined;
  readonly node?: string | undefined;
  readonly avoid?: readonly string[];
  readonly differentFrom?: readonly string[];
  readonly sameAs?: readonly string[];
  readonly group?: { readonly policy: string; readonly hosts: readonly string[]; readonly maxPerHost: number } | undefined;
  readonly image?: Readonly<Record<string, string>>;
  readonly extraSpecs?: Readonly<Record<string, string>>;
  /** A forced host takes the server whatever the filters say, as in Nova. */
  readonly forced?: boolean;
}

const free = (h: Candidate) => ({
  vcpus: h.vcpus * h.cpu_ratio - h.used_vcpus, memory_mb: (h.memory_mb - h.reserved_memory_mb) * h.ram_ratio - h.used_memory_mb, disk_gb: h.disk_gb * h.disk_ratio - h.used_disk_gb,
});
/** One server must also fit without over-commitment: a guest with more CPUs than the host has helps nobody. */
const fits = (h: Candidate, w: Amounts) => { const f = free(h); return f.vcpus >= w.vcpus && f.memory_mb >= w.memory_mb && f.disk_gb >= w.disk_gb && w.vcpus <= h.vcpus; };
const architectures: Readonly<Record<string, string>> = { amd64: 'x86_64', x86: 'i686', i386: 'i686', arm64: 'aarch64' };
const canonical = (arch: string) => architectures[arch.toLowerCase()] ?? arch.toLowerCase();

/** In the order in which they are asked; the names are upstream's. `Resources` is what placement answers there. */
export const filters: readonly { readonly name: string; readonly passes: (h: Candidate, w: Wish) => boolean }[] = [
  { name: 'RequestedHost', passes: (h, w) => (w.host === undefined || h.host === w.host) && (w.node === undefined || h.node === w.node) && !w.avoid?.includes(h.host) },
  { name: 'Resources', passes: fits },
  { name: 'AvailabilityZoneFilter', passes: (h, w) => w.zone === undefined || h.zone === w.zone },
  { name: 'ComputeFilter', passes: h => !h.disabled && !h.forced_down && h.age < downAfterSeconds },
  { name: 'ComputeCapabilitiesFilter', passes: (h, w) => Object.entries(w.extraSpecs ?? {}).every(([key, value]) => key !== 'capabilities:hypervisor_type' || h.facts.type === value) },
  { name: 'ImagePropertiesFilter', passes: (h, w) => {
    const arch = w.image?.['hw_architecture'] ?? w.image?.['architecture'];
    return arch === undefined || h.facts.cpuInfo?.arch === undefined || canonical(arch) === canonical(h.facts.cpuInfo.arch) || (canonical(arch) === 'i686' && h.facts.cpuInfo.arch === 'x86_64');
  } },
  { name: 'AggregateInstanceExtraSpecsFilter', passes: (h, w) => Object.entries(w.extraSpecs ?? {}).every(([key, value]) => !key.startsWith('aggregate_instance_extra_specs:') || h.aggregates.some(a => a[key.slice('aggregate_instance_extra_specs:'.length)] === value)) },
  { name: 'DifferentHostFilter', passes: (h, w) => !w.differentFrom?.includes(h.host) },
  { name: 'SameHostFilter', passes: (h, w) => w.sameAs === undefined || w.sameAs.includes(h.host) },
  { name: 'ServerGroupAntiAffinityFilter', passes: (h, w) => w.group?.policy !== 'anti-affinity' || w.group.hosts.filter(x => x === h.host).length < w.group.maxPerHost },
  { name: 'ServerGroupAffinityFilter', passes: (h, w) => w.group?.policy !== 'affinity' || w.group.hosts.length === 0 || w.group.hosts.includes(h.host) },
];

/** Larger is better: most free memory first, then soft group policies; equal ones take turns. */
export function weight(h: Candidate, w: Wish): number {
  const f = free(h);
  const members = w.group?.hosts.filter(x => x === h.host).length ?? 0;
  const soft = w.group?.policy === 'soft-anti-affinity' ? -members * 1e9 : w.group?.policy === 'soft-affinity' ? members * 1e9 : 0;
  return soft + f.memory_mb + f.vcpus / 1_000 + Math.random() / 1_000;
}

export class NoValidHost extends Error {
  /** For administrators: how many hosts each filter let through. */
  readonly details: string;
  constructor(details: string, reason = 'There are not enough hosts available.') { super(`No valid host was found. ${reason}`); this.details = details; }
}

/** The hosts that pass, best first; throws with the count of each filter when none does. */
export function choose(hosts: readonly Candidate[], w: Wish): Candidate[] {
  let left = [...hosts];
  const counts: string[] = [];
  const asked = w.forced ? filters.filter(f => f.name === 'RequestedHost') : filters;
  for (const f of asked) {
    const before = left.length;
    left = left.filter(h => f.passes(h, w));
    counts.push(`${f.name}: (start: ${before}, end: ${left.length})`);
    if (left.length === 0) throw new NoValidHost(`Filter results: ${counts.join(', ')}`);
  }
  return left.map(h => ({ h, at: weight(h, w) })).toSorted((a, b) => b.at - a.at).map(x => x.h);
}
