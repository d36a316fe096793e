import { move, transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import type { Knex } from 'knex';
import { boundTo, by, found } from '../asking.ts';
import { invalidVolume, volumeNotFound } from '../faults.ts';
import type { By } from '../for_compute.ts';
import { createIn as createVolumeIn, type NewVolumeRequest } from '../volumes/create.ts';
import { Volume } from '../volumes/states.ts';
import { byId, lockById, queueOf, type VolumeRow } from '../volumes/store.ts';
import { backupHosts, hostOfBackup, noBackupService } from './hosts.ts';
import { invalidBackup } from './parent.ts';
import { hostOfVolume, restoreBackupPlan } from './plans.ts';
import { backupNotFound } from './service.ts';
import { Backup } from './states.ts';
import { laneOfBackup, lockBackup, type BackupRow } from './store.ts';

/** Starts the restore into a volume: its backend's host must reach the target. Gives the task that holds both. */
export async function beginRestore(rt: Pick<Runtime, 'settings' | 'tasks'>, trx: Knex.Transaction, backup: BackupRow, volume: Pick<VolumeRow, 'id' | 'host'>, o: { readonly fresh: boolean; readonly by: By }): Promise<string> {
  const here = (await backupHosts(trx, rt.settings.volume)).find(h => h.host === hostOfVolume(volume.host));
  const target = here?.targets.find(t => t.name === backup.target);
  if (!target || (!target.shared && backup.host !== here?.host)) throw noBackupService();
  const task = await rt.tasks.enqueue(trx, restoreBackupPlan, { backupId: backup.id, volumeId: volume.id, fresh: o.fresh }, { queue: queueOf(volume.host), lane: laneOfBackup(backup.id), resource: { type: 'backup', id: backup.id }, by: o.by });
  await move(trx, Backup, backup.id, { from: ['available'], to: 'restoring', task, set: { restore_volume_id: volume.id, restored: null } });
  return task;
}

/** Writes a backup over a volume that is available and large enough, or into a new one. */
export const restore = (rt: Runtime, ctx: Context, id: string, o: { readonly volumeId?: string | null | undefined; readonly name?: string | null | undefined }): Promise<{ backup_id: string; volume_id: string; volume_name: string | null }> => transaction(rt.db, async trx => {
  const backup = found<BackupRow>(ctx, await lockBackup(trx, id), () => backupNotFound(id));
  if (backup.status !== 'available') throw invalidBackup('Backup status must be available');
  await hostOfBackup(trx, rt.settings.volume, backup);
  if (o.volumeId) {
    const volume = await lockById(trx, o.volumeId);
    const bound = boundTo(ctx);
    if (!volume || (bound !== undefined && volume.project_id !== bound)) throw volumeNotFound(o.volumeId);
    if (volume.status !== 'available') throw invalidVolume('Volume to be restored to must be available');
    if (backup.size > volume.size) throw invalidVolume(`volume size ${volume.size} is too small to restore backup of size ${backup.size}.`);
    if (volume.migration_task_id !== null) throw invalidVolume(`Volume ${volume.id} is part of an active migration.`);
    if ((backup.encryption_key_id === null) !== (volume.encryption_key_id === null)) throw invalidVolume(`Volume ${volume.id} and backup ${backup.id} must both be encrypted, or neither.`);
    // The volume takes the backup's key, and its snapshots could not be opened any more.
    if (backup.encryption_key_id !== volume.encryption_key_id && await trx('volume_snapshots').where({ volume_id: volume.id }).first('id')) throw invalidVolume(`Volume ${volume.id} is encrypted with another key than backup ${backup.id}, and has snapshots.`);
    const task = await beginRestore(rt, trx, backup, volume, { fresh: false, by: by(ctx) });
    await move(trx, Volume, volume.id, { from: ['available'], to: 'restoring-backup', task, set: { previous_status: volume.status } });
    return { backup_id: backup.id, volume_id: volume.id, volume_name: volume.name };
  }
  const name = o.name ?? `restore_backup_${backup.id}`;
  // The bytes of an encrypted backup are those of its volume: the new one must be of a type that says so.
  const like = backup.encryption_key_id === null ? undefined : (await byId(trx, backup.volume_id))?.type_id;
  const volumeId = await createVolumeIn(rt, trx, {
    by: { ...by(ctx), projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId }, bound: boundTo(ctx), name, description: 'auto-created_from_restore_from_backup', sizeGiB: backup.size, type: like,
    restoreOf: { status: 'restoring-backup', keyId: backup.encryption_key_id, begin: (volume, who) => beginRestore(rt, trx, backup, volume, { fresh: true, by: who }) },
  });
  const made = await byId(trx, volumeId);
  if (made?.status !== 'restoring-backup') throw invalidVolume(`Error while creating volume ${volumeId} for restoring backup ${backup.id}.`);
  return { backup_id: backup.id, volume_id: volumeId, volume_name: name };
});

/** A new volume with a backup's content (3.47). Returns its id. */
export const createFromBackup = (rt: Runtime, backupId: string, r: NewVolumeRequest): Promise<string> => transaction(rt.db, async trx => {
  const backup = await lockBackup(trx, backupId);
  if (!backup || (r.bound !== undefined && backup.project_id !== r.bound)) throw backupNotFound(backupId);
  if (backup.status !== 'available') throw invalidBackup(`Originating backup status must be one of 'available' values`);
  return createVolumeIn(rt, trx, { ...r, restoreOf: { status: 'creating', minGiB: backup.size, keyId: backup.encryption_key_id, begin: (volume, who) => beginRestore(rt, trx, backup, volume, { fresh: true, by: who }) } });
});
