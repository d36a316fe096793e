import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { TestCloud } from '../testing/cloud.ts';
import { cloudOfTwo, twoHosts } from '../testing/two_hosts.ts';
import { confirmMovePlan, moveBackPlan, movePlan } from './move.ts';

/*
 * Between two hosts, each with its hypervisor, network and worker: whatever fails, a server is whole, on one of them, and the other has nothing of it.
 */

let c: TestCloud;
const lab = twoHosts(() => c);
const { rowOf, taskOf, domain, running, whole, admin, accepted, ending, proof, migration } = lab;
beforeAll(async () => { c = await cloudOfTwo(); await lab.open(); }, 60_000);
afterAll(() => c.close());

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
});
