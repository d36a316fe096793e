import pino from 'pino';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createService, glanceDress, operation, Reply, type Gate } from './index.ts';

// Large bodies, over a real connection.
const gate: Gate = { authenticate: async () => undefined, allows: () => true };
const mebibyte = 2 ** 20;
const returned: number[] = [];
let body: Readable;
const app = await createService({
  name: 'image', title: 'Data', prefixes: ['/v2'], dress: glanceDress, gate, log: pino({ level: 'silent' }), maxBodyBytes: 1000, requestTimeoutMs: 1000, maxEventLoopDelayMs: 60_000,
  identityUrl: 'http://127.0.0.1:5000', health: async () => ({}),
  operations: [operation({ id: 'data', summary: 'Data', method: 'GET', path: '/data', policy: { open: 'a test' }, handler: () => new Reply(200, body, { 'content-length': String(8 * mebibyte), 'content-type': 'application/octet-stream' }, chunk => { returned.push(chunk.length); }) })],
});
let port: number;
beforeAll(async () => { await app.listen({ host: '127.0.0.1', port: 0 }); ({ port } = app.server.address() as AddressInfo); });
afterAll(() => app.close());
const ask = () => new Promise<IncomingMessage>((done, failed) => { get({ host: '127.0.0.1', port, path: '/v2/data' }, done).on('error', failed); });
/** Eight chunks of a MiB each, the n-th with n in it; `at` may fail instead. */
const chunks = (failAt = -1) => {
  let n = 0;
  return new Readable({ highWaterMark: mebibyte, read() { if (n === failAt) this.destroy(new Error('the disk broke')); else this.push(n < 8 ? Buffer.alloc(mebibyte, n++) : null); } });
};

test('arrive whole and in order, and every chunk is given back', async () => {
  body = chunks();
  returned.length = 0;
  const reply = await ask();
  expect(reply.headers).toMatchObject({ 'content-length': String(8 * mebibyte), 'x-openstack-request-id': expect.stringMatching(/^req-/) });
  const all = Buffer.concat(await reply.toArray());
  expect(all.equals(Buffer.concat(Array.from({ length: 8 }, (_, n) => Buffer.alloc(mebibyte, n))))).toBe(true);
  // The client may have the last byte before the server hears that it is gone.
  await vi.waitFor(() => expect(returned).toEqual(Array.from({ length: 8 }, () => mebibyte)));
});
test('a body that breaks before its first byte is a fault, later it ends the connection', async () => {
  body = chunks(0);
  expect((await ask()).statusCode).toBe(500);
  body = chunks(3);
  const reply = await ask();
  expect(reply.statusCode).toBe(200);
  await expect(reply.toArray()).rejects.toThrow('aborted');
  expect(body.destroyed).toBe(true);
});
test('one who does not read holds a few chunks; one who leaves ends the body', async () => {
  let made = 0;
  body = new Readable({ highWaterMark: mebibyte, read() { made += 1; this.push(Buffer.alloc(mebibyte)); } });
  const reply = await ask();
  reply.pause();
  await new Promise(r => setTimeout(r, 300));
  expect(made).toBeLessThan(20);
  reply.destroy();
  await expect.poll(() => body.destroyed).toBe(true);
});
