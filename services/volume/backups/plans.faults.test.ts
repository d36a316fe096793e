import { DriverError } from '@cumulet/drivers';
import type { PowerState } from '@cumulet/drivers/hypervisor';
import { provePlan, type Try } from '@cumulet/tasks/testing';
import { newId } from '@cumulet/wire';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { hostPlans, volumesOf } from '../index.ts';
import { testCloud, type TestCloud } from '../testing.ts';
import { verifyBackupPlan } from './check_plans.ts';
import { backupsOf } from './for_catalogue.ts';
import { freezePlan, stillBackupPlan } from './freeze.ts';
import { createBackupPlan, deleteBackupPlan, restoreBackupPlan } from './plans.ts';
import { rebuildPlan } from './rebuild_plan.ts';
import { exportBackupPlan, importBackupPlan } from './record_plans.ts';
import { transaction } from '@cumulet/db';

let c: TestCloud;
let power: PowerState = 'running';
let inUseIsBusy = false;
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'one' }] });
  const driver = c.drivers.get('one');
  const create = driver?.snapshots?.create;
  if (!driver?.snapshots || !create) throw new Error('the fake makes snapshots');
  Object.assign(driver.snapshots, { create: (...[call, snapshot, options]: Parameters<typeof create>) => {
    if (options?.inUse && inUseIsBusy) throw new DriverError('busy', 'in use');
    return create(call, snapshot, options);
  } });
  c.t.serve({ plans: hostPlans, deps: { hypervisor: { servers: { pause: async () => { power = 'paused'; }, unpause: async () => { power = 'running'; }, powerState: async () => power } } } });
});
afterAll(() => c.close());
beforeEach(async () => {
  const { db } = c.t.rt;
  await db.raw('truncate volumes, volume_snapshots, volume_attachments, volume_backups, volume_messages, tasks cascade');
  await db('quota_usage').delete();
  c.target.held.clear();
  const d = c.drivers.get('one');
  const call = { taskId: 't', signal: new AbortController().signal, progress() {}, log: { debug() {}, info() {}, warn() {}, error() {} } };
  for (const name of (d?.held ?? []).toSorted((a, b) => Number(b.includes('~')) - Number(a.includes('~')))) {
    const [volume = '', snapshot] = name.split('~');
    if (snapshot) await d?.snapshots?.delete(call, { name: snapshot, sizeGiB: 1, volume: { name: volume, sizeGiB: 1 } }); else await d?.volumes.delete(call, { name: volume, sizeGiB: 1 });
  }
  power = 'running';
  inUseIsBusy = false;
  await c.report();
});
const held = () => [...c.drivers.get('one')?.held ?? []];
const objects = () => [...c.target.held.values()].reduce((n, o) => n + o.size, 0);
const backupRow = (id: string) => c.t.rt.db('volume_backups').where({ id }).first();
const taskOf = async (id: string): Promise<string> => (await c.t.rt.db('tasks').where({ resource_type: 'backup', resource_id: id, live: true }).whereNull('parent_id').first('id')).id;
const proof = (plan: Parameters<typeof provePlan>[0]['plan'], start: () => Promise<Try>) => provePlan({ plan, db: () => c.t.rt.db, tasks: () => c.t.rt.tasks, runner: faults => c.t.runner(faults), start });
const started = async (volumeId: string, more: object = {}): Promise<string> => {
  const r = await c.demo('POST', '/v3/backups', { backup: { volume_id: volumeId, ...more } });
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  return r.body.backup.id;
};
const made = async (volumeId: string): Promise<string> => { const id = await started(volumeId); await c.t.drain(); return id; };

