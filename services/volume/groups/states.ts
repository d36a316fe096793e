import type { Resource } from '@cumulet/db';

export type GroupStatus = 'creating' | 'available' | 'deleting' | 'updating' | 'error' | 'error_deleting' | 'in-use' | `forced:${'creating' | 'deleting' | 'updating'}`;
const rest: GroupStatus[] = ['available', 'error', 'error_deleting', 'in-use', 'forced:creating', 'forced:deleting', 'forced:updating'];
export const Group: Resource<GroupStatus> = {
  table: 'volume_groups', label: 'Group', transitional: ['creating', 'deleting', 'updating'],
  moves: {
    ...Object.fromEntries(rest.map(s => [s, [...rest, 'creating', 'deleting', 'updating']])) as unknown as Record<'available' | 'error' | 'error_deleting' | 'in-use' | `forced:${'creating' | 'deleting' | 'updating'}`, GroupStatus[]>,
    creating: ['available', 'error'], deleting: ['available', 'error', 'error_deleting'], updating: ['available', 'error'],
  },
};
export const resettable = ['available', 'creating', 'deleting', 'error', 'error_deleting', 'in-use', 'updating'];

export type GroupSnapshotStatus = 'creating' | 'available' | 'deleting' | 'error' | 'error_deleting' | `forced:${'creating' | 'deleting'}`;
const snapshotRest: GroupSnapshotStatus[] = ['available', 'error', 'error_deleting', 'forced:creating', 'forced:deleting'];
export const GroupSnapshot: Resource<GroupSnapshotStatus> = {
  table: 'volume_group_snapshots', label: 'Group snapshot', transitional: ['creating', 'deleting'],
  moves: {
    ...Object.fromEntries(snapshotRest.map(s => [s, [...snapshotRest, 'deleting']])) as unknown as Record<'available' | 'error' | 'error_deleting' | `forced:${'creating' | 'deleting'}`, GroupSnapshotStatus[]>,
    creating: ['available', 'error'], deleting: ['available', 'error', 'error_deleting'],
  },
};
export const resettableSnapshot = ['available', 'creating', 'deleting', 'error', 'error_deleting'];
export const forced = (status: string, transitional: readonly string[]): string => (transitional.includes(status) ? `forced:${status}` : status);

export interface GroupRow {
  id: string; project_id: string; user_id: string | null; name: string | null; description: string | null; status: GroupStatus; host: string | null; availability_zone: string | null; group_type_id: string; volume_type_ids: string[];
  group_snapshot_id: string | null; source_group_id: string | null; replication_status: string | null; task_id: string | null; created_at: Date; updated_at: Date | null;
}
export interface GroupSnapshotRow { id: string; group_id: string; group_type_id: string; project_id: string; user_id: string | null; name: string | null; description: string | null; status: GroupSnapshotStatus; task_id: string | null; created_at: Date; updated_at: Date | null }
