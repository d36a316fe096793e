import { transaction } from '@cumulet/db';
import { need, plainCall } from '@cumulet/drivers';
import { provePlan, type Try } from '@cumulet/tasks/testing';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import type { ServerRow } from '../servers/row.ts';
import { specOf } from '../servers/spec.ts';
import { testCloud, type TestCloud, type TestHost } from '../testing/cloud.ts';
import { restoreServers } from '../work/host.ts';
import { evacuatePlan } from './evacuate.ts';
import { leaveLivePlan, livePlan } from './live.ts';
import { confirmMovePlan, moveBackPlan, movePlan } from './move.ts';
import { at, leftBehind, standDownPlan, standStillPlan } from './source.ts';

/*
 * Between two hosts, each with its hypervisor, network and worker: whatever fails, a server is whole, on one of them, and the other has nothing of it.
 */

let c: TestCloud;
let image: string;
let volumeId: string | undefined;
beforeAll(async () => {
  // A backend that every host reaches: what is on a host's own file system does not move.
  c = await testCloud({ CUMULET_VOLUME_BACKENDS: JSON.stringify([{ name: 'fake', driver: 'fake' }]) }, { hosts: ['second'] });
  image = await c.image();
  for (const [service, resource] of [['compute', 'instances'], ['compute', 'cores'], ['compute', 'ram'], ['volume', 'volumes'], ['volume', 'gigabytes'], ['network', 'port']]) await c.t.rt.db('quotas').insert({ service, project_id: 'class:default', resource, hard_limit: -1 }).onConflict().ignore();
}, 60_000);
afterAll(() => c.close());

const rowOf = async (id: string): Promise<ServerRow> => c.t.rt.db('servers').where({ id }).first();
const taskOf = async (serverId: string, plan: string): Promise<string> => (await c.t.rt.db('tasks').where({ plan }).whereRaw(`input ->> 'serverId' = ?`, [serverId]).orderBy('seq', 'desc').first('id'))?.id as string;
const domain = async (host: string, id: string) => (await c.hosts.get(host)?.hypervisor.list(plainCall()))?.find(d => d.id === id);

/** What the last case left as it was is used again. */
let spare: string | undefined;
/** A server with a volume on the first host; the second one is the only other place. */
async function running(): Promise<string> {
  await c.beat();
  if (spare !== undefined) { const id = spare; spare = undefined; return id; }
  const made = await as(c.volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } });
  await c.t.drain();
  volumeId = made.body.volume.id as string;
  await c.t.rt.db('compute_hosts').where({ host: 'second' }).update({ disabled: true });
  const id = await c.server({ imageRef: image, block_device_mapping_v2: [{ source_type: 'volume', destination_type: 'volume', uuid: volumeId, boot_index: -1 }] });
  await c.t.rt.db('compute_hosts').where({ host: 'second' }).update({ disabled: false });
  return id;
}

