import { qcow2 } from '@cumulet/diskimage/testing';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';

let t: TestImages;
let port: number;
beforeAll(async () => {
  t = await openTestImages({ CUMULET_WORKER_LEASE_SECONDS: '2', CUMULET_IMAGE_STORES: '[{id: file, driver: file, path: images, default: true}, {id: spare, driver: file, path: spare}]' });
  await t.app.listen({ host: '127.0.0.1', port: 0 });
  port = (t.app.server.address() as AddressInfo).port;
});
afterAll(() => t.end());
const octets = { 'content-type': 'application/octet-stream' };
const put = (id: string, data: Buffer, headers = {}, what = 'file') => t.call('demo', 'PUT', `/v2/images/${id}/${what}`, data, { ...octets, ...headers });
const show = async (id: string) => (await t.call('demo', 'GET', `/v2/images/${id}`)).body;
const stored = () => readdirSync(join(t.rt.settings.home, 'images')).filter(n => !n.startsWith('.'));
const leftovers = () => ['images', 'staging'].flatMap(f => [...readdirSync(join(t.rt.settings.home, f)).filter(n => !n.startsWith('.')), ...readdirSync(join(t.rt.settings.home, f, '.tmp'))]);
const get = (id: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') => t.app.inject({ method, url: `/v2/images/${id}/file`, headers: { 'x-auth-token': 'demo', ...headers } });
/** A PUT whose bytes are sent when the test says. */
const slow = (id: string, what = 'file', headers: Record<string, string> = {}) => {
  const req = request({ host: '127.0.0.1', port, method: 'PUT', path: `/v2/images/${id}/${what}`, headers: { 'x-auth-token': 'demo', ...octets, ...headers } });
  const answer = new Promise<number | undefined>(done => { req.on('response', r => { r.resume(); done(r.statusCode); }); req.on('error', () => done(undefined)); });
  return { req, answer };
};
const until = async (ready: () => Promise<boolean>) => { for (let i = 0; i < 200; i++) { if (await ready()) return; await new Promise(r => setTimeout(r, 25)); } throw new Error('it did not come'); };
beforeEach(async () => { await t.rt.db('images').whereNotNull('id').update({ protected: false }); });

test('what goes up comes down, with its hashes', async () => {
  const data = randomBytes(3_000_000);
  const id = await t.image('demo', {}, data);
  expect(await show(id)).toMatchObject({
    status: 'active', size: data.length, virtual_size: data.length, checksum: createHash('md5').update(data).digest('hex'), os_hash_algo: 'sha512', os_hash_value: createHash('sha512').update(data).digest('hex'), stores: 'file',
  });
  expect(await show(id)).not.toHaveProperty('locations');
  const down = await get(id);
  expect(down.rawPayload.equals(data)).toBe(true);
  expect(down.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'content-length': String(data.length), 'content-md5': createHash('md5').update(data).digest('hex') });
  expect((await get(id, {}, 'HEAD')).headers['content-length']).toBe(String(data.length));
  expect(await put(id, data)).toMatchObject({ status: 409, body: { message: expect.stringContaining('Image status transition from active to saving is not allowed') } });
});
test.each([
  ['bytes=0-9', 206, 0, 10], ['bytes=90-', 206, 90, 10], ['bytes=-5', 206, 95, 5], ['bytes=95-200', 206, 95, 5], ['bytes=100-', 416], ['bytes=5-2', 416], ['bytes=0-1,3-4', 416], ['lines=0-1', 416],
] as [string, number, number?, number?][])('range %s', async (range: string, status: number, offset = 0, length = 0) => {
  const data = randomBytes(100);
  const id = await t.image('demo', {}, data);
  const r = await get(id, { range });
  expect(r.statusCode).toBe(status);
  if (status === 206) { expect(r.rawPayload.equals(data.subarray(offset, offset + length))).toBe(true); expect(r.headers['content-range']).toBe(`bytes ${offset}-${offset + length - 1}/100`); }
});
test('conditional downloads', async () => {
  const id = await t.image('demo', {}, Buffer.from('abc'));
  const { etag } = (await get(id)).headers;
  expect((await get(id, { 'if-none-match': String(etag) })).statusCode).toBe(304);
  expect((await get(id, { range: 'bytes=0-0', 'if-range': '"other"' })).statusCode).toBe(200);
});
test('a location that gives no bytes: the next one is read; when there is none, 503 and when to come again', async () => {
  const id = await t.image('demo', {}, Buffer.from('the same in both'));
  expect((await t.call('admin', 'POST', `/v2/images/${id}/import`, { method: { name: 'copy-image' }, stores: ['spare'] })).status).toBe(202);
  await t.drain();
  // Opens like a file, and fails when it is read.
  const break_ = (store: string) => { const at = join(t.rt.settings.home, store, id); rmSync(at); mkdirSync(at); };
  break_('images');
  expect(await get(id)).toMatchObject({ statusCode: 200, payload: 'the same in both' });
  expect(await get(id, { range: 'bytes=4-7' })).toMatchObject({ statusCode: 206, payload: 'same' });
  break_('spare');
  expect(await get(id)).toMatchObject({ statusCode: 503, headers: { 'retry-after': '5' } });
  for (const store of ['images', 'spare']) rmdirSync(join(t.rt.settings.home, store, id));
  expect((await get(id)).statusCode).toBe(204);
});
test('without data there is none', async () => {
  const id = await t.image('demo');
  expect((await get(id)).statusCode).toBe(204);
  expect((await t.call('other', 'GET', `/v2/images/${id}/file`)).status).toBe(404);
  const empty = await t.image('demo', {}, Buffer.alloc(0));
  expect(await show(empty)).toMatchObject({ status: 'active', size: 0 });
});
describe('refused uploads leave the image queued and no bytes', () => {
  beforeEach(async () => { for (const { id } of await t.rt.db('images').whereNot('status', 'pending_delete').select('id')) await t.call('admin', 'DELETE', `/v2/images/${id}`); await t.drain(); expect(leftovers()).toEqual([]); });
  test.each([
    ['qcow2 bytes called raw (CVE-2024-40767)', 'raw', qcow2(), 415],
    ['raw bytes called qcow2', 'qcow2', Buffer.alloc(1000, 'x'), 415],
    ['a backing file (CVE-2015-5163)', 'qcow2', qcow2({ backing: '/etc/passwd' }), 415],
    ['an external data file (CVE-2024-32498)', 'qcow2', qcow2({ dataFile: true }), 415],
    ['a flat VMDK (CVE-2022-47951)', 'vmdk', Buffer.from('# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n'), 415],
    ['a size bomb', 'qcow2', qcow2({ size: 2n ** 62n }), 415],
  ])('%s', async (_, disk_format, data, status) => {
    const id = await t.image('demo', { disk_format });
    expect(await put(id, data)).toMatchObject({ status });
    expect(await show(id)).toMatchObject({ status: 'queued', size: null, checksum: null });
    expect(leftovers()).toEqual([]);
    expect((await t.rt.db('tasks').where({ live: true }))).toEqual([]);
  });
  test('a good qcow2 is taken, with its virtual size', async () => {
    const id = await t.image('demo', { disk_format: 'qcow2' }, qcow2());
    expect(await show(id)).toMatchObject({ status: 'active', virtual_size: 1_048_576 });
  });
  test('another media type, no formats, no such store', async () => {
    const id = await t.image('demo');
    expect((await put(id, Buffer.from('{}'), { 'content-type': 'application/json' })).status).toBe(415);
    expect((await put(id, Buffer.from('x'), { 'x-image-meta-store': 'moon' })).status).toBe(400);
    const bare = (await t.call('demo', 'POST', '/v2/images', {})).body.id;
    expect(await put(bare, Buffer.from('x'))).toMatchObject({ status: 400, body: { message: expect.stringContaining('Properties disk_format, container_format must be set prior to saving data.') } });
  });
  test('a broken upload', async () => {
    const id = await t.image('demo');
    const { req, answer } = slow(id, 'file', { 'content-length': '1000000' });
    req.write(Buffer.alloc(500_000));
    await until(async () => (await show(id)).status === 'saving');
    req.destroy();
    await answer;
    await until(async () => (await show(id)).status === 'queued');
    expect(leftovers()).toEqual([]);
    expect((await put(id, Buffer.from('again'))).status).toBe(204);
  });
  test('of two at once one wins', async () => {
    const id = await t.image('demo');
    const first = slow(id);
    first.req.write(Buffer.from('first'));
    await until(async () => (await show(id)).status === 'saving');
    expect(await put(id, Buffer.from('second'))).toMatchObject({ status: 409 });
    first.req.end();
    expect(await first.answer).toBe(204);
    expect((await get(id)).payload).toBe('first');
  });
  test('a deletion while the bytes come (CVE-2014-9623)', async () => {
    const id = await t.image('demo');
    const { req, answer } = slow(id);
    req.write(Buffer.alloc(300_000));
    await until(async () => (await show(id)).status === 'saving');
    expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
    expect((await t.call('demo', 'GET', `/v2/images/${id}`)).status).toBe(404);
    await new Promise(r => setTimeout(r, 700));
    req.end();
    expect([410, undefined]).toContain(await answer);
    await t.drain();
    expect(leftovers()).toEqual([]);
    expect(await t.rt.db('images').where({ id })).toEqual([]);
  });
  test('the API process dies: a worker cleans up', async () => {
    const id = await t.image('demo');
    const { req, answer } = slow(id);
    req.write(Buffer.alloc(300_000));
    await until(async () => (await show(id)).status === 'saving');
    // What is left of a killed process: the row, the task with its lease, and bytes that were published but never recorded.
    await t.rt.db('tasks').where({ live: true }).update({ fence: 99, lease_until: t.rt.db.raw("now() - interval '1 second'") });
    await new Promise(r => setTimeout(r, 700));
    await t.drain();
    expect(await show(id)).toMatchObject({ status: 'queued' });
    req.destroy();
    await answer;
    await until(async () => leftovers().length === 0);
    expect((await put(id, Buffer.from('again'))).status).toBe(204);
  });
});
test('deleted images leave no bytes', async () => {
  const id = await t.image('demo', {}, Buffer.from('x'));
  expect(stored()).toContain(id);
  expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
  expect((await t.call('demo', 'GET', `/v2/images/${id}`)).status).toBe(404);
  expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(404);
  await t.drain();
  expect(existsSync(join(t.rt.settings.home, 'images', id))).toBe(false);
  expect(await t.rt.db('images').where({ id })).toEqual([]);
});
test('staged bytes wait as uploading', async () => {
  const id = await t.image('demo');
  expect((await put(id, Buffer.from('staged'), {}, 'stage')).status).toBe(204);
  expect(await show(id)).toMatchObject({ status: 'uploading', size: 6, checksum: null });
  expect((await put(id, Buffer.from('staged'), {}, 'stage')).status).toBe(409);
  expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
  await t.drain();
  expect(existsSync(join(t.rt.settings.home, 'staging', id))).toBe(false);
});
describe('limits', () => {
  const limit = (resource: string, hard_limit: number) => t.rt.db('quotas').insert({ service: 'image', project_id: 'cc'.repeat(16), resource, hard_limit }).onConflict(['service', 'project_id', 'resource']).merge();
  test('count and size', async () => {
    await limit('image_count_total', 1);
    const id = await t.image('other');
    expect((await t.call('other', 'POST', '/v2/images', {})).status).toBe(413);
    await limit('image_count_total', -1);
    await limit('image_size_total', 1);
    expect((await t.call('other', 'PUT', `/v2/images/${id}/file`, Buffer.alloc(1_048_577), octets)).status).toBe(413);
    expect((await t.call('other', 'PUT', `/v2/images/${id}/file`, Buffer.alloc(1_048_576), octets)).status).toBe(204);
    expect((await t.call('other', 'GET', '/v2/info/usage')).body.usage).toMatchObject({ image_size_total: { usage: 1, limit: 1 }, image_count_total: { usage: 1, limit: -1 }, image_count_uploading: { usage: 0, limit: -1 } });
    const next = await t.image('other');
    expect((await t.call('other', 'PUT', `/v2/images/${next}/file`, Buffer.alloc(1), octets)).status).toBe(413);
    await t.call('other', 'DELETE', `/v2/images/${id}`);
    expect((await t.call('other', 'PUT', `/v2/images/${next}/file`, Buffer.alloc(1), octets)).status).toBe(204);
  });
});

