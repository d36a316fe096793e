import { z } from 'zod';
import { count, flag } from './kinds.ts';

/** Those of nova's scheduler that mean something here: metrics, NUMA and PCI devices of hosts are not modelled. */
export const computeFilters = [
  'AllHostsFilter', 'ComputeFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter', 'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter', 'DifferentHostFilter', 'SameHostFilter', 'SimpleCIDRAffinityFilter', 'JsonFilter',
  'IsolatedHostsFilter', 'IoOpsFilter', 'NumInstancesFilter', 'AggregateInstanceExtraSpecsFilter', 'AggregateImagePropertiesIsolation', 'AggregateMultiTenancyIsolation', 'AggregateTypeAffinityFilter', 'AggregateIoOpsFilter', 'AggregateNumInstancesFilter',
] as const;

export const compute = z.strictObject({
  /** Seconds after which a resize that nobody decided is confirmed; 0 never (nova: resize_confirm_window). */
  resizeConfirmSeconds: z.coerce.number().int().min(0).default(0),
  /** Seconds that a deleted server can be restored; 0 deletes at once (nova: reclaim_instance_interval). */
  reclaimSeconds: z.coerce.number().int().min(0).default(0),
  /** Whether a resize may stay on its host, which is tried first then (nova: allow_resize_to_same_host, off there). */
  resizeToSameHost: flag.default(true),
  /** Hosts that a new server is tried on, one after the other, when a hypervisor fails (nova: scheduler max_attempts). */
  maxAttempts: count.default(3),
  scheduler: z.strictObject({
    /** Upstream's names, in order ([filter_scheduler] enabled_filters). The zone and the room on the host are always asked for. */
    filters: z.array(z.enum(computeFilters)).default(['ComputeFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter', 'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter', 'DifferentHostFilter', 'SameHostFilter', 'AggregateInstanceExtraSpecsFilter', 'AggregateMultiTenancyIsolation', 'AggregateImagePropertiesIsolation']),
    /** How much each of upstream's weighers counts; negative turns it round, 0 off. */
    weights: z.strictObject({ ram: z.coerce.number().default(1), cpu: z.coerce.number().default(1), disk: z.coerce.number().default(1), ioOps: z.coerce.number().default(-1), numInstances: z.coerce.number().default(0), softAffinity: z.coerce.number().default(1), softAntiAffinity: z.coerce.number().default(1), buildFailure: z.coerce.number().default(1_000_000), hypervisorVersion: z.coerce.number().default(1) }).prefault({}),
    /** One of so many best hosts is taken at random (host_subset_size). */
    hostSubsetSize: count.default(1),
    maxInstancesPerHost: count.default(50),
    maxIoOpsPerHost: count.default(8),
    isolatedHosts: z.array(z.string()).default([]),
    isolatedImages: z.array(z.string()).default([]),
    restrictIsolatedHostsToIsolatedImages: flag.default(true),
  }).prefault({}),
}).prefault({});

export const hypervisor = z.strictObject({
  driver: z.enum(['auto', 'libvirt', 'fake']).default('auto'),
  /** Socket of the libvirtd to use; the all-in-one fills it in. */
  libvirtSocket: z.string().optional(),
  virtType: z.enum(['auto', 'kvm', 'qemu']).default('auto'),
  cpuAllocationRatio: z.coerce.number().positive().default(4),
  ramAllocationRatio: z.coerce.number().positive().default(1),
  diskAllocationRatio: z.coerce.number().positive().default(1),
  reservedHostMemoryMiB: z.coerce.number().int().min(0).default(512),
  /** Seconds between shelve and its offload: 0 at once, -1 never (nova: shelved_offload_time). */
  shelvedOffloadSeconds: z.coerce.number().int().min(-1).default(0),
  /** Where other hosts fetch the disks of servers that move to them; 0 is any free port of `bind`. */
  disksPort: z.coerce.number().int().min(0).max(65_535).default(0),
  /** How the libvirtd of another host reaches this one's for live migration, e.g. `qemu+tls://HOST/system`. Absent: it cannot. */
  migrationUri: z.string().optional(),
  /** Fake driver only: what each call and a live migration take, and what its host has. */
  fakeDelayMs: z.coerce.number().int().min(0).default(0),
  fakeLiveMs: z.coerce.number().int().min(0).default(0),
}).prefault({});

export const consoles = z.strictObject({
  /** Seconds in which the one-time key of a console must be used (nova: token_ttl). */
  tokenSeconds: count.default(600),
  /** Pages other than the API's own from which a browser may open a console, such as `https://panel.example` (nova: allowed_origins). */
  allowedOrigins: z.array(z.url().refine(u => new URL(u).origin === u, 'scheme, host and port only')).default([]),
  /** Where this host's worker listens for the API of other hosts (0: any free port), and the address that those reach it by; default is `publicHost`, else `bind`. */
  port: z.coerce.number().int().min(0).max(65535).default(0),
  address: z.string().optional(),
}).prefault({});
