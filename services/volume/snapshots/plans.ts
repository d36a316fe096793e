import { tryMove, type Trx } from '@cumulet/db';
import { DriverError, need } from '@cumulet/drivers';
import type { Outcome, TaskFacts } from '@cumulet/tasks';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { tell, type Action } from '../messages/store.ts';
import { provided, snapshotRef, volumeRef } from '../refs.ts';
import { settleVolume, volumeOf } from '../volumes/plans.ts';
import { byId } from '../volumes/store.ts';
import { Snapshot, snapshotById, type SnapshotRow, type SnapshotStatus } from './store.ts';

export async function settleSnapshot(trx: Trx, how: Outcome, t: TaskFacts, o: { id: string; from: readonly SnapshotStatus[]; done: SnapshotStatus; failed: SnapshotStatus; action: Action; set?: Record<string, unknown> }): Promise<void> {
  const row = await tryMove<SnapshotStatus, SnapshotRow>(trx, Snapshot, o.id, { from: o.from, to: how.state === 'done' ? o.done : o.failed, heldBy: t.taskId, ...(how.state === 'done' && o.set ? { set: o.set } : {}) });
  if (row && how.state === 'failed') await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME_SNAPSHOT', id: o.id }, action: o.action, detail: 'unknown', why: how.error?.message });
}
const json = (value: unknown) => (value === null ? null : JSON.stringify(value));

/** A frozen copy of a volume, attached or not. */
export const createSnapshotPlan = plan('snapshot.create', z.object({ snapshotId: z.string() }))
  .step('snapshot', async t => {
    const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
    if (!row) throw new DriverError('absent', `Snapshot ${t.input.snapshotId} could not be found.`);
    const volume = await volumeOf(t, row.volume_id);
    return need(driverOf(t, volume.host), 'snapshots').create(call(t), snapshotRef(row, volume), { inUse: volume.status === 'in-use' });
  }, { undo: async t => {
    const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
    const volume = row && await t.transaction(trx => byId(trx, row.volume_id));
    if (row && volume) await driverOf(t, volume.host).snapshots?.delete(call(t), snapshotRef(row, volume), { inUse: volume.status === 'in-use' });
  } })
  .settles(async (trx, how, t) => {
    const p = provided(t.out.snapshot);
    await settleSnapshot(trx, how, t, { id: t.input.snapshotId, from: ['creating'], done: 'available', failed: 'error', action: 'snapshotCreate', set: { provider_id: p.provider_id, provider_meta: json(p.provider_meta), progress: '100%' } });
  });

export const deleteSnapshotPlan = plan('snapshot.delete', z.object({ snapshotId: z.string() })).uncancellable()
  .step('wait for copies', async t => {
    const copies = await t.transaction(async trx => [
      ...await trx('volumes').where({ snapshot_id: t.input.snapshotId, status: 'creating' }).select('task_id'), ...await trx('volume_backups').where({ snapshot_id: t.input.snapshotId, status: 'creating' }).select('task_id'),
    ] as { task_id: string }[]);
    if (copies.length > 0) t.after(copies.map(c => c.task_id));
  })
  .step('remove', async t => {
    const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
    const volume = row && await t.transaction(trx => byId(trx, row.volume_id));
    if (row && volume?.host) await need(driverOf(t, volume.host), 'snapshots').delete(call(t), snapshotRef(row, volume), { inUse: volume.status === 'in-use' });
  })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') await trx('volume_snapshots').where({ id: t.input.snapshotId }).delete();
    else await settleSnapshot(trx, how, t, { id: t.input.snapshotId, from: ['deleting'], done: 'available', failed: how.error?.kind === 'busy' ? 'available' : 'error_deleting', action: 'snapshotDelete' });
  });

/** Puts a volume back to its newest snapshot (3.40). */
export const revertPlan = plan('volume.revert', z.object({ volumeId: z.string(), snapshotId: z.string(), was: z.enum(['available']) }))
  .step('revert', async t => {
    const volume = await volumeOf(t, t.input.volumeId);
    const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
    if (!row) throw new DriverError('absent', `Snapshot ${t.input.snapshotId} could not be found.`);
    const snapshots = need(driverOf(t, volume.host), 'snapshots');
    if (!snapshots.revert) throw new DriverError('unsupported', 'This backend cannot revert to a snapshot.');
    await snapshots.revert(call(t), snapshotRef(row, { ...volume, ...volumeRef(volume) }));
    return { size: row.size };
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    await trx('volume_snapshots').where({ id: t.input.snapshotId, task_id: t.taskId }).update({ status: 'available', task_id: null, updated_at: trx.fn.now() });
    await settleVolume(trx, how, t, { id: t.input.volumeId, from: ['reverting'], done: t.input.was, failed: 'error', action: 'revert' });
  });
