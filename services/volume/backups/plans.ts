import { move, tryMove, type Trx } from '@cumulet/db';
import { sourceOf, targetOf, type BackupRef } from '@cumulet/drivers/backup';
import { DriverError } from '@cumulet/drivers';
import { bytesOfData, type DataRef } from '@cumulet/drivers/block';
import type { Outcome, TaskFacts } from '@cumulet/tasks';
import { Conflict } from '@cumulet/wire';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { dropKey } from '../encryption/keys.ts';
import { tell, type Action } from '../messages/store.ts';
import { provided, snapshotRef, volumeRef, volumeSpec } from '../refs.ts';
import { Snapshot, snapshotById } from '../snapshots/store.ts';
import { limited, settleVolume, volumeOf } from '../volumes/plans.ts';
import { Volume } from '../volumes/states.ts';
import { byId, hostParts, laneOfVolume, queueOf } from '../volumes/store.ts';
import { discardFrozen, frozenRef, stillBackupPlan, freezePlan, type Frozen } from './freeze.ts';
import { checkContainers, describeVolume, restoredValues } from './meta.ts';
import { backupOf, chainRefs, targetOfRow } from './reach.ts';
import { Backup, type BackupStatus } from './states.ts';
import { backupById, backupRef, encodeBackup, leadsThereToo, patchBackup, type BackupRow } from './store.ts';

/** Reading or writing a volume takes as long as it takes; what hangs is found by the drivers. */
const long = 14 * 24 * 3_600_000;

/** Ends a task on a backup, unless another task has taken it over: its status, why it failed, and a message about that. */
export async function settleBackup(trx: Trx, how: Outcome, t: TaskFacts, o: { id: string; from: readonly BackupStatus[]; done: BackupStatus; failed: BackupStatus; action: Action; set?: Partial<BackupRow>; setFailed?: Partial<BackupRow>; reason?: boolean }): Promise<BackupRow | undefined> {
  const done = how.state === 'done';
  const set: Partial<BackupRow> = done ? { ...o.set } : { ...o.setFailed, ...(o.reason === false ? {} : { fail_reason: (how.error?.message ?? 'Cancelled.').slice(0, 255) }) };
  const row = await tryMove<BackupStatus, BackupRow>(trx, Backup, o.id, { from: o.from, to: done ? o.done : o.failed, heldBy: t.taskId, set: encodeBackup(set) });
  if (row && how.state === 'failed') await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME_BACKUP', id: o.id }, action: o.action, detail: o.action === 'deleteBackup' ? 'backupDelete' : o.action === 'restoreBackup' ? 'backupRestore' : 'backupCreate', why: how.error?.message });
  return row;
}

