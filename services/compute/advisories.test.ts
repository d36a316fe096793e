import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { qcow2 } from '@cumulet/diskimage/testing';
import { plainCall } from '@cumulet/drivers';
import { createRunner } from '@cumulet/exec';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as, callers } from '../../test/harness/service.ts';
import { ImageCache } from './image_cache.ts';
import { testCloud, type TestCloud } from './testing/cloud.ts';

/**
 * What upstream's security advisories about Nova call for, each as what an attacker would try. Elsewhere: consoles (CVE-2015-0259, OSSN-0101, CVE-2021-3654, CVE-2015-9543) in
 * consoles/consoles.test.ts; formats, limits and cages of qemu-img (CVE-2015-5162, CVE-2026-24708) in packages/diskimage; what a guest writes into its disk, at a snapshot, resize and rescue
 * (CVE-2015-7548, CVE-2016-2140, CVE-2014-0134) in the hypervisor's libvirt/files.test.ts; encrypted volumes that are swapped (CVE-2017-18191) in test/backends/volumes.test.ts; the destination's own
 * definition at a live migration (CVE-2020-17376) in plans/move.test.ts; policy without bodies (CVE-2026-42999) in test/policy.
 */
let c: TestCloud;
const project = callers.demo.projectId as string;
beforeAll(async () => {
  c = await testCloud({ CUMULET_COMPUTE_SCHEDULER_ISOLATED_HOSTS: '[]' });
  await c.t.rt.db('quotas').insert(['instances', 'cores', 'ram'].map(resource => ({ service: 'compute', project_id: project, resource, hard_limit: -1 })));
}, 60_000);
afterAll(() => c.close());
const cinder = (...args: Parameters<ReturnType<typeof as>>) => as(c.volumes, 'demo', 'volume')(...args);
const volume = async (): Promise<string> => { const { id } = (await cinder('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume; await c.t.drain(); return id as string; };

const vmdk = Buffer.concat([Buffer.from('# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/passwd" 0\n'), Buffer.alloc(2_048)]);

describe('an image that is not what it says, however it came into the store', () => {
  const cases: [string, string, Buffer][] = [
    ['CVE-2024-32498: qcow2 with a data file', 'qcow2', qcow2({ dataFile: '/etc/passwd' })], ['CVE-2015-5163: qcow2 with a backing file', 'qcow2', qcow2({ backing: '/etc/passwd' })],
    ['CVE-2024-40767: qcow2 that is called raw', 'raw', qcow2()], ['CVE-2024-40767: vmdk that is called raw', 'raw', vmdk], ['CVE-2022-47951: vmdk with a flat extent', 'vmdk', vmdk],
  ];
  test.each(cases)('%s is refused before any tool opens it', async (_, format, bytes) => {
    const id = await c.image({ name: 'odd', diskFormat: 'raw' });
    // As if the store had been written to behind the service's back: every fact of the row agrees with the bytes.
    await writeFile(join(c.t.rt.settings.home, 'images', id), bytes);
    await c.t.rt.db('images').where({ id }).update({ disk_format: format, size: bytes.length, virtual_size: null, checksum: createHash('md5').update(bytes).digest('hex'), os_hash_value: createHash('sha512').update(bytes).digest('hex') });
    const cache = new ImageCache(join(c.t.rt.settings.home, 'cache'), c.deps.access, createRunner({ log: c.t.rt.log }));
    const failure = await cache.fetch(plainCall(), { id, disk_format: format, properties: {} } as never).then(() => undefined, (error: Error) => error);
    expect(failure).toMatchObject({ kind: 'invalid' });
    expect(String(failure?.message)).not.toMatch(/passwd|root:/);
  });
  test('and never becomes active when it is uploaded', async () => {
    for (const [, format, bytes] of cases) {
      const { id } = (await as(c.images, 'demo')('POST', '/v2/images', { name: 'u', disk_format: format, container_format: 'bare' })).body;
      await as(c.images, 'demo')('PUT', `/v2/images/${id}/file`, bytes, undefined, { 'content-type': 'application/octet-stream' });
      expect((await as(c.images, 'demo')('GET', `/v2/images/${id}`)).body.status).not.toBe('active');
    }
  });
});

test('CVE-2023-2088: what compute attached is not taken away behind its back', async () => {
  const id = await c.server();
  const v = await volume();
  await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: v } });
  await c.t.drain();
  const attachment = (await cinder('GET', '/v3/attachments', undefined, '3.27')).body.attachments.find((a: { volume_id: string }) => a.volume_id === v).id as string;
  expect((await cinder('DELETE', `/v3/attachments/${attachment}`, undefined, '3.27')).status).toBe(409);
  for (const body of [{ 'os-detach': { attachment_id: attachment } }, { 'os-terminate_connection': { connector: { host: 'testhost' } } }, { 'os-force_detach': { attachment_id: attachment, connector: { host: 'testhost' } } }]) {
    expect([Object.keys(body)[0], (await cinder('POST', `/v3/volumes/${v}/action`, body)).status]).toEqual([Object.keys(body)[0], expect.toSatisfy((s: number) => s === 403 || s === 409)]);
  }
  expect((await cinder('GET', `/v3/volumes/${v}`)).body.volume.status).toBe('in-use');
});
test('LP 2138566: nobody reads or changes another project\'s attachments', async () => {
  const id = await c.server();
  const v = await volume();
  await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: v } });
  await c.t.drain();
  const path = `/v2.1/servers/${id}/os-volume_attachments`;
  for (const [method, url, body] of [['GET', path], ['GET', `${path}/${v}`], ['PUT', `${path}/${v}`, { volumeAttachment: { volumeId: v } }], ['DELETE', `${path}/${v}`], ['POST', path, { volumeAttachment: { volumeId: v } }]] as const) expect([method, (await c.call('other')(method, url, body, '2.85')).status]).toEqual([method, 404]);
});
test('OSSN-0094: volumes are swapped by nobody but the service that migrates them', async () => {
  const id = await c.server();
  const [v, w] = [await volume(), await volume()];
  await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: v } });
  await c.t.drain();
  const put = (who: 'demo' | 'admin', to: string, version: string, more: object = {}) => c.call(who)('PUT', `/v2.1/servers/${id}/os-volume_attachments/${v}`, { volumeAttachment: { volumeId: to, ...more } }, version);
  for (const version of ['2.1', '2.84', '2.85', '2.104']) {
    expect([version, (await put('demo', w, version)).status]).toEqual([version, 403]);
    expect(await put('admin', w, version)).toMatchObject({ status: 409, body: { conflictingRequest: { message: `volume ${v} is not migrating; this API should only be called by Cinder` } } });
  }
  expect((await put('admin', '3fa85f64-5717-4562-b3fc-2c963f66afa6', '2.85')).status).toBe(400);
  // What may be changed since 2.85 is what becomes of it at the end.
  expect((await put('demo', v, '2.85', { delete_on_termination: true })).status).toBe(202);
  expect((await put('demo', v, '2.85', { tag: 'x' })).body.badRequest.message).toBe('The tag property is not mutable');
  expect((await put('demo', v, '2.85', { device: '/dev/vdz' })).body.badRequest.message).toBe('The device property is not mutable');
  expect((await c.call()('GET', `/v2.1/servers/${id}/os-volume_attachments/${v}`, undefined, '2.85')).body.volumeAttachment).toMatchObject({ volumeId: v, delete_on_termination: true });
});
test('CVE-2019-14433: what went wrong names no host, file or exception to users', async () => {
  const id = await c.server();
  await c.t.rt.db('servers').where({ id }).update({ vm_state: 'error', fault: JSON.stringify({ code: 500, message: 'No valid host was found.', created: '2026-01-01T00:00:00Z', details: 'Filter results: on testhost /var/lib/x' }) });
  for (const path of [`/servers/${id}`, '/servers/detail?status=error']) {
    const { body } = await c.call()('GET', `/v2.1${path}`, undefined, '2.96');
    expect(JSON.stringify(body)).not.toMatch(/testhost|var\/lib/);
    const fault = (body.server ?? body.servers.find((s: { id: string }) => s.id === id)).fault;
    expect(fault).toEqual({ code: 500, message: 'No valid host was found.', created: '2026-01-01T00:00:00Z' });
  }
  expect((await c.show(id)).fault.details).toMatch(/testhost/);
});
test('a build that fails tells users no more than that', async () => {
  await c.beat();
  for (let i = 1; i <= 5; i++) c.hypervisor.faults.failAt('servers.create', i, new Error('secret path /var/lib/secret on testhost'));
  const { body } = await c.call()('POST', '/v2.1/servers', { server: { name: 'f', flavorRef: 'nano', imageRef: await c.image(), networks: 'none' } }, '2.37');
  await c.t.drain();
  c.hypervisor.faults.clear();
  const { body: shown } = await c.call()('GET', `/v2.1/servers/${body.server.id}`);
  expect(shown.server.status).toBe('ERROR');
  expect(JSON.stringify(shown)).not.toMatch(/secret/);
});
test('CVE-2017-16239, CVE-2017-17051: a rebuild asks the scheduler again and takes no second share of its host', async () => {
  const id = await c.server();
  const held = () => c.t.rt.db('allocations').where({ server_id: id }).select('host', 'vcpus', 'memory_mb', 'disk_gb');
  const before = await held();
  for (let i = 0; i < 3; i++) { expect((await c.act(id, { rebuild: { imageRef: await c.image({ name: `r${i}` }) } })).status).toBe(202); await c.t.drain(); }
  expect(await held()).toEqual(before);
  const odd = await c.image({ name: 'odd', properties: { hw_architecture: 'aarch64' } });
  expect(await c.act(id, { rebuild: { imageRef: odd } })).toMatchObject({ status: 400, body: { badRequest: { message: 'No valid host was found. There are not enough hosts available.' } } });
  expect(await c.show(id)).toMatchObject({ status: 'ACTIVE' });
});
test('an image of volumes holds no way to reach them', async () => {
  const root = (await cinder('POST', '/v3/volumes', { volume: { size: 1, imageRef: await c.image() } })).body.volume.id as string;
  await c.t.drain();
  await c.beat();
  const { body } = await c.call()('POST', '/v2.1/servers', { server: { name: 'b', flavorRef: 'nano', networks: 'none', block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: root, destination_type: 'volume' }] } }, '2.37');
  await c.t.drain();
  const made = await c.act(body.server.id, { createImage: { name: 'i' } }, { version: '2.45' });
  await c.t.drain();
  const image = JSON.stringify((await as(c.images, 'demo')('GET', `/v2/images/${made.body.image_id}`)).body);
  expect(image).toContain('snapshot_id');
  expect(image).not.toMatch(/connection_info|auth_password|device_path|"data"/);
});
test('CVE-2026-42999: a body or query does not decide whose something is', async () => {
  const mine = await c.server({ who: 'demo', name: 'mine' });
  expect((await c.call('other')('POST', '/v2.1/servers', { server: { name: 'x', flavorRef: 'nano', imageRef: mine, networks: 'none', tenant_id: project } }, '2.37')).status).toBe(400);
  for (const q of [`project_id=${project}`, `tenant_id=${project}`, 'all_tenants=1&project_id=x', `user_id=${callers.demo.userId}`]) {
    const { status, body } = await c.call('other')('GET', `/v2.1/servers?${q}`);
    expect([q, status === 403 || body.servers.length === 0]).toEqual([q, true]);
  }
  expect((await c.call('other')('POST', `/v2.1/servers/${mine}/action`, { 'os-stop': null, target: { project_id: callers.other.projectId } })).status).toBe(400);
  expect((await c.call('other')('POST', `/v2.1/servers/${mine}/action`, { 'os-stop': { project_id: callers.other.projectId } })).status).toBe(404);
});
test('CVE-2013-2096: what an image unfolds to is measured against the flavor', async () => {
  const id = await c.image({ name: 'bomb', diskFormat: 'raw' });
  await c.t.rt.db('images').where({ id }).update({ disk_format: 'qcow2', virtual_size: 2 ** 45 });
  await c.beat();
  const r = await c.call()('POST', '/v2.1/servers', { server: { name: 'x', flavorRef: 'nano', imageRef: id, networks: 'none' } }, '2.37');
  expect(r).toMatchObject({ status: 400, body: { badRequest: { message: expect.stringMatching(/^Flavor's disk is too small for requested image/) } } });
});
