import { transaction } from '@cumulet/db';
import { need, plainCall } from '@cumulet/drivers';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { specOf } from '../servers/spec.ts';
import type { TestCloud, TestHost } from '../testing/cloud.ts';
import { cloudOfTwo, twoHosts } from '../testing/two_hosts.ts';
import { restoreServers } from '../work/host.ts';
import { evacuatePlan } from './evacuate.ts';
import { leaveLivePlan, livePlan } from './live.ts';
import { at, leftBehind, standDownPlan, standStillPlan } from './source.ts';

let c: TestCloud;
const lab = twoHosts(() => c);
const { rowOf, taskOf, domain, running, whole, remove, admin, accepted, ending, proof, migration } = lab;
beforeAll(async () => { c = await cloudOfTwo(); await lab.open(); }, 60_000);
afterAll(() => c.close());

describe('every move ends in success or leaves the server where it was', () => {
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
    const taskId = await transaction(c.t.rt.db, trx => c.t.rt.tasks.enqueue(trx, standStillPlan, { serverId: id, shared: true }, at('testhost', id, 'still')));
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
    await c.t.rt.db('volumes').where({ id: lab.volumeId() }).update({ host: c.t.rt.db.raw(`replace(host, 'testhost@', 'storage@')`) });
    const answer = await admin(id, { evacuate: {} }, '2.14');
    await c.t.rt.db('volumes').where({ id: lab.volumeId() }).update({ host: c.t.rt.db.raw(`replace(host, 'storage@', 'testhost@')`) });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const back = async () => { await c.t.rt.db('compute_hosts').where({ host: 'testhost' }).update({ forced_down: false }); await restoreServers((c.hosts.get('testhost') as { deps: typeof c.deps }).deps, c.t.rt.log); for (const h of c.hosts.values()) for (const p of h.network.ports.keys()) if ((await c.t.rt.db('ports').where({ id: p }).first('binding_host'))?.binding_host !== h.deps.host) await h.network.unplugPort(plainCall(), p); };
    return ending(id, {
      taskId: await taskOf(id, 'server.evacuate'),
      async done() { await c.t.drain(); await back(); await whole(id, 'second', { vm: 'active' }); expect(await migration(id)).toMatchObject({ status: 'done', type: 'evacuation' }); },
      async clean() { await c.t.drain(); await back(); expect(await rowOf(id)).toMatchObject({ vm_state: 'error', host: 'testhost', task_id: null }); expect(await domain('second', id)).toBeUndefined(); },
    });
  });
});
