import { DriverError, need } from '@cumulet/drivers';
import type { Provided } from '@cumulet/drivers/block';
import { ChildFailed, type Startable } from '@cumulet/tasks';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { hostCall, hostPlan } from '../host/deps.ts';
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

/** Where the volume is, and who writes to it. */
export interface Writer { readonly volumeId: string; readonly backend: string; readonly serverId: string }

/**
 * A frozen copy of a volume that a server is writing to. Storage that can copy one moment does so; for the rest the guest is paused (its writes drained) while
 * the copy is made, and goes on afterwards, whatever becomes of the copy. Runs on the server's host; the copy is `take`, a child on the backend.
 */
export const whileStill = <I extends Writer, T, O>(kind: string, schema: z.ZodType<I>, take: Startable<T, { readonly take: O }>, asked: (input: I, inUse: boolean) => T) => hostPlan(kind, schema)
  .step('try', async (t): Promise<O | null> => {
    try { return (await t.child(take, asked(t.input, true), at(t.input))).take; } catch (error) {
      if (error instanceof ChildFailed && error.kind === 'busy') return null;
      throw error;
    }
  })
  .step('look', async t => (t.out.try === null ? t.deps.hypervisor.servers.powerState(hostCall(t), t.input.serverId) : 'shutdown'))
  .step('pause', async t => { if (t.out.look === 'running') await t.deps.hypervisor.servers.pause(hostCall(t), t.input.serverId); }, {
    undo: async t => { if (t.out.look === 'running' && await t.deps.hypervisor.servers.powerState(hostCall(t), t.input.serverId) === 'paused') await t.deps.hypervisor.servers.unpause(hostCall(t), t.input.serverId); },
  })
  .step('take', async (t): Promise<O> => t.out.try ?? (await t.child(take, asked(t.input, false), at(t.input))).take)
  .step('go on', async t => { if (t.out.look === 'running' && await t.deps.hypervisor.servers.powerState(hostCall(t), t.input.serverId) === 'paused') await t.deps.hypervisor.servers.unpause(hostCall(t), t.input.serverId); }, { cancel: false });
const at = (input: Writer) => ({ queue: queueOf(input.backend), lane: laneOfVolume(input.volumeId), resource: { type: 'volume', id: input.volumeId } });

/** A snapshot of a volume that a server is writing to. */
export const stillSnapshotPlan = whileStill('snapshot.create_attached', z.object({ snapshotId: z.string(), volumeId: z.string(), backend: z.string(), serverId: z.string() }), takeSnapshotPlan, (input, inUse) => ({ snapshotId: input.snapshotId, inUse }))
  .settles(async (trx, how, t) => {
    const p = provided(t.out.take);
    await settleSnapshot(trx, how, t, { id: t.input.snapshotId, from: ['creating'], done: 'available', failed: 'error', action: 'snapshotCreate', set: { provider_id: p.provider_id, provider_meta: p.provider_meta === null ? null : JSON.stringify(p.provider_meta), progress: '100%' } });
  });
