import { serviceUrl } from '@cumulet/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as } from '../../test/harness/service.ts';
import { testCloud, type TestCloud } from './testing/cloud.ts';

let c: TestCloud;
beforeAll(async () => { c = await testCloud(); });
afterAll(() => c.close());
const nothingIsStuck = async () => { expect(await c.t.rt.db('servers').whereNotNull('task_id')).toEqual([]); };

describe('a server\'s life', () => {
  test('boots with an address and is deleted without a trace', async () => {
    const before = await c.t.rt.db('quota_usage').where({ service: 'compute', project_id: 'de'.repeat(16) }).first('used');
    const key = await c.call()('POST', '/v2.1/os-keypairs', { keypair: { name: 'k' } });
    expect(key.body.keypair.public_key).toMatch(/^ssh-rsa AAAA/);
    const id = await c.server({ key_name: 'k', metadata: { a: 'b' }, user_data: Buffer.from('#!/bin/sh\n').toString('base64') });
    const server = await c.show(id);
    expect(server).toMatchObject({ status: 'ACTIVE', 'OS-EXT-STS:vm_state': 'active', 'OS-EXT-STS:power_state': 1, 'OS-EXT-STS:task_state': null, key_name: 'k', metadata: { a: 'b' }, security_groups: [{ name: 'default' }] });
    expect(server.addresses.private[0]).toMatchObject({ version: 4, 'OS-EXT-IPS:type': 'fixed' });
    expect((await c.call()('DELETE', `/v2.1/servers/${id}`)).status).toBe(204);
    await c.t.drain();
    expect((await c.call()('GET', `/v2.1/servers/${id}`)).status).toBe(404);
    expect(await c.t.rt.db('allocations').where({ server_id: id })).toEqual([]);
    expect(await c.t.rt.db('ports').where({ device_id: id })).toEqual([]);
    expect(await c.hypervisor.list({ signal: new AbortController().signal } as never)).toEqual([]);
    expect([...c.network.ports.keys()]).toEqual([]);
    expect(await c.t.rt.db('quota_usage').where({ service: 'compute', project_id: 'de'.repeat(16) }).first('used')).toMatchObject({ used: { instances: before?.used.instances ?? 0, cores: before?.used.cores ?? 0, ram: before?.used.ram ?? 0 } });
    await nothingIsStuck();
  });
  test('stop, start, reboot, pause, suspend', async () => {
    const id = await c.server();
    const steps: [unknown, string, number][] = [[{ 'os-stop': null }, 'SHUTOFF', 4], [{ 'os-start': null }, 'ACTIVE', 1], [{ reboot: { type: 'SOFT' } }, 'ACTIVE', 1], [{ reboot: { type: 'HARD' } }, 'ACTIVE', 1], [{ pause: null }, 'PAUSED', 3], [{ unpause: null }, 'ACTIVE', 1], [{ suspend: null }, 'SUSPENDED', 4], [{ resume: null }, 'ACTIVE', 1]];
    for (const [body, status, power] of steps) {
      expect(await c.act(id, body), JSON.stringify(body)).toMatchObject({ status: 202 });
      await c.t.drain();
      expect(await c.show(id), JSON.stringify(body)).toMatchObject({ status, 'OS-EXT-STS:power_state': power });
    }
    expect(await c.act(id, { 'os-start': null })).toMatchObject({ status: 409, body: { conflictingRequest: { message: `Cannot 'start' instance ${id} while it is in vm_state active` } } });
    expect((await c.call()('GET', `/v2.1/servers/${id}/os-instance-actions`)).body.instanceActions.map((a: { action: string }) => a.action)).toEqual(['resume', 'suspend', 'unpause', 'pause', 'reboot', 'reboot', 'start', 'stop', 'create']);
    const [{ request_id: request }] = (await c.call()('GET', `/v2.1/servers/${id}/os-instance-actions`)).body.instanceActions;
    expect((await c.call('admin')('GET', `/v2.1/servers/${id}/os-instance-actions/${request}`)).body.instanceAction.events[0]).toMatchObject({ event: 'compute_domain', result: 'Success', traceback: null });
    expect(await c.asking(c.act(id, { 'os-getConsoleOutput': { length: 2 } }))).toMatchObject({ status: 200, body: { output: expect.any(String) } });
  });
  test('locks', async () => {
    const id = await c.server();
    expect((await c.act(id, { lock: null }, { who: 'admin' })).status).toBe(202);
    expect(await c.act(id, { 'os-stop': null })).toMatchObject({ status: 409, body: { conflictingRequest: { code: 409, message: `Instance ${id} is locked` } } });
    expect(await c.call()('DELETE', `/v2.1/servers/${id}`)).toMatchObject({ status: 409, body: { conflictingRequest: { message: `Instance ${id} is locked` } } });
    expect(await c.act(id, { unlock: null })).toMatchObject({ status: 403, body: { forbidden: { message: "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed." } } });
    expect(await c.act(id, { lock: { locked_reason: 'x' } }, { who: 'admin', version: '2.73' })).toMatchObject({ status: 202 });
    expect(await c.show(id, 'demo', '2.73')).toMatchObject({ locked: true, locked_reason: 'x' });
    expect((await c.call()('GET', '/v2.1/servers?locked=true', undefined, '2.73')).body.servers.map((s: { id: string }) => s.id)).toEqual([id]);
    expect((await c.act(id, { unlock: null }, { who: 'admin' })).status).toBe(202);
    expect(await c.act(id, { lock: { bogus: 1 } }, { version: '2.73' })).toMatchObject({ status: 400 });
    expect((await c.act(id, { lock: { bogus: 1 } })).status).toBe(202);
  });
  test('shelve puts an image away and unshelve takes it back', async () => {
    const id = await c.server({ name: 'sh' });
    expect((await c.act(id, { shelve: null })).status).toBe(202);
    expect(await c.show(id)).toMatchObject({ 'OS-EXT-STS:task_state': 'shelving' });
    await c.t.drain();
    expect(await c.show(id)).toMatchObject({ status: 'SHELVED_OFFLOADED', 'OS-EXT-SRV-ATTR:host': null, 'OS-EXT-STS:power_state': 0 });
    const list = async () => (await as(c.images, 'demo')('GET', '/v2/images?name=sh-shelved')).body.images;
    expect(await list()).toMatchObject([{ name: 'sh-shelved', status: 'active', image_type: 'snapshot' }]);
    expect(await c.t.rt.db('allocations').where({ server_id: id })).toEqual([]);
    expect(await c.act(id, { shelveOffload: null }, { who: 'admin' })).toMatchObject({ status: 409, body: { conflictingRequest: { message: `Cannot 'shelveOffload' instance ${id} while it is in vm_state shelved_offloaded` } } });
    expect((await c.act(id, { unshelve: null })).status).toBe(202);
    await c.t.drain();
    expect(await c.show(id)).toMatchObject({ status: 'ACTIVE', 'OS-EXT-SRV-ATTR:host': 'testhost' });
    expect(await list()).toEqual([]);
    await nothingIsStuck();
  });
  test('a volume waits with a shelved server', async () => {
    const id = await c.server();
    await c.act(id, { shelve: null });
    const { body } = await as(c.volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } });
    await c.t.drain();
    const status = async () => (await as(c.volumes, 'demo')('GET', `/v3/volumes/${body.volume.id}`)).body.volume.status;
    expect((await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: body.volume.id } }, '2.20')).status).toBe(200);
    expect(await status()).toBe('in-use');
    await c.act(id, { unshelve: null });
    await c.t.drain();
    expect(await c.show(id)).toMatchObject({ status: 'ACTIVE', 'os-extended-volumes:volumes_attached': [{ id: body.volume.id }] });
    expect((await c.hypervisor.servers.devices({ signal: new AbortController().signal } as never, id)).disks.map(d => d.volumeId)).toContain(body.volume.id);
    await c.call()('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    expect(await status()).toBe('available');
  });
  test('what a server cannot do is told in upstream\'s words, and in upstream\'s order', async () => {
    const id = await c.server();
    const conflict = (message: string) => ({ status: 409, body: { conflictingRequest: { message } } });
    const volume = await as(c.volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } });
    await c.act(id, { 'os-stop': null });
    await c.t.drain();
    const attach = (version?: string) => c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.body.volume.id } }, version);
    expect(await c.call('admin')('GET', `/v2.1/servers/${id}/diagnostics`)).toMatchObject(conflict(`Cannot 'get_diagnostics' instance ${id} while it is in power state shutdown`));
    for (const [verb, path, body, action] of [['POST', '/action', { force_complete: null }, 'force_complete'], ['DELETE', '', undefined, 'abort live migration']] as const) {
      expect(await c.call('admin')(verb, `/v2.1/servers/${id}/migrations/7${path}`, body, '2.24')).toMatchObject(conflict(action === 'force_complete' ? `Cannot 'force_complete' instance ${id} while it is in vm_state stopped` : `Instance ${id} is in an invalid state for '${action}'`));
    }
    await c.t.rt.db('compute_hosts').update({ forced_down: true });
    for (const [body, who] of [[{ migrate: null }, 'admin'], [{ resize: { flavorRef: '1' } }, 'demo']] as const) expect(await c.act(id, body, { who })).toMatchObject(conflict('Service is unavailable at this time.'));
    await c.t.rt.db('compute_hosts').update({ forced_down: false });
    // A lock is no matter for images.
    await c.act(id, { lock: null }, { who: 'admin' });
    const backup = await c.act(id, { createBackup: { name: 'b', backup_type: 'daily', rotation: 1 } });
    expect(backup).toMatchObject({ status: 202, headers: { location: expect.stringMatching(new RegExp(`^${serviceUrl(c.t.rt.settings, 'image')}/images/[0-9a-f-]{36}$`)) } });
    await c.t.drain();
    await c.act(id, { unlock: null }, { who: 'admin' });
    await c.act(id, { shelve: null });
    await c.t.drain();
    for (const action of ['os-start', 'os-stop', 'trigger_crash_dump']) expect(await c.act(id, { [action]: null }, { version: '2.17', who: 'admin' }), action).toMatchObject(conflict(`Instance ${id} is not ready`));
    expect(await c.act(id, { pause: null })).toMatchObject(conflict(`Cannot 'pause' instance ${id} while it is in vm_state shelved_offloaded`));
    expect(await attach('2.19')).toMatchObject(conflict(`Cannot 'attach_volume' instance ${id} while it is in vm_state shelved_offloaded`));
    expect((await attach('2.20')).status).toBe(200);
    const bfv = (await c.call()('POST', '/v2.1/servers', { server: { name: 'bfv', flavorRef: 'nano', networks: [{ uuid: c.networkId }], block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', destination_type: 'volume', uuid: (await c.show(id)).image.id, volume_size: 1 }] } })).body.server.id as string;
    await c.t.drain();
    const [{ id: root }] = (await c.show(bfv))['os-extended-volumes:volumes_attached'];
    expect(await c.call()('DELETE', `/v2.1/servers/${bfv}/os-volume_attachments/${root}`)).toMatchObject({ status: 400, body: { badRequest: { message: 'Cannot detach a root device volume' } } });
    for (const server of [id, bfv]) await c.call()('DELETE', `/v2.1/servers/${server}`);
    await c.t.drain();
    await nothingIsStuck();
  });
  test('rescue and unrescue', async () => {
    const id = await c.server();
    const r = await c.act(id, { rescue: null });
    expect(r).toMatchObject({ status: 200, body: { adminPass: expect.stringMatching(/^.{12}$/) } });
    await c.t.drain();
    expect(await c.show(id)).toMatchObject({ status: 'RESCUE', 'OS-EXT-STS:vm_state': 'rescued' });
    expect(await c.act(id, { reboot: { type: 'HARD' } })).toMatchObject({ status: 409 });
    expect((await c.act(id, { unrescue: null })).status).toBe(202);
    await c.t.drain();
    expect(await c.show(id)).toMatchObject({ status: 'ACTIVE' });
  });
  test('volumes come and go', async () => {
    const id = await c.server();
    const volume = await as(c.volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1, name: 'v' } });
    expect(volume.status).toBe(202);
    await c.t.drain();
    const vid = volume.body.volume.id;
    expect(await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: vid } })).toMatchObject({ status: 200, body: { volumeAttachment: { volumeId: vid, serverId: id, device: '/dev/vdb' } } });
    await c.t.drain();
    expect((await as(c.volumes, 'demo')('GET', `/v3/volumes/${vid}`)).body.volume).toMatchObject({ status: 'in-use', attachments: [{ server_id: id, device: '/dev/vdb' }] });
    expect(await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: vid } })).toMatchObject({ status: 400, body: { badRequest: { message: `Invalid volume: volume ${vid} is already attached to instances: ${id}` } } });
    expect((await c.show(id))['os-extended-volumes:volumes_attached']).toEqual([{ id: vid }]);
    for (const b of [{ 'os-stop': null }, { 'os-start': null }]) { await c.act(id, b); await c.t.drain(); }
    expect(await c.show(id)).toMatchObject({ status: 'ACTIVE' });
    expect((await c.call()('DELETE', `/v2.1/servers/${id}/os-volume_attachments/${vid}`)).status).toBe(202);
    await c.t.drain();
    expect((await as(c.volumes, 'demo')('GET', `/v3/volumes/${vid}`)).body.volume.status).toBe('available');
    await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: vid } });
    await c.t.drain();
    await c.call()('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    expect((await as(c.volumes, 'demo')('GET', `/v3/volumes/${vid}`)).body.volume.status).toBe('available');
  });
});

