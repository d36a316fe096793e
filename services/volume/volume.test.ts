import { newId } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import { bootstrap, makeApp, openWork, volumesOf } from './index.ts';

let t: TestRuntime;
let app: FastifyInstance;
let demo: ReturnType<typeof as>;
let admin: ReturnType<typeof as>;
beforeAll(async () => {
  t = await testRuntime();
  await bootstrap(t.rt);
  const work = await openWork(t.rt);
  t.serve(work);
  await work.start?.();
  app = await makeApp(t.rt);
  demo = as(app, 'demo', 'volume');
  admin = as(app, 'admin', 'volume');
});
afterAll(async () => { await app.close(); await t.close(); });

const make = async (body: object = {}, version?: string) => {
  const r = await demo('POST', '/v3/volumes', { volume: { size: 1, ...body } }, version);
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  await t.drain();
  return r.body.volume.id as string;
};
/** The answer to a request that waits for its task: tasks are run until it is there. */
async function served<T>(asked: Promise<T>): Promise<T> {
  for (let there = false; !there;) {
    await t.drain();
    there = await Promise.race([asked.then(() => true), new Promise<boolean>(go => setTimeout(() => go(false), 20))]);
  }
  return asked;
}
const show = async (id: string, version?: string) => (await demo('GET', `/v3/volumes/${id}`, undefined, version)).body.volume;

