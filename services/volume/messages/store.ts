import type { Trx } from '@cumulet/db';
import { newId } from '@cumulet/wire';

/** Upstream's actions and details that users may read, by their ids (cinder.message.message_field). */
export const actions = {
  schedule: ['001', 'schedule allocate volume'], attach: ['002', 'attach volume'], copyToImage: ['003', 'copy volume to image'], update: ['004', 'update volume attachment'],
  copyImage: ['005', 'copy image to volume'], unmanage: ['006', 'unmanage volume'], extend: ['007', 'extend volume'], createFromBackend: ['008', 'create volume from backend storage'], snapshotCreate: ['009', 'create snapshot'],
  snapshotDelete: ['010', 'delete snapshot'], snapshotUpdate: ['011', 'update snapshot'], snapshotMetadata: ['012', 'update snapshot metadata'], createBackup: ['013', 'create backup'], deleteBackup: ['014', 'delete backup'], restoreBackup: ['015', 'restore backup'],
  reimage: ['016', 'reimage volume'], migrate: ['017', 'migrate volume'], manage: ['018', 'manage existing volume'], create: ['019', 'create volume'], delete: ['020', 'delete volume'], retype: ['021', 'retype volume'], revert: ['022', 'revert volume to snapshot'],
} as const;
export const details = {
  unknown: ['001', 'An unknown error occurred.'], noBackend: ['003', 'Could not find any available weighted backend.'], failedUpload: ['004', 'Failed to upload volume to image at backend.'],
  quota: ['006', 'The quota is used up.'], imageTooBig: ['007', 'Image used for creating volume exceeds available space.'], notifyCompute: ['009', 'Compute service failed to extend volume.'],
  extendFailed: ['010', 'Driver failed to extend volume.'], createFailed: ['012', 'Driver failed to create the volume.'],
  backupCreate: ['020', 'Backup driver failed to create backup.'], backupDelete: ['025', 'Backup driver failed to delete backup.'], backupRestore: ['026', 'Backup driver failed to restore backup.'],
} as const;
export type Action = keyof typeof actions;
export type Detail = keyof typeof details;

const lifeDays = 30;
/** A message that the project's users can read. `why` is added to the detail's own sentence: which filters refused, what the driver said. */
export async function tell(trx: Trx, o: { projectId: string; requestId?: string | null | undefined; resource: { type: 'VOLUME' | 'VOLUME_SNAPSHOT' | 'VOLUME_BACKUP'; id: string }; action: Action; detail: Detail; why?: string | undefined }): Promise<void> {
  const [action, does] = actions[o.action];
  const [detail, says] = details[o.detail];
  await trx('volume_messages').insert({
    id: newId(), project_id: o.projectId, request_id: o.requestId ?? null, resource_type: o.resource.type, resource_uuid: o.resource.id, action_id: action, detail_id: detail,
    event_id: `VOLUME_${o.resource.type}_${action}_${detail}`, user_message: `${does}:${says}${o.why === undefined ? '' : ` ${o.why}`}`.slice(0, 1_000), expires_at: trx.raw(`now() + interval '${lifeDays} days'`),
  });
}