/** Here it is, with everything that is its own, and nothing of it is anywhere else. */
async function whole(id: string, host: string, o: { vm: string; shares?: number }): Promise<void> {
  await c.t.drain();
  const { db } = c.t.rt;
  const row = await rowOf(id);
  expect(row, JSON.stringify(row.fault)).toMatchObject({ host, vm_state: o.vm, task_id: null, task_state: null });
  for (const [name, h] of c.hosts) {
    const both = o.shares === 2;
    const found = await domain(name, id);
    if (name === host || both) expect(found, `domain on ${name}`).toBeDefined(); else expect(found, `domain on ${name}`).toBeUndefined();
    if (name === host) expect(found?.state).toBe({ active: 'running', stopped: 'shutdown', paused: 'paused', error: found?.state, resized: row.power_state }[o.vm]);
    const ports = (await db('server_ports').where({ server_id: id })).map((p: { port_id: string }) => p.port_id);
    expect(ports).toHaveLength(1);
    if (name === host) expect([...h.network.ports.keys()]).toEqual(expect.arrayContaining(ports));
    else if (!both) expect([...h.network.ports.keys()].filter(p => ports.includes(p)), `filters on ${name}`).toEqual([]);
  }
  expect(await db('ports').where({ device_id: id })).toMatchObject([{ binding_host: host, ...(o.vm === 'error' ? {} : { status: 'ACTIVE' }) }]);
  expect(await db('allocations').where({ server_id: id }).orderBy('held_for', 'desc')).toMatchObject([{ host, held_for: 'server' }, ...(o.shares === 2 ? [{ held_for: 'migration' }] : [])]);
  expect(await db('volume_attachments').where({ server_id: id })).toMatchObject([{ status: 'attached', attached_host: host }]);
  expect(await db('block_devices').where({ server_id: id }).whereNull('connection').whereNotNull('volume_id')).toEqual([]);
  expect(row.memory_mb).toBe(row.vm_state === 'resized' ? row.memory_mb : row.flavor.memory_mb);
  await usageIsTrue();
}
async function usageIsTrue(): Promise<void> {
  const { rows } = await c.t.rt.db.raw(`select h.host from compute_hosts h left join (select host, sum(vcpus) as v, sum(memory_mb) as m, sum(disk_gb) as d from allocations group by host) a using (host) where (h.used_vcpus, h.used_memory_mb, h.used_disk_gb) <> (coalesce(a.v, 0), coalesce(a.m, 0), coalesce(a.d, 0))`);
  expect(rows).toEqual([]);
  const [used] = (await c.t.rt.db.raw(`select coalesce(sum(memory_mb), 0)::int as ram from servers where not deleted and project_id = ?`, ['de'.repeat(16)])).rows;
  expect(await c.t.rt.db('quota_usage').where({ service: 'compute', project_id: 'de'.repeat(16) }).first('used')).toMatchObject({ used: { ram: used.ram } });
}
/** Leaves nothing for the next case, and proves that it can be deleted wherever it is. */
async function remove(id: string): Promise<void> {
  await c.beat();
  await c.call('admin')('DELETE', `/v2.1/servers/${id}`);
  await c.t.drain();
  expect(await rowOf(id)).toMatchObject({ deleted: true });
  for (const [name, h] of c.hosts) {
    expect(await domain(name, id)).toBeUndefined();
    expect([...h.network.ports.keys()], `filters on ${name}`).toEqual([]);
  }
  expect(await c.t.rt.db('allocations').where({ server_id: id })).toEqual([]);
  expect(await c.t.rt.db('volumes').where({ id: volumeId }).first('status')).toMatchObject({ status: 'available' });
  await usageIsTrue();
}
const admin = (id: string, body: unknown, version?: string) => c.act(id, body, { who: 'admin', ...(version === undefined ? {} : { version }) });
const accepted = async (answer: ReturnType<typeof admin>): Promise<void> => { const { status, body } = await answer; expect(status, JSON.stringify(body)).toBeLessThan(300); };
const ending = (id: string, t: Try): Try => {
  const next = async () => { const row = await rowOf(id); if (row.host === 'testhost' && row.vm_state === 'active') spare = id; else await remove(id); };
  return { taskId: t.taskId, async done() { await t.done(); await next(); }, async clean(state) { await t.clean(state); await next(); } };
};
const proof = (plan: Parameters<typeof provePlan>[0]['plan'], start: Parameters<typeof provePlan>[0]['start']) => provePlan({ plan, db: () => c.t.rt.db, tasks: () => c.t.rt.tasks, runner: faults => c.t.runner(faults), start });
const migration = (id: string) => c.t.rt.db('server_migrations').where({ server_id: id }).orderBy('num', 'desc').first();

