import { plainCall } from '@cumulet/drivers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing/cloud.ts';
import { proving } from '../testing/proving.ts';
import { attachPortPlan, detachPortPlan } from './plug.ts';
import { crashPlan, passwordPlan, pausePlan, rebootPlan, resumePlan, startPlan, suspendPlan, unpausePlan } from './power.ts';
import { unrescuePlan } from './rescue.ts';
import { confirmPlan, revertPlan } from './resize.ts';
import { offloadPlan } from './snapshot.ts';
import { restorePlan, softDeletePlan } from './soft_delete.ts';
import { letGoPlan } from './volumes.ts';

let c: TestCloud;
const lab = proving(() => c);
const { proof, running, act, rests, restsAsPowered, taskOf, rowOf, domain } = lab;
beforeAll(async () => { c = await testCloud({ CUMULET_HYPERVISOR_SHELVED_OFFLOAD_SECONDS: '3600', CUMULET_COMPUTE_RECLAIM_SECONDS: '3600' }); await lab.open(); }, 60_000);
afterAll(() => c.close());

/** Brings a server into a state by actions, one after the other. */
async function in_(...bodies: Record<string, unknown>[]): Promise<string> {
  const id = await running();
  for (const body of bodies) { await act(id, body, 'shelveOffload' in body ? { who: 'admin' } : { version: '2.1' }); await c.t.drain(); }
  return id;
}
/** A plan of one action on power: done in one state, failed in whatever the guest is. */
const power = (plan: Parameters<typeof proof>[0], before: Record<string, unknown>[], body: Record<string, unknown>, done: readonly [string, string]) => proof(plan, async () => {
  const id = await in_(...before);
  await act(id, body);
  const again = () => lab.reuse(id);
  return { taskId: await taskOf(id, plan.kind), async done() { await rests(id, ...done); again(); }, async clean() { await restsAsPowered(id); again(); } };
});

describe('power', () => {
  power(startPlan, [{ 'os-stop': null }], { 'os-start': null }, ['active', 'running']);
  power(pausePlan, [], { pause: null }, ['paused', 'paused']);
  power(unpausePlan, [{ pause: null }], { unpause: null }, ['active', 'running']);
  power(suspendPlan, [], { suspend: null }, ['suspended', 'suspended']);
  power(resumePlan, [{ suspend: null }], { resume: null }, ['active', 'running']);
  power(rebootPlan, [], { reboot: { type: 'SOFT' } }, ['active', 'running']);
  power(rebootPlan, [{ pause: null }], { reboot: { type: 'HARD' } }, ['active', 'running']);
  proof(passwordPlan, async () => {
    const id = await running();
    await act(id, { changePassword: { adminPass: 'correct horse' } });
    const secret = async () => { expect(JSON.stringify(await c.t.rt.db('tasks').where({ resource_id: id }))).not.toContain('correct horse'); await rests(id, 'active', 'running'); lab.reuse(id); };
    await expect(c.t.rt.db('tasks').where({ resource_id: id, live: true }).then(JSON.stringify)).resolves.not.toContain('correct horse');
    return { taskId: await taskOf(id, 'server.password'), async done() { expect(c.hypervisor.passwords(id)).toEqual({ root: 'correct horse' }); await secret(); }, clean: secret };
  });
  proof(crashPlan, async () => {
    const id = await running();
    await act(id, { trigger_crash_dump: null }, { version: '2.17' });
    const follows = async () => { await c.t.drain(); const state = (await domain(id))?.state; expect(['running', 'crashed']).toContain(state); expect(await rowOf(id)).toMatchObject({ task_id: null, vm_state: 'active' }); if (state === 'running') lab.reuse(id); };
    return { taskId: await taskOf(id, 'server.crash_dump'), done: follows, clean: follows };
  });
});

