import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { plainCall } from '../call.ts';
import { openSwift, type SwiftOptions } from './index.ts';

/** A Swift that misbehaves on demand. The real one is in test/storage. */
let server: Server;
let url: string;
let asked: { method: string; url: string; token: string | undefined; range: string | undefined; match: string | undefined }[] = [];
let answer: (req: IncomingMessage, res: ServerResponse, n: number) => void;
let tokens = 0;
beforeAll(async () => {
  server = createServer((req, res) => {
    if (req.url === '/auth/v1.0') {
      if (req.headers['x-auth-key'] !== 'secret') { res.writeHead(401).end(); return; }
      res.writeHead(200, { 'x-storage-url': `${url}/v1/AUTH_test`, 'x-auth-token': `t${++tokens}` }).end();
      return;
    }
    if (req.url === '/v3/auth/tokens') {
      void buffer(req).then(body => {
        const { auth } = JSON.parse(body.toString()) as { auth: { identity: { methods: string[] }; scope?: { project: { name: string } } } };
        const endpoints = ['RegionOne', 'RegionTwo'].flatMap(region => ['public', 'internal'].map(kind => ({ interface: kind, region, region_id: region, url: `${url}/${region}/${kind}/` })));
        if (auth.identity.methods[0] === 'password' && auth.scope?.project.name !== 'service') { res.writeHead(401).end('{}'); return; }
        res.writeHead(201, { 'x-subject-token': `v3-${++tokens}` }).end(JSON.stringify({ token: { catalog: [{ type: 'image', endpoints: [] }, { type: 'object-store', endpoints }] } }));
      });
      return;
    }
    asked.push({ method: req.method ?? '', url: req.url ?? '', token: req.headers['x-auth-token'] as string | undefined, range: req.headers.range, match: req.headers['if-match'] });
    req.resume().on('end', () => answer(req, res, asked.length));
  });
  await new Promise<void>(f => server.listen(0, '127.0.0.1', f));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => { server.closeAllConnections(); server.close(); });
beforeEach(() => { asked = []; tokens = 0; });
const call = plainCall();
const open = (options: Partial<SwiftOptions> = {}) => openSwift({ authUrl: `${url}/auth/v1.0`, user: 'test:tester', key: 'secret', retryDelayMs: 1, ...options });

describe('the Swift client', () => {
  it('signs in once for many, and again when its token ends', async () => {
    answer = (req, res) => res.writeHead(req.headers['x-auth-token'] === 't1' && asked.length > 5 ? 401 : 204).end();
    const swift = open();
    await Promise.all(Array.from({ length: 5 }, () => swift.check(call)));
    expect(tokens).toBe(1);
    await swift.check(call);
    expect([tokens, asked.at(-1)?.token]).toEqual([2, 't2']);
    await swift.close();
  });
  it('finds the account in an identity catalogue', async () => {
    answer = (_req, res) => res.writeHead(204).end();
    const v3: Partial<SwiftOptions> = { authUrl: `${url}/v3`, user: 'glance', project: 'service' };
    for (const [options, path] of [[v3, '/RegionOne/public'], [{ ...v3, region: 'RegionTwo', endpointType: 'internal' }, '/RegionTwo/internal'], [{ ...v3, applicationCredential: { id: 'a', secret: 'b' } }, '/RegionOne/public'], [{ ...v3, storageUrl: `${url}/mine` }, '/mine']] as const) {
      const swift = open(options);
      await swift.check(call);
      expect(asked.at(-1)?.url).toBe(path);
      await swift.close();
    }
    for (const options of [{ ...v3, region: 'none' }, { ...v3, project: 'other' }, { key: 'wrong' }]) {
      const swift = open(options);
      await expect(swift.check(call)).rejects.toMatchObject({ kind: 'broken' });
      await swift.close();
    }
  });
  it('tries again what may pass, and no more than it was told', async () => {
    answer = (_req, res, n) => (n < 3 ? n === 1 ? res.writeHead(503).end() : res.destroy() : res.writeHead(201, { etag: 'x' }).end());
    const swift = open({ retries: 2 });
    await swift.put(call, 'c', 'ä b/c?', Buffer.from('x'));
    expect(asked.map(a => a.url)).toEqual(Array.from({ length: 3 }, () => '/v1/AUTH_test/c/%C3%A4%20b%2Fc%3F'));
    answer = (_req, res) => res.writeHead(503).end('inner detail');
    await expect(swift.put(call, 'c', 'o', Buffer.from('x'))).rejects.toMatchObject({ kind: 'transient', message: 'The object cannot be stored: the object storage does not answer as it should.' });
    expect(asked).toHaveLength(6);
    await swift.close();
  });
  it('says what each refusal means', async () => {
    const swift = open({ retries: 0 });
    for (const [status, kind] of [[404, 'absent'], [409, 'busy'], [413, 'full'], [507, 'full'], [416, 'invalid'], [500, 'transient'], [403, 'broken'], [400, 'broken']] as const) {
      answer = (_req, res) => res.writeHead(status).end();
      await expect(swift.get(call, 'c', 'o')).rejects.toMatchObject({ kind });
    }
    await swift.close();
    const nobody = openSwift({ authUrl: 'http://127.0.0.1:1/auth/v1.0', user: 'a:b', key: 'c', retries: 1, retryDelayMs: 1 });
    await expect(nobody.check(call)).rejects.toMatchObject({ kind: 'transient' });
    await nobody.close();
  });
  it('takes a broken download up where it broke, of the same object only', async () => {
    const bytes = Buffer.alloc(1_000_000, 'abcdefghij');
    answer = (req, res, n) => {
      const from = Number(/bytes=(\d+)-/.exec(req.headers.range ?? '')?.[1] ?? 0);
      res.writeHead(from > 0 ? 206 : 200, { etag: 'v1', 'content-length': bytes.length - from, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
      if (n < 3) res.write(bytes.subarray(from, from + 300_000), () => setTimeout(() => res.destroy(), 20)); else res.end(bytes.subarray(from));
    };
    const swift = open();
    const { body, facts } = await swift.get(call, 'c', 'o');
    expect(facts.size).toBe(bytes.length);
    expect((await buffer(body)).equals(bytes)).toBe(true);
    expect(asked.map(a => [a.range, a.match])).toEqual([[undefined, undefined], ['bytes=300000-999999', '"v1"'], ['bytes=600000-999999', '"v1"']]);
    await swift.close();
  });
  it('does not wait for a stalled body when its reader leaves or the call is aborted', async () => {
    answer = (_req, res) => { res.writeHead(200, { 'content-length': 100 }); res.write('x'); };
    const swift = open();
    const { body } = await swift.get(call, 'c', 'o');
    await new Promise(f => body.once('readable', f));
    body.destroy();
    await new Promise(f => body.once('close', f));
    const stop = new AbortController();
    const again = await swift.get(plainCall('t', stop.signal), 'c', 'o');
    const reason = new Error('cancelled');
    setTimeout(() => stop.abort(reason), 20);
    await expect(buffer(again.body)).rejects.toBe(reason);
    await swift.close();
  });
  it('knows its own object when the answer to a first attempt was lost', async () => {
    let mark: unknown;
    answer = (req, res, n) => {
      if (n === 1) { mark = req.headers['x-object-meta-fresh']; res.destroy(); } else if (req.method === 'PUT') res.writeHead(412).end(); else res.writeHead(200, { 'x-object-meta-fresh': String(mark), etag: 'e' }).end();
    };
    const swift = open();
    await swift.put(call, 'c', 'o', Buffer.from('x'), { fresh: true });
    mark = 'of somebody else';
    await expect(swift.put(call, 'c', 'o', Buffer.from('x'), { fresh: true })).rejects.toMatchObject({ kind: 'busy' });
    await swift.close();
  });
});
