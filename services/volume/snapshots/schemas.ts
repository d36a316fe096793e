import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { bool, description, nullableMetadata, nullableName, uuidText } from '../shapes.ts';

export const SnapshotCreate = shape('SnapshotCreate', z.looseObject({
  snapshot: z.looseObject({ volume_id: uuidText.nullable(), name: nullableName, display_name: nullableName, description, display_description: description, metadata: nullableMetadata, force: bool.nullish() }),
}));
export const SnapshotUpdate = shape('SnapshotUpdate', z.looseObject({ snapshot: z.object({ name: nullableName, display_name: nullableName, description, display_description: description }) }));
export const SnapshotReply = shape('Snapshot', z.unknown());
export const SnapshotOne = shape('SnapshotReply', z.unknown(), { snapshot: SnapshotReply });
export const SnapshotList = shape('SnapshotList', z.unknown(), { snapshots: SnapshotReply });
export const ResetSnapshot = shape('os-reset_status(snapshot)', z.looseObject({ 'os-reset_status': z.strictObject({ status: z.string() }) }));
export const UpdateSnapshotStatus = shape('os-update_snapshot_status', z.looseObject({ 'os-update_snapshot_status': z.strictObject({ status: z.string(), progress: z.string().nullish() }) }));