/** Copies a volume, or a snapshot of it, to a target. `was`: the volume's status before; null when it is made from a snapshot. */
export const createBackupPlan = plan('backup.create', z.object({ backupId: z.string(), was: z.enum(['available', 'in-use']).nullable(), writer: z.object({ serverId: z.string(), host: z.string() }).nullable() }))
  .step('place', async t => {
    const row = await backupOf(t, t.input.backupId);
    // Written before the first object is: whatever happens then, a delete finds what there is.
    if (row.service_metadata !== null) return;
    const place = targetOfRow(t, row).place({ id: row.id, volumeId: row.volume_id, container: row.container }, row.created_at);
    await t.transaction(trx => patchBackup(trx, row.id, { container: place.container, service_metadata: place.serviceMetadata }));
  })
  .step('freeze', async (t): Promise<Frozen | null> => {
    if (t.input.was !== 'in-use') return null;
    const row = await backupOf(t, t.input.backupId);
    const volume = await volumeOf(t, row.volume_id);
    const resource = { type: 'backup', id: row.id };
    if (t.input.writer) return (await t.child(stillBackupPlan, { backupId: row.id, volumeId: volume.id, backend: volume.host ?? '', serverId: t.input.writer.serverId }, { queue: `host/${t.input.writer.host}`, lane: `still/${t.input.writer.serverId}`, resource })).take;
    return (await t.child(freezePlan, { backupId: row.id, volumeId: volume.id, inUse: true }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource })).take;
  }, { undo: async t => {
    if (t.input.was !== 'in-use') return;
    const row = await t.transaction(trx => backupById(trx, t.input.backupId));
    if (row) await discardFrozen(t, row.id, await t.transaction(trx => byId(trx, row.volume_id)), undefined);
  } })
  .step('copy', async t => {
    const row = await backupOf(t, t.input.backupId);
    const volume = await volumeOf(t, row.volume_id);
    const snapshot = row.snapshot_id === null ? undefined : await t.transaction(trx => snapshotById(trx, row.snapshot_id ?? ''));
    if (row.snapshot_id !== null && !snapshot) throw new DriverError('absent', `Snapshot ${row.snapshot_id} could not be found.`);
    const parent = row.parent_id === null ? undefined : await backupOf(t, row.parent_id);
    const [ref, parentRef] = [backupRef(row), parent && backupRef(parent)];
    if (!ref || (parent && !parentRef)) throw new DriverError('broken', `The objects of backup ${row.parent_id ?? row.id} are not known.`);
    const from: DataRef = snapshot ? snapshotRef(snapshot, volume) : t.out.freeze ? frozenRef(row.id, volume, t.out.freeze) : volumeRef(volume);
    const driver = targetOfRow(t, row);
    const done = await driver.backup(call(t), {
      backup: ref, source: sourceOf(driverOf(t, volume.host).data, from, bytesOfData({ ...from, sizeGiB: row.size })), ...(parentRef ? { parent: parentRef } : {}), moment: snapshot?.id ?? t.taskId,
      name: row.name, description: row.description, createdAt: row.created_at, volumeMeta: describeVolume(volume),
      keep: {
        project_id: row.project_id, user_id: row.user_id, size: row.size, data_timestamp: row.data_timestamp.toISOString(), created_at: row.created_at.toISOString(), snapshot_id: row.snapshot_id, availability_zone: row.availability_zone,
        metadata: row.metadata, encryption_key_id: row.encryption_key_id,
      },
    });
    return { objectCount: done.objectCount, read: done.read, stored: done.stored, service: driver.service };
  }, { timeoutMs: long, undo: async t => {
    const row = await t.transaction(trx => backupById(trx, t.input.backupId));
    const ref = row && backupRef(row);
    if (row && ref) await targetOfRow(t, row).delete(call(t), ref);
  } })
  .step('thaw', async t => {
    if (t.out.freeze === null) return;
    const row = await backupOf(t, t.input.backupId);
    await discardFrozen(t, row.id, await t.transaction(trx => byId(trx, row.volume_id)), t.out.freeze);
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    const made = t.out.copy;
    const id = t.input.backupId;
    const row = await backupById(trx, id);
    await settleBackup(trx, how, t, { id, from: ['creating'], done: 'available', failed: 'error', action: 'createBackup', set: { object_count: made?.objectCount ?? 0, fail_reason: null, ...(made ? { service: made.service } : {}) } });
    if (!row) return;
    // The source was only read: whatever became of the backup, it is what it was.
    if (t.input.was === null) await tryMove(trx, Snapshot, row.snapshot_id ?? '', { from: ['backing-up'], to: 'available', heldBy: t.taskId });
    else await settleVolume(trx, { state: 'done' }, t, { id: row.volume_id, from: ['backing-up'], done: t.input.was, failed: t.input.was, action: 'createBackup', set: { previous_status: how.state === 'done' ? 'backing-up' : 'error_backing-up' } });
  })
  .resumes(async (trx, t) => {
    // The frozen copy of an attached volume was of that moment, and is gone.
    if (t.input.was === 'in-use') throw new Conflict(`Backup ${t.input.backupId} was of an attached volume; start a new one.`);
    const row = await move<BackupStatus, BackupRow>(trx, Backup, t.input.backupId, { from: ['error'], to: 'creating', task: t.taskId, set: { fail_reason: null } });
    if (t.input.was === null) await move(trx, Snapshot, row.snapshot_id ?? '', { from: ['available'], to: 'backing-up', task: t.taskId });
    else await move(trx, Volume, row.volume_id, { from: ['available'], to: 'backing-up', task: t.taskId, set: { previous_status: 'available' } });
  });

