import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fakeRunner } from '@cumulet/exec';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { BYTES, jobOf, pattern } from '../conformance/killed.ts';
import { Disk, MiB } from '../conformance/lab.ts';
import { posixBackupDriver, type BackupDriver, type BackupRef } from '../index.ts';
import { shareMount } from './mount.ts';
import { posixStore } from './store.ts';

const base = mkdtempSync(join(tmpdir(), 'storage-posix-backup-'));
afterAll(() => rm(base, { recursive: true }));
const call = plainCall();

describe('a backup directory', () => {
  let directory: string;
  let driver: BackupDriver;
  beforeEach(() => {
    directory = mkdtempSync(join(base, 'target-'));
    driver = posixBackupDriver({ directory });
    return () => driver.close();
  });
  const make = async (container: string | null = null): Promise<BackupRef> => {
    const id = randomUUID();
    const volumeId = randomUUID();
    const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container }, new Date('2026-11-21T10:56:59Z')) };
    await driver.backup(call, { backup: ref, source: new Disk(MiB).source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null });
    return ref;
  };

  it("has upstream's places, names and modes, and is empty again afterwards", async () => {
    const ref = await make();
    const { id, volumeId } = ref;
    expect(ref).toMatchObject({ container: `${id.slice(0, 2)}/${id.slice(2, 4)}/${id}`, serviceMetadata: `volume_${volumeId}_20261121105659_backup_${id}` });
    const folder = join(directory, ref.container);
    expect((await stat(folder)).mode & 0o7777).toBe(0o770);
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o7777).toBe(0o660);
    await writeFile(join(folder, `.cumulet~${ref.serviceMetadata}-00009~killed`), 'half');
    await driver.delete(call, ref);
    expect(await readdir(directory)).toEqual([]);
  });

  it('leaves what others keep in a container', async () => {
    const ref = await make();
    await writeFile(join(directory, ref.container, 'notes'), 'mine');
    await driver.delete(call, ref);
    expect(await readdir(join(directory, ref.container))).toEqual(['notes']);
  });

  it('follows no symbolic links: not of objects, containers or parents of containers', async () => {
    const ref = await make();
    const folder = join(directory, ref.container);
    const secret = join(base, 'secret');
    await writeFile(secret, 'secret');
    const metadata = join(folder, `${ref.serviceMetadata}_metadata`);
    await rm(metadata);
    await symlink(secret, metadata);
    await expect(driver.verify(call, [ref])).rejects.toMatchObject({ name: 'DriverError', kind: 'invalid' });
    const elsewhere = mkdtempSync(join(base, 'elsewhere-'));
    for (const link of ['linked', 'up/linked']) {
      await mkdir(join(directory, 'up'), { recursive: true });
      await symlink(elsewhere, join(directory, link));
      for (const container of [link, `${link}/below`]) await expect(make(container), container).rejects.toMatchObject({ kind: 'invalid' });
      await mkdir(join(elsewhere, 'there'), { recursive: true });
      const there = { ...ref, container: `${link}/there` };
      await expect(driver.verify(call, [there])).rejects.toMatchObject({ kind: 'invalid' });
      await expect(driver.delete(call, there)).rejects.toMatchObject({ kind: 'invalid' });
      await rm(join(elsewhere, 'there'), { recursive: true });
    }
    expect(await readdir(elsewhere)).toEqual([]);
    // Scanning does not go there either.
    const found = [];
    for await (const one of driver.scan(call)) found.push(one.id);
    expect(found).toEqual([ref.id]);
  });

  it('refuses names of objects that are paths', async () => {
    const store = posixStore({ directory, service: 'x', ready: async () => {} });
    await store.prepare(call, 'c');
    for (const name of ['', '../x', 'a/b', '.hidden', 'a\0', 'x'.repeat(256)]) {
      await expect(store.put(call, 'c', name, Buffer.alloc(1)), name).rejects.toMatchObject({ kind: 'invalid' });
      await expect(store.get(call, 'c', name), name).rejects.toMatchObject({ kind: 'invalid' });
      await expect(store.remove(call, 'c', name), name).rejects.toMatchObject({ kind: 'invalid' });
    }
    expect(await readdir(join(directory, 'c'))).toEqual([]);
  });

  it('says when it cannot be written, without paths', async () => {
    const file = join(base, `file-${randomUUID()}`);
    await writeFile(file, '');
    const broken = posixBackupDriver({ directory: file });
    const error = await broken.check(call).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ name: 'DriverError', message: expect.stringMatching(/^The backup directory cannot be used: /) });
    await broken.close();
    await chmod(directory, 0o700);
    await driver.check(call);
    expect(await readdir(directory)).toEqual([]);
  });

  it('goes on after kill -9, and keeps nothing half written', async () => {
    const id = randomUUID();
    const volumeId = randomUUID();
    const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
    const folder = join(directory, ref.container);
    const child = spawn(process.execPath, [fileURLToPath(new URL('../conformance/killed.ts', import.meta.url)), directory, JSON.stringify(ref)], { stdio: ['ignore', 'inherit', 'inherit'] });
    const gone = once(child, 'exit');
    const names = () => readdir(folder).catch(() => [] as string[]);
    while ((await names()).filter((name) => name.includes('_part-')).length < 3) await sleep(5);
    child.kill('SIGKILL');
    expect(await gone).toEqual([null, 'SIGKILL']);
    expect(await names()).not.toContain(`${ref.serviceMetadata}_metadata`);
    await writeFile(join(folder, `.cumulet~${ref.serviceMetadata}-00030~killed`), 'half');
    const { read } = await driver.backup(call, jobOf(ref));
    expect(read).toBeLessThan(BYTES);
    expect((await names()).filter((name) => name.startsWith('.'))).toEqual([]);
    const target = new Disk(BYTES);
    await driver.restore(call, { chain: [ref], target });
    expect(target.get(0, BYTES).equals(pattern(0, BYTES))).toBe(true);
  });

  it('refuses sizes that do not fit together', () => {
    for (const options of [{ blockBytes: 1000 }, { blockBytes: 0 }, { objectBytes: 32_769 }, { objectBytes: 1024 }]) expect(() => posixBackupDriver({ directory, ...options })).toThrow(/size/);
    const large = posixBackupDriver({ directory, objectBytes: 61_035 * 32_768 });
    expect(large.capabilities).toMatchObject({ objectBytes: 52_428_800, blockBytes: 32_768 });
    return large.close();
  });
});

