import { transaction } from '@cumulet/db';
import { expect } from 'vitest';
import { listManageablePlan, manageSnapshotPlan, unmanageSnapshotPlan } from '../manage/plans.ts';
import { proving } from '../proving.ts';
import { takeSnapshotPlan } from '../snapshots/still.ts';
import { initializePlan, terminatePlan } from './plans.ts';

const p = proving();
const enqueue = (plan: typeof terminatePlan, volumeId: string, input: object) => transaction(p.cloud.t.rt.db, trx => p.cloud.t.rt.tasks.enqueue(trx, plan, { volumeId, connector: null, ...input }, { resource: { type: 'volume', id: volumeId } }));

p.proof(initializePlan, async () => {
  const id = await p.cloud.volume();
  return {
    taskId: await enqueue(initializePlan as never, id, { connector: { host: 'h' } }),
    done: async () => { expect(p.connections()).toEqual([`volume-${id} h`]); await enqueue(terminatePlan, id, {}); await p.cloud.t.drain(); },
    clean: async () => expect(p.connections()).toEqual([]),
  };
});
p.proof(terminatePlan, async () => {
  const id = await p.cloud.volume();
  await enqueue(initializePlan as never, id, { connector: { host: 'h' } });
  await p.cloud.t.drain();
  return { taskId: await enqueue(terminatePlan, id, { connector: { host: 'h' } }), done: async () => expect(p.connections()).toEqual([]), clean: async () => expect(p.held()).toEqual([`volume-${id}`]) };
});

/** A volume with a snapshot that only its backend knows. */
async function planted() {
  const id = await p.cloud.volume();
  const driver = [...p.cloud.drivers.values()].find(d => d.held.includes(`volume-${id}`));
  driver?.plant(`volume-${id}~found`, 2 ** 30);
  return { id, host: String((await p.cloud.show(id))['os-vol-host-attr:host']) };
}
const snapshot = async (id: string) => (await p.cloud.admin('GET', `/v3/snapshots/${id}`)).body.snapshot;
p.proof(manageSnapshotPlan, async () => {
  const { id } = await planted();
  const made = (await p.cloud.admin('POST', '/v3/manageable_snapshots', { snapshot: { volume_id: id, ref: { 'source-name': 'found' } } }, '3.8')).body.snapshot.id as string;
  return {
    taskId: await p.taskOf('snapshot', made),
    done: async () => { expect(await snapshot(made)).toMatchObject({ status: 'available', size: 1 }); expect(p.held()).toHaveLength(2); },
    clean: async () => { expect(await snapshot(made)).toMatchObject({ status: 'error_managing' }); expect(p.held()).toHaveLength(2); },
  };
});
p.proof(unmanageSnapshotPlan, async () => {
  const id = await p.cloud.volume();
  const made = (await p.cloud.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id as string;
  await p.cloud.t.drain();
  await p.cloud.admin('POST', `/v3/snapshots/${made}/action`, { 'os-unmanage': {} });
  return {
    taskId: await p.taskOf('snapshot', made),
    done: async () => { expect(await snapshot(made)).toBeUndefined(); expect(p.held()).toHaveLength(2); },
    clean: async () => expect(await snapshot(made)).toMatchObject({ status: 'error' }),
  };
});
p.proof(listManageablePlan, async () => {
  const { host } = await planted();
  const taskId = await transaction(p.cloud.t.rt.db, trx => p.cloud.t.rt.tasks.enqueue(trx, listManageablePlan, { host, kind: 'volumes' }, { resource: { type: 'backend', id: host } }));
  return { taskId, done: async () => expect((await p.cloud.t.rt.db('tasks').where({ id: taskId }).first('out')).out.list).toHaveLength(1), clean: async () => expect(p.held()).toHaveLength(2) };
});
p.proof(takeSnapshotPlan, async () => {
  const id = await p.cloud.volume();
  const made = (await p.cloud.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id as string;
  // The task that asks for it keeps the row; here it waits for nothing.
  const taskId = await transaction(p.cloud.t.rt.db, trx => p.cloud.t.rt.tasks.enqueue(trx, takeSnapshotPlan, { snapshotId: made, inUse: false }, { lane: `alone/${made}`, resource: { type: 'snapshot', id: made } }));
  const { id: parent } = await p.cloud.t.rt.db('tasks').where({ plan: 'snapshot.create', resource_id: made }).first('id') as { id: string };
  await p.cloud.t.rt.db('volume_snapshots').where({ id: made }).update({ status: 'error', task_id: null });
  await p.cloud.t.rt.db('tasks').where({ id: parent }).update({ state: 'cancelled', ended_at: p.cloud.t.rt.db.fn.now() });
  return { taskId, done: async () => expect(p.held()).toHaveLength(2), clean: async () => expect(p.held()).toHaveLength(1) };
});
