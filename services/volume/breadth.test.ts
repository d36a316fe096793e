import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { sentence, testCloud, type TestCloud } from './testing.ts';

let c: TestCloud;
beforeAll(async () => { c = await testCloud(); });
// Backends that were silent for a minute are down, and a busy machine takes that long for all of this.
beforeEach(() => c.report());
afterAll(() => c.close());

const type = async (name: string, extra_specs: object, body: object = {}) => (await c.admin('POST', '/v3/types', { volume_type: { name, extra_specs, ...body } })).body.volume_type.id as string;
const act = (id: string, action: object, version?: string, who = c.demo) => who('POST', `/v3/volumes/${id}/action`, action, version);
/** A request that waits for a task: the worker runs until it is answered. */
const waiting = async <T>(answer: Promise<T>): Promise<T> => {
  let over = false;
  const done = answer.finally(() => { over = true; });
  done.catch(() => undefined);
  while (!over) { await c.t.drain(); await new Promise(go => setTimeout(go, 10)); }
  return done;
};

test('a type leads to its backend; retype moves, migrate moves back', async () => {
  await type('first', { volume_backend_name: 'one' });
  await type('second', { volume_backend_name: 'two' });
  const id = await c.volume({ volume_type: 'first' });
  expect(await c.show(id)).toMatchObject({ 'os-vol-host-attr:host': 'testhost@one#one', volume_type: 'first' });
  expect((await act(id, { 'os-retype': { new_type: 'second', migration_policy: 'never' } })).status).toBe(202);
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ volume_type: 'first', status: 'available' });
  expect((await act(id, { 'os-retype': { new_type: 'second', migration_policy: 'on-demand' } })).status).toBe(202);
  expect(await c.show(id)).toMatchObject({ status: 'retyping', migration_status: 'starting' });
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ volume_type: 'second', status: 'available', 'os-vol-host-attr:host': 'testhost@two#two', migration_status: 'success' });
  expect(c.drivers.get('one')?.held).toEqual([]);
  expect(c.drivers.get('two')?.held).toHaveLength(1);
  expect(sentence(await act(id, { 'os-migrate_volume': { host: 'nowhere' } }, undefined, c.admin))).toBe("Invalid host: No available service named 'nowhere'");
  await act(id, { 'os-retype': { new_type: '__DEFAULT__', migration_policy: 'never' } });
  expect((await act(id, { 'os-migrate_volume': { host: 'testhost@one#one', lock_volume: true } }, undefined, c.admin)).status).toBe(202);
  expect(await c.show(id)).toMatchObject({ status: 'maintenance' });
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'available', 'os-vol-host-attr:host': 'testhost@one#one', migration_status: 'success' });
  expect((await act(id, { 'os-migrate_volume': { host: 'testhost@two#two' } })).status).toBe(403);
  expect((await c.demo('DELETE', `/v3/volumes/${id}`)).status).toBe(202);
  await c.t.drain();
  expect([...c.drivers.values()].flatMap(d => d.held)).toEqual([]);
  expect(await c.t.rt.db('volumes').count('* as n').first()).toEqual({ n: 0 });
});
test('a transfer takes usage with it', async () => {
  const id = await c.volume();
  const made = await c.demo('POST', '/v3/os-volume-transfer', { transfer: { volume_id: id, name: 't' } });
  expect(Object.keys(made.body.transfer)).toEqual(['id', 'created_at', 'name', 'volume_id', 'links', 'auth_key']);
  expect(await c.show(id)).toMatchObject({ status: 'awaiting-transfer' });
  const { id: transfer, auth_key } = made.body.transfer;
  expect((await c.other('GET', `/v3/os-volume-transfer/${transfer}`)).status).toBe(404);
  expect(sentence(await c.other('POST', `/v3/os-volume-transfer/${transfer}/accept`, { accept: { auth_key: 'bad' } }))).toBe(`Invalid auth key: Attempt to transfer ${transfer} with invalid auth key.`);
  expect((await c.other('POST', `/v3/os-volume-transfer/${transfer}/accept`, { accept: { auth_key } })).status).toBe(202);
  expect(await c.show(id)).toMatchObject({ status: 'available', 'os-vol-tenant-attr:tenant_id': 'cc'.repeat(16), user_id: 'c'.repeat(32) });
  expect((await c.other('GET', '/v3/limits')).body.limits.absolute.totalVolumesUsed).toBe(1);
  expect((await c.demo('GET', '/v3/limits')).body.limits.absolute.totalVolumesUsed).toBe(0);
  const back = await c.other('POST', '/v3/volume-transfers', { transfer: { volume_id: id } }, '3.57');
  expect(back.body.transfer).toMatchObject({ no_snapshots: false, source_project_id: 'cc'.repeat(16), destination_project_id: null, accepted: false });
  expect((await c.other('DELETE', `/v3/volume-transfers/${back.body.transfer.id}`, undefined, '3.57')).status).toBe(202);
  expect((await c.other('DELETE', `/v3/volumes/${id}`)).status).toBe(202);
  await c.t.drain();
});
test('groups, their snapshots, and groups made of them', async () => {
  const volumeType = await type('grouped', { volume_backend_name: 'one' });
  const kind = (await c.admin('POST', '/v3/group_types', { group_type: { name: 'kind', group_specs: { consistent_group_snapshot_enabled: '<is> True' } } }, '3.11')).body.group_type.id;
  const made = await c.demo('POST', '/v3/groups', { group: { name: 'g', group_type: kind, volume_types: [volumeType] } }, '3.13');
  expect(made).toMatchObject({ status: 202, body: { group: { name: 'g' } } });
  const group = made.body.group.id;
  const a = await c.volume({ volume_type: 'grouped', group_id: group }, '3.13');
  const b = await c.volume({ volume_type: 'grouped', group_id: group }, '3.13');
  expect((await c.demo('GET', `/v3/groups/${group}?list_volume=True`, undefined, '3.25')).body.group).toMatchObject({ status: 'available', volumes: [a, b], volume_types: [volumeType] });
  expect((await c.demo('DELETE', `/v3/volumes/${a}`)).status).toBe(400);
  const snapshot = (await c.demo('POST', '/v3/group_snapshots', { group_snapshot: { group_id: group, name: 's' } }, '3.14')).body.group_snapshot;
  await c.t.drain();
  expect((await c.demo('GET', `/v3/group_snapshots/${snapshot.id}`, undefined, '3.14')).body.group_snapshot).toMatchObject({ status: 'available', group_id: group });
  expect((await c.demo('GET', '/v3/snapshots/detail', undefined, '3.14')).body.snapshots.filter((s: { group_snapshot_id: string }) => s.group_snapshot_id === snapshot.id)).toHaveLength(2);
  const copy = (await c.demo('POST', '/v3/groups/action', { 'create-from-src': { group_snapshot_id: snapshot.id, name: 'copy' } }, '3.14')).body.group.id;
  await c.t.drain();
  expect((await c.demo('GET', `/v3/volumes/detail?group_id=${copy}`, undefined, '3.20')).body.volumes.map((v: { status: string }) => v.status)).toEqual(['available', 'available']);
  expect((await c.demo('POST', `/v3/groups/${group}/action`, { delete: { 'delete-volumes': true } }, '3.13')).status).toBe(400);
  expect((await c.demo('DELETE', `/v3/group_snapshots/${snapshot.id}`, undefined, '3.14')).status).toBe(202);
  await c.t.drain();
  for (const id of [group, copy]) expect((await c.demo('POST', `/v3/groups/${id}/action`, { delete: { 'delete-volumes': true } }, '3.13')).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', '/v3/groups', undefined, '3.13')).body).toEqual({ groups: [] });
  expect(c.drivers.get('one')?.held).toEqual([]);
  const cg = await c.demo('POST', '/v3/consistencygroups', { consistencygroup: { name: 'cg', volume_types: 'grouped' } });
  expect(cg).toMatchObject({ status: 202, body: { consistencygroup: { name: 'cg' } } });
  expect((await c.demo('GET', `/v3/consistencygroups/${cg.body.consistencygroup.id}`)).body.consistencygroup).toMatchObject({ status: 'available', volume_types: [volumeType] });
  expect((await c.demo('POST', `/v3/consistencygroups/${cg.body.consistencygroup.id}/delete`, { consistencygroup: { force: false } })).status).toBe(202);
});
test('what is on a backend already', async () => {
  c.drivers.get('two')?.plant('old-lun', 2 ** 30 + 5);
  const listed = await waiting(c.admin('GET', '/v3/manageable_volumes/detail?host=testhost@two%23two', undefined, '3.8'));
  expect(listed).toMatchObject({ status: 200, body: { 'manageable-volumes': [{ size: 2, safe_to_manage: true, cinder_id: null }] } });
  const made = await c.admin('POST', '/v3/manageable_volumes', { volume: { host: 'testhost@two#two', ref: { 'source-name': 'old-lun' }, name: 'm' } }, '3.8');
  expect(made).toMatchObject({ status: 202, body: { volume: { status: 'creating', size: 0 } } });
  await c.t.drain();
  expect(await c.show(made.body.volume.id)).toMatchObject({ status: 'available', size: 2 });
  const bad = await c.admin('POST', '/v3/os-volume-manage', { volume: { host: 'testhost@two#two', ref: { 'source-name': 'nothing' } } });
  await c.t.drain();
  expect(await c.show(bad.body.volume.id)).toMatchObject({ status: 'error_managing' });
  expect((await c.admin('GET', '/v3/messages', undefined, '3.5')).body.messages[0].user_message).toContain('invalid backend reference');
  expect(sentence(await c.admin('POST', '/v3/os-volume-manage', { volume: { host: 'nohost', ref: { 'source-name': 'x' } } }))).toBe("Host 'nohost' not found");
  expect((await act(made.body.volume.id, { 'os-unmanage': {} }, undefined, c.admin)).status).toBe(202);
  await c.t.drain();
  expect((await c.admin('GET', `/v3/volumes/${made.body.volume.id}`)).status).toBe(404);
  expect(c.drivers.get('two')?.held).toHaveLength(1);
  await act(bad.body.volume.id, { 'os-force_delete': {} }, undefined, c.admin);
  await c.t.drain();
});
test('what an administrator says of a status, and force', async () => {
  const id = await c.volume();
  for (const status of ['creating', 'attaching', 'error', 'deleting', 'available']) {
    expect((await act(id, { 'os-reset_status': { status } }, undefined, c.admin)).status).toBe(202);
    expect(await c.show(id)).toMatchObject({ status });
  }
  expect(sentence(await act(id, { 'os-reset_status': { status: 'bogus' } }, undefined, c.admin))).toMatch(/^Volume status: bogus is invalid, valid statuses are: \('creating', 'available', 'deleting', 'error'/);
  await act(id, { 'os-reset_status': { status: 'creating' } }, undefined, c.admin);
  expect((await c.demo('DELETE', `/v3/volumes/${id}`)).status).toBe(400);
  expect((await act(id, { 'os-force_delete': {} }, undefined, c.admin)).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', `/v3/volumes/${id}`)).status).toBe(404);
});
test('a volume is deleted by force while it is being made', async () => {
  const r = await c.demo('POST', '/v3/volumes', { volume: { size: 1 } });
  expect((await act(r.body.volume.id, { 'os-force_delete': {} }, undefined, c.admin)).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', `/v3/volumes/${r.body.volume.id}`)).status).toBe(404);
  expect(await c.t.rt.db('tasks').where({ live: true })).toEqual([]);
});
test('the way back to a snapshot', async () => {
  const id = await c.volume();
  const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id;
  await c.t.drain();
  expect((await act(id, { revert: { snapshot_id: snapshot } }, '3.39')).status).toBe(404);
  expect((await act(id, { revert: { snapshot_id: snapshot } }, '3.40')).status).toBe(202);
  expect(await c.show(id)).toMatchObject({ status: 'reverting' });
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  expect((await c.demo('DELETE', `/v3/volumes/${id}?cascade=true`)).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', `/v3/snapshots/${snapshot}`)).status).toBe(404);
});
test('lists: pages, filters, counts', async () => {
  const ids = [];
  for (const name of ['p1', 'p2', 'p3']) ids.push(await c.volume({ name, metadata: { page: name } }));
  const first = await c.demo('GET', '/v3/volumes/detail?limit=2&sort=name:asc&name~=p&with_count=true', undefined, '3.45');
  expect(first.body).toMatchObject({ count: 3, volumes: [{ name: 'p1' }, { name: 'p2' }], volumes_links: [{ rel: 'next' }] });
  const next = new URL(first.body.volumes_links[0].href);
  expect((await c.demo('GET', `${next.pathname}${next.search}`, undefined, '3.45')).body.volumes.map((v: { name: string }) => v.name)).toEqual(['p3']);
  expect((await c.demo('GET', `/v3/volumes/detail?metadata=${encodeURIComponent("{'page': 'p2'}")}`)).body.volumes.map((v: { id: string }) => v.id)).toEqual([ids[1]]);
  expect(sentence(await c.demo('GET', '/v3/volumes?zzz=1', undefined, '3.31'))).toContain('Invalid filters zzz are found in query options.');
  expect((await c.demo('GET', '/v3/volumes/summary', undefined, '3.36')).body['volume-summary']).toEqual({ total_count: 3, total_size: 3, metadata: { page: expect.arrayContaining(['p1', 'p2', 'p3']) } });
  expect(sentence(await c.demo('GET', '/v3/volumes?limit=-1'))).toBe('limit param must be positive');
  expect((await c.other('GET', `/v3/volumes/${ids[0]}`)).status).toBe(404);
  for (const id of ids) await c.demo('DELETE', `/v3/volumes/${id}`);
  await c.t.drain();
});
test('metadata and its entity tag', async () => {
  const id = await c.volume({ metadata: { a: '1' } });
  const got = await c.demo('GET', `/v3/volumes/${id}/metadata`, undefined, '3.15');
  expect(got.headers['etag']).toMatch(/^[0-9a-f]{32}$/);
  expect((await c.demo('PUT', `/v3/volumes/${id}/metadata`, { metadata: { b: '2' } }, '3.15', { 'if-match': 'other' })).status).toBe(412);
  expect((await c.demo('PUT', `/v3/volumes/${id}/metadata`, { metadata: { b: '2' } }, '3.15', { 'if-match': String(got.headers['etag']) })).body).toEqual({ metadata: { b: '2' } });
  expect((await c.demo('PUT', `/v3/volumes/${id}/metadata/c`, { meta: { c: '3' } })).body).toEqual({ meta: { c: '3' } });
  expect((await c.demo('DELETE', `/v3/volumes/${id}/metadata/b`)).status).toBe(200);
  expect((await c.demo('DELETE', `/v3/volumes/${id}/metadata/b`)).status).toBe(404);
  await act(id, { 'os-set_image_metadata': { metadata: { os: 'x' } } });
  expect(await c.show(id)).toMatchObject({ metadata: { c: '3' }, volume_image_metadata: { os: 'x' } });
  await act(id, { 'os-update_readonly_flag': { readonly: true } });
  expect(await c.show(id)).toMatchObject({ metadata: { c: '3', readonly: 'True' } });
  await c.demo('DELETE', `/v3/volumes/${id}`);
  await c.t.drain();
});
test('types, QoS, encryption, access, default types', async () => {
  const id = await type('t1', { a: 'b', multiattach: '<is> True' }, { 'os-volume-type-access:is_public': false });
  expect((await c.demo('GET', `/v3/types/${id}`)).status).toBe(404);
  expect((await c.admin('POST', `/v3/types/${id}/action`, { addProjectAccess: { project: 'de'.repeat(16) } })).status).toBe(202);
  expect((await c.demo('GET', `/v3/types/${id}`)).body.volume_type.extra_specs).toEqual({ multiattach: '<is> True' });
  expect((await c.admin('GET', `/v3/types/${id}/os-volume-type-access`)).body.volume_type_access).toHaveLength(1);
  expect((await c.admin('POST', `/v3/types/${id}/action`, { addProjectAccess: { project: 'de'.repeat(16) } })).status).toBe(409);
  expect((await c.admin('POST', `/v3/types/${id}/encryption`, { encryption: { provider: 'luks', key_size: 256, cipher: 'aes', control_location: 'front-end' } })).body.encryption).toMatchObject({ provider: 'luks', volume_type_id: id });
  const qos = (await c.admin('POST', '/v3/qos-specs', { qos_specs: { name: 'q', consumer: 'front-end', read_iops_sec: '100' } })).body.qos_specs;
  expect(qos).toMatchObject({ consumer: 'front-end', specs: { read_iops_sec: '100' } });
  expect((await c.admin('GET', `/v3/qos-specs/${qos.id}/associate?vol_type_id=${id}`)).status).toBe(202);
  expect((await c.admin('DELETE', `/v3/qos-specs/${qos.id}`)).status).toBe(400);
  expect((await c.admin('GET', `/v3/qos-specs/${qos.id}/disassociate_all`)).status).toBe(202);
  expect((await c.admin('DELETE', `/v3/qos-specs/${qos.id}`)).status).toBe(202);
  expect((await c.admin('PUT', '/v3/default-types/xyz', { default_type: { volume_type: 't1' } }, '3.62')).body.default_type).toEqual({ project_id: 'xyz', volume_type_id: id });
  expect((await c.admin('DELETE', `/v3/types/${id}`)).status).toBe(400);
  expect((await c.admin('DELETE', '/v3/default-types/xyz', undefined, '3.62')).status).toBe(204);
  expect((await c.admin('DELETE', `/v3/types/${id}`)).status).toBe(202);
  expect(sentence(await c.admin('POST', '/v3/types', { volume_type: { name: '__DEFAULT__' } }))).toBe('Volume Type __DEFAULT__ already exists.');
});
test('what runs, pools, zones, extensions', async () => {
  expect((await c.admin('GET', '/v3/scheduler-stats/get_pools?detail=True')).body.pools.map((p: { name: string; capabilities: object }) => [p.name, Object.keys(p.capabilities).includes('allocated_capacity_gb')])).toEqual([['testhost@one#one', true], ['testhost@two#two', true]]);
  expect((await c.admin('GET', '/v3/os-services')).body.services.map((s: { binary: string; host: string; state: string }) => `${s.binary} ${s.host} ${s.state}`)).toEqual(['cinder-backup testhost up', 'cinder-scheduler testhost up', 'cinder-volume testhost@one up', 'cinder-volume testhost@two up']);
  expect((await c.admin('PUT', '/v3/os-services/disable-log-reason', { host: 'testhost@one', binary: 'cinder-volume', disabled_reason: 'x' })).body).toEqual({ host: 'testhost@one', service: '', binary: 'cinder-volume', status: 'disabled', disabled: true, disabled_reason: 'x' });
  const id = await c.volume();
  expect(await c.show(id)).toMatchObject({ 'os-vol-host-attr:host': 'testhost@two#two' });
  expect((await c.admin('PUT', '/v3/os-services/enable', { host: 'testhost@one', binary: 'cinder-volume' })).body).toEqual({ host: 'testhost@one', service: '', binary: 'cinder-volume', status: 'enabled', disabled: false });
  for (const action of ['freeze', 'thaw']) expect((await c.admin('PUT', `/v3/os-services/${action}`, { host: 'testhost@one' })).status).toBe(200);
  expect((await c.demo('GET', '/v3/os-availability-zone')).body).toEqual({ availabilityZoneInfo: [{ zoneName: 'nova', zoneState: { available: true } }] });
  expect((await c.demo('GET', '/v3/extensions')).body.extensions).toHaveLength(32);
  expect((await c.admin('GET', '/v3/capabilities/testhost@one')).body).toMatchObject({ namespace: 'OS::Storage::Capabilities::testhost@one' });
  expect((await c.demo('GET', '/v3/os-services')).status).toBe(403);
  expect((await c.app.inject({ method: 'GET', url: '/' })).statusCode).toBe(300);
  await c.demo('DELETE', `/v3/volumes/${id}`);
  await c.t.drain();
});
test('one volume, several servers', async () => {
  await type('multi', { multiattach: '<is> True' });
  const id = await c.volume({ volume_type: 'multi' });
  const servers = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];
  const made = await Promise.all(servers.map(instance_uuid => c.demo('POST', '/v3/attachments', { attachment: { volume_uuid: id, instance_uuid } }, '3.44')));
  expect(made.map(m => m.status)).toEqual([200, 200]);
  for (const m of made) await c.demo('POST', `/v3/attachments/${m.body.attachment.id}/action`, { 'os-complete': null }, '3.44');
  expect((await c.show(id)).attachments).toHaveLength(2);
  await Promise.all(made.map(m => c.demo('DELETE', `/v3/attachments/${m.body.attachment.id}`, undefined, '3.44')));
  expect(await c.show(id)).toMatchObject({ status: 'available', attachments: [] });
});
test('what is managed already is said so, volumes and snapshots alike', async () => {
  await c.report();
  const id = await c.volume();
  const { snapshot } = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body;
  await c.t.drain();
  const host = encodeURIComponent(String((await c.show(id))['os-vol-host-attr:host']));
  for (const [kind, managed] of [['volumes', id], ['snapshots', snapshot.id]] as const) {
    const list = await waiting(c.admin('GET', `/v3/manageable_${kind}/detail?host=${host}`, undefined, '3.8'));
    expect(list.body[`manageable-${kind}`], kind).toContainEqual(expect.objectContaining({ cinder_id: managed, safe_to_manage: false, reason_not_safe: 'already managed' }));
  }
});
test('a consistency group is changed on both of its paths', async () => {
  await c.report();
  const kind = (await c.admin('GET', '/v3/types/default')).body.volume_type.id;
  const { id } = (await c.demo('POST', '/v3/consistencygroups', { consistencygroup: { name: 'a', volume_types: kind } })).body.consistencygroup;
  for (const [path, name] of [[`/v3/consistencygroups/${id}/update`, 'b'], [`/v3/consistencygroups/${id}`, 'c']] as const) {
    expect((await c.demo('PUT', path, { consistencygroup: { name } })).status).toBe(202);
    expect((await c.demo('GET', `/v3/consistencygroups/${id}`)).body.consistencygroup.name).toBe(name);
  }
});
