import type { Provided, SnapshotRef, VolumeRef, VolumeSpec } from '@cumulet/drivers/block';
import type { SnapshotRow } from './snapshots/store.ts';
import { snapshotName } from './snapshots/store.ts';
import { backendName, hostParts, type VolumeRow } from './volumes/store.ts';

type Backed = Pick<VolumeRow, 'id' | 'backend_name' | 'size' | 'host' | 'provider_id' | 'provider_meta'>;

/** Rows as drivers know them. */
export function volumeRef(row: Backed): VolumeRef {
  const pool = row.host === null ? undefined : hostParts(row.host).pool;
  return { name: backendName(row), sizeGiB: row.size, ...(pool === undefined ? {} : { pool }), ...(row.provider_id === null ? {} : { providerId: row.provider_id }), ...(row.provider_meta === null ? {} : { meta: row.provider_meta }) };
}
export function volumeSpec(row: Pick<VolumeRow, 'id' | 'backend_name' | 'size' | 'host'>): VolumeSpec {
  const pool = row.host === null ? undefined : hostParts(row.host).pool;
  return { name: backendName(row), sizeGiB: row.size, ...(pool === undefined ? {} : { pool }) };
}
export const snapshotRef = (row: SnapshotRow, volume: Backed): SnapshotRef => ({
  name: snapshotName(row), volume: volumeRef(volume), sizeGiB: row.size, ...(row.provider_id === null ? {} : { providerId: row.provider_id }), ...(row.provider_meta === null ? {} : { meta: row.provider_meta }),
});
/** What a driver gave, as columns. */
export const provided = (p: Provided | null | undefined): { provider_id: string | null; provider_meta: Record<string, unknown> | null } => ({ provider_id: p?.providerId ?? null, provider_meta: p?.meta ? { ...p.meta } : null });
