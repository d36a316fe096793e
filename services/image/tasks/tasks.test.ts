import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';
import { openWeb, type Web } from '../../../test/harness/web.ts';

let t: TestImages;
let web: Web;
beforeAll(async () => {
  web = await openWeb();
  t = await openTestImages({ CUMULET_IMAGE_FETCH_PORTS: `[${web.port}]`, CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]' });
});
afterAll(async () => { await t.end(); await web.close(); });
const url = (path: string) => `http://127.0.0.1:${web.port}${path}`;
const create = (input: unknown, type = 'import') => t.call('admin', 'POST', '/v2/tasks', { type, input });
const show = async (id: string) => (await t.call('admin', 'GET', `/v2/tasks/${id}`)).body;
const properties = { disk_format: 'raw', container_format: 'bare', name: 'cirros' };

test('the seed: a task imports an image', async () => {
  web.files.set('/disk.img', randomBytes(100_000));
  const input = { import_from: url('/disk.img'), import_from_format: 'raw', image_properties: properties };
  const made = await create(input);
  expect(made).toMatchObject({ status: 201, headers: { location: `/v2/tasks/${made.body.id}` }, body: { type: 'import', status: 'pending', input, message: '', result: null, self: `/v2/tasks/${made.body.id}`, schema: '/v2/schemas/task' } });
  expect(made.body).not.toHaveProperty('expires_at');
  await t.drain();
  const done = await show(made.body.id);
  expect(done).toMatchObject({ status: 'success', result: { image_id: expect.any(String) }, message: '' });
  expect(Date.parse(done.expires_at) - Date.parse(done.updated_at)).toBe(48 * 3_600_000);
  expect((await t.call('admin', 'GET', `/v2/images/${done.result.image_id}`)).body).toMatchObject({ status: 'active', name: 'cirros', size: 100_000 });
  expect(await t.call('admin', 'DELETE', `/v2/tasks/${made.body.id}`)).toMatchObject({ status: 405, headers: { allow: 'GET' }, body: { message: expect.stringContaining('This operation is currently not permitted on Glance Tasks.') } });
});
test('a failure leaves no image', async () => {
  const before = (await t.rt.db('images').select('id')).length;
  for (const [input, said] of [[{ import_from: url('/nothing'), import_from_format: 'raw', image_properties: properties }, 'The URL answered 404.'], [{ import_from: url('/x') }, "Input does not contain 'import_from_format' field"], [{ import_from_format: 'raw', image_properties: properties }, "Input does not contain 'import_from' field"]] as const) {
    const { body } = await create(input);
    await t.drain();
    expect(await show(body.id)).toMatchObject({ status: 'failure', message: said, result: null });
  }
  expect((await t.rt.db('images').select('id')).length).toBe(before);
});
test('what is refused', async () => {
  expect(await create({ import_from: 'http://127.0.0.1:1/x', import_from_format: 'raw', image_properties: properties })).toMatchObject({ status: 400, body: { message: expect.stringContaining('URI for legacy import task does not pass filtering: http://127.0.0.1:1/x') } });
  expect(await create({ import_from: 'file:///etc/passwd', import_from_format: 'raw', image_properties: properties })).toMatchObject({ status: 400 });
  expect(await t.call('admin', 'POST', '/v2/tasks', { type: 'import' })).toMatchObject({ status: 400, body: { message: expect.stringContaining("Task 'input' is required") } });
  expect(await create({}, 'export')).toMatchObject({ status: 400 });
  for (const [method, path] of [['GET', '/v2/tasks'], ['POST', '/v2/tasks'], ['GET', '/v2/tasks/x'], ['DELETE', '/v2/tasks/x']] as const) expect((await t.call('demo', method, path, method === 'POST' ? { type: 'import', input: {} } : undefined)).status).toBe(403);
  expect((await t.call('admin', 'GET', '/v2/tasks/nope')).status).toBe(404);
});
test('lists', async () => {
  const all = (await t.call('admin', 'GET', '/v2/tasks')).body;
  expect(all).toMatchObject({ first: '/v2/tasks', schema: '/v2/schemas/tasks', tasks: expect.any(Array) });
  expect(all.tasks[0]).not.toHaveProperty('input');
  expect((await t.call('admin', 'GET', '/v2/tasks?status=success')).body.tasks).toHaveLength(1);
  const ids: string[] = [];
  for (let next: string | undefined = '/v2/tasks?limit=1'; next !== undefined;) { const page: { tasks: { id: string }[]; next?: string } = (await t.call('admin', 'GET', next)).body; ids.push(...page.tasks.map(x => x.id)); next = page.next; }
  expect(ids).toEqual(all.tasks.map((x: { id: string }) => x.id));
  for (const query of ['status=odd', 'type=odd', 'sort_dir=up', 'sort_key=odd', 'marker=x', 'limit=-1']) expect((await t.call('admin', 'GET', `/v2/tasks?${query}`)).status, query).toBe(400);
});