test('use comes in pages from 2.40 on, and ends with an empty one', async () => {
  await c.server({ name: 'used' });
  const ask = (more: string, version = '2.40') => c.call('demo')('GET', `/v2.1/os-simple-tenant-usage/${'de'.repeat(16)}?${more}`, undefined, version);
  type Used = { instance_id: string }[];
  const whole: Used = (await ask('', '2.39')).body.tenant_usage.server_usages;
  const found: string[] = [];
  // As dashboards and nova's client do: on from the last server until there is none.
  for (let marker = ''; ;) {
    const { body } = await ask(`limit=2${marker}`);
    const page: Used = body.tenant_usage.server_usages ?? [];
    expect(page.length).toBeLessThanOrEqual(2);
    const last = page.at(-1)?.instance_id;
    if (last === undefined) { expect(body).toEqual({ tenant_usage: {} }); break; }
    if (page.length === 2) expect(body.tenant_usage_links[0]).toMatchObject({ rel: 'next', href: expect.stringContaining(`marker=${last}`) });
    found.push(...page.map(u => u.instance_id));
    marker = `&marker=${last}`;
  }
  expect(found).toEqual(whole.map(u => u.instance_id));
  expect(found.length).toBeGreaterThan(2);
  expect(await ask('marker=none')).toMatchObject({ status: 400, body: { badRequest: { message: 'Marker none could not be found.' } } });
  const all = await c.call('admin')('GET', '/v2.1/os-simple-tenant-usage?limit=1&detailed=1', undefined, '2.40');
  expect(all.body).toMatchObject({ tenant_usages: [{ server_usages: [{}] }], tenant_usages_links: [{ rel: 'next' }] });
});