describe('resumable uploads', () => {
  const part = (id: string, offset: number, data: Buffer, last = false) => t.call('demo', 'PATCH', `/v2/images/${id}/file/upload`, data, { ...octets, 'upload-offset': String(offset), ...(last ? { 'upload-complete': '?1' } : {}) });
  const offset = async (id: string) => Number((await t.call('demo', 'HEAD', `/v2/images/${id}/file/upload`)).headers['upload-offset']);
  test('go on where they were', async () => {
    const id = await t.image('demo');
    const bytes = randomBytes(900_000);
    expect(await offset(id)).toBe(0);
    expect((await part(id, 0, bytes.subarray(0, 300_000))).headers['upload-offset']).toBe('300000');
    expect(await show(id)).toMatchObject({ status: 'queued' });
    expect(await part(id, 0, bytes)).toMatchObject({ status: 409, headers: { 'upload-offset': '300000' } });
    const broken = request({ host: '127.0.0.1', port, method: 'PATCH', path: `/v2/images/${id}/file/upload`, headers: { 'x-auth-token': 'demo', ...octets, 'upload-offset': '300000', 'content-length': '600000' } });
    broken.on('error', () => undefined);
    broken.write(bytes.subarray(300_000, 500_000));
    await until(async () => (await show(id)).status === 'uploading');
    await new Promise(r => setTimeout(r, 100));
    broken.destroy();
    await until(async () => (await show(id)).status === 'queued');
    const at = await offset(id);
    expect(at).toBeGreaterThan(300_000);
    expect((await part(id, at, bytes.subarray(at), true)).status).toBe(204);
    expect(await show(id)).toMatchObject({ status: 'active', size: 900_000, os_hash_value: createHash('sha512').update(bytes).digest('hex') });
    expect(existsSync(join(t.rt.settings.home, 'staging', '.parts', id))).toBe(false);
  });
  test('are forgotten when asked, and with the image', async () => {
    const id = await t.image('demo');
    await part(id, 0, Buffer.alloc(10));
    expect((await t.call('demo', 'DELETE', `/v2/images/${id}/file/upload`)).status).toBe(204);
    expect(await offset(id)).toBe(0);
    await part(id, 0, Buffer.alloc(10));
    await t.call('demo', 'DELETE', `/v2/images/${id}`);
    await t.drain();
    expect(existsSync(join(t.rt.settings.home, 'staging', '.parts', id))).toBe(false);
    expect((await t.call('other', 'PATCH', `/v2/images/${id}/file/upload`, Buffer.alloc(1), { ...octets, 'upload-offset': '0' })).status).toBe(404);
    expect((await t.call('demo', 'PATCH', `/v2/images/${await t.image('demo')}/file/upload`, Buffer.alloc(1), octets)).status).toBe(400);
  });
  test('dangerous content is refused at the end', async () => {
    const id = await t.image('demo');
    await part(id, 0, qcow2().subarray(0, 8));
    expect((await part(id, 8, qcow2().subarray(8), true)).status).toBe(415);
    expect(await show(id)).toMatchObject({ status: 'queued' });
  });
});
