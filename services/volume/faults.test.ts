import { transaction } from '@cumulet/db';
import { newId } from '@cumulet/wire';
import { provePlan, type Try } from '@cumulet/tasks/testing';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { connectPlan, disconnectPlan } from './attachments/plans.ts';
import { createGroupSnapshotPlan, deleteGroupPlan, deleteGroupSnapshotPlan } from './groups/plans.ts';
import { managePlan, unmanagePlan } from './manage/plans.ts';
import { migratePlan } from './migration/plans.ts';
import { createSnapshotPlan, deleteSnapshotPlan, revertPlan } from './snapshots/plans.ts';
import { testCloud, type TestCloud } from './testing.ts';
import { createPlan, deletePlan, extendPlan } from './volumes/plans.ts';

let c: TestCloud;
beforeAll(async () => { c = await testCloud({ backends: [{ name: 'one', totalGiB: 100_000 }, { name: 'two', totalGiB: 100_000 }] }); await c.admin('PUT', `/v3/os-quota-sets/${'de'.repeat(16)}`, { quota_set: { volumes: -1, gigabytes: -1, snapshots: -1, groups: -1 } }); });
afterAll(() => c.close());
/** Each case begins with nothing anywhere. */
beforeEach(async () => {
  const { db } = c.t.rt;
  await db.raw('truncate volumes, volume_snapshots, volume_attachments, volume_groups, volume_group_snapshots, volume_transfers, volume_messages, tasks cascade');
  await db('quota_usage').delete();
  for (const d of c.drivers.values()) for (const name of d.held.filter(n => n.includes('~')).concat(d.held.filter(n => !n.includes('~')))) {
    const [volume = '', snapshot] = name.split('~');
    const call = { taskId: 't', signal: new AbortController().signal, progress() {}, log: { debug() {}, info() {}, warn() {}, error() {} } };
    if (snapshot) await d.snapshots?.delete(call, { name: snapshot, sizeGiB: 1, volume: { name: volume, sizeGiB: 1 } }); else await d.volumes.delete(call, { name: volume, sizeGiB: 1 });
  }
  await c.report();
});
const held = () => [...c.drivers.values()].flatMap(d => [...d.held]);
const taskOf = async (type: string, id: string): Promise<string> => (await c.t.rt.db('tasks').where({ resource_type: type, resource_id: id, live: true }).first('id')).id;
const nobodyAtWork = async () => expect(await c.t.rt.db('tasks').where({ live: true }).count('* as n').first()).toEqual({ n: 0 });
const proof = (plan: Parameters<typeof provePlan>[0]['plan'], start: () => Promise<Try>) => provePlan({
  plan, db: () => c.t.rt.db, tasks: () => c.t.rt.tasks, runner: faults => c.t.runner(faults),
  start: async () => { const t = await start(); return { taskId: t.taskId, done: async () => { await t.done(); await nobodyAtWork(); }, clean: async s => { await t.clean(s); await nobodyAtWork(); } }; },
});
const act = (id: string, action: object, version?: string) => c.admin('POST', `/v3/volumes/${id}/action`, action, version);
const usage = async () => (await c.demo('GET', '/v3/limits')).body.limits.absolute;

