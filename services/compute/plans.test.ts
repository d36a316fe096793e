import { plainCall } from '@cumulet/drivers';
import { provePlan } from '@cumulet/tasks/testing';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { as } from '../../test/harness/service.ts';
import { createPlan } from './plans/create.ts';
import { deletePlan } from './plans/delete.ts';
import { attachVolumePlan, detachVolumePlan } from './plans/plug.ts';
import { stopPlan } from './plans/power.ts';
import { rebuildPlan } from './plans/rebuild.ts';
import { rescuePlan } from './plans/rescue.ts';
import { resizePlan } from './plans/resize.ts';
import { shelvePlan, snapshotPlan, unshelvePlan } from './plans/snapshot.ts';
import { testCloud, type TestCloud } from './testing/cloud.ts';

let c: TestCloud;
let image: string;
beforeAll(async () => {
  c = await testCloud();
  image = await c.image();
  for (const resource of ['instances', 'cores', 'ram']) await c.t.rt.db('quotas').insert({ service: 'compute', project_id: 'class:default', resource, hard_limit: -1 });
  for (const resource of ['volumes', 'gigabytes']) await c.t.rt.db('quotas').insert({ service: 'volume', project_id: 'class:default', resource, hard_limit: -1 });
}, 60_000);
afterAll(() => c.close());

const volume = async (): Promise<string> => {
  await c.beat();
  const made = await as(c.volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } });
  await c.t.drain();
  return made.body.volume.id as string;
};
const volumeStatus = async (id: string): Promise<string> => (await c.t.rt.db('volumes').where({ id }).first('status'))?.status as string;
const taskOf = async (serverId: string, plan: string): Promise<string> => (await c.t.rt.db('tasks').where({ resource_type: 'server', resource_id: serverId, plan }).orderBy('seq', 'desc').first('id')).id as string;
const domain = async (id: string) => (await c.hypervisor.list(plainCall())).find(d => d.id === id);
const rowOf = (id: string) => c.t.rt.db('servers').where({ id }).first();

/** Nothing of it is on the host or in anybody's tables, but its own row. */
async function gone(id: string): Promise<void> {
  await c.t.drain();
  const { db } = c.t.rt;
  expect(await domain(id)).toBeUndefined();
  expect(await db('ports').where({ device_id: id })).toEqual([]);
  expect(await db('server_ports').where({ server_id: id })).toEqual([]);
  expect(await db('allocations').where({ server_id: id })).toEqual([]);
  expect(await db('block_devices').where({ server_id: id }).whereNotNull('attachment_id')).toEqual([]);
  expect([...c.network.ports.keys()].filter(p => !known.has(p))).toEqual([]);
  await rests(id);
}
/** Ports of servers that are there to stay, with their servers. */
const known = new Map<string, string>();
async function rests(id: string): Promise<void> { expect(await rowOf(id)).toMatchObject({ task_id: null, task_state: null }); }

/** A server that is left as it was: where it runs, with what it had. */
async function asBefore(id: string, vmState: string): Promise<void> {
  await c.t.drain();
  await rests(id);
  expect(await rowOf(id)).toMatchObject({ vm_state: vmState, host: 'testhost' });
  expect(await c.t.rt.db('allocations').where({ server_id: id })).toHaveLength(1);
}
const proof = (plan: Parameters<typeof provePlan>[0]['plan'], start: Parameters<typeof provePlan>[0]['start']) => provePlan({ plan, db: () => c.t.rt.db, tasks: () => c.t.rt.tasks, runner: faults => c.t.runner(faults), start });
/** A running server whose ports are not looked at by others' tests. */
async function running(o: Record<string, unknown> = {}): Promise<string> {
  const id = await c.server({ imageRef: image, ...o });
  for (const p of await c.t.rt.db('server_ports').where({ server_id: id })) known.set(p.port_id, id);
  return id;
}

