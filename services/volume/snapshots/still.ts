import { DriverError, need, type Call } from '@cumulet/drivers';
import type { Provided } from '@cumulet/drivers/block';
import type { HypervisorDriver } from '@cumulet/drivers/hypervisor';
import { ChildFailed, planFor, plans, type Run } from '@cumulet/tasks';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { provided, snapshotRef } from '../refs.ts';
import { volumeOf } from '../volumes/plans.ts';
import { byId, laneOfVolume, queueOf } from '../volumes/store.ts';
import { settleSnapshot } from './plans.ts';
import { snapshotById } from './store.ts';

/** The backend's part of a snapshot. It settles nothing: the task that asks for it does. */
export const takeSnapshotPlan = plan('snapshot.take', z.object({ snapshotId: z.string(), inUse: z.boolean() }))
  .step('take', async (t): Promise<Provided> => {
    const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
    if (!row) throw new DriverError('absent', `Snapshot ${t.input.snapshotId} could not be found.`);
    const volume = await volumeOf(t, row.volume_id);
    return need(driverOf(t, volume.host), 'snapshots').create(call(t), snapshotRef(row, volume), { inUse: t.input.inUse });
  }, { undo: async t => {
    const row = await t.transaction(trx => snapshotById(trx, t.input.snapshotId));
    const volume = row && await t.transaction(trx => byId(trx, row.volume_id));
    if (row && volume) await driverOf(t, volume.host).snapshots?.delete(call(t), snapshotRef(row, volume), { inUse: t.input.inUse });
  } });

/** What the host of the server lends: compute registers this plan with its own hypervisor. */
export interface HostDeps { readonly hypervisor: Pick<HypervisorDriver, 'servers'> }
const hostCall = (t: Pick<Run<unknown, unknown, HostDeps>, 'taskId' | 'signal' | 'log' | 'progress'>): Call => ({ taskId: t.taskId, signal: t.signal, log: t.log, progress: (done, total) => t.progress(done, total) });

/**
 * A snapshot of a volume that a server is writing to. Storage that can copy one moment does so; for the rest the guest is paused (its writes drained) while
 * the copy is made, and goes on afterwards, whatever becomes of the copy. Runs on the server's host; the copy is a child on the backend.
 */
export const stillSnapshotPlan = planFor<HostDeps>()('snapshot.create_attached', z.object({ snapshotId: z.string(), volumeId: z.string(), backend: z.string(), serverId: z.string() }))
  .step('try', async (t): Promise<Provided | null> => {
    try { return (await t.child(takeSnapshotPlan, { snapshotId: t.input.snapshotId, inUse: true }, at(t.input))).take; } catch (error) {
      if (error instanceof ChildFailed && error.kind === 'busy') return null;
      throw error;
    }
  })
  .step('look', async t => (t.out.try === null ? t.deps.hypervisor.servers.powerState(hostCall(t), t.input.serverId) : 'shutdown'))
  .step('pause', async t => { if (t.out.look === 'running') await t.deps.hypervisor.servers.pause(hostCall(t), t.input.serverId); }, {
    undo: async t => { if (t.out.look === 'running' && await t.deps.hypervisor.servers.powerState(hostCall(t), t.input.serverId) === 'paused') await t.deps.hypervisor.servers.unpause(hostCall(t), t.input.serverId); },
  })
  .step('take', async (t): Promise<Provided> => t.out.try ?? (await t.child(takeSnapshotPlan, { snapshotId: t.input.snapshotId, inUse: false }, at(t.input))).take)
  .step('go on', async t => { if (t.out.look === 'running' && await t.deps.hypervisor.servers.powerState(hostCall(t), t.input.serverId) === 'paused') await t.deps.hypervisor.servers.unpause(hostCall(t), t.input.serverId); }, { cancel: false })
  .settles(async (trx, how, t) => {
    const p = provided(t.out.take);
    await settleSnapshot(trx, how, t, { id: t.input.snapshotId, from: ['creating'], done: 'available', failed: 'error', action: 'snapshotCreate', set: { provider_id: p.provider_id, provider_meta: p.provider_meta === null ? null : JSON.stringify(p.provider_meta), progress: '100%' } });
  });
const at = (input: { volumeId: string; backend: string }) => ({ queue: queueOf(input.backend), lane: laneOfVolume(input.volumeId), resource: { type: 'volume', id: input.volumeId } });

/** Plans that run with compute's hypervisor. */
export const hostPlans = plans(stillSnapshotPlan);