proof(createPlan, async () => {
  const id = (await c.demo('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume.id;
  return {
    taskId: await taskOf('volume', id),
    done: async () => { expect(await c.show(id)).toMatchObject({ status: 'available' }); expect(held()).toEqual([`volume-${id}`]); },
    clean: async () => { expect(await c.show(id)).toMatchObject({ status: 'error' }); expect(held()).toEqual([]); },
  };
});
proof(deletePlan, async () => {
  const id = await c.volume();
  await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } });
  await c.t.drain();
  await c.demo('DELETE', `/v3/volumes/${id}?cascade=true`);
  return {
    taskId: await taskOf('volume', id),
    done: async () => { expect(await c.show(id)).toBeUndefined(); expect(held()).toEqual([]); expect(await usage()).toMatchObject({ totalVolumesUsed: 0, totalSnapshotsUsed: 0, totalGigabytesUsed: 0 }); },
    clean: async () => { expect(await c.show(id)).toMatchObject({ status: 'error_deleting' }); },
  };
});
proof(extendPlan, async () => {
  const id = await c.volume();
  await act(id, { 'os-extend': { new_size: 3 } });
  return {
    taskId: await taskOf('volume', id),
    done: async () => { expect(await c.show(id)).toMatchObject({ status: 'available', size: 3 }); expect(await usage()).toMatchObject({ totalGigabytesUsed: 3 }); },
    clean: async () => { expect(await c.show(id)).toMatchObject({ status: 'error_extending', size: 1 }); expect(await usage()).toMatchObject({ totalGigabytesUsed: 1 }); },
  };
});
proof(createSnapshotPlan, async () => {
  const id = await c.volume();
  const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id;
  return {
    taskId: await taskOf('snapshot', snapshot),
    done: async () => { expect((await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot.status).toBe('available'); expect(held()).toHaveLength(2); },
    clean: async () => { expect((await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot.status).toBe('error'); expect(held()).toEqual([`volume-${id}`]); },
  };
});
const withSnapshot = async () => {
  const id = await c.volume();
  const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id as string;
  await c.t.drain();
  return { id, snapshot };
};
proof(deleteSnapshotPlan, async () => {
  const { id, snapshot } = await withSnapshot();
  await c.demo('DELETE', `/v3/snapshots/${snapshot}`);
  return {
    taskId: await taskOf('snapshot', snapshot),
    done: async () => { expect((await c.demo('GET', `/v3/snapshots/${snapshot}`)).status).toBe(404); expect(held()).toEqual([`volume-${id}`]); },
    clean: async () => { expect((await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot.status).toBe('error_deleting'); },
  };
});
proof(revertPlan, async () => {
  const { id, snapshot } = await withSnapshot();
  await act(id, { revert: { snapshot_id: snapshot } }, '3.40');
  const status = async () => [(await c.show(id))['status'], (await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot.status];
  return { taskId: await taskOf('volume', id), done: async () => expect(await status()).toEqual(['available', 'available']), clean: async () => expect(await status()).toEqual(['error', 'available']) };
});
const attachment = async () => {
  const id = await c.volume();
  const { attachment: made } = (await c.demo('POST', '/v3/attachments', { attachment: { volume_uuid: id, instance_uuid: newId() } }, '3.44')).body;
  return { id, attachmentId: made.id as string };
};
const enqueue = (plan: typeof connectPlan | typeof disconnectPlan, attachmentId: string, input: object) => transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, plan as typeof disconnectPlan, { attachmentId, ...input }, { resource: { type: 'attachment', id: attachmentId } }));
const connections = () => [...c.drivers.values()].flatMap(d => [...d.connections]);
proof(connectPlan, async () => {
  const { attachmentId } = await attachment();
  return { taskId: await enqueue(connectPlan, attachmentId, { connector: { host: 'h' } }), done: async () => { expect(connections()).toHaveLength(1); await finishAttachment(attachmentId); }, clean: async () => expect(connections()).toEqual([]) };
});
async function finishAttachment(attachmentId: string): Promise<void> {
  await enqueue(disconnectPlan, attachmentId, {});
  await c.t.drain();
  expect(connections()).toEqual([]);
}
proof(disconnectPlan, async () => {
  const { attachmentId } = await attachment();
  await enqueue(connectPlan, attachmentId, { connector: { host: 'h' } });
  await c.t.drain();
  return { taskId: await enqueue(disconnectPlan, attachmentId, {}), done: async () => expect(connections()).toEqual([]), clean: async () => finishAttachment(attachmentId) };
});
proof(migratePlan, async () => {
  const id = await c.volume();
  const from = String((await c.show(id))['os-vol-host-attr:host']);
  const to = from.includes('one') ? 'testhost@two#two' : 'testhost@one#one';
  await act(id, { 'os-migrate_volume': { host: to } });
  return {
    taskId: await taskOf('volume', id),
    done: async () => { expect(await c.show(id)).toMatchObject({ status: 'available', 'os-vol-host-attr:host': to, migration_status: 'success' }); expect(held()).toHaveLength(1); expect(await c.t.rt.db('volumes').count('* as n').first()).toEqual({ n: 1 }); },
    clean: async () => {
      const row = await c.show(id);
      expect(row).toMatchObject({ status: 'available', size: 1 });
      // Until the switch it stays; after it the move has happened, and only the old copy may be left, as a row that says so.
      if (row['os-vol-host-attr:host'] === from) { expect(row).toMatchObject({ migration_status: 'error' }); expect(held()).toEqual([`volume-${id}`]); expect(await c.t.rt.db('volumes').count('* as n').first()).toEqual({ n: 1 }); }
      else expect(row).toMatchObject({ migration_status: 'success' });
    },
  };
});
const planted = () => { const name = `lun-${Math.random().toString(36).slice(2)}`; c.drivers.get('one')?.plant(name, 2 ** 30); return name; };
proof(managePlan, async () => {
  const id = (await c.admin('POST', '/v3/manageable_volumes', { volume: { host: 'testhost@one#one', ref: { 'source-name': planted() } } }, '3.8')).body.volume.id;
  return { taskId: await taskOf('volume', id), done: async () => expect(await c.show(id)).toMatchObject({ status: 'available', size: 1 }), clean: async () => { expect(await c.show(id)).toMatchObject({ status: 'error_managing' }); expect(held()).toHaveLength(1); } };
});
proof(unmanagePlan, async () => {
  const id = await c.volume();
  await act(id, { 'os-unmanage': {} });
  return { taskId: await taskOf('volume', id), done: async () => { expect(await c.show(id)).toBeUndefined(); expect(held()).toHaveLength(1); }, clean: async () => expect(await c.show(id)).toMatchObject({ status: 'error' }) };
});
const group = async () => {
  const type = (await c.admin('GET', '/v3/types/default')).body.volume_type.id;
  const id = (await c.demo('POST', '/v3/groups', { group: { group_type: 'default_cgsnapshot_type', volume_types: [type] } }, '3.13')).body.group.id as string;
  const volumes = [await c.volume({ group_id: id }, '3.13'), await c.volume({ group_id: id }, '3.13')];
  return { id, volumes };
};
const groupSnapshot = async (id: string) => (await c.demo('POST', '/v3/group_snapshots', { group_snapshot: { group_id: id } }, '3.14')).body.group_snapshot.id as string;
const statusOf = async (id: string) => (await c.demo('GET', `/v3/group_snapshots/${id}`, undefined, '3.14')).body.group_snapshot?.status;
proof(createGroupSnapshotPlan, async () => {
  const { id } = await group();
  const snapshot = await groupSnapshot(id);
  return { taskId: await taskOf('group_snapshot', snapshot), done: async () => { expect(await statusOf(snapshot)).toBe('available'); expect(held()).toHaveLength(4); }, clean: async () => { expect(await statusOf(snapshot)).toBe('error'); expect(held()).toHaveLength(2); } };
});
proof(deleteGroupSnapshotPlan, async () => {
  const { id } = await group();
  const snapshot = await groupSnapshot(id);
  await c.t.drain();
  await c.demo('DELETE', `/v3/group_snapshots/${snapshot}`, undefined, '3.14');
  return { taskId: await taskOf('group_snapshot', snapshot), done: async () => { expect(await statusOf(snapshot)).toBeUndefined(); expect(held()).toHaveLength(2); }, clean: async () => expect(await statusOf(snapshot)).toBe('error_deleting') };
});
proof(deleteGroupPlan, async () => {
  const { id } = await group();
  await c.demo('POST', `/v3/groups/${id}/action`, { delete: { 'delete-volumes': true } }, '3.13');
  return { taskId: await taskOf('group', id), done: async () => { expect(held()).toEqual([]); expect(await c.t.rt.db('volume_groups').count('* as n').first()).toEqual({ n: 0 }); }, clean: async () => expect((await c.demo('GET', `/v3/groups/${id}`, undefined, '3.13')).body.group.status).toBe('error_deleting') };
});
