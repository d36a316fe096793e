import type { Provided, SnapshotRef, VolumeRef, VolumeSpec } from '@cumulet/drivers/block';
import type { SnapshotRow } from './snapshots/store.ts';
import { snapshotName } from './snapshots/store.ts';
import { backendName, hostParts, type VolumeRow } from './volumes/store.ts';

type Placed = Pick<VolumeRow, 'id' | 'backend_name' | 'size' | 'host' | 'encryption_key_id'>;
type Backed = Placed & Pick<VolumeRow, 'provider_id' | 'provider_meta'>;

const luks = (row: Pick<VolumeRow, 'encryption_key_id'>): { luks?: true } => (row.encryption_key_id === null ? {} : { luks: true });

/** Rows as drivers know them. */
export function volumeRef(row: Backed): VolumeRef {
  const pool = row.host === null ? undefined : hostParts(row.host).pool;
  return { name: backendName(row), sizeGiB: row.size, ...luks(row), ...(pool === undefined ? {} : { pool }), ...(row.provider_id === null ? {} : { providerId: row.provider_id }), ...(row.provider_meta === null ? {} : { meta: row.provider_meta }) };
}
export function volumeSpec(row: Placed): VolumeSpec {
  const pool = row.host === null ? undefined : hostParts(row.host).pool;
  return { name: backendName(row), sizeGiB: row.size, ...luks(row), ...(pool === undefined ? {} : { pool }) };
}
export const snapshotRef = (row: SnapshotRow, volume: Backed): SnapshotRef => ({
  name: snapshotName(row), volume: volumeRef(volume), sizeGiB: row.size, ...(row.provider_id === null ? {} : { providerId: row.provider_id }), ...(row.provider_meta === null ? {} : { meta: row.provider_meta }),
});
/** What a driver gave, as columns. */
export const provided = (p: Provided | null | undefined): { provider_id: string | null; provider_meta: Record<string, unknown> | null } => ({ provider_id: p?.providerId ?? null, provider_meta: p?.meta ? { ...p.meta } : null });
