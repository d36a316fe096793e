import { mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createRunner } from '../../packages/exec/index.ts';
import { plainCall, silent } from '../../packages/drivers/index.ts';
import { imageStoreConformance } from '../../packages/drivers/imagestore/conformance.ts';
import { rbdStore, swiftStore, type ImageStore } from '../../packages/drivers/imagestore/index.ts';
import { openSwift } from '../../packages/drivers/swift/index.ts';
import { startCeph, type RealCeph } from './ceph.ts';
import { startSwift, type RealSwift } from './swift.ts';

// The image stores on a real Swift and a real Ceph. A target that cannot be started fails these tests and says what is missing.
const call = plainCall();
const GiB = 2 ** 30;
const MiB = 2 ** 20;

/** 4 GiB with a few islands of data, and its md5; made as it is read. */
function sparse() {
  const islands = new Map([0, 1, 700, 2047, 4095].map(mib => [mib, randomBytes(MiB)]));
  const zeros = Buffer.alloc(MiB);
  const pieces = function* () { for (let n = 0; n < 4096; n += 1) yield islands.get(n) ?? zeros; };
  const hash = createHash('md5');
  for (const piece of pieces()) hash.update(piece);
  return { body: () => Readable.from(pieces(), { objectMode: false }), md5: hash.digest('hex'), islands };
}
/** A large image goes in and out, whole and in parts, in flat memory. */
async function large(store: ImageStore) {
  const { body, md5, islands } = sparse();
  const id = randomUUID();
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => { most = Math.max(most, process.memoryUsage().rss); }, 50);
  const { url, size } = await store.put(call, id, body(), { size: 4 * GiB });
  expect(size).toBe(4 * GiB);
  const hash = createHash('md5');
  for await (const chunk of await store.get(call, url)) hash.update(chunk as Buffer);
  clearInterval(timer);
  expect(hash.digest('hex')).toBe(md5);
  const part = await buffer(await store.get(call, url, { offset: 2047 * MiB - 5, length: MiB + 10 }));
  expect(part.equals(Buffer.concat([Buffer.alloc(5), islands.get(2047) as Buffer, Buffer.alloc(5)]))).toBe(true);
  expect(most - before).toBeLessThan(300 * MiB);
  await store.delete(call, url);
  expect(await store.size(call, url)).toBeUndefined();
}
const home = mkdtempSync(join(tmpdir(), 'cumulet-image-stores-'));
afterAll(() => rm(home, { recursive: true, force: true }));
let count = 0;

