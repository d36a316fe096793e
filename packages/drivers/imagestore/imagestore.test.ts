import { mkdirSync, mkdtempSync } from 'node:fs';
import { mkdir, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { plainCall } from '../call.ts';
import { DriverError } from '../errors.ts';
import { imageStoreConformance } from './conformance.ts';
import { fakeStore, fileStore } from './index.ts';

const base = mkdtempSync(join(tmpdir(), 'storage-imagestore-'));
afterAll(() => rm(base, { recursive: true }));
let count = 0;
const directory = () => join(base, `store ${count++} ä%20`);
const filesIn = async (path: string): Promise<string[]> => (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory()).map((entry) => entry.name);

imageStoreConformance('file', async () => {
  const path = directory();
  const inside = pathToFileURL(path).href;
  return {
    store: fileStore({ directory: path }),
    leftovers: () => filesIn(path),
    foreign: ['file:///etc/passwd', `${inside}/../x`, `${inside}/%2e%2e%2fpasswd`, `${inside}/a/b`, `${inside}/`, inside, `file://host${path}/x`, `${inside}/.tmp`, `${inside}/x?y`, `${inside}/x#y`, 'file:x', `${inside}/a%00b`],
  };
});

imageStoreConformance('fake', async () => {
  const store = fakeStore({ name: 'spare' });
  return { store, leftovers: async () => [...store.held.images, ...store.held.parts], foreign: ['fake://other/x', 'fake://spare/../x', 'fake://spare/'] };
});

describe('the file store', { timeout: 120_000 }, () => {
  const call = plainCall();

  it('keeps holes, does not follow symbolic links, sweeps what a killed writer left', async () => {
    const path = directory();
    const old = join(path, '.tmp', 'x~1');
    mkdirSync(join(path, '.tmp'), { recursive: true });
    await writeFile(old, 'x');
    await writeFile(join(path, '.tmp', 'y~1'), 'x');
    const store = fileStore({ directory: path, now: () => Date.now() + 23 * 3600_000 });
    await store.check(call);
    expect(await readdir(join(path, '.tmp'))).toHaveLength(2);
    await fileStore({ directory: path, now: () => Date.now() + 25 * 3600_000 }).check(call);
    expect(await readdir(join(path, '.tmp'))).toHaveLength(0);
    await utimes(path, new Date(), new Date());

    await store.put(call, 'holes', Readable.from([Buffer.alloc(32 << 20), Buffer.alloc(10, 1)]));
    expect((await stat(join(path, 'holes'))).blocks * 512).toBeLessThan(1 << 20);
    await symlink('/etc/passwd', join(path, 'link'));
    await expect(store.get(call, store.location('link'))).rejects.toMatchObject({ kind: 'invalid' });
    expect(store.localPath?.(store.location('holes'))).toBe(join(path, 'holes'));
    expect(() => store.localPath?.('file:///etc/passwd')).toThrow(DriverError);
  });

  it('says that the disk is full, and leaves nothing', async () => {
    const path = directory();
    const store = fileStore({ directory: path });
    await store.check(call);
    await mkdir(join(path, 'sub'));
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
    const body = Readable.from((function* () { yield Buffer.alloc(10); })());
    const { fromErrno } = await import('../durable.ts');
    expect(fromErrno(full, 'The image cannot be stored')).toMatchObject({ kind: 'full', message: 'The image cannot be stored: there is no room left.' });
    await store.put(call, 'a', body);
    expect(await store.size(call, store.location('sub'))).toBeUndefined();
  });
});

describe('the fake store', { timeout: 120_000 }, () => {
  it('fails and hangs on demand', async () => {
    const store = fakeStore({ capacityBytes: 1000 });
    const call = plainCall();
    const body = (size: number) => Readable.from([Buffer.alloc(size, 1)]);
    store.faults.failAt('put', 2, 'transient');
    await store.put(call, 'a', body(10));
    await expect(store.put(call, 'b', body(10))).rejects.toMatchObject({ kind: 'transient' });
    await store.put(call, 'b', body(10));
    store.faults.failAt('delete', 1, 'broken', 'after');
    await expect(store.delete(call, store.location('b'))).rejects.toMatchObject({ kind: 'broken' });
    expect(store.held.images).toEqual(['a']);
    await expect(store.put(call, 'c', body(2000))).rejects.toMatchObject({ kind: 'full' });
    const stop = new AbortController();
    store.faults.hangAt('get');
    const hung = store.get(plainCall('t', stop.signal), store.location('a'));
    stop.abort(new Error('enough'));
    await expect(hung).rejects.toThrow('enough');
    store.faults.hangAt('size');
    const waiting = store.size(call, store.location('a'));
    setTimeout(() => store.faults.release(), 20);
    expect(await waiting).toBe(10);
    expect(store.faults.calls).toMatchObject({ put: 4, delete: 1, get: 1, size: 1 });
  });
});
