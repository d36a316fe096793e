import { move, transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, MethodNotAllowed, newId, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { by, found } from '../asking.ts';
import type { By } from '../for_compute.ts';
import { ofVolume } from '../attachments/store.ts';
import { invalidSnapshot, invalidVolume, volumeNotFound } from '../faults.ts';
import { heldSnapshot } from '../snapshots/service.ts';
import { Snapshot, type SnapshotRow } from '../snapshots/store.ts';
import { shownStatus, Volume } from '../volumes/states.ts';
import { hostParts, lockById, queueOf, type VolumeRow } from '../volumes/store.ts';
import { createBackupPlan, deleteBackupPlan } from './plans.ts';
import { backupHosts, hostOfBackup, noBackupService } from './hosts.ts';
import { chooseParent, invalidBackup } from './parent.ts';
import { enforceBackups } from './quota.ts';
import { Backup, resettable } from './states.ts';
import { detailById, hasChildren, insertBackup, laneOfBackup, lockBackup, patchBackup, queueOfTargets, type BackupDetail, type BackupRow } from './store.ts';

export const backupNotFound = (id: string) => new NotFound(`Backup ${id} could not be found.`);
export const show = async (rt: Pick<Runtime, 'db'>, ctx: Context, id: string): Promise<BackupDetail> => found(ctx, await detailById(rt.db, id), () => backupNotFound(id));
export const heldBackup = async (trx: Knex.Transaction, ctx: Context, id: string): Promise<BackupRow> => found(ctx, await lockBackup(trx, id), () => backupNotFound(id));

export interface NewBackup {
  readonly by: By & { readonly projectId: string; readonly userId: string };
  readonly name?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly container?: string | null | undefined;
  readonly zone?: string | null | undefined;
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
  readonly incremental: boolean;
  readonly force: boolean;
  readonly scheduleId?: string;
}

/** Who has to hold still while a frozen copy is made: the one server of compute's that writes to the volume. */
async function writerOf(trx: Knex.Transaction, volume: VolumeRow): Promise<{ serverId: string; host: string } | null> {
  const [one, ...more] = volume.status === 'in-use' ? await ofVolume(trx, volume.id) : [];
  return one && more.length === 0 && one.by_compute && one.server_id !== null && one.attached_host !== null ? { serverId: one.server_id, host: one.attached_host } : null;
}

/** The row, its task, its quota, and the volume or snapshot held. Both are locked by the caller. */
export async function createIn(rt: Pick<Runtime, 'settings' | 'tasks'>, trx: Knex.Transaction, volume: VolumeRow, snapshot: SnapshotRow | undefined, o: NewBackup): Promise<string> {
  if (snapshot) {
    if (snapshot.volume_id !== volume.id) throw invalidVolume(`Volume ${volume.id} does not match with snapshot.volume_id ${snapshot.volume_id}.`);
    if (snapshot.status !== 'available') throw invalidSnapshot(`Snapshot to be backed up must be available, but the current status is "${shownStatus(snapshot.status)}".`);
  } else if (volume.status !== 'available' && volume.status !== 'in-use') {
    throw invalidVolume(`Volume to be backed up must be available or in-use, but the current status is "${shownStatus(volume.status)}".`);
  } else if (volume.status === 'in-use' && !o.force) throw invalidVolume('Backing up an in-use volume must use the force flag.');
  if (volume.migration_task_id !== null) throw invalidVolume(`Volume ${volume.id} is part of an active migration.`);
  if (volume.host === null) throw invalidVolume(`Volume ${volume.id} has no content.`);
  const zone = o.zone || volume.availability_zone;
  // The volume is read where it is, so that host has to have the target.
  const name = hostParts(volume.host).service.split('@')[0] ?? '';
  const host = (await backupHosts(trx, rt.settings.volume, zone)).find(h => h.host === name);
  const [target] = host?.targets ?? [];
  if (!host || !target) throw noBackupService();
  const parent = o.incremental ? await chooseParent(trx, { volumeId: volume.id, projectId: o.by.projectId, snapshotTakenAt: snapshot?.created_at, host: host.host, targets: host.targets }) : undefined;
  const id = newId();
  const task = await rt.tasks.enqueue(trx, createBackupPlan, { backupId: id, was: snapshot ? null : volume.status as 'available' | 'in-use', writer: snapshot ? null : await writerOf(trx, volume) }, { queue: queueOf(volume.host), lane: laneOfBackup(id), resource: { type: 'backup', id }, by: o.by });
  await insertBackup(trx, {
    id, project_id: o.by.projectId, user_id: o.by.userId, name: o.name ?? null, description: o.description ?? null, volume_id: volume.id, snapshot_id: snapshot?.id ?? null, parent_id: parent?.id ?? null, status: 'creating', task_id: task, size: snapshot?.size ?? volume.size,
    target: parent?.target ?? target.name, service: parent?.service ?? target.service, container: o.container || null, host: host.host, availability_zone: zone, metadata: { ...o.metadata }, encryption_key_id: volume.encryption_key_id, schedule_id: o.scheduleId ?? null,
  });
  // A backup's data is of the moment of its snapshot, else of its own.
  await trx('volume_backups').where({ id }).update({ data_timestamp: snapshot ? snapshot.created_at : trx.ref('created_at') });
  await enforceBackups(trx, o.by.projectId, snapshot?.size ?? volume.size);
  if (snapshot) await move(trx, Snapshot, snapshot.id, { from: ['available'], to: 'backing-up', task });
  else await move(trx, Volume, volume.id, { from: ['available', 'in-use'], to: 'backing-up', task, set: { previous_status: volume.status } });
  return id;
}
export const create = (rt: Runtime, ctx: Context, o: Omit<NewBackup, 'by'> & { readonly volumeId: string; readonly snapshotId?: string | null | undefined }): Promise<BackupRow> => transaction(rt.db, async trx => {
  const volume = found<VolumeRow>(ctx, await lockById(trx, o.volumeId), () => volumeNotFound(o.volumeId));
  const snapshot = o.snapshotId ? await heldSnapshot(trx, ctx, o.snapshotId) : undefined;
  const id = await createIn(rt, trx, volume, snapshot, { ...o, by: { ...by(ctx), projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId } });
  return await lockBackup(trx, id) as BackupRow;
});

export const update = (rt: Runtime, ctx: Context, id: string, values: { name?: string | null | undefined; description?: string | null | undefined; metadata?: Record<string, string> | undefined }): Promise<BackupRow> => transaction(rt.db, async trx => {
  const row = await heldBackup(trx, ctx, id);
  await patchBackup(trx, row.id, Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined)));
  return await lockBackup(trx, row.id) as BackupRow;
});

