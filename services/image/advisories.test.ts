import { Readable } from 'node:stream';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { qcow2 } from '@cumulet/diskimage/testing';
import { plainCall } from '@cumulet/drivers';
import { swiftStore } from '@cumulet/drivers/imagestore';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../test/harness/image.ts';
import { openWeb, type Web } from '../../test/harness/web.ts';
import { openImageAccess } from './access.ts';
import { images } from './lending.ts';

/*
 * The contract's advisories that concern images, and where each is a test:
 *   1–4, 9   content of uploads and imports        data/data.test.ts, imports/imports.test.ts, packages/diskimage/inspect.test.ts; of volumes and servers: below
 *   13       addresses, redirects, rebinding       packages/fetch/fetch.test.ts; by every way in: below
 *   17, 18   bytes after deletion, size, import    data/data.test.ts, imports/imports.test.ts; too large: below
 *   14, 15, 16, 19, 20, 35, os_glance_*            below
 * Compute's and volume's rows (5–8, 10–12, 36–38, 40) are tests of those services.
 */
let t: TestImages;
let web: Web;
beforeAll(async () => {
  web = await openWeb();
  t = await openTestImages({
    CUMULET_IMAGE_STORES: '[{id: one, driver: file, path: one, default: true}, {id: web, driver: http}, {id: memory, driver: fake}]', CUMULET_IMAGE_SHOW_MULTIPLE_LOCATIONS: 'true',
    CUMULET_IMAGE_SIZE_CAP_BYTES: '1000000', CUMULET_IMAGE_FETCH_PORTS: `[80, ${web.port}]`,
  });
});
afterAll(async () => { await t.end(); await web.close(); });
const files = () => ['one', 'staging'].flatMap(f => ['', '.tmp', '.parts'].flatMap(s => { const at = join(t.rt.settings.home, f, s); return existsSync(at) ? readdirSync(at).filter(n => !n.startsWith('.')) : []; }));
const show = async (id: string) => (await t.call('admin', 'GET', `/v2/images/${id}`)).body;
const patch = (who: 'demo' | 'admin', id: string, ...ops: object[]) => t.call(who, 'PATCH', `/v2/images/${id}`, ops, { 'content-type': 'application/openstack-images-v2.1-json-patch' });

const inward = ['http://127.0.0.1/x', 'http://2130706433/x', 'http://0x7f000001/x', 'http://0177.0.0.1/x', 'http://[::ffff:127.0.0.1]/x', 'http://169.254.169.254/latest', 'file:///etc/passwd', 'http://user:pw@example.org/'];
test.each(inward)('rows 13 and 14, %s: web-download, legacy task and location refuse it alike', async (url) => {
  const id = await t.image('demo');
  const before = web.asked.length;
  expect(await t.call('demo', 'POST', `/v2/images/${id}/import`, { method: { name: 'web-download', uri: url } })).toMatchObject({ status: 400 });
  expect(await t.call('admin', 'POST', '/v2/tasks', { type: 'import', input: { import_from: url, import_from_format: 'raw', image_properties: { container_format: 'bare', disk_format: 'raw' } } })).toMatchObject({ status: 400 });
  expect(await t.call('admin', 'POST', `/v2/images/${id}/locations`, { url, metadata: {} })).toMatchObject({ status: 400 });
  expect(await patch('admin', id, { op: 'add', path: '/locations/-', value: { url, metadata: {} } })).toMatchObject({ status: 400 });
  expect(await show(id)).toMatchObject({ status: 'queued', locations: [] });
  expect(web.asked.length).toBe(before);
});

test('row 15: no location leads to files of the host or names an account of the operator', async () => {
  const victim = await t.image('other', {}, randomBytes(100));
  const id = await t.image('demo');
  for (const url of [`file://${t.rt.settings.home}/one/${victim}`, 'file:///etc/passwd', 'filesystem:///etc/passwd', 'FILE:///etc/passwd', 'swift+config://ref1/glance/x', 'sheepdog://x', 'unknown://x', '/etc/passwd', '']) {
    for (const who of ['demo', 'admin'] as const) {
      expect((await t.call(who, 'POST', `/v2/images/${id}/locations`, { url, metadata: {} })).status, url).toBeGreaterThanOrEqual(400);
      expect((await patch(who, id, { op: 'replace', path: '/locations', value: [{ url, metadata: { store: 'one' } }] })).status, url).toBeGreaterThanOrEqual(400);
    }
  }
  expect(await show(id)).toMatchObject({ status: 'queued', locations: [] });
});