/** Writes a backup over a volume. `fresh`: the volume is made for it, under this task. */
export const restoreBackupPlan = plan('backup.restore', z.object({ backupId: z.string(), volumeId: z.string(), fresh: z.boolean() }))
  .step('make', async t => {
    if (!t.input.fresh) return null;
    const volume = await volumeOf(t, t.input.volumeId);
    const given = await driverOf(t, volume.host).volumes.create(call(t), volumeSpec(volume));
    await limited(t, { ...volume, ...provided(given) });
    return given;
  }, { undo: async t => {
    if (!t.input.fresh) return;
    const volume = await t.transaction(trx => byId(trx, t.input.volumeId));
    if (volume?.host) await driverOf(t, volume.host).volumes.delete(call(t), volumeRef(volume));
  } })
  .step('restore', async t => {
    const row = await backupOf(t, t.input.backupId);
    const volume = await volumeOf(t, t.input.volumeId);
    const { restored } = row;
    const done = await targetOfRow(t, row).restore(call(t), {
      chain: await chainRefs(t, row), target: targetOf(driverOf(t, volume.host).data, { ...volumeRef(volume), ...t.out.make }, { fresh: t.input.fresh }),
      ...(restored?.taskId === t.taskId ? { from: { backupId: restored.backupId, objects: restored.objects } } : {}),
      checkpoint: at => t.transaction(trx => patchBackup(trx, row.id, { restored: { taskId: t.taskId, ...at } })),
    });
    checkContainers(volume, done.volumeMeta);
    return { read: done.read, written: done.written, volumeMeta: done.volumeMeta };
  }, { timeoutMs: long })
  .settles(async (trx, how, t) => {
    const row = await backupById(trx, t.input.backupId);
    // The backup was only read.
    await settleBackup(trx, how, t, { id: t.input.backupId, from: ['restoring'], done: 'available', failed: 'available', action: 'restoreBackup', reason: false, set: { restored: null }, setFailed: { restored: null } });
    const volume = await byId(trx, t.input.volumeId);
    if (!volume || volume.task_id !== t.taskId) return;
    const creating = volume.status === 'creating';
    const values = row && how.state === 'done' ? restoredValues(volume, row, t.out.restore?.volumeMeta ?? []) : {};
    const old = volume.encryption_key_id;
    await settleVolume(trx, how, t, {
      id: volume.id, from: [creating ? 'creating' : 'restoring-backup'], done: 'available', failed: creating ? 'error' : 'error_restoring', cancelled: 'error', action: 'restoreBackup', detail: 'backupRestore',
      // What has come is the container of the backup's volume, whose key opens it; a new volume was given that key already.
      set: { ...values, ...(t.input.fresh || !row?.encryption_key_id ? {} : { encryption_key_id: row.encryption_key_id }), ...(t.input.fresh ? { ...provided(t.out.make), launched_at: new Date() } : {}) },
    });
    if (how.state === 'done') await dropKey(trx, old);
  })
  .resumes(async (trx, t) => {
    await move(trx, Backup, t.input.backupId, { from: ['available'], to: 'restoring', task: t.taskId, set: { restore_volume_id: t.input.volumeId } });
    await move(trx, Volume, t.input.volumeId, { from: ['error_restoring', 'error'], to: 'restoring-backup', task: t.taskId });
  });

/** Takes a backup's objects away, and its row. Objects that another record leads to as well stay. */
export const deleteBackupPlan = plan('backup.delete', z.object({ backupId: z.string() })).uncancellable()
  .step('remove', async t => {
    const row = await t.transaction(trx => backupById(trx, t.input.backupId));
    const ref: BackupRef | undefined = row && backupRef(row);
    if (!row || !ref) return;
    if (!await t.transaction(trx => leadsThereToo(trx, row))) await targetOfRow(t, row).delete(call(t), ref);
  }, { timeoutMs: long })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') await trx('volume_backups').where({ id: t.input.backupId }).delete();
    else await settleBackup(trx, how, t, { id: t.input.backupId, from: ['deleting'], done: 'available', failed: 'error', action: 'deleteBackup' });
  });
export const hostOfVolume = (host: string | null): string => hostParts(host ?? '').service.split('@')[0] ?? '';
