import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createRunner, fakeRunner } from '@cumulet/exec';
import { afterAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { fileStore } from '../../imagestore/file/store.ts';
import { blockConformance } from '../conformance.ts';
import { plantFile } from '../conformance/lab.ts';
import { fileDriver } from './driver.ts';

const MiB = 1 << 20;
const base = mkdtempSync(join(tmpdir(), 'storage-filesystems-'));
const runner = createRunner({ log: { debug() {}, warn() {} } });
const mounts: string[] = [];
afterAll(async () => {
  for (const mount of mounts) execFileSync('umount', [mount]);
  await rm(base, { recursive: true, force: true });
});
const call = plainCall();
const files = async (path: string) => (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory()).map((entry) => entry.name).toSorted();

/** A small file system of its own, where root may mount one. */
function mounted(name: string, type: 'xfs' | 'tmpfs', size: string): string | undefined {
  const at = join(base, name);
  try {
    execFileSync('mkdir', ['-p', at]);
    if (type === 'tmpfs') execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', at], { stdio: 'pipe' });
    else {
      execFileSync('truncate', ['-s', size, `${at}.img`]);
      execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', `${at}.img`], { stdio: 'pipe' });
      execFileSync('mount', ['-o', 'loop', `${at}.img`, at], { stdio: 'pipe' });
    }
  } catch {
    return undefined;
  }
  mounts.push(at);
  return at;
}

const xfs = mounted('xfs', 'xfs', '20G');
describe.skipIf(xfs === undefined)('on a file system that can share blocks', { timeout: 120_000 }, () => {
  if (xfs === undefined) return;
  blockConformance('file, raw, XFS', async () => {
    const path = mkdtempSync(join(xfs, 'x'));
    return { driver: fileDriver({ name: 'disks', directory: path, runner }), leftovers: () => files(path), live: true, bigBytes: 64 * MiB, plant: async (name: string, bytes: number, content: Buffer) => { await plantFile(path, name, bytes, content); } };
  });

  it('snapshots and clones take no room and no time, also of a volume in use', async () => {
    const path = mkdtempSync(join(xfs, 'x'));
    const driver = fileDriver({ name: 'disks', directory: path, runner: fakeRunner() });
    await driver.check(call);
    const volume = { name: 'v', sizeGiB: 100 };
    await driver.volumes.create(call, volume);
    await pipeline(Readable.from((function* () { for (let n = 0; n < 256; n += 1) yield Buffer.alloc(MiB, n + 1); })()), await driver.data.write(call, volume));
    const before = await driver.pools(call);
    const began = performance.now();
    await driver.snapshots?.create(call, { name: 's', volume, sizeGiB: 100 }, { inUse: true });
    await driver.clone?.fromVolume(call, volume, { name: 'c', sizeGiB: 100 }, { inUse: true });
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(before[0]!.freeGiB - (await driver.pools(call))[0]!.freeGiB).toBeLessThan(0.05);
  });
});

const tiny = mounted('tiny', 'tmpfs', '24m');
describe.skipIf(tiny === undefined)('on a full disk', { timeout: 120_000 }, () => {
  if (tiny === undefined) return;
  const noise = (bytes: number) => Readable.from((function* () { for (let n = 0; n < bytes; n += MiB) yield Buffer.alloc(MiB, 1 + (n % 200)); })());

  it.each(['raw', 'qcow2'] as const)('the %s driver says so and leaves nothing', async (format) => {
    const path = join(tiny, format);
    const driver = fileDriver({ name: 'disks', directory: path, runner, format });
    await driver.check(call);
    const volume = { name: 'v', sizeGiB: 1 };
    await driver.volumes.create(call, volume);
    await expect(pipeline(noise(40 * MiB), await driver.data.write(call, volume))).rejects.toMatchObject({ kind: 'full' });
    await driver.volumes.delete(call, volume);
    await driver.volumes.create(call, volume);
    await pipeline(noise(14 * MiB), await driver.data.write(call, volume));
    await expect(driver.clone?.fromVolume(call, volume, { name: 'c', sizeGiB: 1 })).rejects.toMatchObject({ kind: 'full' });
    if (format === 'raw') await expect(driver.snapshots?.create(call, { name: 's', volume, sizeGiB: 1 })).rejects.toMatchObject({ kind: 'full' });
    expect(await files(path)).toEqual(['v']);
    await driver.volumes.delete(call, volume);
    await rm(path, { recursive: true });
  });

  it('the image store says so and leaves nothing', async () => {
    const path = join(tiny, 'images');
    const store = fileStore({ directory: path });
    await store.check(call);
    await expect(store.put(call, 'a', noise(40 * MiB))).rejects.toMatchObject({ kind: 'full' });
    expect(await files(path)).toEqual([]);
    await expect(store.uploads?.append(call, 'b', 0, noise(40 * MiB))).rejects.toMatchObject({ kind: 'full' });
    expect(await store.uploads?.offset(call, 'b')).toBeGreaterThan(10 * MiB);
    await store.uploads?.discard(call, 'b');
    expect(await files(path)).toEqual([]);
    await rm(path, { recursive: true });
  });
});
