import { tryMove } from '@cumulet/db';
import { need } from '@cumulet/drivers';
import type { Provided } from '@cumulet/drivers/block';
import type { Knex } from 'knex';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { provided, snapshotRef, volumeRef } from '../refs.ts';
import type { SnapshotRow } from '../snapshots/store.ts';
import { byId, type VolumeRow } from '../volumes/store.ts';
import { Group, GroupSnapshot } from './states.ts';

type Step = { input: { groupSnapshotId: string }; transaction<T>(work: (trx: Knex.Transaction) => Promise<T>): Promise<T> };
/** The snapshots of a group snapshot beside their volumes. */
async function members(t: Step): Promise<{ snapshot: SnapshotRow; volume: VolumeRow }[]> {
  return t.transaction(async trx => {
    const snapshots: SnapshotRow[] = await trx('volume_snapshots').where({ group_snapshot_id: t.input.groupSnapshotId }).orderBy('id');
    const volumes: VolumeRow[] = await trx('volumes').whereIn('id', snapshots.map(s => s.volume_id));
    return snapshots.flatMap(snapshot => { const volume = volumes.find(v => v.id === snapshot.volume_id); return volume ? [{ snapshot, volume }] : []; });
  });
}

/** Snapshots of all volumes of a group: at one moment where the backend can, one after the other where the group's type does not ask for more. */
export const createGroupSnapshotPlan = plan('group_snapshot.create', z.object({ groupSnapshotId: z.string(), consistent: z.boolean() }))
  .step('snapshot', async t => {
    const list = await members(t);
    const [first] = list;
    const made: Record<string, Provided> = {};
    if (!first) return made;
    const driver = driverOf(t, first.volume.host);
    const pairs = list.map(({ snapshot, volume }) => ({ volume: volumeRef(volume), snapshot: snapshotRef(snapshot, volume) }));
    if (t.input.consistent && driver.groups) {
      const given = await driver.groups.snapshot(call(t), pairs);
      list.forEach(({ snapshot }, i) => { made[snapshot.id] = given[i] ?? {}; });
    } else for (const { snapshot, volume } of list) made[snapshot.id] = await need(driverOf(t, volume.host), 'snapshots').create(call(t), snapshotRef(snapshot, volume), { inUse: volume.status === 'in-use' });
    return made;
  }, { undo: async t => { for (const { snapshot, volume } of await members(t)) await driverOf(t, volume.host).snapshots?.delete(call(t), snapshotRef(snapshot, volume), { inUse: volume.status === 'in-use' }); } })
  .settles(async (trx, how, t) => {
    const ok = how.state === 'done';
    for (const [id, given] of Object.entries(t.out.snapshot ?? {})) {
      const p = provided(given);
      if (ok) await trx('volume_snapshots').where({ id, task_id: t.taskId }).update({ provider_id: p.provider_id, provider_meta: p.provider_meta === null ? null : JSON.stringify(p.provider_meta) });
    }
    await trx('volume_snapshots').where({ group_snapshot_id: t.input.groupSnapshotId, task_id: t.taskId }).update({ status: ok ? 'available' : 'error', progress: ok ? '100%' : '0%', task_id: null, updated_at: trx.fn.now() });
    await tryMove(trx, GroupSnapshot, t.input.groupSnapshotId, { from: ['creating'], to: ok ? 'available' : 'error', heldBy: t.taskId });
  });

export const deleteGroupSnapshotPlan = plan('group_snapshot.delete', z.object({ groupSnapshotId: z.string() })).uncancellable()
  .step('remove', async t => { for (const { snapshot, volume } of await members(t)) await need(driverOf(t, volume.host), 'snapshots').delete(call(t), snapshotRef(snapshot, volume), { inUse: volume.status === 'in-use' }); })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') {
      await trx('volume_snapshots').where({ group_snapshot_id: t.input.groupSnapshotId, task_id: t.taskId }).delete();
      await trx('volume_group_snapshots').where({ id: t.input.groupSnapshotId, task_id: t.taskId }).delete();
      return;
    }
    await trx('volume_snapshots').where({ group_snapshot_id: t.input.groupSnapshotId, task_id: t.taskId }).update({ status: 'error_deleting', task_id: null, updated_at: trx.fn.now() });
    await tryMove(trx, GroupSnapshot, t.input.groupSnapshotId, { from: ['deleting'], to: 'error_deleting', heldBy: t.taskId });
  });

/** A group and, when that was asked for, its volumes. */
export const deleteGroupPlan = plan('group.delete', z.object({ groupId: z.string(), volumeIds: z.array(z.string()) })).uncancellable()
  .step('remove', async t => {
    for (const id of t.input.volumeIds) {
      const row = await t.transaction(trx => byId(trx, id));
      if (row?.host) await driverOf(t, row.host).volumes.delete(call(t), volumeRef(row));
    }
  })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') {
      await trx('volumes').whereIn('id', t.input.volumeIds).where({ task_id: t.taskId }).delete();
      await trx('volume_groups').where({ id: t.input.groupId, task_id: t.taskId }).delete();
      return;
    }
    await trx('volumes').whereIn('id', t.input.volumeIds).where({ task_id: t.taskId }).update({ status: 'error_deleting', task_id: null, updated_at: trx.fn.now() });
    await tryMove(trx, Group, t.input.groupId, { from: ['deleting'], to: 'error_deleting', heldBy: t.taskId });
  });