test('row 16: neither taking away locations nor a header makes an image queued again', async () => {
  const id = await t.image('demo', {}, randomBytes(100));
  expect((await patch('admin', id, { op: 'remove', path: '/locations/0' })).status).toBe(403);
  expect((await patch('admin', id, { op: 'replace', path: '/locations', value: [] })).status).toBe(403);
  expect((await patch('demo', id, { op: 'replace', path: '/status', value: 'queued' })).status).toBe(403);
  expect((await t.call('demo', 'PUT', `/v2/images/${id}/file`, Buffer.from('x'), { 'content-type': 'application/octet-stream', 'x-image-meta-status': 'queued' })).status).toBe(409);
  expect((await t.call('demo', 'PUT', `/v2/images/${id}`, {}, { 'x-image-meta-status': 'queued' })).status).toBeGreaterThanOrEqual(404);
  expect(await show(id)).toMatchObject({ status: 'active', size: 100 });
});

test('row 17: what is too large leaves no byte, announced or not', async () => {
  const before = files();
  const id = await t.image('demo');
  for (const headers of [{}, { 'transfer-encoding': 'chunked' }] as Record<string, string>[]) expect((await t.call('demo', 'PUT', `/v2/images/${id}/file`, Buffer.alloc(1_000_001, 'x'), { 'content-type': 'application/octet-stream', ...headers })).status).toBe(413);
  expect(await show(id)).toMatchObject({ status: 'queued', size: null });
  expect(files()).toEqual(before);
});

test('row 19: a copy in a cache is no way around the rule of downloads', async () => {
  const id = await t.image('demo', { visibility: 'private' }, randomBytes(100));
  expect((await t.call('admin', 'PUT', `/v2/cache/${id}`)).status).toBe(202);
  await t.drain();
  expect((await t.call('admin', 'GET', '/v2/cache')).body.cached_images).toMatchObject([{ image_id: id }]);
  expect((await t.call('other', 'GET', `/v2/images/${id}/file`)).status).toBe(404);
  await t.call('admin', 'POST', `/v2/images/${id}/actions/deactivate`);
  expect((await t.call('demo', 'GET', `/v2/images/${id}/file`)).status).toBe(403);
});

test('row 20: addresses are for services; hashes that come with a location must be those of the data', async () => {
  const id = await t.image('demo', {}, randomBytes(100));
  expect((await t.call('demo', 'GET', `/v2/images/${id}/locations`)).status).toBe(403);
  // Another's bytes in a store whose addresses users should not know.
  const victim = await t.image('other');
  expect((await t.call('other', 'PUT', `/v2/images/${victim}/file`, randomBytes(50), { 'content-type': 'application/octet-stream', 'x-image-meta-store': 'memory' })).status).toBe(204);
  const thief = await t.image('demo');
  for (const reply of [await t.call('demo', 'POST', `/v2/images/${thief}/locations`, { url: `fake://memory/${victim}`, metadata: {} }), await patch('demo', thief, { op: 'add', path: '/locations/-', value: { url: `fake://memory/${victim}`, metadata: {} } })]) expect([400, 403]).toContain(reply.status);
  expect(await show(thief)).toMatchObject({ status: 'queued' });
});

test('os_glance_*: nobody gives an image what the service writes', async () => {
  expect((await t.call('demo', 'POST', '/v2/images', { name: 'x', os_glance_foo: 'bar' })).status).toBe(403);
  const id = await t.image('demo');
  for (const op of ['add', 'replace']) expect((await patch('demo', id, { op, path: '/os_glance_import_task', value: 'x' })).status).toBeGreaterThanOrEqual(400);
});

test('rows 2, 4 and 5: a guest that writes a header into its raw disk gains nothing when an image is made of it', async () => {
  const before = files();
  const access = await openImageAccess(t.rt);
  const { id } = await t.rt.db.transaction(trx => images.createRecord(trx, t.rt, { name: 'snapshot', owner: 'p', diskFormat: 'raw', containerFormat: 'bare' }));
  await expect(access.put(plainCall(), id, Readable.from([qcow2()]))).rejects.toMatchObject({ kind: 'invalid' });
  expect(files()).toEqual(before);
  await access.close();
});

test('row 35: what a store says in its errors holds no credentials', async () => {
  const store = swiftStore({ authUrl: 'http://127.0.0.1:1/auth/v1.0', user: 'test:tester', key: 'very-secret', retries: 0 });
  const error: unknown = await store.check(plainCall()).catch((failure: unknown) => failure);
  expect(JSON.stringify({ ...(error as object), message: String(error), stack: (error as Error).stack, cause: String((error as Error).cause) })).not.toContain('very-secret');
  expect(store.location('x')).toBe('swift+config://ref1/glance/x');
});
