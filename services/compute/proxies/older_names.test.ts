import { afterAll, beforeAll, expect, test } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing/cloud.ts';

let c: TestCloud;
beforeAll(async () => { c = await testCloud(); await c.beat(); }, 60_000);
afterAll(() => c.close());

test('volumes and snapshots by their older names', async () => {
  const call = c.call();
  const made = await call('POST', '/v2.1/os-volumes', { volume: { size: '1', display_name: 'old', display_description: 'd', metadata: { k: 'v' } } });
  expect(made).toMatchObject({ status: 200, body: { volume: { displayName: 'old', displayDescription: 'd', size: 1, status: 'creating', attachments: [{}], metadata: { k: 'v' }, snapshotId: null, volumeType: '__DEFAULT__' } } });
  const { id } = made.body.volume as { id: string };
  expect(made.headers['location']).toMatch(new RegExp(`/v2.1/os-volumes/${id}$`));
  await c.t.drain();
  expect((await call('GET', `/v2.1/os-volumes/${id}`)).body.volume.status).toBe('available');
  expect((await call('GET', '/v2.1/os-volumes/detail?limit=1')).body.volumes).toHaveLength(1);
  expect((await call('GET', '/v2.1/os-volumes?offset=1')).body.volumes).toEqual([]);
  expect((await call('GET', '/v2.1/os-volumes?limit=x')).status).toBe(400);
  const snapshot = await call('POST', '/v2.1/os-snapshots', { snapshot: { volume_id: id, display_name: 's', force: 'True' } });
  expect(snapshot).toMatchObject({ status: 200, body: { snapshot: { volumeId: id, displayName: 's', size: 1 } } });
  const sid = snapshot.body.snapshot.id as string;
  await c.t.drain();
  expect((await call('GET', '/v2.1/os-snapshots/detail')).body.snapshots).toMatchObject([{ id: sid, status: 'available' }]);
  expect(await call('DELETE', `/v2.1/os-volumes/${id}`)).toMatchObject({ status: 400, body: { badRequest: { message: expect.stringMatching(/^Invalid input received: /) } } });
  expect((await call('POST', '/v2.1/os-volumes', { volume: { size: 1, snapshot_id: sid } })).body.volume).toMatchObject({ snapshotId: sid });
  await c.t.drain();
  expect((await c.call('other')('GET', `/v2.1/os-volumes/${id}`)).status).toBe(404);
  expect((await c.call('other')('DELETE', `/v2.1/os-snapshots/${sid}`)).status).toBe(404);
  expect((await c.call('reader')('DELETE', `/v2.1/os-volumes/${id}`)).status).toBe(403);
  expect((await call('DELETE', `/v2.1/os-snapshots/${sid}`)).status).toBe(202);
  await c.t.drain();
  expect((await call('DELETE', `/v2.1/os-volumes/${id}`)).status).toBe(202);
  await c.t.drain();
  expect((await call('GET', `/v2.1/os-volumes/${id}`)).status).toBe(404);
  expect((await call('POST', '/v2.1/os-volumes', { volume: { size: 1 } }, '2.36')).status).toBe(404);
  expect((await as(c.volumes, 'admin')('PUT', `/v3/${'ad'.repeat(16)}/os-quota-sets/${'de'.repeat(16)}`, { quota_set: { volumes: 1 } })).status).toBe(200);
  expect((await call('POST', '/v2.1/os-volumes', { volume: { size: 1 } })).status).toBe(403);
});
test('an image\'s properties by their older name keep the image service\'s rules', async () => {
  const image = (await as(c.images, 'demo')('POST', '/v2/images', { name: 'mine', disk_format: 'raw', container_format: 'bare' })).body.id as string;
  expect((await c.call()('POST', `/v2.1/images/${image}/metadata`, { metadata: { a: 'b' } })).body).toEqual({ metadata: { a: 'b' } });
  expect((await c.call()('PUT', `/v2.1/images/${image}/metadata/a`, { meta: { a: 'c' } })).body).toEqual({ meta: { a: 'c' } });
  expect((await c.call()('POST', `/v2.1/images/${image}/metadata`, { metadata: { os_glance_import_task: 'x' } })).status).toBe(403);
  expect((await c.call('other')('POST', `/v2.1/images/${image}/metadata`, { metadata: { a: 'd' } })).status).toBe(404);
  const open = await c.image();
  expect((await c.call('other')('POST', `/v2.1/images/${open}/metadata`, { metadata: { a: 'd' } })).status).toBe(403);
  expect((await c.call()('GET', `/v2.1/images/${image}/metadata`)).body).toEqual({ metadata: { a: 'c' } });
});
test('a rule keeps the prefix as it was given', async () => {
  const group = (await c.call()('POST', '/v2.1/os-security-groups', { security_group: { name: 'g', description: 'd' } })).body.security_group.id as string;
  expect((await c.call()('POST', '/v2.1/os-security-group-rules', { security_group_rule: { parent_group_id: group, ip_protocol: 'icmp', from_port: -1, to_port: -1, group_id: group } })).body.security_group_rule).toMatchObject({ ip_protocol: 'icmp', from_port: -1, to_port: -1, group: { name: 'g' } });
  const { body } = await c.call()('POST', '/v2.1/os-security-group-rules', { security_group_rule: { parent_group_id: group, ip_protocol: 'tcp', from_port: 1, to_port: 2, cidr: '10.2.3.124/24' } });
  expect(body.security_group_rule).toMatchObject({ ip_range: { cidr: '10.2.3.124/24' }, group: {} });
  expect((await as(c.networks, 'demo')('GET', `/v2.0/security-group-rules/${body.security_group_rule.id}`)).body.security_group_rule).toMatchObject({ remote_ip_prefix: '10.2.3.124/24', normalized_cidr: '10.2.3.0/24' });
  expect((await as(c.networks, 'demo')('GET', '/v2.0/security-group-rules?remote_ip_prefix=10.2.3.124/24')).body.security_group_rules).toHaveLength(1);
});