describe('Swift', () => {
  let real: RealSwift;
  beforeAll(async () => { real = await startSwift(join(home, 'swift')); });
  afterAll(() => real?.stop());

  for (const [title, segmentBytes] of [['one object', undefined], ['segments', 300_000]] as const) {
    imageStoreConformance(`swift, ${title}`, async () => {
      const container = `images-${count++}`;
      const { authUrl, user, key } = real;
      const swift = openSwift({ authUrl, user, key });
      return {
        store: swiftStore({ authUrl, user, key, container, ...(segmentBytes === undefined ? {} : { segmentBytes }) }),
        leftovers: async () => { const names: string[] = []; for await (const o of swift.list(call, container)) names.push(o.name); return names; },
        foreign: ['swift+config://other/c/x', `swift+config://ref1/other/x`, `swift+config://ref1/${container}/a/b`, `swift+config://ref1/${container}/`, `swift+http://a:b@127.0.0.1/${container}/x`, `swift+config://ref1/${container}/../x`],
      };
    });
  }

  const one = (container: string, more: Partial<Parameters<typeof swiftStore>[0]> = {}) => {
    const { authUrl, user, key } = real;
    return { store: swiftStore({ authUrl, user, key, container, ...more }), swift: openSwift({ authUrl, user, key, retryDelayMs: 50 }) };
  };

  it('keeps 4 GiB', async () => {
    const { store } = one('large');
    await store.check(call);
    await large(store);
  });

  it('goes on when Swift is restarted in the middle of an upload and of a download', async () => {
    const { store } = one('restarted', { segmentBytes: MiB, retries: 10, retryDelayMs: 50 });
    await store.check(call);
    const bytes = randomBytes(12 * MiB);
    let at = 0;
    const body = Readable.from((async function* () { for (; at < bytes.length; at += MiB) { if (at === 5 * MiB) await real.daemons.restart('proxy'); yield bytes.subarray(at, at + MiB); } })(), { objectMode: false });
    const { url } = await store.put(call, 'x', body, { size: bytes.length });
    const reader = await store.get(call, url);
    const pieces: Buffer[] = [];
    let restarted = false;
    for await (const chunk of reader) {
      pieces.push(chunk as Buffer);
      if (!restarted) await real.daemons.restart('proxy');
      restarted = true;
    }
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  });

  it('deletes what a killed upload left, and what Glance wrote in segments of its own', async () => {
    const { store, swift } = one('left', { segmentBytes: MiB });
    await store.check(call);
    const [a, b] = [randomUUID(), randomUUID()];
    for (const name of [`${a}-0123456789ab-00001`, `${a}-0123456789ab-00001-manifest`, `${b}-00001`, `${b}-00002`]) await swift.put(call, 'left', name, Buffer.from(name));
    const { storageUrl, token } = await signIn(real);
    await fetch(`${storageUrl}/left/${b}`, { method: 'PUT', headers: { 'x-auth-token': token, 'x-object-manifest': `left/${b}-` } });
    expect((await buffer(await store.get(call, store.location(b)))).toString()).toBe(`${b}-00001${b}-00002`);
    const listed: string[] = [];
    for await (const { imageId } of store.list?.(call) ?? []) listed.push(imageId);
    expect(listed).toEqual([b]);
    for (const id of [a, b]) await store.delete(call, store.location(id));
    for await (const left of swift.list(call, 'left')) expect(left).toBeUndefined();
  });

  it('reads locations that hold its own credentials, and no others', async () => {
    const { store } = one('credentials');
    await store.check(call);
    await store.put(call, 'x', Readable.from([Buffer.from('hello')]));
    const rest = `${real.authUrl.slice('http://'.length)}/credentials/x`;
    expect((await buffer(await store.get(call, `swift+http://test%3Atester:testing@${rest}`))).toString()).toBe('hello');
    for (const other of [`swift+http://test%3Atester:other@${rest}`, `swift+https://test%3Atester:testing@${rest}`, `swift+http://${rest}`]) await expect(store.get(call, other)).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('signs in through an identity service', async () => {
    // The token is Swift's own; what is tested is the way to it.
    const { storageUrl, token } = await signIn(real);
    const identity = createServer((_req, res) => res.writeHead(201, { 'x-subject-token': token }).end(JSON.stringify({ token: { catalog: [{ type: 'object-store', endpoints: [{ interface: 'public', region: 'RegionOne', url: storageUrl }] }] } })));
    await new Promise<void>(f => identity.listen(0, '127.0.0.1', f));
    const store = swiftStore({ authUrl: `http://127.0.0.1:${(identity.address() as AddressInfo).port}/v3`, user: 'glance', key: 'x', project: 'service', container: 'v3' });
    await store.check(call);
    const { url } = await store.put(call, 'x', Readable.from([Buffer.from('hello')]));
    expect((await buffer(await store.get(call, url))).toString()).toBe('hello');
    identity.close();
  });
});

async function signIn(real: RealSwift): Promise<{ storageUrl: string; token: string }> {
  const { headers } = await fetch(real.authUrl, { headers: { 'x-auth-user': real.user, 'x-auth-key': real.key } });
  return { storageUrl: headers.get('x-storage-url') ?? '', token: headers.get('x-auth-token') ?? '' };
}

describe('Ceph', () => {
  let real: RealCeph;
  const pool = 'images';
  const names = (...args: string[]) => JSON.parse(real.rbd(...args, '--format', 'json')) as { name: string }[] | string[];
  const leftovers = async () => [...names('ls', pool), ...names('trash', 'ls', pool).map(t => `trash: ${typeof t === 'string' ? t : t.name}`)] as string[];
  beforeAll(async () => {
    real = await startCeph(join(home, 'ceph'));
    real.createPool(pool);
  });
  afterAll(() => real?.stop());
  const open = () => rbdStore({ runner: createRunner({ log: process.env['SHOW'] ? { debug: (f, m) => console.log((f as {durationMs?: number}).durationMs, (f as {args?: string[]}).args?.join(' ').slice(60), (f as {exitCode?: number}).exitCode, m), warn: console.log } : silent }), conf: real.conf, user: 'admin', pool });

  imageStoreConformance('rbd', async () => {
    const store = open();
    await store.check(call);
    for (const name of await leftovers()) await store.delete(call, store.location(name.replace(/~.*/, '')));
    const { fsid } = real;
    return {
      store, leftovers,
      foreign: [`rbd://${randomUUID()}/${pool}/x/snap`, `rbd://${fsid}/other/x/snap`, `rbd://${fsid}/${pool}/x/other`, `rbd://${fsid}/${pool}/x`, 'rbd://x', `rbd://${fsid}/${pool}/../snap`, `rbd://${fsid}/${pool}/a/b/snap`, `rbd://${fsid}/${pool}/x@y/snap`],
    };
  });

  it('keeps 4 GiB, and its holes', async () => {
    const store = open();
    await store.check(call);
    await large(store);
    const { url } = await store.put(call, 'holes', Readable.from([Buffer.alloc(64 * MiB), Buffer.alloc(10, 1)]));
    const { images } = JSON.parse(real.rbd('du', `${pool}/holes`, '--format', 'json')) as { images: { used_size: number }[] };
    expect(images.reduce((sum, one) => sum + one.used_size, 0)).toBeLessThanOrEqual(8 * MiB);
    await store.delete(call, url);
  });

  it('keeps the data of a deleted image as long as it has clones', async () => {
    const store = open();
    await store.check(call);
    const bytes = randomBytes(3 * MiB);
    const { url } = await store.put(call, 'parent', Readable.from([bytes]));
    real.rbd('clone', `${pool}/parent@snap`, `${pool}/child`);
    await store.delete(call, url);
    expect(await store.size(call, url)).toBeUndefined();
    expect(real.rbd('ls', pool).trim()).toBe('child');
    real.rbd('export', '--no-progress', `${pool}/child`, join(home, 'child'));
    expect((await readFile(join(home, 'child'))).equals(bytes)).toBe(true);
    real.rbd('rm', '--no-progress', `${pool}/child`);
    // The next deletion empties the trash.
    await store.delete(call, store.location('none'));
    expect(await leftovers()).toEqual([]);
  });

  it('deletes what a killed upload left', async () => {
    const store = open();
    await store.check(call);
    real.rbd('create', `${pool}/half`, '--size', '10M');
    expect(await store.size(call, store.location('half'))).toBeUndefined();
    await expect(store.put(call, 'half', Readable.from([Buffer.alloc(1)]))).rejects.toMatchObject({ kind: 'busy' });
    await store.delete(call, store.location('half'));
    expect(await leftovers()).toEqual([]);
  });

  it('says what is missing, and that nobody answers', async () => {
    const missing = rbdStore({ runner: createRunner({ log: silent, path: home }), conf: real.conf });
    await expect(missing.check(call)).rejects.toMatchObject({ kind: 'broken', message: expect.stringContaining('ceph-common') });
    const nowhere = rbdStore({ runner: createRunner({ log: silent }), conf: '/nonexistent/ceph.conf' });
    await expect(nowhere.check(call)).rejects.toMatchObject({ name: 'DriverError' });
    const noPool = rbdStore({ runner: createRunner({ log: silent }), conf: real.conf, pool: 'nopool' });
    await expect(noPool.check(call)).rejects.toMatchObject({ kind: 'absent' });
  });
});
