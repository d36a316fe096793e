import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@cumulet/diskimage';
import { createRunner, fakeRunner, ProgramKilled } from '@cumulet/exec';
import { afterAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { listOf, sharesBlocks } from '../conformance/lab.ts';
import { fileDriver } from './driver.ts';

const MiB = 1 << 20;
const base = mkdtempSync(join(tmpdir(), 'storage-blockfaults-'));
const runner = createRunner({ log: { debug() {}, warn() {} } });
afterAll(() => rm(base, { recursive: true, force: true }));
const call = plainCall();
const files = async (path: string) => (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory()).map((entry) => entry.name).toSorted();

describe('the file driver', { timeout: 300_000 }, () => {
  it.each(['raw', 'qcow2'] as const)('killed at any moment of a %s snapshot, clone or deletion, it loses nothing and repeats', { timeout: 300_000 }, async (format) => {
    const path = join(base, `kill-${format}`);
    const driver = fileDriver({ name: 'disks', directory: path, runner, format });
    await driver.check(call);
    const volume = { name: 'v', sizeGiB: 1 };
    const snapshot = (name: string) => ({ name, volume, sizeGiB: 1 });
    await driver.volumes.create(call, volume);
    const write = async (bytes: Buffer) => pipeline(Readable.from([bytes]), await driver.data.write(call, volume));
    const read = async (ref: Parameters<typeof driver.data.read>[1]) => Buffer.concat(await (await atRest(() => driver.data.read(call, ref, { length: 24 * MiB }))).toArray());
    /** What the dead process had started ends soon after it; until then the volume is `busy`, for which a task waits and repeats. */
    const atRest = async <T>(work: () => Promise<T>): Promise<T> => {
      for (let tries = 0; ; tries += 1) {
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof DriverError) || error.kind !== 'busy' || tries > 50) throw error;
          await sleep(100);
        }
      }
    };
    await write(Buffer.alloc(24 * MiB, 1));
    await driver.snapshots?.create(call, snapshot('old'));
    await write(Buffer.alloc(16 * MiB, 2));
    const now = await read(volume);

    const script = join(base, `kill-${format}.ts`);
    const at = JSON.stringify(import.meta.dirname);
    await writeFile(script, `
      const { fileDriver } = await import(${at} + '/driver.ts');
      const { createRunner } = await import(${at} + '/../../../exec/index.ts');
      const { plainCall } = await import(${at} + '/../../call.ts');
      const driver = fileDriver({ name: 'disks', directory: ${JSON.stringify(path)}, runner: createRunner({ log: { debug() {}, warn() {} } }), format: '${format}' });
      const call = plainCall(), volume = { name: 'v', sizeGiB: 1 };
      const snapshot = (name) => ({ name, volume, sizeGiB: 1 });
      console.log('go');
      await driver.snapshots.create(call, snapshot('mid'));
      await driver.clone.fromSnapshot(call, snapshot('mid'), { name: 'c', sizeGiB: 1 });
      await driver.snapshots.delete(call, snapshot('old'));
      await driver.snapshots.revert(call, snapshot('mid'));
      console.log('done');`);
    for (let round = 0; round < 8; round += 1) {
      const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exited = once(child, 'exit');       // it may be done before the sleep is
      await once(child.stdout, 'data');
      await sleep(round * (format === 'raw' ? 18 : 50));
      child.kill('SIGKILL');
      await exited;
      expect((await read(volume)).equals(now), `volume after round ${round}`).toBe(true);
      await atRest(async () => driver.snapshots?.create(call, snapshot('mid')));
      await atRest(async () => driver.clone?.fromSnapshot(call, snapshot('mid'), { name: 'c', sizeGiB: 1 }));
      expect((await read({ name: 'c', sizeGiB: 1 })).equals(now)).toBe(true);
      await atRest(async () => driver.snapshots?.delete(call, snapshot('old')));
      expect((await read(snapshot('mid'))).equals(now)).toBe(true);
      await atRest(async () => driver.snapshots?.delete(call, snapshot('mid')));
      expect((await read(volume)).equals(now)).toBe(true);
      await driver.volumes.delete(call, { name: 'c', sizeGiB: 1 });
      expect(await files(path)).toEqual(['v']);
      await driver.snapshots?.create(call, snapshot('old'));
      await write(Buffer.alloc(MiB, 2));
    }
  });

  it('never looks into a raw volume: a guest that writes a qcow2 header gets its own bytes back', async () => {
    const path = join(base, 'header');
    const driver = fileDriver({ name: 'disks', directory: path, runner });
    await driver.check(call);
    const volume = { name: 'v', sizeGiB: 1 };
    await driver.volumes.create(call, volume);
    await writeFile(join(base, 'secret'), 'root:x:0:0');
    await create(runner, { path: join(base, 'evil.qcow2'), format: 'qcow2' }, 1 << 30, { backing: { path: join(base, 'secret'), format: 'raw' } });
    const evil = await readFile(join(base, 'evil.qcow2'));
    await pipeline(Readable.from([evil]), await driver.data.write(call, volume));
    await driver.volumes.extend(call, volume, 2);
    const grown = { ...volume, sizeGiB: 2 };
    await driver.clone?.fromVolume(call, grown, { name: 'c', sizeGiB: 3 });
    await driver.snapshots?.create(call, { name: 's', volume: grown, sizeGiB: 2 });
    for (const ref of [grown, { name: 'c', sizeGiB: 3 }, { name: 's', volume: grown, sizeGiB: 2 }]) {
      expect(Buffer.concat(await (await driver.data.read(call, ref, { length: evil.length })).toArray()).equals(evil)).toBe(true);
    }
    await driver.image?.toFile?.(call, grown, { path: join(base, 'out.raw'), format: 'raw' });
    const out = await open(join(base, 'out.raw'));
    expect((await out.read(Buffer.alloc(evil.length), 0, evil.length, 0)).buffer.equals(evil)).toBe(true);
    await out.close();
    expect((await driver.attach.connect(call, grown, { host: 'h' })).data.format).toBe('raw');
    await expect(driver.manage?.size(call, { 'source-name': 'v' })).rejects.toMatchObject({ kind: 'invalid' });
    const [listed] = await listOf(driver.manage!.list(call));
    expect(listed).toMatchObject({ safe: false });
  });

  it('leaves qcow2 volumes alone while a QEMU has them open, whatever it is told', async () => {
    const path = join(base, 'locked');
    const driver = fileDriver({ name: 'disks', directory: path, runner, format: 'qcow2' });
    await driver.check(call);
    const volume = { name: 'v', sizeGiB: 1 };
    const snapshot = (name: string) => ({ name, volume, sizeGiB: 1 });
    await driver.volumes.create(call, volume);
    await driver.snapshots?.create(call, snapshot('a'));
    await driver.snapshots?.create(call, snapshot('b'));
    const before = await files(path);
    const guest = await runner.spawn('qemu-io', ['-f', 'qcow2', join(path, 'v')], { stdin: 'pipe', onLine() {} });
    try {
      await sleep(500);
      for (const work of [
        () => driver.snapshots!.create(call, snapshot('c')), () => driver.snapshots!.delete(call, snapshot('b')), () => driver.snapshots!.delete(call, snapshot('a')),
        () => driver.snapshots!.revert!(call, snapshot('b')), () => driver.volumes.extend(call, volume, 2), () => driver.clone!.fromVolume(call, volume, { name: 'c', sizeGiB: 1 }),
        () => driver.data.read(call, volume), () => driver.data.write(call, volume),
      ] as (() => Promise<unknown>)[]) await expect(work()).rejects.toMatchObject({ kind: 'busy' });
      expect(await files(path)).toEqual(before);
    } finally {
      await guest.stop();
    }
    await driver.snapshots?.delete(call, snapshot('a'));
    await driver.snapshots?.delete(call, snapshot('b'));
    expect(await files(path)).toEqual(['v']);
  });

  it('copies a raw volume whose guest is paused, not one whose guest runs', async () => {
    const path = join(base, 'paused');
    const driver = fileDriver({ name: 'disks', directory: path, runner });
    await driver.check(call);
    const volume = { name: 'v', sizeGiB: 1 };
    await driver.volumes.create(call, volume);
    await pipeline(Readable.from([Buffer.alloc(MiB, 4)]), await driver.data.write(call, volume));
    const guest = await runner.spawn('qemu-io', ['-f', 'raw', join(path, 'v')], { stdin: 'pipe', onLine() {} });
    try {
      await sleep(500);
      if (!await sharesBlocks(base)) {
        await expect(driver.snapshots?.create(call, { name: 's', volume, sizeGiB: 1 }, { inUse: true })).rejects.toMatchObject({ kind: 'busy' });
        await expect(driver.clone?.fromVolume(call, volume, { name: 'c', sizeGiB: 1 }, { inUse: true })).rejects.toMatchObject({ kind: 'busy' });
      }
      expect(await files(path)).toEqual(['v']);
      await driver.snapshots?.create(call, { name: 's', volume, sizeGiB: 1 }, { inUse: false });
      await driver.image?.toFile?.(call, volume, { path: join(base, 'live.qcow2'), format: 'qcow2' });
      await driver.volumes.extend(call, volume, 2);
      expect((await listOf(driver.data.extents!(call, volume))).filter((extent) => !extent.hole)).toEqual([{ offset: 0, length: MiB, hole: false }]);
    } finally {
      await guest.stop();
    }
    expect((await (await driver.data.read(call, { name: 's', volume, sizeGiB: 1 }, { length: 10 })).toArray())[0]).toEqual(Buffer.alloc(10, 4));
  });

  it('works on after its folder has moved', async () => {
    const [from, to] = [join(base, 'here'), join(base, 'there')];
    const driver = (directory: string) => fileDriver({ name: 'disks', directory, runner, format: 'qcow2' });
    const volume = { name: 'v', sizeGiB: 1 };
    await driver(from).check(call);
    await driver(from).volumes.create(call, volume);
    await pipeline(Readable.from([Buffer.alloc(MiB, 9)]), await driver(from).data.write(call, volume));
    await driver(from).snapshots?.create(call, { name: 's', volume, sizeGiB: 1 });
    await rename(from, to);
    expect((await (await driver(to).data.read(call, volume, { length: 10 })).toArray())[0]).toEqual(Buffer.alloc(10, 9));
    await driver(to).snapshots?.delete(call, { name: 's', volume, sizeGiB: 1 });
    expect((await (await driver(to).data.read(call, volume, { length: 10 })).toArray())[0]).toEqual(Buffer.alloc(10, 9));
  });

  it('says where a volume is, and to whom it can be given', async () => {
    const path = join(base, 'attach');
    const local = fileDriver({ name: 'disks', directory: path, runner, host: 'here' });
    await local.check(call);
    const volume = { name: 'v', sizeGiB: 1 };
    await local.volumes.create(call, volume);
    expect(await local.attach.connect(call, volume, { host: 'here' })).toEqual({
      driver_volume_type: 'local', data: { access_mode: 'rw', encrypted: false, format: 'raw', device_path: join(path, 'v') },
    });
    await expect(local.attach.connect(call, volume, { host: 'there' })).rejects.toMatchObject({ kind: 'unsupported' });
    const shared = fileDriver({ name: 'disks', directory: path, runner });
    expect(await shared.attach.connect(call, volume, { host: 'there' })).toMatchObject({ driver_volume_type: 'local', data: { device_path: join(path, 'v') } });
    const nfs = fileDriver({ name: 'nfs', directory: path, runner, nfs: { export: 'nas:/vols', mountPointBase: base, options: 'vers=4' } });
    await expect(nfs.check(call)).rejects.toMatchObject({ kind: 'broken', message: 'The share is not mounted.' });
    expect(await nfs.attach.connect(call, volume, { host: 'there' })).toMatchObject({
      driver_volume_type: 'nfs', mount_point_base: base, data: { export: 'nas:/vols', name: 'v', options: 'vers=4', format: 'raw', access_mode: 'rw' },
    });
    expect(await nfs.manage?.size(call, { 'source-name': 'nas:/vols/v' })).toBe(1);
  });

  it('turns what programs do wrong into words', async () => {
    const path = join(base, 'programs');
    await mkdir(path);
    const fake = fakeRunner();
    const driver = fileDriver({ name: 'disks', directory: path, runner: fake, format: 'qcow2' });
    await driver.check(call);
    await expect(driver.volumes.create(call, { name: 'v', sizeGiB: 1 })).rejects.toMatchObject({ kind: 'broken', message: expect.stringContaining('qemu-img is not installed') });
    fake.on('qemu-img', () => ({ exitCode: 1, stderr: 'qemu-img: /x: error while writing: No space left on device' }));
    await expect(driver.volumes.create(call, { name: 'v', sizeGiB: 1 })).rejects.toMatchObject({ kind: 'full', detail: expect.stringContaining('No space') });
    fake.on('qemu-img', () => new ProgramKilled('qemu-img', 'signal', 'SIGXCPU'));
    await expect(driver.volumes.create(call, { name: 'v', sizeGiB: 1 })).rejects.toMatchObject({ kind: 'broken', message: expect.stringContaining('more memory or time') });
    const stop = new AbortController();
    fake.on('qemu-img', () => 'hang');
    const hung = driver.volumes.create(plainCall('t', stop.signal), { name: 'v', sizeGiB: 1 });
    await sleep(20);
    stop.abort(new Error('enough'));
    await expect(hung).rejects.toThrow('enough');
    expect(await files(path)).toEqual([]);
    expect((await stat(path)).isDirectory()).toBe(true);
  });
});
