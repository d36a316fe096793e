import type { Settings } from '@cumulet/config';
import type { Provider } from '@cumulet/placement';
import type { Asks } from './asks.ts';

/** A host with what is promised there already. MiB and GiB. */
export interface Candidate {
  readonly host: string; readonly node: string; readonly disabled: boolean; readonly forced_down: boolean; readonly age: number;
  readonly vcpus: number; readonly memory_mb: number; readonly disk_gb: number; readonly cpu_ratio: number; readonly ram_ratio: number; readonly disk_ratio: number; readonly reserved_memory_mb: number;
  readonly used_vcpus: number; readonly used_memory_mb: number; readonly used_disk_gb: number;
  readonly build_failures: number;
  /** Only counted where a filter or weigher of the settings asks. */
  readonly servers: number; readonly busy: number;
  readonly facts: { readonly type?: string; readonly version?: number; readonly arch?: string; readonly address?: string; readonly storageId?: string; readonly disksUrl?: string; readonly live?: boolean; readonly virtType?: string; readonly cpu?: Readonly<Record<string, unknown>> };
  readonly zone: string;
  /** Metadata of the aggregates that it is in. */
  readonly aggregates: readonly Readonly<Record<string, string>>[];
  /** As placement sees it; only read where the wish asks for traits or further resources. */
  readonly provider?: Provider | undefined;
}
/** `resources`: further classes, by placement's names. */
export interface Amounts { readonly vcpus: number; readonly memory_mb: number; readonly disk_gb: number; readonly resources?: Readonly<Record<string, number>> }
export interface Wish extends Amounts {
  readonly projectId?: string;
  readonly flavorName?: string;
  readonly imageId?: string | undefined;
  readonly zone?: string | undefined;
  /** Only this host: `az:host`, `host`, live migration to a named one. */
  readonly host?: string | undefined;
  readonly node?: string | undefined;
  readonly avoid?: readonly string[];
  readonly differentFrom?: readonly string[];
  readonly sameAs?: readonly string[];
  /** SimpleCIDRAffinityFilter: hosts in this network. */
  readonly near?: { readonly ip: string; readonly cidr: string } | undefined;
  /** JsonFilter's. */
  readonly query?: unknown;
  readonly group?: { readonly policy: string; readonly hosts: readonly string[]; readonly maxPerHost: number } | undefined;
  readonly image?: Readonly<Record<string, string>>;
  readonly extraSpecs?: Readonly<Record<string, string>>;
  readonly asks?: Asks;
  /** A forced host takes the server whatever the filters say, as in Nova. */
  readonly forced?: boolean;
  /** What only we ask: a move's destination has to understand its source. */
  readonly able?: { readonly why: string; readonly host: (h: Candidate) => boolean };
}
export type SchedulerSettings = Settings['compute']['scheduler'];

export const free = (h: Candidate): Amounts => ({
  vcpus: h.vcpus * h.cpu_ratio - h.used_vcpus, memory_mb: (h.memory_mb - h.reserved_memory_mb) * h.ram_ratio - h.used_memory_mb, disk_gb: h.disk_gb * h.disk_ratio - h.used_disk_gb,
});
