import { afterAll, beforeAll, expect, test } from 'vitest';
import { callers } from '../../test/harness/service.ts';
import { openTestImages, type TestImages } from '../../test/harness/image.ts';

// What Identity's unified limits say comes before the settings'. Upstream's own test of them: `npm run test:upstream -- scenario test_unified_limits`.
let t: TestImages;
const data = Buffer.alloc(1_048_576, 'x');
const octets = { 'content-type': 'application/octet-stream' };
const put = async (id: string, to: 'file' | 'stage' = 'file') => (await t.call('demo', 'PUT', `/v2/images/${id}/${to}`, data, octets)).status;
/** For everybody in some region or all of them, or for the project. */
async function register(resource_name: string, default_limit: number, region_id: string | null = null): Promise<void> {
  await t.rt.db('registered_limits').insert({ id: `${resource_name}-${region_id}`, service_id: 'glance', region_id, resource_name, default_limit });
}
async function limit(resource: string, resource_limit: number): Promise<void> {
  await t.rt.db('limits').insert({ id: resource, registered_limit_id: `${resource}-null`, project_id: callers.demo.projectId, resource_limit }).onConflict('id').merge();
}
beforeAll(async () => {
  t = await openTestImages();
  await t.rt.db('services').insert([{ id: 'glance', type: 'image' }, { id: 'another', type: 'compute' }]);
  await t.rt.db('regions').insert([{ id: t.rt.settings.region }, { id: 'elsewhere' }]).onConflict('id').ignore();
  await t.rt.db('projects').insert({ id: 'default', name: 'Default', is_domain: true }).onConflict('id').ignore();
  await t.rt.db('projects').insert({ id: callers.demo.projectId, name: 'demo', domain_id: 'default', parent_id: 'default' }).onConflict('id').ignore();
});
afterAll(() => t.end());

test('how many images: the project\'s own limit before the registered one, that of the region before that of all', async () => {
  await register('image_count_total', 0);
  expect(await t.call('demo', 'POST', '/v2/images', {})).toMatchObject({ status: 413, body: { message: expect.stringContaining('Resource image_count_total is over limit of 0 due to current usage 0 and delta 1') } });
  await register('image_count_total', 5, 'elsewhere');
  expect((await t.call('demo', 'POST', '/v2/images', {})).status).toBe(413);
  await limit('image_count_total', 1);
  const id = await t.image('demo');
  expect((await t.call('demo', 'POST', '/v2/images', {})).status).toBe(413);
  expect((await t.call('other', 'POST', '/v2/images', {})).status).toBe(413);
  await register('image_count_total', 7, t.rt.settings.region);
  expect((await t.call('other', 'POST', '/v2/images', {})).status).toBe(201);
  expect((await t.call('demo', 'GET', '/v2/info/usage')).body.usage.image_count_total).toEqual({ limit: 7, usage: 1 });
  await t.call('demo', 'DELETE', `/v2/images/${id}`);
});
test('a size limit stops the next image, not the one that crosses it', async () => {
  await register('image_size_total', 1);
  const [first, second, third] = [await t.image('demo'), await t.image('demo'), await t.image('demo')];
  expect([await put(first), await put(second), await put(third)]).toEqual([204, 204, 413]);
  await limit('image_size_total', 2);
  expect(await put(third)).toBe(204);
  for (const id of [first, second, third]) await t.call('demo', 'DELETE', `/v2/images/${id}`);
});
test('images that are being uploaded, staged ones with them', async () => {
  await register('image_count_uploading', 1);
  const [first, second] = [await t.image('demo'), await t.image('demo')];
  expect([await put(first, 'stage'), await put(second, 'stage'), await put(second)]).toEqual([204, 413, 413]);
  await limit('image_count_uploading', 2);
  expect(await put(second)).toBe(204);
});
