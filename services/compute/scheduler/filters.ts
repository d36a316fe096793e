import type { Settings } from '@cumulet/config';
import { hasRoom } from '@cumulet/placement';
import { BlockList, isIPv4 } from 'node:net';
import { downAfterSeconds } from '../servers/store.ts';
import { asksMore } from './asks.ts';
import { free, type Amounts, type Candidate, type SchedulerSettings, type Wish } from './candidate.ts';
import { holds, meets } from './operators.ts';

type Passes = (h: Candidate, w: Wish, s: SchedulerSettings) => boolean;
export type FilterName = Settings['compute']['scheduler']['filters'][number];

/** One server must also fit without over-commitment: a guest with more CPUs than the host has helps nobody. */
const fits = (h: Candidate, w: Amounts) => { const f = free(h); return f.vcpus >= w.vcpus && f.memory_mb >= w.memory_mb && f.disk_gb >= w.disk_gb && w.vcpus <= h.vcpus; };
const architectures: Readonly<Record<string, string>> = { amd64: 'x86_64', x86: 'i686', i386: 'i686', arm64: 'aarch64' };
const canonical = (arch: string) => architectures[arch.toLowerCase()] ?? arch.toLowerCase();
const hypervisors: Readonly<Record<string, string>> = { kvm: 'qemu' };
const sameHypervisor = (a: string, b: string) => (hypervisors[a.toLowerCase()] ?? a.toLowerCase()) === (hypervisors[b.toLowerCase()] ?? b.toLowerCase());

/** Metadata of a host's aggregates, each key with all its values. A value may be a list with commas. */
const values = (h: Candidate, key: string): string[] => h.aggregates.flatMap(a => (a[key] === undefined ? [] : a[key].split(',').map(v => v.trim())));
const numberOf = (h: Candidate, key: string, fallback: number): number => { const all = values(h, key).map(Number).filter(Number.isFinite); return all.length > 0 ? Math.min(...all) : fallback; };
const specs = (w: Wish, scope: string): [string, string][] => Object.entries(w.extraSpecs ?? {}).flatMap(([key, value]): [string, string][] => {
  const at = key.indexOf(':');
  if (at < 0) return [[key, value]];
  return key.slice(0, at) === scope ? [[key.slice(at + 1), value]] : [];
});
function inNetwork(address: string | undefined, near: { ip: string; cidr: string }): boolean {
  const bits = Number(near.cidr.replace('/', ''));
  if (address === undefined || !isIPv4(address) || !isIPv4(near.ip) || !(bits >= 0 && bits <= 32)) return false;
  const list = new BlockList();
  list.addSubnet(near.ip, bits, 'ipv4');
  return list.check(address, 'ipv4');
}
const image = (w: Wish, ...names: string[]): string | undefined => names.map(n => w.image?.[n]).find(v => v !== undefined);

