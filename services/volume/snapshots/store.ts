import type { Resource, Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';

const busy = ['creating', 'deleting', 'managing', 'unmanaging', 'restoring', 'backing-up'] as const;
const resting = ['available', 'error', 'error_deleting', 'error_managing'] as const;
export type SnapshotStatus = (typeof busy)[number] | (typeof resting)[number] | `forced:${(typeof busy)[number]}`;
const forced = busy.map(s => `forced:${s}` as const);
const rest: readonly SnapshotStatus[] = [...resting, ...forced];

/** Upstream's statuses. `forced:` is what an administrator called it although nobody is at work (see volumes/states.ts). */
export const Snapshot: Resource<SnapshotStatus> = {
  table: 'volume_snapshots', label: 'Snapshot', transitional: busy,
  moves: {
    ...Object.fromEntries(rest.map(s => [s, [...rest, 'deleting', 'restoring', 'backing-up', 'unmanaging']])) as unknown as Record<(typeof resting)[number] | (typeof forced)[number], SnapshotStatus[]>,
    creating: ['available', 'error', 'deleting'], deleting: ['available', 'error', 'error_deleting', 'deleting'], managing: ['available', 'error_managing', 'deleting'], unmanaging: ['available', 'error'],
    restoring: ['available', 'error', 'deleting'], 'backing-up': ['available', 'error', 'deleting'],
  },
};
export const resettable = ['available', 'creating', 'deleting', 'error', 'error_deleting'] as const;
export const atRest = (status: string): SnapshotStatus => ((busy as readonly string[]).includes(status) ? `forced:${status}` : status) as SnapshotStatus;

export interface SnapshotRow {
  id: string; volume_id: string; project_id: string; user_id: string | null; name: string | null; description: string | null; status: SnapshotStatus; size: number; type_id: string; metadata: Record<string, string>;
  consumes_quota: boolean; group_snapshot_id: string | null; progress: string; backend_name: string | null; provider_id: string | null; provider_meta: Record<string, unknown> | null; task_id: string | null; created_at: Date; updated_at: Date | null;
}
export const snapshotById = async (trx: Trx, id: string): Promise<SnapshotRow | undefined> => (isUuid(id) ? trx('volume_snapshots').where({ id }).first() : undefined);
export const snapshotName = (row: Pick<SnapshotRow, 'id' | 'backend_name'>): string => row.backend_name ?? `snapshot-${row.id}`;
