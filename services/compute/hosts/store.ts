import type { Trx } from '@cumulet/db';
import { defaultZone } from '../scheduler/claim.ts';
import { downAfterSeconds } from '../servers/store.ts';

/** A compute host as the API shows it: what its worker said last, and what is promised there. */
export interface HostRow {
  num: number; id: string; service_id: string; host: string; node: string; disabled: boolean; disabled_reason: string | null; forced_down: boolean; vcpus: number; memory_mb: number; disk_gb: number; cpu_ratio: number; ram_ratio: number; disk_ratio: number; reserved_memory_mb: number;
  facts: { type?: string; version?: number; cpuInfo?: object; uptimeSeconds?: number; loadAverage?: number[]; freeDiskGiB?: number; address?: string };
  seen_at: Date; changed_at: Date; created_at: Date; up: boolean; zone: string; used_vcpus: number; used_memory_mb: number; used_disk_gb: number; running: number; busy: number; servers: { name: string; uuid: string }[];
}
export const hostRows = (trx: Trx) => trx('compute_hosts as h').where('h.deleted', false).orderBy('h.num').select('h.*', trx.raw('h.used_memory_mb::int'), trx.raw('h.used_disk_gb::int'),
  trx.raw(`(h.seen_at > now() - interval '${downAfterSeconds} seconds' and not h.forced_down) as up`),
  trx.raw(`coalesce((select g.metadata ->> 'availability_zone' from aggregates g where h.host = any(g.hosts) and jsonb_exists(g.metadata, 'availability_zone') limit 1), '${defaultZone}') as zone`),
  trx.raw(`(select count(*)::int from servers s where s.host = h.host and not s.deleted) as running`), trx.raw(`(select count(*)::int from servers s where s.host = h.host and not s.deleted and s.task_state is not null) as busy`));