/** Upstream's filters by upstream's names. */
export const filters: Readonly<Record<FilterName, Passes>> = {
  AllHostsFilter: () => true,
  ComputeFilter: h => !h.disabled && !h.forced_down && h.age < downAfterSeconds,
  ComputeCapabilitiesFilter: (h, w) => {
    const has: Readonly<Record<string, unknown>> = { hypervisor_type: h.facts.type, hypervisor_version: h.facts.version, cpu_info: h.facts.cpu, total_usable_disk_gb: h.disk_gb, free_ram_mb: free(h).memory_mb, free_disk_mb: free(h).disk_gb * 1024, vcpus_total: h.vcpus, vcpus_used: h.used_vcpus, num_instances: h.servers, num_io_ops: h.busy };
    return Object.entries(w.extraSpecs ?? {}).every(([key, asked]) => {
      if (!key.startsWith('capabilities:')) return true;
      const found = key.slice('capabilities:'.length).split(':').reduce<unknown>((o, k) => (typeof o === 'object' && o !== null ? (o as Record<string, unknown>)[k] : undefined), has);
      return found !== undefined && found !== null && meets(found, asked);
    });
  },
  ImagePropertiesFilter: (h, w) => {
    const arch = image(w, 'hw_architecture', 'architecture');
    if (arch !== undefined && h.facts.arch !== undefined && canonical(arch) !== canonical(h.facts.arch) && !(canonical(arch) === 'i686' && h.facts.arch === 'x86_64')) return false;
    const type = image(w, 'img_hv_type', 'hypervisor_type');
    if (type !== undefined && h.facts.type !== undefined && h.facts.type !== 'fake' && !sameHypervisor(type, h.facts.type)) return false;
    const mode = image(w, 'hw_vm_mode', 'vm_mode');
    return mode === undefined || mode === 'hvm';
  },
  ServerGroupAntiAffinityFilter: (h, w) => w.group?.policy !== 'anti-affinity' || w.group.hosts.filter(x => x === h.host).length < w.group.maxPerHost,
  ServerGroupAffinityFilter: (h, w) => w.group?.policy !== 'affinity' || w.group.hosts.length === 0 || w.group.hosts.includes(h.host),
  DifferentHostFilter: (h, w) => !w.differentFrom?.includes(h.host),
  SameHostFilter: (h, w) => w.sameAs === undefined || w.sameAs.includes(h.host),
  SimpleCIDRAffinityFilter: (h, w) => w.near === undefined || inNetwork(h.facts.address, w.near),
  JsonFilter: (h, w) => w.query === undefined || holds(w.query, { free_ram_mb: free(h).memory_mb, free_disk_mb: free(h).disk_gb * 1024, total_usable_ram_mb: h.memory_mb, vcpus_total: h.vcpus, vcpus_used: h.used_vcpus, num_instances: h.servers, num_io_ops: h.busy, host: h.host, hypervisor_hostname: h.node, hypervisor_type: h.facts.type, hypervisor_version: h.facts.version }),
  IsolatedHostsFilter: (h, w, s) => {
    if (s.isolatedHosts.length === 0 && s.isolatedImages.length === 0) return true;
    const [host, img] = [s.isolatedHosts.includes(h.host), w.imageId !== undefined && s.isolatedImages.includes(w.imageId)];
    return s.restrictIsolatedHostsToIsolatedImages ? host === img : !img || host;
  },
  IoOpsFilter: (h, _, s) => h.busy < s.maxIoOpsPerHost,
  NumInstancesFilter: (h, _, s) => h.servers < s.maxInstancesPerHost,
  AggregateInstanceExtraSpecsFilter: (h, w) => specs(w, 'aggregate_instance_extra_specs').every(([key, asked]) => values(h, key).some(v => meets(v, asked))),
  AggregateImagePropertiesIsolation: (h, w) => Object.entries(w.image ?? {}).every(([key, value]) => { const wanted = values(h, key); return wanted.length === 0 || wanted.includes(value); }),
  AggregateMultiTenancyIsolation: (h, w) => { const only = h.aggregates.flatMap(a => Object.entries(a).flatMap(([k, v]) => (k.startsWith('filter_tenant_id') ? v.split(',').map(x => x.trim()) : []))); return only.length === 0 || (w.projectId !== undefined && only.includes(w.projectId)); },
  AggregateTypeAffinityFilter: (h, w) => { const only = values(h, 'instance_type'); return only.length === 0 || (w.flavorName !== undefined && only.includes(w.flavorName)); },
  AggregateIoOpsFilter: (h, _, s) => h.busy < numberOf(h, 'max_io_ops_per_host', s.maxIoOpsPerHost),
  AggregateNumInstancesFilter: (h, _, s) => h.servers < numberOf(h, 'max_instances_per_host', s.maxInstancesPerHost),
};
/** Traits, and resources of further classes. */
const offers: Passes = ({ provider }, w) => provider !== undefined && !w.asks?.torn && hasRoom(provider, w.resources ?? {})
  && (w.asks?.required ?? []).every(t => provider.traits.includes(t)) && !(w.asks?.forbidden ?? []).some(t => provider.traits.includes(t));

/** Asked first, and always where there is something to ask: what placement answers upstream. */
const placement: readonly { readonly name: string; readonly when?: (w: Wish) => boolean; readonly passes: Passes }[] = [
  { name: 'RequestedHost', passes: (h, w) => (w.host === undefined || h.host === w.host) && (w.node === undefined || h.node === w.node) && !w.avoid?.includes(h.host) },
  { name: 'Resources', passes: fits },
  { name: 'Placement', when: w => w.asks !== undefined && asksMore(w.asks), passes: offers },
  { name: 'AvailabilityZone', passes: (h, w) => w.zone === undefined || h.zone === w.zone },
];

export class NoValidHost extends Error {
  /** For administrators: how many hosts each filter let through. */
  readonly details: string;
  constructor(details: string, reason = 'There are not enough hosts available.') { super(`No valid host was found. ${reason}`); this.details = details; }
}

/** The hosts that pass; throws with the count of each filter when none does. */
export function passing(hosts: readonly Candidate[], w: Wish, s: SchedulerSettings): Candidate[] {
  let left = [...hosts];
  const counts: string[] = [];
  const asked = w.forced ? placement.slice(0, 1) : [...placement.filter(p => p.when?.(w) ?? true), ...s.filters.map(name => ({ name, passes: filters[name] })), ...(w.able ? [{ name: w.able.why, passes: (h: Candidate) => w.able?.host(h) ?? true }] : [])];
  for (const f of asked) {
    const before = left.length;
    left = left.filter(h => f.passes(h, w, s));
    counts.push(`${f.name}: (start: ${before}, end: ${left.length})`);
    if (left.length === 0) throw new NoValidHost(`Filter results: ${counts.join(', ')}`);
  }
  return left;
}
