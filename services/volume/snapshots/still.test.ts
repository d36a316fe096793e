import { DriverError } from '@cumulet/drivers';
import type { PowerState } from '@cumulet/drivers/hypervisor';
import { provePlan } from '@cumulet/tasks/testing';
import { newId } from '@cumulet/wire';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { hostPlans, volumesOf } from '../index.ts';
import { testCloud, type TestCloud } from '../testing.ts';
import { stillSnapshotPlan } from './still.ts';

/** One guest, and what it was while the backend copied. */
let power: PowerState = 'running';
let during: PowerState[] = [];
let c: TestCloud;
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'one' }] });
  expect(await c.admin('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set: { volumes: -1, gigabytes: -1, snapshots: -1 } })).toMatchObject({ status: 200, body: { quota_set: { volumes: -1 } } });
  const driver = c.drivers.get('one');
  const create = driver?.snapshots?.create;
  if (!driver?.snapshots || !create) throw new Error('the fake makes snapshots');
  Object.assign(driver.snapshots, { create: (...[call, snapshot, options]: Parameters<typeof create>) => {
    if (options?.inUse) throw new DriverError('busy', 'in use');
    during.push(power);
    return create(call, snapshot, options);
  } });
  const servers = { pause: async () => { power = 'paused'; }, unpause: async () => { power = 'running'; }, powerState: async () => power };
  c.t.serve({ plans: hostPlans, deps: { hypervisor: { servers } } });
});
afterAll(() => c.close());
beforeEach(async () => { power = 'running'; during = []; await c.report(); });

provePlan({
  plan: stillSnapshotPlan, db: () => c.t.rt.db, tasks: () => c.t.rt.tasks, runner: faults => c.t.runner(faults),
  start: async () => {
    const id = await c.volume();
    const volumes = volumesOf(c.t.rt);
    const who = { projectId: callers.demo.projectId as string, userId: callers.demo.userId };
    await c.t.rt.db.transaction(async trx => { const a = await volumes.reserve(trx, { volumeId: id, serverId: newId(), who }); await trx('volume_attachments').where({ id: a.id }).update({ attached_host: 'testhost', connector: '{"host":"testhost"}' }); await volumes.complete(trx, a.id, { device: '/dev/vdb' }); });
    const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id, force: true } })).body.snapshot.id as string;
    const task = await c.t.rt.db('tasks').where({ resource_type: 'snapshot', resource_id: snapshot, live: true }).first('id', 'queue') as { id: string; queue: string };
    expect(task.queue).toBe('host/testhost');
    const status = async () => (await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot.status;
    return {
      taskId: task.id,
      done: async () => { expect(await status()).toBe('available'); expect(power).toBe('running'); expect(new Set(during)).toEqual(new Set(['paused'])); },
      // Whatever becomes of the copy, the guest goes on.
      clean: async () => { expect(await status()).toBe('error'); expect(power).toBe('running'); },
    };
  },
});