describe('every move ends in success or leaves the server where it was', () => {
  proof(movePlan, async () => {
    const id = await running();
    await accepted(admin(id, { migrate: null }));
    return ending(id, {
      taskId: await taskOf(id, 'server.move'),
      async done() { await whole(id, 'second', { vm: 'resized', shares: 2 }); expect((await domain('testhost', id))?.state).toBe('shutdown'); expect(await migration(id)).toMatchObject({ status: 'finished', type: 'migration' }); },
      async clean(state) { await whole(id, 'testhost', { vm: 'active' }); expect(await migration(id)).toMatchObject({ status: state === 'failed' ? 'error' : 'cancelled' }); },
    });
  });
  proof(confirmMovePlan, async () => {
    const id = await running();
    await accepted(admin(id, { migrate: null }));
    await c.t.drain();
    await accepted(c.act(id, { confirmResize: null }));
    return ending(id, {
      taskId: await taskOf(id, 'server.confirm_move'), async done() { await whole(id, 'second', { vm: 'active' }); expect(await migration(id)).toMatchObject({ status: 'confirmed' }); },
      async clean() { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', task_id: null, host: 'second' }); },
    });
  });
  proof(moveBackPlan, async () => {
    const id = await running();
    await accepted(admin(id, { migrate: null }));
    await c.t.drain();
    await accepted(c.act(id, { revertResize: null }));
    return ending(id, {
      taskId: await taskOf(id, 'server.move_back'), async done() { await whole(id, 'testhost', { vm: 'active' }); expect(await migration(id)).toMatchObject({ status: 'reverted' }); },
      async clean() { await c.t.drain(); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', task_id: null }); },
    });
  });
  proof(livePlan, async () => {
    const id = await running();
    await accepted(admin(id, { 'os-migrateLive': { host: null, block_migration: 'auto' } }, '2.25'));
    const settled = async () => {
      await c.t.drain();
      const { host } = await rowOf(id);
      await whole(id, host as string, { vm: 'active' });
      expect(await migration(id)).toMatchObject({ status: host === 'second' ? 'completed' : expect.stringMatching(/failed|cancelled/) });
      return host;
    };
    // The guest may have been faster than the failure or the cancel: it is on one of the two all the same.
    return ending(id, { taskId: await taskOf(id, 'server.live_migrate'), async done() { expect(await settled()).toBe('second'); }, async clean() { await settled(); } });
  });
  // Children, by themselves: what they do is not taken back, and doing it again finishes it.
  proof(standStillPlan, async () => {
    const id = await running();
    const taskId = await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, standStillPlan, { serverId: id, shared: true }, at('testhost', id, `still-${spare}`)));
    const back = async () => { expect(['running', 'shutdown']).toContain((await domain('testhost', id))?.state); await accepted(admin(id, { reboot: { type: 'HARD' } })); await whole(id, 'testhost', { vm: 'active' }); };
    return ending(id, { taskId, async done() { expect((await domain('testhost', id))?.state).toBe('shutdown'); await back(); }, clean: back });
  });
  proof(standDownPlan, async () => {
    const id = await running();
    const left = await leftBehind(c.t.rt.db, id, false, 'testhost');
    const taskId = await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, standDownPlan, left, at('testhost', id, 'down')));
    return { taskId, async done() { expect(await domain('testhost', id)).toBeUndefined(); await remove(id); }, async clean() { await remove(id); } };
  });
  proof(leaveLivePlan, async () => {
    const id = await running();
    const there = c.hosts.get('second') as TestHost;
    const row = await rowOf(id);
    const target = await need(there.hypervisor, 'migrate').prepare(plainCall(), await specOf(there.deps, c.t.rt.db, row, {}), { sharedDisks: false });
    const taskId = await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, leaveLivePlan, { serverId: id, target, shared: false }, at('testhost', id, 'live')));
    const one = async () => { expect([await domain('testhost', id), await domain('second', id)].filter(d => d?.state === 'running')).toHaveLength(1); for (const h of c.hosts.values()) await h.hypervisor.servers.destroy(plainCall(), id); await remove(id); };
    return { taskId, done: one, clean: one };
  });
  proof(evacuatePlan, async () => {
    const id = await running();
    await c.t.rt.db('compute_hosts').where({ host: 'testhost' }).update({ forced_down: true });
    // Its volume is on the dead host's backend in this test, where upstream could not reach it either.
    await c.t.rt.db('volumes').where({ id: volumeId }).update({ host: c.t.rt.db.raw(`replace(host, 'testhost@', 'storage@')`) });
    const answer = await admin(id, { evacuate: {} }, '2.14');
    await c.t.rt.db('volumes').where({ id: volumeId }).update({ host: c.t.rt.db.raw(`replace(host, 'storage@', 'testhost@')`) });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const back = async () => { await c.t.rt.db('compute_hosts').where({ host: 'testhost' }).update({ forced_down: false }); await restoreServers((c.hosts.get('testhost') as { deps: typeof c.deps }).deps, c.t.rt.log); for (const h of c.hosts.values()) for (const p of h.network.ports.keys()) if ((await c.t.rt.db('ports').where({ id: p }).first('binding_host'))?.binding_host !== h.deps.host) await h.network.unplugPort(plainCall(), p); };
    return ending(id, {
      taskId: await taskOf(id, 'server.evacuate'),
      async done() { await c.t.drain(); await back(); await whole(id, 'second', { vm: 'active' }); expect(await migration(id)).toMatchObject({ status: 'done', type: 'evacuation' }); },
      async clean() { await c.t.drain(); await back(); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', host: 'testhost', task_id: null }); expect(await domain('second', id)).toBeUndefined(); },
    });
  });
});
