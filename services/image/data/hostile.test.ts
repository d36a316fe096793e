import { qcow2 } from '@cumulet/diskimage/testing';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect, type AddressInfo } from 'node:net';
import { get, request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';

// Requests that no client means, over real connections: what a body says of itself is a lie, several go at one image, clients do not listen.
let t: TestImages;
let port: number;
beforeAll(async () => {
  t = await openTestImages({ CUMULET_IMAGE_SIZE_CAP_BYTES: String(64 * 2 ** 20) });
  await t.app.listen({ host: '127.0.0.1', port: 0 });
  ({ port } = t.app.server.address() as AddressInfo);
});
afterAll(() => t.end());

const show = async (id: string) => (await t.call('demo', 'GET', `/v2/images/${id}`)).body;
const bytesOf = (id: string) => ['images', 'staging'].flatMap(f => ['', '.tmp', '.parts'].flatMap(s => readdirSync(join(t.rt.settings.home, f, s)).filter(n => n.startsWith(id))));
const comesToRest = async (id: string, as = /^queued$/) => { await expect.poll(async () => (await show(id)).status, { timeout: 10_000 }).toMatch(as); };
const noTasks = async () => { await expect.poll(async () => t.rt.db('tasks').where({ live: true }), { timeout: 10_000 }).toEqual([]); };

/** Writes a request as it stands; gives all that came until the server ended the connection or half a second passed after the last byte. */
const raw = (...parts: (string | Buffer)[]) => new Promise<string>((done) => {
  let got = '';
  let quiet = setTimeout(() => over(), 5_000);
  const socket = connect(port, '127.0.0.1');
  const over = () => { clearTimeout(quiet); socket.destroy(); done(got); };
  socket.setEncoding('latin1').on('data', (text: string) => { got += text; clearTimeout(quiet); quiet = setTimeout(over, 500); }).on('close', over).on('error', over);
  for (const part of parts) socket.write(part);
});
const head = (id: string, ...headers: string[]) => `${[`PUT /v2/images/${id}/file HTTP/1.1`, 'Host: x', 'X-Auth-Token: demo', 'Content-Type: application/octet-stream', ...headers].join('\r\n')}\r\n\r\n`;
const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(m => Number(m[1])).filter(s => s !== 100);

describe('bodies that lie', () => {
  test.each([
    ['more bytes than announced', 'Content-Length: 5', 'helloGARBAGE\r\n\r\n'],
    ['garbage behind the last chunk', 'Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\nGARBAGE\r\n\r\n'],
  ])('%s: what is no request ends the connection; the image has the bytes that were announced, or none', async (_, header, body) => {
    const id = await t.image('demo');
    expect(statuses(await raw(head(id, header), body)).at(-1)).toBe(400);
    await comesToRest(id, /^(active|queued)$/);
    await noTasks();
    const { status, size } = await show(id);
    expect([size, bytesOf(id).length]).toEqual(status === 'active' ? [5, 1] : [null, 0]);
  });
  test.each([
    ['a chunk whose size is no number', ['Transfer-Encoding: chunked'], '5\r\nhello\r\nzz\r\nx\r\n0\r\n\r\n'],
    ['a chunk that is longer than it says', ['Transfer-Encoding: chunked'], '5\r\nhello world\r\n0\r\n\r\n'],
    ['both lengths (smuggling)', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'],
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6'], 'hello!'],
    ['a negative length', ['Content-Length: -5'], 'hello'],
  ])('%s: refused, and the image waits', async (_, headers, body) => {
    const id = await t.image('demo');
    expect(statuses(await raw(head(id, ...headers), body))).toEqual([400]);
    await comesToRest(id);
    expect(bytesOf(id)).toEqual([]);
    await noTasks();
  });
  test('a length beyond every number, and one beyond the cap, cost nothing', async () => {
    const id = await t.image('demo');
    for (const length of ['99999999999999999999999', String(2 ** 53), String(65 * 2 ** 20)]) expect([400, 413]).toContain(statuses(await raw(head(id, `Content-Length: ${length}`), 'x'))[0]);
    expect(await show(id)).toMatchObject({ status: 'queued' });
    expect(bytesOf(id)).toEqual([]);
  });
});

/** Sends all of a body before it reads the answer, as simple clients do. */
const deaf = (id: string, body: Buffer) => new Promise<number>((done, failed) => {
  const req = request({ host: '127.0.0.1', port, method: 'PUT', path: `/v2/images/${id}/file`, headers: { 'x-auth-token': 'demo', 'content-type': 'application/octet-stream', 'content-length': body.length } });
  let status = 0;
  let sent = false;
  const both = () => { if (status !== 0 && sent) done(status); };
  req.on('response', r => { status = r.statusCode ?? 0; r.resume(); both(); }).on('error', failed);
  req.end(body, () => { sent = true; both(); });
});
test('a client that does not listen before it has sent everything hears why it was refused', async () => {
  const body = qcow2({ length: 24 * 2 ** 20 });
  const id = await t.image('demo');
  expect(await deaf(id, body)).toBe(415);
  await comesToRest(id);
  const taken = await t.image('demo', {}, Buffer.from('x'));
  expect(await deaf(taken, body)).toBe(409);
});

test('one of many uploads wins, and a deletion among them leaves nothing', async () => {
  const id = await t.image('demo');
  const all = await Promise.all(Array.from({ length: 6 }, (_, n) => t.call('demo', 'PUT', `/v2/images/${id}/file`, randomBytes(300_000 + n), { 'content-type': 'application/octet-stream' })));
  expect(all.map(r => r.status).toSorted()).toEqual([204, 409, 409, 409, 409, 409]);
  const other = await t.image('demo');
  const [up, gone, again] = await Promise.all([
    t.call('demo', 'PUT', `/v2/images/${other}/file`, randomBytes(3_000_000), { 'content-type': 'application/octet-stream' }),
    t.call('demo', 'DELETE', `/v2/images/${other}`), t.call('demo', 'DELETE', `/v2/images/${other}`),
  ]);
  expect([204, 404, 409, 410]).toContain(up.status);
  expect([gone.status, again.status].toSorted()).toEqual([204, 404]);
  await t.drain();
  expect(bytesOf(other)).toEqual([]);
  expect(await t.rt.db('images').where({ id: other })).toEqual([]);
  await noTasks();
});

test('an image that is deleted while somebody downloads it', async () => {
  const data = randomBytes(24 * 2 ** 20);
  const id = await t.image('demo', {}, data);
  const reply = await new Promise<import('node:http').IncomingMessage>(done => { get({ host: '127.0.0.1', port, path: `/v2/images/${id}/file`, headers: { 'x-auth-token': 'demo' } }, done); });
  expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
  await t.drain();
  expect(bytesOf(id)).toEqual([]);
  // The file is open: whoever began reads on to the end.
  expect(Buffer.concat(await reply.toArray()).equals(data)).toBe(true);
});

describe('headers', () => {
  test.each([
    ['bytes=0-99999999999999999999999999', 206, 10], ['bytes=-99999999999999999999999999', 206, 10], ['bytes=99999999999999999999999999-', 416, 0], ['bytes=9-0', 416, 0], ['bytes=--1', 416, 0], ['bytes=0x0-0x5', 416, 0],
    ['bytes=', 416, 0], [`bytes=${'0-1,'.repeat(1000)}0-1`, 416, 0], ['BYTES=0-1', 416, 0],
  ])('range %#', async (range, status, length) => {
    const id = await t.image('demo', {}, Buffer.from('0123456789'));
    const reply = await t.app.inject({ method: 'GET', url: `/v2/images/${id}/file`, headers: { 'x-auth-token': 'demo', range } });
    expect(reply.statusCode).toBe(status);
    if (status === 206) expect(reply.rawPayload).toHaveLength(length);
  });
  test('a range, a condition or a HEAD of an image without data finds none', async () => {
    const id = await t.image('demo');
    for (const headers of [{ range: 'bytes=0-1' }, { 'if-none-match': '*' }, { 'if-range': 'x', range: 'bytes=5-' }]) {
      for (const method of ['GET', 'HEAD'] as const) expect((await t.app.inject({ method, url: `/v2/images/${id}/file`, headers: { 'x-auth-token': 'demo', ...headers } })).statusCode).toBe(204);
    }
  });
  test.each(['-1', '1e3', '99999999999999999999', 'x', '', '0, 0'])('Upload-Offset %s', async (offset) => {
    const id = await t.image('demo');
    const r = await t.call('demo', 'PATCH', `/v2/images/${id}/file/upload`, Buffer.from('x'), { 'content-type': 'application/octet-stream', 'upload-offset': offset });
    expect(r.status).toBe(400);
    expect(await show(id)).toMatchObject({ status: 'queued' });
  });
});

describe('patches', () => {
  const patch = (id: string, body: unknown) => t.call('demo', 'PATCH', `/v2/images/${id}`, body, { 'content-type': 'application/openstack-images-v2.1-json-patch' });
  test('that are huge, deep or endless are refused without work', async () => {
    const id = await t.image('demo');
    const ops = (count: number, value: unknown = 'x') => Array.from({ length: count }, (_, n) => ({ op: 'add', path: `/p${n}`, value }));
    expect((await patch(id, ops(129))).status).toBe(413);
    expect([400, 413]).toContain((await patch(id, ops(200_000))).status);
    expect([400, 413]).toContain((await patch(id, ops(1, 'x'.repeat(10_000_000)))).status);
    expect((await patch(id, ops(1, JSON.parse('['.repeat(500) + ']'.repeat(500))))).status).toBe(400);
    // The same member ten thousand times is one property.
    expect((await patch(id, Array.from({ length: 1000 }, (_, n) => ({ op: 'add', path: '/same', value: String(n) })))).body).toMatchObject({ same: '999' });
    for (const body of ['[', '[]]', 'null', '{}', '[null]', '[[]]', '[{"op":"move","from":"/name","path":"/x"}]', '[{"op":"add","path":"/~2","value":"x"}]', '[{"op":"add","path":["/x"],"value":"x"}]', '[{"op":{},"path":"/x"}]']) expect((await patch(id, body)).status, body).toBe(400);
    expect(Object.keys(await show(id)).filter(k => /^p\d/.test(k))).toEqual([]);
  });
});