describe('rescue, shelve, resize', () => {
  proof(unrescuePlan, async () => {
    const id = await in_({ rescue: null });
    await act(id, { unrescue: null });
    return { taskId: await taskOf(id, 'server.unrescue'), async done() { await rests(id, 'active', 'running'); lab.reuse(id); }, async clean() { await rests(id, 'rescued'); await act(id, { unrescue: null }); await rests(id, 'active', 'running'); lab.reuse(id); } };
  });
  proof(offloadPlan, async () => {
    const id = await in_({ shelve: null });
    await act(id, { shelveOffload: null }, { who: 'admin' });
    const gone = async () => { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'shelved_offloaded', host: null, task_id: null }); expect(await domain(id)).toBeUndefined(); expect(await c.t.rt.db('allocations').where({ server_id: id })).toEqual([]); };
    return {
      taskId: await taskOf(id, 'server.shelve_offload'), done: gone,
      async clean() { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'shelved', task_id: null }); await act(id, { shelveOffload: null }, { who: 'admin' }); await gone(); },
    };
  });
  const decided = async (id: string, memory: number) => { await rests(id, 'active', 'running'); expect(await rowOf(id)).toMatchObject({ memory_mb: memory, old_flavor: null }); };
  proof(confirmPlan, async () => {
    const id = await in_({ resize: { flavorRef: '1' } });
    await act(id, { confirmResize: null });
    return { taskId: await taskOf(id, 'server.confirm_resize'), done: () => decided(id, 512), async clean() { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', task_id: null }); } };
  });
  proof(revertPlan, async () => {
    const id = await in_({ resize: { flavorRef: '1' } });
    await act(id, { revertResize: null });
    return { taskId: await taskOf(id, 'server.revert_resize'), done: () => decided(id, 192), async clean() { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', task_id: null }); } };
  });
});

describe('deletion that can be taken back', () => {
  const free = async (id: string) => { const { used } = await c.t.rt.db('quota_usage').where({ service: 'compute', project_id: 'de'.repeat(16) }).first('used') as { used: { instances: number } }; const [{ count }] = (await c.t.rt.db.raw(`select count(*)::int from servers where not deleted and vm_state <> 'soft-delete' and project_id = ?`, ['de'.repeat(16)])).rows; expect(used.instances, id).toBe(count); };
  proof(softDeletePlan, async () => {
    const id = await running();
    expect((await c.call()('DELETE', `/v2.1/servers/${id}`)).status).toBe(204);
    return { taskId: await taskOf(id, 'server.soft_delete'), async done() { await rests(id, 'soft-delete', 'shutdown'); await free(id); }, async clean() { await restsAsPowered(id); await free(id); } };
  });
  proof(restorePlan, async () => {
    const id = await running();
    await c.call()('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    await act(id, { restore: null });
    return { taskId: await taskOf(id, 'server.restore'), async done() { await rests(id, 'active', 'running'); await free(id); lab.reuse(id); }, async clean() { await rests(id, 'soft-delete', 'shutdown'); await free(id); } };
  });
  test('is out of sight, comes back, and ends for good', async () => {
    const id = await running();
    const list = async (query = '') => (await c.call()('GET', `/v2.1/servers?${query}`)).body.servers.map((s: { id: string }) => s.id) as string[];
    await c.call()('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    expect(await c.show(id)).toMatchObject({ status: 'SOFT_DELETED', 'OS-EXT-STS:vm_state': 'soft-delete' });
    expect(await list()).not.toContain(id);
    expect(await list('status=SOFT_DELETED')).toContain(id);
    expect(await c.act(id, { 'os-start': null })).toMatchObject({ status: 409 });
    await act(id, { restore: null });
    await rests(id, 'active', 'running');
    await c.call()('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    await act(id, { forceDelete: null });
    await c.t.drain();
    expect(await rowOf(id)).toMatchObject({ deleted: true });
    expect(await domain(id)).toBeUndefined();
  });
});

describe('interfaces and volumes', () => {
  const ports = async (id: string) => (await c.t.rt.db('server_ports').where({ server_id: id })).map((p: { port_id: string }) => p.port_id) as string[];
  const nics = async (id: string) => (await c.hypervisor.servers.devices(plainCall(), id)).nics.length;
  test('an interface on whichever network is asked wrongly where there are several; a boot is in conflict', async () => {
    const id = await running();
    const { id: second } = (await as(c.networks, 'demo')('POST', '/v2.0/networks', { network: { name: 'second' } })).body.network;
    const message = 'Multiple possible networks found, use a Network ID to be more specific.';
    expect(await c.call()('POST', `/v2.1/servers/${id}/os-interface`, {})).toMatchObject({ status: 400, body: { badRequest: { message } } });
    expect(await c.call()('POST', '/v2.1/servers', { server: { name: 's', flavorRef: 'nano', imageRef: (await c.show(id)).image.id } }, '2.1')).toMatchObject({ status: 409, body: { conflictingRequest: { message } } });
    expect((await as(c.networks, 'demo')('DELETE', `/v2.0/networks/${second}`)).status).toBe(204);
    lab.reuse(id);
  });
  test('an interface that is let go is an event of nova\'s name, which tempest waits for', async () => {
    const id = await running();
    const [port] = await ports(id);
    expect((await c.call()('DELETE', `/v2.1/servers/${id}/os-interface/${port}`)).status).toBe(202);
    const event = async () => {
      const [{ action, request_id }] = (await c.call()('GET', `/v2.1/servers/${id}/os-instance-actions`)).body.instanceActions;
      expect(action).toBe('detach_interface');
      return (await c.call('admin')('GET', `/v2.1/servers/${id}/os-instance-actions/${request_id}`)).body.instanceAction.events.find((e: { event: string }) => e.event === 'compute_detach_interface');
    };
    expect((await event())?.result ?? null).toBe(null);
    await c.t.drain();
    expect(await event()).toMatchObject({ result: 'Success', traceback: null, finish_time: expect.stringMatching(/^\d{4}-/) });
    lab.reuse(id);
  });
  proof(attachPortPlan, async () => {
    const id = await running();
    const had = await ports(id);
    const answer = c.call()('POST', `/v2.1/servers/${id}/os-interface`, { interfaceAttachment: { net_id: c.networkId } });
    expect((await answer).status).toBe(200);
    return {
      taskId: await taskOf(id, 'server.attach_interface'), async done() { await rests(id, 'active', 'running'); expect(await ports(id)).toHaveLength(had.length + 1); expect(await nics(id)).toBe(had.length + 1); },
      async clean() { await rests(id, 'active', 'running'); expect(await ports(id)).toEqual(had); expect(await nics(id)).toBe(had.length); expect(await c.t.rt.db('ports').where({ device_id: id })).toHaveLength(had.length); lab.reuse(id); },
    };
  });
  proof(detachPortPlan, async () => {
    const id = await running();
    const [port] = await ports(id);
    expect((await c.call()('DELETE', `/v2.1/servers/${id}/os-interface/${port}`)).status).toBe(202);
    return {
      taskId: await taskOf(id, 'server.detach_interface'), async done() { await rests(id, 'active', 'running'); expect(await ports(id)).toEqual([]); expect(await nics(id)).toBe(0); expect(await c.t.rt.db('ports').where({ id: port })).toEqual([]); },
      // A second detach finishes what the first began.
      async clean() { await rests(id, 'active', 'running'); expect(await ports(id)).toEqual([port]); await c.call()('DELETE', `/v2.1/servers/${id}/os-interface/${port}`); await c.t.drain(); expect(await ports(id)).toEqual([]); expect([...c.network.ports.keys()]).not.toContain(port); },
    };
  });
  proof(letGoPlan, async () => {
    const volume = await lab.volume();
    const id = await running();
    await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: volume } });
    await c.t.drain();
    await act(id, { forceDelete: null });
    const status = async () => (await c.t.rt.db('volumes').where({ id: volume }).first('status') as { status: string }).status;
    for (let tries = 0; tries < 20; tries++) {
      const task = await c.t.rt.db('tasks').where({ plan: 'volume.let_go', live: true }).whereRaw(`input ->> 'volumeId' = ?`, [volume]).first('id') as { id: string } | undefined;
      if (task) return { taskId: task.id, async done() { await c.t.drain(); expect(await status()).toBe('available'); }, async clean() { await c.t.drain(); expect(['in-use', 'detaching', 'available', 'reserved']).toContain(await status()); } };
      const next = await c.t.rt.db('tasks').where({ live: true }).whereNot({ state: 'parked' }).orderBy('seq').first('id') as { id: string };
      await c.t.runner().run(next.id);
    }
    throw new Error('nobody lets go of the volume');
  });
});