describe('every plan ends in success or in a clean slate', () => {
  proof(createPlan, async () => {
    const vid = await volume();
    await c.beat();
    const { body } = await c.call()('POST', '/v2.1/servers', { server: { name: 'p', flavorRef: 'nano', imageRef: image, networks: [{ uuid: c.networkId }], block_device_mapping_v2: [{ source_type: 'volume', destination_type: 'volume', uuid: vid, boot_index: -1 }] } });
    const id = body.server.id as string;
    return {
      taskId: await taskOf(id, 'server.create'),
      async done() {
        await asBefore(id, 'active');
        expect((await domain(id))?.state).toBe('running');
        expect(await volumeStatus(vid)).toBe('in-use');
        for (const p of await c.t.rt.db('server_ports').where({ server_id: id })) known.set(p.port_id, id);
      },
      async clean() { await gone(id); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', host: null, fault: { code: 500 } }); expect(await volumeStatus(vid)).toBe('available'); },
    };
  });
  proof(deletePlan, async () => {
    const vid = await volume();
    const id = await running({ block_device_mapping_v2: [{ source_type: 'volume', destination_type: 'volume', uuid: vid, boot_index: -1 }] });
    await c.call()('DELETE', `/v2.1/servers/${id}`);
    return {
      taskId: await taskOf(id, 'server.delete'),
      async done() { for (const [p, of] of known) if (of === id) known.delete(p); await gone(id); expect(await rowOf(id)).toMatchObject({ deleted: true, vm_state: 'deleted' }); expect(await volumeStatus(vid)).toBe('available'); },
      // A deletion that fails leaves a server that can be deleted again.
      async clean() { await rests(id); expect(await rowOf(id)).toMatchObject({ deleted: false, vm_state: 'error' }); await c.call()('DELETE', `/v2.1/servers/${id}`); await gone(id); },
    };
  });
  proof(stopPlan, async () => {
    const id = await running();
    await c.act(id, { 'os-stop': null });
    return { taskId: await taskOf(id, 'server.stop'), done: () => asBefore(id, 'stopped'), async clean() { await asBefore(id, (await domain(id))?.state === 'running' ? 'active' : 'stopped'); } };
  });
  proof(shelvePlan, async () => {
    const id = await running();
    await c.act(id, { shelve: null });
    const images = () => c.t.rt.db('images').whereRaw(`properties ->> 'instance_uuid' = ?`, [id]);
    return {
      taskId: await taskOf(id, 'server.shelve'),
      async done() { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'shelved_offloaded', host: null, task_id: null }); expect(await domain(id)).toBeUndefined(); expect(await images()).toMatchObject([{ status: 'active' }]); expect(await c.t.rt.db('allocations').where({ server_id: id })).toEqual([]); },
      async clean() { await c.t.drain(); await rests(id); expect(await images()).toEqual([]); expect(await rowOf(id)).toMatchObject({ host: 'testhost' }); },
    };
  });
  proof(unshelvePlan, async () => {
    const id = await running();
    await c.act(id, { shelve: null });
    await c.t.drain();
    await c.beat();
    await c.act(id, { unshelve: null });
    return {
      taskId: await taskOf(id, 'server.unshelve'), done: () => asBefore(id, 'active'),
      async clean() { await c.t.drain(); await rests(id); expect(await rowOf(id)).toMatchObject({ vm_state: 'shelved_offloaded', host: null, shelved_image_id: expect.any(String) }); expect(await domain(id)).toBeUndefined(); expect(await c.t.rt.db('allocations').where({ server_id: id })).toEqual([]); },
    };
  });
  proof(snapshotPlan, async () => {
    const id = await running();
    const name = `snap-${id}`;
    await c.act(id, { createImage: { name } });
    return {
      taskId: await taskOf(id, 'server.snapshot'), async done() { await asBefore(id, 'active'); expect(await c.t.rt.db('images').where({ name })).toMatchObject([{ status: 'active' }]); },
      async clean() { await asBefore(id, 'active'); expect(await c.t.rt.db('images').where({ name })).toEqual([]); },
    };
  });
  proof(rescuePlan, async () => {
    const id = await running();
    await c.act(id, { rescue: null });
    return { taskId: await taskOf(id, 'server.rescue'), done: () => asBefore(id, 'rescued'), clean: () => asBefore(id, 'active') };
  });
  proof(rebuildPlan, async () => {
    const id = await running();
    await c.act(id, { rebuild: { imageRef: image } });
    return { taskId: await taskOf(id, 'server.rebuild'), done: () => asBefore(id, 'active'), clean: () => asBefore(id, 'error') };
  });
  proof(resizePlan, async () => {
    const id = await running();
    await c.act(id, { resize: { flavorRef: '1' } });
    return {
      taskId: await taskOf(id, 'server.resize'),
      async done() { await rests(id); expect(await rowOf(id)).toMatchObject({ vm_state: 'resized', memory_mb: 512 }); },
      async clean() { await asBefore(id, 'active'); expect(await rowOf(id)).toMatchObject({ memory_mb: 192, new_flavor: null }); },
    };
  });
  proof(attachVolumePlan, async () => {
    const id = await running();
    const vid = await volume();
    await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: vid } });
    return {
      taskId: await taskOf(id, 'server.attach_volume'), async done() { await asBefore(id, 'active'); expect(await volumeStatus(vid)).toBe('in-use'); },
      async clean() { await asBefore(id, 'active'); expect(await volumeStatus(vid)).toBe('available'); expect(await c.t.rt.db('block_devices').where({ server_id: id, volume_id: vid })).toEqual([]); },
    };
  });
  proof(detachVolumePlan, async () => {
    const id = await running();
    const vid = await volume();
    await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: vid } });
    await c.t.drain();
    await c.call()('DELETE', `/v2.1/servers/${id}/os-volume_attachments/${vid}`);
    return {
      taskId: await taskOf(id, 'server.detach_volume'), async done() { await asBefore(id, 'active'); expect(await volumeStatus(vid)).toBe('available'); },
      async clean() { await asBefore(id, 'active'); expect(['in-use', 'available']).toContain(await volumeStatus(vid)); },
    };
  });
});