describe('the mount of a share', () => {
  const line = (at: string, source: string) => `36 35 98:0 / ${at} rw,noatime shared:1 - nfs4 ${source} rw,vers=4.2\n`;
  const setup = (before: string, after = before) => {
    const mountPoint = join(base, `m ${randomUUID()}`);
    const escaped = mountPoint.replaceAll(' ', String.raw`\040`);
    const runner = fakeRunner({ mount: () => undefined });
    let asked = 0;
    const mounts = async () => ((asked += 1) === 1 ? before : after).replaceAll('HERE', escaped);
    return { runner, mountPoint, ready: shareMount({ share: 'nas:/backups', mountPoint, runner, options: 'vers=4.2', mounts }) };
  };

  it('is made when it is not there', async () => {
    const { runner, mountPoint, ready } = setup('', line('HERE', 'nas:/backups'));
    await ready(call);
    expect(runner.calls.map(({ program, args }) => [program, ...args])).toEqual([['mount', '-t', 'nfs', '-o', 'vers=4.2', 'nas:/backups', mountPoint]]);
  });
  it('is left alone when it is', async () => {
    const { runner, ready } = setup(line('HERE', 'nas:/backups'));
    await Promise.all([ready(call), ready(call)]);
    await ready(call);
    expect(runner.calls).toEqual([]);
  });
  it('is never another share, and never missing', async () => {
    await expect(setup(line('HERE', 'nas:/other')).ready(call)).rejects.toThrow('Another share is mounted where the backups belong.');
    await expect(setup('').ready(call)).rejects.toThrow('The share of the backup target is not where it was mounted.');
    for (const share of ['', 'nas', '-o:/x', '/local', 'nas:relative', 'a b:/c']) expect(() => shareMount({ share, mountPoint: '/m', runner: fakeRunner() }), share).toThrow('HOST:PATH');
  });
});