/** Accepts a deletion; a forced one does not ask for the status and stops what is at work. What others build on stays. The row is locked by the caller. */
export async function destroyIn(rt: Pick<Runtime, 'settings' | 'tasks'>, trx: Knex.Transaction, row: BackupRow, who: By, force: boolean): Promise<void> {
  if (!force && row.status !== 'available' && row.status !== 'error') throw invalidBackup('Backup status must be available or error');
  const host = await hostOfBackup(trx, rt.settings.volume, row);
  if (force && row.task_id !== null) {
    const able = (await backupHosts(trx, rt.settings.volume)).find(h => h.host === host)?.targets.find(t => t.name === row.target)?.forceDelete ?? true;
    if (!able) throw new MethodNotAllowed('Operation not supported: force delete.');
  }
  if (await hasChildren(trx, row.id)) throw invalidBackup('Incremental backups exist for this backup.');
  // Also a verification or an export, which do not show in the status.
  await rt.tasks.supersede(trx, laneOfBackup(row.id));
  const task = await rt.tasks.enqueue(trx, deleteBackupPlan, { backupId: row.id }, { queue: queueOfTargets(host), lane: laneOfBackup(row.id), resource: { type: 'backup', id: row.id }, by: who });
  await move(trx, Backup, row.id, { from: [row.status], to: 'deleting', task });
}
export const destroy = (rt: Runtime, ctx: Context, id: string, force = false): Promise<void> => transaction(rt.db, async trx => destroyIn(rt, trx, await heldBackup(trx, ctx, id), by(ctx), force));

/** What an administrator says of a backup. Work that is under way is never hidden: `error` stops it, anything else is refused. */
export const resetStatus = (rt: Runtime, ctx: Context, id: string, asked: string): Promise<void> => transaction(rt.db, async trx => {
  const status = asked.toLowerCase();
  if (!(resettable as readonly string[]).includes(status)) throw new BadRequest(`Backup status: ${asked} is invalid, valid statuses are: [${resettable.map(s => `'${s}'`).join(', ')}].`);
  const row = await heldBackup(trx, ctx, id);
  await hostOfBackup(trx, rt.settings.volume, row);
  if (row.task_id !== null) {
    if (status !== 'error') throw new Conflict(`Backup ${row.id} is ${row.status}: an operation is at work on it. Reset it to error to stop the operation.`);
    await rt.tasks.cancel(trx, row.task_id);
  } else if (row.status !== status) await move(trx, Backup, row.id, { from: [row.status], to: status as (typeof resettable)[number] });
});
