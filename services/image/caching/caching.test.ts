import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plainCall } from '@cumulet/drivers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';
import { openImageAccess, type ImageAccess } from '../index.ts';

let t: TestImages;
let access: ImageAccess;
beforeAll(async () => { t = await openTestImages({ CUMULET_IMAGE_CACHE_MAX_BYTES: '1500' }); access = await openImageAccess(t.rt); });
afterAll(async () => { await access.close(); await t.end(); });
const list = async () => (await t.call('admin', 'GET', '/v2/cache')).body;
const folder = () => join(t.rt.settings.home, 'image-cache');

describe('copies for workers', () => {
  test('are whole, read-only, made once for all who ask, and outlive the image', async () => {
    const bytes = randomBytes(600_000);
    const id = await t.image('demo', {}, bytes);
    const dir = join(t.rt.settings.home, 'bases');
    const copies = await Promise.all([1, 2, 3].map(() => access.localCopy(plainCall(), id, dir)));
    expect(new Set(copies.map(c => c.path)).size).toBe(1);
    expect(copies[0]).toMatchObject({ format: 'raw', virtualSize: 600_000 });
    expect(readFileSync(copies[0]?.path as string).equals(bytes)).toBe(true);
    await t.call('demo', 'DELETE', `/v2/images/${id}`);
    await t.drain();
    expect((await access.localCopy(plainCall(), id, dir)).virtualSize).toBe(600_000);
    await expect(access.localCopy(plainCall(), '11111111-1111-4111-8111-111111111111', dir)).rejects.toMatchObject({ kind: 'absent' });
  });
  test('are not made of bytes that changed behind our back', async () => {
    const id = await t.image('demo', {}, randomBytes(1000));
    writeFileSync(join(t.rt.settings.home, 'images', id), randomBytes(1000));
    await expect(access.localCopy(plainCall(), id, join(t.rt.settings.home, 'bases'))).rejects.toMatchObject({ kind: 'invalid' });
    expect(existsSync(join(t.rt.settings.home, 'bases', id))).toBe(false);
  });
  test('one that gives up does not take the others with it', async () => {
    const id = await t.image('demo', {}, randomBytes(2_000_000));
    const stop = new AbortController();
    const dir = join(t.rt.settings.home, 'bases2');
    const first = access.localCopy(plainCall('a', stop.signal), id, dir);
    const second = access.localCopy(plainCall('b'), id, dir);
    stop.abort(new Error('given up'));
    await first.catch(() => undefined);
    expect((await second).virtualSize).toBe(2_000_000);
  });
});
test('the cache API', async () => {
  await t.call('admin', 'DELETE', '/v2/cache');
  await t.drain();
  for (const [method, path] of [['GET', ''], ['PUT', '/x'], ['DELETE', '/x'], ['DELETE', ''], ['POST', '/clean'], ['POST', '/prune'], ['GET', '/nodes/x']] as const) expect((await t.call('demo', method, `/v2/cache${path}`)).status, path).toBe(403);
  expect((await t.call('admin', 'PUT', '/v2/cache/none')).status).toBe(404);
  expect((await t.call('admin', 'PUT', `/v2/cache/${await t.image('demo')}`)).status).toBe(400);
  const [a, b] = [await t.image('demo', {}, randomBytes(1000)), await t.image('demo', {}, randomBytes(1000))];
  expect((await t.call('admin', 'PUT', `/v2/cache/${a}`)).status).toBe(202);
  expect((await t.call('admin', 'PUT', `/v2/cache/${a}`)).status).toBe(202);
  expect(await list()).toEqual({ cached_images: [], queued_images: [a] });
  await t.drain();
  expect(await list()).toEqual({ cached_images: [{ image_id: a, hits: 0, last_accessed: expect.any(Number), last_modified: expect.any(Number), size: 1000 }], queued_images: [] });
  expect((await t.call('admin', 'GET', `/v2/cache/nodes/${a}`)).body).toEqual({ cached_nodes: ['testhost'] });
  expect(existsSync(join(folder(), a))).toBe(true);
  await t.call('admin', 'PUT', `/v2/cache/${b}`);
  await t.drain();
  expect((await t.call('admin', 'POST', '/v2/cache/prune')).status).toBe(204);
  await t.drain();
  expect((await list()).cached_images.map((i: { image_id: string }) => i.image_id)).toEqual([b]);
  expect(existsSync(join(folder(), a))).toBe(false);
  expect((await t.call('admin', 'DELETE', `/v2/cache/${b}`)).status).toBe(204);
  await t.call('admin', 'PUT', `/v2/cache/${a}`);
  expect((await t.call('admin', 'DELETE', '/v2/cache', undefined, { 'x-image-cache-clear-target': 'odd' })).status).toBe(400);
  expect((await t.call('admin', 'DELETE', '/v2/cache', undefined, { 'x-image-cache-clear-target': 'queue' })).status).toBe(204);
  expect(await list()).toEqual({ cached_images: [], queued_images: [] });
  await t.drain();
});