test('the version is asked under the names of the catalogue too', async () => {
  const asked = (version: string) => demo('GET', '/v3/attachments', undefined, undefined, { 'openstack-api-version': version });
  expect((await asked('volume 3.26')).status).toBe(404);
  for (const name of ['volume', 'volumev3', 'volumev2']) expect(await asked(`${name} 3.27`)).toMatchObject({ status: 200, headers: { 'openstack-api-version': 'volume 3.27' } });
});
test('a volume from its creation to its end', async () => {
  const id = await make({ name: 'a', metadata: { k: 'v' } });
  expect(await show(id)).toMatchObject({ status: 'available', size: 1, name: 'a', volume_type: '__DEFAULT__', bootable: 'false', metadata: { k: 'v' } });
  expect((await demo('POST', `/v3/volumes/${id}/action`, { 'os-extend': { new_size: 2 } })).status).toBe(202);
  await t.drain();
  expect(await show(id)).toMatchObject({ status: 'available', size: 2 });
  const snapshot = (await demo('POST', '/v3/snapshots', { snapshot: { volume_id: id, name: 's' } })).body.snapshot;
  await t.drain();
  expect((await demo('GET', `/v3/snapshots/${snapshot.id}`)).body.snapshot).toMatchObject({ status: 'available', size: 2, 'os-extended-snapshot-attributes:progress': '100%' });
  expect(await demo('DELETE', `/v3/volumes/${id}`)).toMatchObject({ status: 400 });
  const copy = await make({ snapshot_id: snapshot.id, size: 3 });
  expect(await show(copy)).toMatchObject({ status: 'available', size: 3, snapshot_id: snapshot.id });
  const clone = await make({ source_volid: id, size: 2 });
  expect(await show(clone)).toMatchObject({ status: 'available', source_volid: id });
  expect((await demo('DELETE', `/v3/snapshots/${snapshot.id}`)).status).toBe(202);
  await t.drain();
  for (const each of [id, copy, clone]) expect((await demo('DELETE', `/v3/volumes/${each}`)).status).toBe(202);
  await t.drain();
  expect((await demo('GET', `/v3/volumes/${id}`)).status).toBe(404);
  expect((await demo('GET', '/v3/limits')).body.limits.absolute).toMatchObject({ totalVolumesUsed: 0, totalGigabytesUsed: 0, totalSnapshotsUsed: 0 });
  expect((await t.rt.db('volume_pools').select('allocated_gb', 'volume_count'))).toEqual([{ allocated_gb: 0, volume_count: 0 }]);
});
test('the newest and the oldest version', async () => {
  const id = await make({}, '3.71');
  const newest = Object.keys(await show(id, '3.71'));
  const oldest = Object.keys(await show(id));
  for (const key of ['group_id', 'shared_targets', 'service_uuid', 'volume_type_id', 'consumes_quota']) { expect(newest).toContain(key); expect(oldest).not.toContain(key); }
  expect((await demo('POST', '/v3/volumes', { volume: { size: 1, zzz: 1 } }, '3.53')).body.badRequest.message).toContain("Additional properties are not allowed ('zzz' was unexpected)");
  const old = await demo('POST', '/v3/volumes', { volume: { size: 1, zzz: 1 } });
  expect(old.status).toBe(202);
  await t.drain();
  expect((await demo('DELETE', `/v3/volumes/${id}?cascade=true`)).status).toBe(202);
});
test('attachments, and the calls before them', async () => {
  const id = await make();
  const server = newId();
  const made = await demo('POST', '/v3/attachments', { attachment: { volume_uuid: id, instance_uuid: server } }, '3.44');
  expect(made).toMatchObject({ status: 200, body: { attachment: { status: 'reserved', instance: server, connection_info: {} } } });
  expect(await show(id)).toMatchObject({ status: 'reserved' });
  expect((await demo('POST', '/v3/attachments', { attachment: { volume_uuid: id, instance_uuid: newId() } }, '3.44')).status).toBe(400);
  const putting = demo('PUT', `/v3/attachments/${made.body.attachment.id}`, { attachment: { connector: { host: 'testhost' } } }, '3.44');
  expect(await served(putting)).toMatchObject({ status: 200, body: { attachment: { status: 'attaching', connection_info: { driver_volume_type: 'local', attachment_id: made.body.attachment.id } } } });
  expect((await demo('POST', `/v3/attachments/${made.body.attachment.id}/action`, { 'os-complete': null }, '3.44')).status).toBe(204);
  expect(await show(id)).toMatchObject({ status: 'in-use', attachments: [{ server_id: server, attachment_id: made.body.attachment.id, host_name: null }] });
  const deleting = demo('DELETE', `/v3/attachments/${made.body.attachment.id}`, undefined, '3.44');
  expect(await served(deleting)).toMatchObject({ status: 200, body: { attachments: [] } });
  expect(await show(id)).toMatchObject({ status: 'available' });
  expect((await admin('GET', `/v3/attachments/${made.body.attachment.id}`, undefined, '3.44')).status).toBe(404);
  for (const [action, status] of [[{ 'os-reserve': null }, 'attaching'], [{ 'os-unreserve': null }, 'available'], [{ 'os-attach': { instance_uuid: server, mountpoint: '/dev/vdb' } }, 'in-use'], [{ 'os-begin_detaching': null }, 'detaching'], [{ 'os-roll_detaching': null }, 'in-use'], [{ 'os-detach': {} }, 'available']] as const) {
    expect((await demo('POST', `/v3/volumes/${id}/action`, action)).status, JSON.stringify(action)).toBe(202);
    expect(await show(id)).toMatchObject({ status });
  }
});
test('compute in its own transaction', async () => {
  const volumes = volumesOf(t.rt);
  const who = { projectId: 'de'.repeat(16), userId: 'd'.repeat(32) };
  const { volume, attachment } = await t.rt.db.transaction(async trx => {
    const made = await volumes.createFor(trx, t.rt.tasks, { by: who, sizeGiB: 1, source: { blank: true } });
    return { volume: made, attachment: await volumes.reserve(trx, { volumeId: made.id, serverId: newId(), who }) };
  });
  expect(await show(volume.id)).toMatchObject({ status: 'creating' });
  await t.drain();
  await t.rt.db.transaction(trx => volumes.complete(trx, attachment.id, { device: '/dev/vda' }));
  expect(await show(volume.id)).toMatchObject({ status: 'in-use' });
  expect((await demo('DELETE', `/v3/attachments/${attachment.id}`, undefined, '3.44')).body.conflictingRequest.message).toMatch(/^Detach volume from instance .* using the Compute API$/);
  await t.rt.db.transaction(trx => volumes.beginDetach(trx, attachment.id));
  expect(await show(volume.id)).toMatchObject({ status: 'detaching' });
  await t.rt.db.transaction(async trx => { await volumes.release(trx, attachment.id); await volumes.deleteFor(trx, t.rt.tasks, who, volume.id); });
  await t.drain();
  expect((await demo('GET', `/v3/volumes/${volume.id}`)).status).toBe(404);
});
test('quotas and refusals in upstream\'s words', async () => {
  const project = 'de'.repeat(16);
  const say = (r: { body: Record<string, { message: string }> }) => Object.values(r.body)[0]?.message;
  await admin('PUT', `/v3/os-quota-sets/${project}`, { quota_set: { per_volume_gigabytes: 5, gigabytes: 20 } });
  expect(say(await demo('POST', '/v3/volumes', { volume: { size: 6 } }))).toBe('VolumeSizeExceedsLimit: Requested volume size 6 is larger than maximum allowed limit 5.');
  expect(say(await demo('POST', '/v3/volumes', { volume: { size: 0 } }))).toBe('Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1');
  expect(say(await demo('POST', '/v3/volumes', { volume: { size: 'abc' } }))).toBe("Invalid input for field/attribute size. Value: abc. 'abc' does not match '^[0-9]+$'");
  expect(say(await demo('POST', '/v3/volumes', {}))).toBe("'volume' is a required property");
  expect(say(await demo('GET', '/v3/volumes?sort_key=zzz'))).toBe('Invalid input received: Invalid sort key');
  expect(say(await demo('GET', '/v3/volumes?marker=zzz'))).toBe('Volume zzz could not be found.');
  expect(say(await demo('POST', '/v3/volumes', { volume: { size: 1, volume_type: 'nope' } }))).toBe('Volume type with name nope could not be found.');
  await admin('PUT', `/v3/os-quota-sets/${project}`, { quota_set: { volumes: (await demo('GET', '/v3/limits')).body.limits.absolute.totalVolumesUsed } });
  const over = await demo('POST', '/v3/volumes', { volume: { size: 1 } });
  expect(over).toMatchObject({ status: 413, headers: { 'retry-after': '0' }, body: { overLimit: { retryAfter: '0', message: expect.stringMatching(/^VolumeLimitExceeded: Maximum number of volumes allowed \(\d+\) exceeded for quota 'volumes'\.$/) } } });
  await admin('DELETE', `/v3/os-quota-sets/${project}`);
});
