import { plainCall } from '@cumulet/drivers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCloud, type TestCloud } from '../testing/cloud.ts';
import { proving } from '../testing/proving.ts';
import { confirmResizes, restoreServers } from '../work/host.ts';

/** What users see of moves, with storage of each host's own and with storage that both share. */
describe.each([{ shared: false }, { shared: true }])('between hosts, shared storage: $shared', ({ shared }) => {
  let c: TestCloud;
  const lab = proving(() => c);
  const { act, rowOf } = lab;
  beforeAll(async () => { c = await testCloud({ CUMULET_COMPUTE_RESIZE_CONFIRM_SECONDS: '1' }, { hosts: ['second'], shared }); await lab.open(); }, 60_000);
  afterAll(() => c.close());
  const only = async (host: string) => { await c.t.rt.db('compute_hosts').update({ disabled: true }); await c.t.rt.db('compute_hosts').where({ host }).update({ disabled: false }); };
  const here = async () => { await c.beat(); await only('testhost'); const id = await c.server({ imageRef: lab.image }); await c.t.rt.db('compute_hosts').update({ disabled: false }); return id; };
  const held = async (id: string) => (await c.t.rt.db('allocations').where({ server_id: id }).orderBy('host').select('host', 'held_for', 'memory_mb')) as unknown[];
  const domains = async (id: string) => Promise.all(['testhost', 'second'].map(async h => (await lab.domain(id, h))?.state));

  test('a resize goes elsewhere when its host cannot take it, and comes back when it is reverted', async () => {
    for (const decision of ['confirmResize', 'revertResize']) {
      const id = await here();
      await only('second');
      await act(id, { resize: { flavorRef: '1' } });
      await c.t.drain();
      expect(await rowOf(id)).toMatchObject({ vm_state: 'resized', host: 'second', memory_mb: 512, flavor: { name: 'm1.tiny' }, old_flavor: { name: 'm1.nano' } });
      expect(await held(id)).toEqual([{ host: 'second', held_for: 'server', memory_mb: 512 }, { host: 'testhost', held_for: 'migration', memory_mb: 192 }]);
      expect(await domains(id)).toEqual(['shutdown', 'running']);
      // A host that starts again in between keeps what may be needed.
      await restoreServers(c.deps, c.t.rt.log);
      expect(await domains(id)).toEqual(['shutdown', 'running']);
      await act(id, { [decision]: null });
      await c.t.drain();
      const kept = decision === 'confirmResize';
      expect(await rowOf(id)).toMatchObject({ vm_state: 'active', host: kept ? 'second' : 'testhost', memory_mb: kept ? 512 : 192, old_flavor: null, new_flavor: null });
      expect(await held(id)).toEqual([kept ? { host: 'second', held_for: 'server', memory_mb: 512 } : { host: 'testhost', held_for: 'server', memory_mb: 192 }]);
      expect(await domains(id)).toEqual(kept ? [undefined, 'running'] : ['running', undefined]);
      expect(await c.t.rt.db('server_migrations').where({ server_id: id })).toMatchObject([{ type: 'resize', status: kept ? 'confirmed' : 'reverted' }]);
    }
    await c.t.rt.db('compute_hosts').update({ disabled: false });
  });
  test('a stopped server stays stopped on its way', async () => {
    const id = await here();
    await act(id, { 'os-stop': null });
    await c.t.drain();
    await act(id, { migrate: null }, { who: 'admin' });
    await c.t.drain();
    expect(await domains(id)).toEqual(['shutdown', 'shutdown']);
    await act(id, { confirmResize: null });
    await c.t.drain();
    expect(await rowOf(id)).toMatchObject({ vm_state: 'stopped', power_state: 'shutdown', host: 'second' });
  });
  test('what nobody decides is confirmed in time', async () => {
    const id = await here();
    await act(id, { migrate: null }, { who: 'admin' });
    await c.t.drain();
    await c.t.rt.db('server_migrations').where({ server_id: id }).update({ updated_at: new Date(Date.now() - 60_000) });
    await confirmResizes(c.deps);
    expect(await rowOf(id)).toMatchObject({ vm_state: 'resized', task_state: null });
    await confirmResizes(c.hosts.get('second')?.deps as typeof c.deps);
    await c.t.drain();
    expect(await rowOf(id)).toMatchObject({ vm_state: 'active', host: 'second' });
    expect(await domains(id)).toEqual([undefined, 'running']);
  });
  test('evacuated, it waits for its user since 2.95; the dead host forgets it', async () => {
    for (const [version, state] of [['2.29', 'active'], ['2.95', 'stopped']] as const) {
      const id = await here();
      expect(await c.act(id, { evacuate: {} }, { who: 'admin', version })).toMatchObject({ status: 400, body: { badRequest: { message: 'Compute service of testhost is still in use.' } } });
      await c.t.rt.db('compute_hosts').where({ host: 'testhost' }).update({ forced_down: true });
      await act(id, { evacuate: {} }, { who: 'admin', version });
      await c.t.drain();
      await c.t.rt.db('compute_hosts').where({ host: 'testhost' }).update({ forced_down: false });
      expect(await rowOf(id)).toMatchObject({ vm_state: state, host: 'second', task_id: null });
      await restoreServers(c.deps, c.t.rt.log);
      expect(await domains(id)).toEqual([undefined, state === 'active' ? 'running' : 'shutdown']);
    }
  });
  test('refusals', async () => {
    const id = await here();
    const refused = async (body: unknown, message: string, version = '2.56') => expect(await c.act(id, body, { who: 'admin', version })).toMatchObject({ status: 400, body: { badRequest: { message } } });
    await refused({ migrate: { host: 'testhost' } }, 'Cannot migrate to the host where the server exists.');
    await refused({ migrate: { host: 'nowhere' } }, 'Compute host nowhere could not be found.');
    await refused({ 'os-migrateLive': { host: 'testhost', block_migration: 'auto' } }, `Unable to migrate instance (${id}) to current host (testhost).`);
    await only('testhost');
    await refused({ migrate: null }, 'No valid host was found. There are not enough hosts available.');
    expect(await c.act(id, { migrate: null })).toMatchObject({ status: 403 });
    await c.t.rt.db('compute_hosts').update({ disabled: false });
    expect(await rowOf(id)).toMatchObject({ vm_state: 'active', task_state: null });
    expect((await c.hypervisor.list(plainCall())).some(d => d.id === id)).toBe(true);
  });
  test('only workers of the cloud fetch disks', async () => {
    const id = await here();
    await act(id, { 'os-stop': null });
    await c.t.drain();
    const url = `${c.deps.disksUrl}/servers/${id}/disks`;
    expect((await fetch(url)).status).toBe(403);
    expect((await fetch(url, { headers: { 'x-cumulet-key': c.t.rt.sealer.seal(Buffer.from(String(Date.now() + 9_000)), `disks of ${id} on second`).toString('base64url') } })).status).toBe(403);
    expect((await fetch(url, { headers: { 'x-cumulet-key': c.t.rt.sealer.seal(Buffer.from(String(Date.now() - 1)), `disks of ${id} on testhost`).toString('base64url') } })).status).toBe(403);
    expect((await fetch(`${c.deps.disksUrl}/servers/../../etc/passwd`)).status).toBe(404);
  });
});
