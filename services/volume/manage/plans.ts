import { DriverError, need } from '@cumulet/drivers';
import type { Manageable, Provided } from '@cumulet/drivers/block';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { enforce, enforceVolumeSize } from '../quotas/limits.ts';
import { provided, snapshotRef, volumeRef, volumeSpec } from '../refs.ts';
import { settleSnapshot } from '../snapshots/plans.ts';
import { snapshotById, type SnapshotRow } from '../snapshots/store.ts';
import { typeById } from '../types/store.ts';
import { settleVolume, volumeOf } from '../volumes/plans.ts';
import { byId, remove } from '../volumes/store.ts';

const reference = z.record(z.string(), z.string());
/** Upstream's sentence for a reference that leads nowhere. */
function badReference(error: unknown): never {
  if (error instanceof DriverError && (error.kind === 'absent' || error.kind === 'invalid')) throw new DriverError('invalid', `Manage existing volume failed due to invalid backend reference: ${error.message}`);
  throw error;
}

/** Takes something that a backend holds under management: its size counts from the moment it is known. */
export const managePlan = plan('volume.manage', z.object({ volumeId: z.string(), ref: reference, bootable: z.boolean() }))
  .step('measure', async t => {
    const row = await volumeOf(t, t.input.volumeId);
    const manage = need(driverOf(t, row.host), 'manage');
    const sizeGiB = await manage.size(call(t), t.input.ref).catch(badReference);
    await t.transaction(async trx => {
      await trx('volumes').where({ id: row.id, task_id: t.taskId }).update({ size: sizeGiB });
      const type = await typeById(trx, row.type_id);
      await enforceVolumeSize(trx, row.project_id, sizeGiB);
      if (type) await enforce(trx, 'volume', { projectId: row.project_id, sizeGiB, type });
    });
    return sizeGiB;
  })
  .step('adopt', async (t): Promise<Provided> => {
    const row = await volumeOf(t, t.input.volumeId);
    return need(driverOf(t, row.host), 'manage').adopt(call(t), volumeSpec(row), t.input.ref).catch(badReference);
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    await settleVolume(trx, how, t, { id: t.input.volumeId, from: ['managing'], done: 'available', failed: 'error_managing', action: 'manage', set: { ...provided(t.out.adopt), launched_at: new Date(), bootable: t.input.bootable } });
  });

/** Forgets a volume and leaves its data where it is. */
export const unmanagePlan = plan('volume.unmanage', z.object({ volumeId: z.string() })).uncancellable()
  .step('release', async t => {
    const row = await t.transaction(trx => byId(trx, t.input.volumeId));
    if (row?.host) await need(driverOf(t, row.host), 'manage').release(call(t), volumeRef(row));
  })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') await remove(trx, t.input.volumeId);
    else await settleVolume(trx, how, t, { id: t.input.volumeId, from: ['unmanaging'], done: 'available', failed: 'error', action: 'unmanage' });
  });

export const manageSnapshotPlan = plan('snapshot.manage', z.object({ snapshotId: z.string(), ref: reference }))
  .step('measure', async t => {
    const { row, volume } = await pair(t);
    const sizeGiB = await need(driverOf(t, volume.host), 'manageSnapshots').size(call(t), volumeRef(volume), t.input.ref).catch(badReference);
    await t.transaction(async trx => {
      await trx('volume_snapshots').where({ id: row.id, task_id: t.taskId }).update({ size: sizeGiB });
      const type = await typeById(trx, row.type_id);
      if (type) await enforce(trx, 'snapshot', { projectId: row.project_id, sizeGiB, type });
    });
  })
  .step('adopt', async (t): Promise<Provided> => {
    const { row, volume } = await pair(t);
    return need(driverOf(t, volume.host), 'manageSnapshots').adopt(call(t), snapshotRef(row, volume), t.input.ref).catch(badReference);
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    const p = provided(t.out.adopt);
    await settleSnapshot(trx, how, t, { id: t.input.snapshotId, from: ['managing'], done: 'available', failed: 'error_managing', action: 'manage', set: { provider_id: p.provider_id, provider_meta: p.provider_meta === null ? null : JSON.stringify(p.provider_meta), progress: '100%' } });
  });
export const unmanageSnapshotPlan = plan('snapshot.unmanage', z.object({ snapshotId: z.string() })).uncancellable()
  .step('release', async t => { const { row, volume } = await pair(t); await need(driverOf(t, volume.host), 'manageSnapshots').release(call(t), snapshotRef(row, volume)); })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') await trx('volume_snapshots').where({ id: t.input.snapshotId }).delete();
    else await settleSnapshot(trx, how, t, { id: t.input.snapshotId, from: ['unmanaging'], done: 'available', failed: 'error', action: 'unmanage' });
  });
async function pair(t: { input: { snapshotId: string }; transaction<T>(work: (trx: import('knex').Knex.Transaction) => Promise<T>): Promise<T> }): Promise<{ row: SnapshotRow; volume: Awaited<ReturnType<typeof volumeOf>> }> {
  const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
  if (!row) throw new DriverError('absent', `Snapshot ${t.input.snapshotId} could not be found.`);
  return { row, volume: await volumeOf(t, row.volume_id) };
}

const atMost = 10_000;
/** Looks what a backend holds: the answer to a request that waits for it. */
export const listManageablePlan = plan('volume.list_manageable', z.object({ host: z.string(), kind: z.enum(['volumes', 'snapshots']) }))
  .step('list', async t => {
    const driver = driverOf(t, t.input.host);
    const found: (Manageable & { source?: Readonly<Record<string, string>> })[] = [];
    for await (const one of t.input.kind === 'volumes' ? need(driver, 'manage').list(call(t)) : need(driver, 'manageSnapshots').list(call(t))) {
      found.push(one);
      if (found.length >= atMost) break;
    }
    return found;
  });
