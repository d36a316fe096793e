import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';

let t: TestImages;
beforeAll(async () => { t = await openTestImages(); });
afterAll(() => t.end());
const demo = (...a: Parameters<TestImages['call']> extends [unknown, ...infer R] ? R : never) => t.call('demo', ...a);
const patch = (who: 'demo' | 'admin' | 'other', id: string, changes: unknown, draft = '1') => t.call(who, 'PATCH', `/v2/images/${id}`, changes, { 'content-type': `application/openstack-images-v2.${draft}-json-patch` });

test('versions', async () => {
  expect(await t.call('demo', 'GET', '/')).toMatchObject({ status: 300, body: { versions: expect.arrayContaining([expect.objectContaining({ id: 'v2.18', status: 'CURRENT' })]) } });
  expect((await t.call('demo', 'GET', '/versions')).status).toBe(200);
});
test('an image is created with every attribute', async () => {
  const id = '11111111-1111-4111-8111-111111111111';
  const r = await demo('POST', '/v2/images', { id, name: 'a', disk_format: 'qcow2', container_format: 'bare', min_disk: 1, min_ram: 64, protected: true, os_hidden: true, tags: ['b', 'a', 'b'], visibility: 'private', os_distro: 'debian', x: 'y' });
  expect(r).toMatchObject({ status: 201, headers: { location: expect.stringMatching(`/v2/images/${id}$`), 'openstack-image-import-methods': 'glance-direct,web-download,copy-image,glance-download', 'openstack-image-store-ids': 'file' } });
  expect(r.body).toEqual({
    id, name: 'a', disk_format: 'qcow2', container_format: 'bare', min_disk: 1, min_ram: 64, protected: true, os_hidden: true, tags: ['b', 'a'], visibility: 'private', os_distro: 'debian', x: 'y', status: 'queued', size: null, virtual_size: null, checksum: null, os_hash_algo: null, os_hash_value: null,
    owner: callers.demo.projectId, self: `/v2/images/${id}`, file: `/v2/images/${id}/file`, schema: '/v2/schemas/image', created_at: expect.stringMatching(/^\d{4}-.*Z$/), updated_at: expect.any(String),
  });
  expect(await demo('POST', '/v2/images', { id })).toMatchObject({ status: 409, body: { message: `Image ID ${id} already exists!<br /><br />\n\n\n`, code: '409 Conflict', title: 'Conflict' } });
  expect(await demo('DELETE', `/v2/images/${id}`)).toMatchObject({ status: 403, body: { message: expect.stringContaining(`Image ${id} is protected and cannot be deleted.`) } });
});
describe('what is refused in a create', () => {
  test.each([
    [{ name: 5 }, 400, "Provided object does not match schema 'image': 5 is not of type"],
    [{ status: 'active' }, 403, "Attribute 'status' is read-only."],
    [{ self: 'x' }, 403, "Attribute 'self' is read-only."],
    [{ deleted: 'x' }, 403, "Attribute 'deleted' is reserved."],
    [{ os_glance_import_task: 'x' }, 403, "Attribute 'os_glance_import_task' is reserved."],
    [{ owner: callers.admin.projectId }, 403, `You are not permitted to create images owned by '${callers.admin.projectId}'.`],
    [{ visibility: 'public' }, 403, 'You are not authorized to complete publicize_image action.'],
    [{ visibility: 'weird' }, 400, 'is not one of'],
    [{ disk_format: 'exe' }, 400, 'is not one of'],
    [{ min_disk: -1 }, 400, 'Cannot be a negative value'],
    [{ min_disk: 1e15 }, 400, 'is greater than the maximum'],
    [{ prop: 5 }, 400, 'is not of type'],
    [{ ['x'.repeat(256)]: 'y' }, 400, 'greater than 255'],
    [{ tags: Array.from({ length: 129 }, (_, i) => `t${i}`) }, 413, 'Attempted: 129, Maximum: 128'],
    [{ name: 'x'.repeat(256) }, 400, 'is too long'],
    [{ name: 'a\0b' }, 400, 'NUL'],
    ['{x', 400, 'Malformed JSON in request body.'],
    [[], 400, ''],
  ])('%j', async (body, status, message) => {
    const r = await demo('POST', '/v2/images', body);
    expect(r).toMatchObject({ status, body: { message: expect.stringContaining(message) } });
  });
});
describe('a patch', () => {
  test('adds, replaces and removes', async () => {
    const id = await t.image('demo', { a: 'b' });
    expect(await patch('demo', id, [{ op: 'replace', path: '/name', value: 'n' }, { op: 'add', path: '/newp', value: 'v' }, { op: 'remove', path: '/a' }, { op: 'add', path: '/a~1b', value: 'c' }, { op: 'replace', path: '/tags', value: ['x'] }]))
      .toMatchObject({ status: 200, body: { name: 'n', newp: 'v', 'a/b': 'c', tags: ['x'] } });
    expect((await demo('GET', `/v2/images/${id}`)).body).not.toHaveProperty('a');
    expect(await patch('demo', id, [{ add: '/name', value: 'x' }], '0')).toMatchObject({ status: 409 });
    expect(await patch('demo', id, [{ replace: '/name', value: 'old' }], '0')).toMatchObject({ status: 200, body: { name: 'old' } });
  });
  test.each([
    [[{ op: 'frob', path: '/zzz' }], 400, 'Invalid operation: `frob`. It must be one of the following: add, remove, replace.'],
    [[{ op: 'remove', path: '/zzz' }], 409, 'Property zzz does not exist.'],
    [[{ op: 'replace', path: '/status', value: 'queued' }], 403, "Attribute 'status' is read-only."],
    [[{ op: 'replace', path: '/stores', value: 'elsewhere' }], 403, "Attribute 'stores' is read-only."],
    [[{ op: 'remove', path: '/name' }], 403, 'Property name may not be removed.'],
    [[{ op: 'add', path: '/os_glance_x', value: 'y' }], 403, 'is reserved'],
    [[{ op: 'replace', path: '/visibility', value: 'weird' }], 400, 'is not one of'],
    [[{ op: 'replace', path: '/visibility', value: 'public' }], 403, 'publicize_image'],
    [[{ op: 'replace', path: '/owner', value: 'x' }], 403, "Owner can't be updated by non admin."],
    [[{ op: 'add', path: '/owner', value: 'x' }], 403, "Owner can't be updated by non admin."],
    [[{ op: 'add', path: 'name', value: 'x' }], 400, 'does not start with "/"'],
    [[{ op: 'add', path: '/a/b', value: 'x' }], 400, 'Invalid JSON pointer for this resource'],
    [[{ op: 'add', path: '/a~2', value: 'x' }], 400, 'recognized escape sequence'],
    [[{ op: 'add', path: '/name' }], 400, 'requires a member named "value"'],
    [[{ op: 'add', path: '/locations/-', value: { url: 'file:///etc/passwd', metadata: {} } }], 403, "It's not allowed to add locations if locations are invisible."],
    [[{ op: 'replace', path: '/locations', value: [] }], 403, 'Cannot set locations to empty list.'],
    [{ op: 'add' }, 400, 'must be a JSON array'],
    [['x'], 400, 'Operations must be JSON objects.'],
    [[{ op: 'add', path: '/x', value: 5 }], 400, 'is not of type'],
  ])('is refused: %j', async (changes, status, message) => {
    const id = await t.image('demo');
    expect(await patch('demo', id, changes)).toMatchObject({ status, body: { message: expect.stringContaining(message) } });
  });
  test('is whole or not at all, and its media type is one of two', async () => {
    const id = await t.image('demo', { name: 'before' });
    expect((await patch('demo', id, [{ op: 'replace', path: '/name', value: 'after' }, { op: 'remove', path: '/none' }])).status).toBe(409);
    expect((await demo('GET', `/v2/images/${id}`)).body.name).toBe('before');
    expect(await t.call('demo', 'PATCH', `/v2/images/${id}`, [])).toMatchObject({ status: 415, headers: { 'accept-patch': 'application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch' } });
  });
  test('an active image keeps its formats', async () => {
    const id = await t.image('demo', {}, Buffer.from('abc'));
    expect(await patch('demo', id, [{ op: 'replace', path: '/disk_format', value: 'qcow2' }])).toMatchObject({ status: 403, body: { message: expect.stringContaining('can be only replaced for a queued image') } });
  });
});
describe('who sees what', () => {
  test.each([['private', 404, false], ['shared', 404, false], ['community', 200, false], ['public', 200, true]] as const)('%s', async (visibility, status, listed) => {
    const id = await t.image('admin', { visibility, name: `v-${visibility}` });
    expect((await t.call('other', 'GET', `/v2/images/${id}`)).status).toBe(status);
    const list = await t.call('other', 'GET', `/v2/images?limit=100`);
    expect(list.body.images.some((i: { id: string }) => i.id === id)).toBe(listed);
    expect((await t.call('other', 'GET', `/v2/images?visibility=community&limit=100`)).body.images.some((i: { id: string }) => i.id === id)).toBe(visibility === 'community');
    expect((await patch('other', id, [{ op: 'replace', path: '/name', value: 'x' }])).status).toBe(status === 404 ? 404 : 403);
    expect((await t.call('other', 'DELETE', `/v2/images/${id}`)).status).toBe(status === 404 ? 404 : 403);
  });
  test('a reader reads', async () => {
    const id = await t.image('demo', {}, Buffer.from('x'));
    expect((await t.call('reader', 'GET', `/v2/images/${id}`)).status).toBe(200);
    expect((await t.call('reader', 'GET', `/v2/images/${id}/file`)).status).toBe(403);
    expect((await t.call('reader', 'DELETE', `/v2/images/${id}`)).status).toBe(403);
    expect((await t.call('reader', 'POST', '/v2/images', { name: 'x' })).status).toBe(403);
  });
});
describe('lists', () => {
  const names = async (query: string, who: 'demo' | 'other' = 'other') => (await t.call(who, 'GET', `/v2/images?${query}`)).body.images?.map((i: { name: string }) => i.name);
  beforeAll(async () => {
    for (const [name, more] of [['la', { tags: ['one', 'two'] }], ['lb', { tags: ['one'], p: 'q' }], ['lc', { min_disk: 5, protected: true }], ['lc', { os_hidden: true }]] as const) await t.image('other', { name, visibility: 'private', ...more });
    await t.image('other', { name: 'ld', visibility: 'private' }, Buffer.alloc(100));
  });
  test.each([
    ['name=la', ['la']], ['name=in:la,lb', ['lb', 'la']], ['name=in:"la",lb&sort_key=name&sort_dir=asc', ['la', 'lb']], ['tag=one', ['lb', 'la']], ['tag=one&tag=two', ['la']], ['p=q', ['lb']], ['os_hidden=true', ['lc']],
    ['protected=true', ['lc']], ['status=active', ['ld']], ['size=100', ['ld']], ['size_min=1', ['ld']], ['size_max=99', []], ['min_disk=gte:5', ['lc']], ['size=neq:100', []], ['created_at=lt:2020-01-01T00:00:00Z', []], ['visibility=public&name=la', []],
    ['visibility=private&sort=name:asc', ['la', 'lb', 'lc', 'ld']], ['visibility=private&sort=name:asc&limit=2', ['la', 'lb']], ['visibility=private&limit=0', []],
  ])('%s', async (query, wanted) => { expect(await names(query.includes('visibility') ? query : `${query}&owner=${callers.other.projectId}`)).toEqual(wanted); });
  test('pages', async () => {
    const seen: string[] = [];
    let url: string | undefined = '/v2/images?visibility=private&sort_key=name&sort_dir=asc&limit=2';
    for (let i = 0; url !== undefined && i < 9; i++) {
      const r = await t.call('other', 'GET', url);
      expect(r.body.first).toBe('/v2/images?visibility=private&sort_key=name&sort_dir=asc&limit=2');
      seen.push(...r.body.images.map((x: { name: string }) => x.name));
      url = r.body.next;
    }
    expect(seen).toEqual(['la', 'lb', 'lc', 'ld']);
  });
  test.each([
    ['limit=-1', 'limit param must be positive'], ['limit=x', 'limit param must be an integer'], ['marker=nope', 'No image found with ID nope'],
    ['sort_key=nope', 'Invalid sort key: nope. It must be one of the following: name, status, container_format, disk_format, size, id, created_at, updated_at.'], ['sort_dir=up', 'Invalid sort direction: up'],
    ['sort=name&sort_key=id', 'Old and new sorting syntax cannot be combined'], ['sort_key=name&sort_dir=asc&sort_dir=desc', 'Number of sort dirs does not match the number of sort keys'],
    ['visibility=odd', 'Invalid visibility value: odd'], ['member_status=odd', 'Invalid status: odd'], ['os_hidden=maybe', "Invalid value 'maybe' for 'os_hidden' filter."], ['changes-since=2020-01-01', 'no longer available'],
    ['created_at=gt:yesterday', 'Bad "created_at" query filter format'], ['name=in:"a', 'The quote is not closed'], ['name=gt:a', "Unable to filter by unknown operator 'gt'."], ['size_min=x', 'non-numeric'],
  ])('refuses %s', async (query, message) => {
    expect(await t.call('other', 'GET', `/v2/images?${query}`)).toMatchObject({ status: 400, body: { message: expect.stringContaining(message) } });
  });
});
test('deactivate and reactivate', async () => {
  const id = await t.image('demo', {}, Buffer.from('x'));
  const act = (who: 'demo' | 'admin', what: string) => t.call(who, 'POST', `/v2/images/${id}/actions/${what}`);
  expect((await act('demo', 'deactivate')).status).toBe(204);
  expect((await act('demo', 'deactivate')).status).toBe(204);
  expect(await demo('GET', `/v2/images/${id}/file`)).toMatchObject({ status: 403, body: { message: expect.stringContaining('The requested image has been deactivated. Image data download is forbidden.') } });
  expect((await t.call('admin', 'GET', `/v2/images/${id}/file`)).status).toBe(200);
  expect((await act('demo', 'reactivate')).status).toBe(204);
  const queued = await t.image('demo');
  expect(await t.call('demo', 'POST', `/v2/images/${queued}/actions/deactivate`)).toMatchObject({ status: 403, body: { message: expect.stringContaining("Not allowed to deactivate image in status 'queued'") } });
});
test('tags', async () => {
  const id = await t.image('demo');
  expect((await demo('PUT', `/v2/images/${id}/tags/my%20tag`)).status).toBe(204);
  expect((await demo('GET', `/v2/images/${id}`)).body.tags).toEqual(['my tag']);
  expect((await demo('DELETE', `/v2/images/${id}/tags/my%20tag`)).status).toBe(204);
  expect((await demo('DELETE', `/v2/images/${id}/tags/nope`)).status).toBe(404);
  expect((await t.call('other', 'PUT', `/v2/images/${id}/tags/x`)).status).toBe(404);
  expect((await demo('PUT', `/v2/images/${id}/tags/${'x'.repeat(256)}`)).status).toBe(400);
});
test('documents about the service', async () => {
  expect((await demo('GET', '/v2/info/import')).body['import-methods']).toMatchObject({ type: 'array', value: expect.arrayContaining(['web-download']) });
  expect((await demo('GET', '/v2/info/stores')).body).toEqual({ stores: [{ id: 'file', default: 'true', description: 'Local file system' }] });
  expect((await demo('GET', '/v2/info/stores/detail')).status).toBe(403);
  expect((await t.call('admin', 'GET', '/v2/info/stores/detail')).body.stores[0]).toMatchObject({ type: 'file', properties: { data_dir: expect.stringMatching(/images$/) } });
  expect((await demo('GET', '/v2/info/usage')).body.usage.image_count_total).toMatchObject({ limit: -1, usage: expect.any(Number) });
  expect((await demo('GET', '/v2/schemas/image')).body.properties).toHaveProperty('os_hash_value');
  expect((await demo('GET', '/v2/nope')).status).toBe(404);
});
