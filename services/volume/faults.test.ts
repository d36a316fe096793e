import { transaction } from '@cumulet/db';
import { newId } from '@cumulet/wire';
import { expect } from 'vitest';
import { connectPlan, disconnectPlan } from './attachments/plans.ts';
import { createGroupSnapshotPlan, deleteGroupPlan, deleteGroupSnapshotPlan } from './groups/plans.ts';
import { managePlan, unmanagePlan } from './manage/plans.ts';
import { migratePlan } from './migration/plans.ts';
import { createSnapshotPlan, deleteSnapshotPlan, revertPlan } from './snapshots/plans.ts';
import { proving } from './proving.ts';
import { extendPlan } from './volumes/extend_plans.ts';
import { createPlan, deletePlan } from './volumes/plans.ts';

const p = proving();
const { held, taskOf, proof, act, connections } = p;
const c = { get demo() { return p.cloud.demo; }, get admin() { return p.cloud.admin; }, get t() { return p.cloud.t; }, get drivers() { return p.cloud.drivers; }, volume: (body?: object, version?: string) => p.cloud.volume(body, version), show: (id: string) => p.cloud.show(id) };
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
