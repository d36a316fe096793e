import { afterAll, beforeAll, expect, test } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing/cloud.ts';

let c: TestCloud;
let id: string;
beforeAll(async () => {
  c = await testCloud();
  const image = await c.image({ properties: { hw_disk_bus: 'virtio', mine: 'secret' } });
  id = await c.server({ imageRef: image, version: '2.100' });
}, 60_000);
afterAll(() => c.close());
const get = (path: string, version: string) => c.call('admin')('GET', `/v2.1${path}`, undefined, version);

test('2.98: the image\'s properties that compute understands are in the server', async () => {
  expect((await get(`/servers/${id}`, '2.97')).body.server.image).not.toHaveProperty('properties');
  expect((await get(`/servers/${id}`, '2.98')).body.server.image.properties).toEqual({ hw_disk_bus: 'virtio' });
  expect((await get('/servers/detail?all_tenants=1', '2.98')).body.servers[0].image.properties).toEqual({ hw_disk_bus: 'virtio' });
});
test('2.100: scheduler hints', async () => {
  expect((await get(`/servers/${id}`, '2.99')).body.server).not.toHaveProperty('scheduler_hints');
  expect((await get(`/servers/${id}`, '2.100')).body.server.scheduler_hints).toEqual({});
});
test('2.101: attaching is answered without a body', async () => {
  const volume = (await as(c.volumes, 'demo')('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume.id as string;
  await c.t.drain();
  expect(await c.call()('POST', `/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: volume } }, '2.101')).toMatchObject({ status: 202, body: undefined });
  await c.t.drain();
  expect((await get(`/servers/${id}/os-volume_attachments`, '2.101')).body.volumeAttachments).toMatchObject([{ volumeId: volume, device: '/dev/vdb' }]);
});
test('2.102: no rxtx_factor, flavors by name, and queries that nobody knows', async () => {
  expect((await get('/flavors/nano', '2.101')).body.flavor).toMatchObject({ rxtx_factor: 1, 'OS-FLV-DISABLED:disabled': false });
  const { body } = await get('/flavors/nano', '2.102');
  expect(body.flavor).not.toHaveProperty('rxtx_factor');
  expect(body.flavor).not.toHaveProperty('OS-FLV-DISABLED:disabled');
  expect((await get('/flavors?name=m1.tiny', '2.102')).body.flavors.map((f: { name: string }) => f.name)).toEqual(['m1.tiny']);
  expect((await get('/flavors?name=m1.tiny', '2.101')).status).toBe(400);
  const flavor = { name: 'f', ram: 1, vcpus: 1, disk: 0, rxtx_factor: 2 };
  expect((await c.call('admin')('POST', '/v2.1/flavors', { flavor }, '2.102')).status).toBe(400);
  expect((await c.call('admin')('POST', '/v2.1/flavors', { flavor }, '2.101')).body.flavor).toMatchObject({ rxtx_factor: 2 });
  expect((await get(`/servers/${id}?bogus=1`, '2.101')).status).toBe(200);
  expect(await get(`/servers/${id}?bogus=1`, '2.102')).toMatchObject({ status: 400, body: { badRequest: { message: expect.stringContaining("Additional properties are not allowed ('bogus' was unexpected)") } } });
});
test('2.103: os-volumes_boot is gone', async () => {
  expect((await c.call()('POST', '/v2.1/os-volumes_boot', {}, '2.102')).status).toBe(400);
  expect((await c.call()('POST', '/v2.1/os-volumes_boot', {}, '2.103')).status).toBe(404);
});
test('2.104: a server is pinned to its own zone, and unpinned', async () => {
  const put = (zone: string | null, version = '2.104') => c.call()('PUT', `/v2.1/servers/${id}`, { server: { pinned_availability_zone: zone } }, version);
  expect((await put('nova', '2.103')).status).toBe(400);
  expect(await put('elsewhere')).toMatchObject({ status: 409, body: { conflictingRequest: { message: "Server can only be pinned to its current availability zone 'nova', but 'elsewhere' was requested." } } });
  expect((await put('nova')).body.server).toMatchObject({ pinned_availability_zone: 'nova' });
  expect((await put('nova')).status).toBe(200);
  expect(await put('elsewhere')).toMatchObject({ status: 409, body: { conflictingRequest: { message: 'Cannot change pinned availability zone directly. Unpin first by setting pinned_availability_zone to null.' } } });
  expect((await put(null)).body.server).toMatchObject({ pinned_availability_zone: null });
});
test('2.97: no server has a share', async () => {
  expect((await get(`/servers/${id}/shares`, '2.96')).status).toBe(404);
  expect((await get(`/servers/${id}/shares`, '2.97')).body).toEqual({ shares: [] });
  expect((await c.call()('POST', `/v2.1/servers/${id}/shares`, { share: { share_id: id } }, '2.97')).status).toBe(409);
});
test('2.94: a hostname may be a domain name', async () => {
  const put = (version: string) => c.call()('PUT', `/v2.1/servers/${id}`, { server: { hostname: 'a.example.org' } }, version);
  expect((await put('2.93')).status).toBe(400);
  expect((await put('2.94')).body.server['OS-EXT-SRV-ATTR:hostname']).toBe('a.example.org');
});
test('2.7 and 2.37: access to a public flavor, and tags of networks that came and went', async () => {
  const access = (version: string) => c.call('admin')('POST', '/v2.1/flavors/nano/action', { addTenantAccess: { tenant: 'de'.repeat(16) } }, version);
  expect([(await access('2.6')).status, (await access('2.7')).status]).toEqual([200, 409]);
  // Of a flavor that is not there: whether the body is understood is asked first.
  const boot = async (version: string) => (await c.call()('POST', '/v2.1/servers', { server: { name: 't', imageRef: id, flavorRef: 'none', networks: [{ uuid: c.networkId, tag: 'foo' }] } }, version)).body.badRequest.message.includes("'tag' was unexpected") as boolean;
  expect(await Promise.all(['2.31', '2.32', '2.36', '2.37', '2.41', '2.42'].map(boot))).toEqual([true, false, false, true, true, false]);
});