proof(createBackupPlan, async () => {
  const volume = await c.volume();
  await made(volume);
  const before = objects();
  await c.inUse(volume);
  const id = await started(volume, { force: true, incremental: true });
  return {
    taskId: await taskOf(id),
    done: async () => { expect(await backupRow(id)).toMatchObject({ status: 'available' }); expect(await c.show(volume)).toMatchObject({ status: 'in-use' }); expect(held()).toEqual([`volume-${volume}`]); expect(objects()).toBeGreaterThan(before); },
    clean: async () => { expect(await backupRow(id)).toMatchObject({ status: 'error', fail_reason: expect.any(String) }); expect(await c.show(volume)).toMatchObject({ status: 'in-use' }); expect(held()).toEqual([`volume-${volume}`]); expect(objects()).toBe(before); },
  };
});
proof(freezePlan, async () => {
  const volume = await c.volume();
  const backupId = newId();
  return {
    taskId: await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, freezePlan, { backupId, volumeId: volume, inUse: true }, { resource: { type: 'backup', id: backupId } })),
    done: async () => expect(held()).toEqual([`volume-${volume}`, `volume-${volume}~backup-${backupId}`]), clean: async () => expect(held()).toEqual([`volume-${volume}`]),
  };
});
proof(stillBackupPlan, async () => {
  inUseIsBusy = true;
  const volume = await c.volume();
  const who = { projectId: callers.demo.projectId as string, userId: callers.demo.userId };
  const volumes = volumesOf(c.t.rt);
  await c.t.rt.db.transaction(async trx => { const a = await volumes.reserve(trx, { volumeId: volume, serverId: newId(), who }); await trx('volume_attachments').where({ id: a.id }).update({ attached_host: 'testhost', connector: '{"host":"testhost"}' }); await volumes.complete(trx, a.id, { device: '/dev/vdb' }); });
  const id = await started(volume, { force: true });
  const parent = await taskOf(id);
  const { db } = c.t.rt;
  const runner = c.t.runner();
  await runner.run(parent);
  const child = await db('tasks').where({ parent_id: parent }).first('id', 'queue', 'plan') as { id: string; queue: string; plan: string };
  expect(child).toMatchObject({ queue: 'host/testhost', plan: stillBackupPlan.kind });
  const after = async (status: string) => {
    await c.t.drain();
    expect(await backupRow(id)).toMatchObject({ status });
    expect(power).toBe('running');
    expect(held()).toEqual([`volume-${volume}`]);
    expect(await c.show(volume)).toMatchObject({ status: 'in-use' });
  };
  return { taskId: child.id, done: () => after('available'), clean: () => after('error') };
});
for (const fresh of [true, false]) proof(restoreBackupPlan, async () => {
  const volume = await c.volume();
  const id = await made(volume);
  const { volume_id: target } = (await c.demo('POST', `/v3/backups/${id}/restore`, { restore: fresh ? {} : { volume_id: volume } })).body.restore;
  return {
    taskId: await taskOf(id),
    done: async () => { expect(await backupRow(id)).toMatchObject({ status: 'available', restored: null }); expect(await c.show(target)).toMatchObject({ status: 'available' }); },
    clean: async state => {
      expect(await backupRow(id)).toMatchObject({ status: 'available', restored: null });
      expect(await c.show(target)).toMatchObject({ status: state === 'cancelled' ? 'error' : 'error_restoring' });
      if (fresh) expect(held()).toEqual([`volume-${volume}`]);
    },
  };
});
proof(deleteBackupPlan, async () => {
  const id = await made(await c.volume());
  await c.demo('DELETE', `/v3/backups/${id}`);
  return { taskId: await taskOf(id), done: async () => { expect(await backupRow(id)).toBeUndefined(); expect(objects()).toBe(0); }, clean: async () => expect(await backupRow(id)).toMatchObject({ status: 'error' }) };
});
const record = async (id: string) => {
  const task = await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, exportBackupPlan, { backupId: id }, { resource: { type: 'backup', id } }));
  await c.t.drain();
  return (await c.t.rt.db('tasks').where({ id: task }).first('out')).out.record as { service: string; url: string };
};
proof(importBackupPlan, async () => {
  const id = await made(await c.volume());
  const { service, url } = await record(id);
  const before = objects();
  await c.t.rt.db('volume_backups').delete();
  expect((await c.admin('POST', '/v3/backups/import_record', { 'backup-record': { backup_service: service, backup_url: url } })).status).toBe(201);
  return { taskId: await taskOf(id), done: async () => { expect(await backupRow(id)).toMatchObject({ status: 'available' }); expect(objects()).toBe(before); }, clean: async () => { expect(await backupRow(id)).toMatchObject({ status: 'error' }); expect(objects()).toBe(before); } };
});
proof(exportBackupPlan, async () => {
  const id = await made(await c.volume());
  const state = async () => ({ row: await backupRow(id), objects: objects() });
  const before = await state();
  const same = async () => expect(await state()).toEqual(before);
  return { taskId: await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, exportBackupPlan, { backupId: id }, { resource: { type: 'backup', id } })), done: same, clean: same };
});
proof(verifyBackupPlan, async () => {
  const id = await made(await c.volume());
  const backups = backupsOf(c.t.rt);
  return {
    taskId: await backups.verify(await backups.find(id), 'data', {}),
    done: async () => expect(await backupRow(id)).toMatchObject({ status: 'available', verify_problem: null, verified_at: expect.any(Date) }), clean: async () => expect(await backupRow(id)).toMatchObject({ status: 'available', verified_at: null }),
  };
});
proof(rebuildPlan, async () => {
  const id = await made(await c.volume());
  await c.t.rt.db('volume_backups').delete();
  const owner = { projectId: 'p', userId: 'u' };
  return {
    taskId: await backupsOf(c.t.rt).rebuild({ dryRun: false, all: false, owner }),
    done: async () => expect(await backupRow(id)).toMatchObject({ status: 'available', project_id: callers.demo.projectId, user_id: callers.demo.userId }),
    // Rows that were found stay: each is true by itself, and the next scan finds the rest.
    clean: async () => expect(['available', undefined]).toContain((await backupRow(id))?.status),
  };
});
