import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../packages/drivers/index.ts';
import { backupConformance } from '../../packages/drivers/backup/conformance.ts';
import { Disk, MiB } from '../../packages/drivers/backup/conformance/lab.ts';
import { nfsBackupDriver, posixBackupDriver, swiftBackupDriver, type BackupDriver, type BackupRef } from '../../packages/drivers/backup/index.ts';
import { openSwift } from '../../packages/drivers/swift/index.ts';
import { createRunner, type Runner } from '../../packages/exec/index.ts';
import { silent } from '../../packages/drivers/index.ts';
import { cinder, type CinderTarget } from './cinder.ts';
import { runProgram } from './daemons.ts';
import { startSwift, type RealSwift } from './swift.ts';

// Backup targets on the real thing, and beside cinder's own drivers. What cannot be started fails these tests and says what is missing.
const call = plainCall();
const home = mkdtempSync(join(tmpdir(), 'cumulet-backup-targets-'));
afterAll(() => rm(home, { recursive: true, force: true }));
let count = 0;

/** Chains that both wrote, restored by both. */
function exchange(title: string, target: () => { readonly ours: BackupDriver; readonly theirs: CinderTarget }): void {
  describe(`${title}, with cinder`, () => {
    const volumeId = randomUUID();
    const disk = () => {
      const one = new Disk(96 * MiB);
      one.put(0, randomBytes(7 * MiB));
      one.put(20 * MiB, Buffer.alloc(9 * MiB, 'packs well '));
      one.put(96 * MiB - 100, randomBytes(100));
      return one;
    };
    const change = (one: Disk) => {
      one.put(3 * MiB + 7, randomBytes(100_000));
      one.hole(20 * MiB, 5 * MiB);
      one.put(70 * MiB, randomBytes(MiB));
    };
    const make = async (driver: BackupDriver, of: Disk, parent?: BackupRef): Promise<BackupRef> => {
      const id = randomUUID();
      const backup = { id, volumeId, parentId: parent?.id ?? null, ...driver.place({ id, volumeId, container: null }, new Date()) };
      await driver.backup(call, {
        backup, source: of.source(), moment: 'now', name: 'ours', description: null, createdAt: new Date(), volumeMeta: JSON.stringify({ version: 1, 'volume-base-metadata': { display_name: 'ours' } }), ...(parent && { parent }),
      });
      return backup;
    };
    const restored = async (driver: BackupDriver, chain: readonly BackupRef[], bytes: number): Promise<Disk> => {
      const one = new Disk(bytes, { fresh: false });
      one.put(0, Buffer.alloc(bytes, 0x55));
      await driver.restore(call, { chain, target: one });
      return one;
    };

    it('ours restores there, and goes on there', async () => {
      const { ours, theirs } = target();
      const upstream = cinder(theirs, join(home, `volume-${count++}`));
      const first = disk();
      const full = await make(ours, first);
      const got = upstream.restore([full], first.bytes);
      first.expectEqual(got.disk);
      expect(got.volumeMeta).toEqual([JSON.stringify({ version: 1, 'volume-base-metadata': { display_name: 'ours' } })]);
      change(first);
      const second = await make(ours, first, full);
      first.expectEqual(upstream.restore([full, second], first.bytes).disk);
      change(first);
      const third = upstream.backup(first, randomUUID(), volumeId, [full, second]);
      first.expectEqual(await restored(ours, [full, second, third], first.bytes));
      first.expectEqual(upstream.restore([full, second, third], first.bytes).disk);
      await ours.verify(call, [full, second, third], { depth: 'data' });
      upstream.delete([full, second, third]);
      await ours.verify(call, [full, second]);
      upstream.delete([full, second]);
      upstream.delete([full]);
      await expect(ours.verify(call, [full])).rejects.toThrow('is missing');
      // What upstream does not know of is left to us.
      for (const ref of [second, full]) await ours.delete(call, ref);
    });

    it('theirs restores here, and goes on here', async () => {
      const { ours, theirs } = target();
      const upstream = cinder(theirs, join(home, `volume-${count++}`));
      const first = disk();
      const full = upstream.backup(first, randomUUID(), volumeId);
      first.expectEqual(await restored(ours, [full], first.bytes));
      await ours.verify(call, [full], { depth: 'data' });
      expect(await ours.importRecord(call, full, undefined)).toMatchObject({ bytes: first.bytes });
      change(first);
      const second = await make(ours, first, full);
      change(first);
      const third = upstream.backup(first, randomUUID(), volumeId, [full, second]);
      first.expectEqual(upstream.restore([full, second, third], first.bytes).disk);
      first.expectEqual(await restored(ours, [full, second, third], first.bytes));
      const found = [];
      for await (const one of ours.scan(call)) if ([full.id, second.id, third.id].includes(one.id)) found.push(one);
      expect(found.map(({ id, bytes, problems }) => ({ id, bytes, problems })).toSorted((a, b) => (a.id < b.id ? -1 : 1)))
        .toEqual([full, second, third].map(({ id }) => ({ id, bytes: first.bytes, problems: [] })).toSorted((a, b) => (a.id < b.id ? -1 : 1)));
      for (const ref of [third, second, full]) await ours.delete(call, ref);
    });
  });
}

describe('a directory', () => {
  const directory = mkdtempSync(join(home, 'posix-'));
  const ours = posixBackupDriver({ directory, objectBytes: 8 * MiB });
  afterAll(() => ours.close());
  exchange('directory', () => ({ ours, theirs: { driver: 'posix', options: { backup_posix_path: directory, backup_file_size: 16 * MiB } } }));
});

describe('a full disk', () => {
  it('is told as such, can be emptied, and a backup goes on when there is room', async () => {
    const directory = mkdtempSync(join(home, 'full-'));
    runProgram('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'none', directory]);
    const driver = posixBackupDriver({ directory, objectBytes: MiB });
    try {
      const disk = new Disk(16 * MiB);
      disk.put(0, randomBytes(disk.bytes));
      const id = randomUUID();
      const volumeId = randomUUID();
      const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
      const job = { backup: ref, source: disk.source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null };
      for (let n = 0; n < 2; n += 1) await expect(driver.backup(call, job)).rejects.toMatchObject({ kind: 'full', message: 'The backup cannot be stored: there is no room left.' });
      await driver.delete(call, ref);
      expect(await readdir(directory)).toEqual([]);
      await expect(driver.backup(call, job)).rejects.toMatchObject({ kind: 'full' });
      runProgram('mount', ['-o', 'remount,size=64m', directory]);
      await driver.backup(call, job);
      const target = new Disk(disk.bytes);
      await driver.restore(call, { chain: [ref], target });
      disk.expectEqual(target);
    } finally {
      await driver.close();
      runProgram('umount', [directory]);
    }
  });
});

describe('Swift', () => {
  let real: RealSwift;
  beforeAll(async () => { real = await startSwift(join(home, 'swift')); });
  afterAll(() => real?.stop());

  backupConformance('swift', async () => {
    const { authUrl, user, key } = real;
    const container = `backups-${count++}`;
    const swift = openSwift({ authUrl, user, key });
    return {
      open: (options) => swiftBackupDriver({ authUrl, user, key, container, ...options }),
      names: async (where) => {
        const names: string[] = [];
        for await (const { name } of swift.list(call, where)) names.push(name);
        return names;
      },
      read: async (where, name) => Buffer.concat(await (await swift.get(call, where, name)).body.toArray()),
      async write(where, name, bytes) {
        await swift.createContainer(call, where);
        await swift.put(call, where, name, bytes);
      },
      remove: (where, name) => swift.delete(call, where, name, { segments: true }),
      badContainers: ['', 'a/b', '..', '.', 'x'.repeat(257), 'a\0b', 'a\nb'],
    };
  }, { timeout: 300_000 });

  describe('its own', () => {
    it('keeps long lists in pieces, and leaves none behind', async () => {
      const { authUrl, user, key } = real;
      const container = `pieces-${count++}`;
      const driver = swiftBackupDriver({ authUrl, user, key, container, segmentBytes: 10_000, objectBytes: 256 << 10 });
      const swift = openSwift({ authUrl, user, key });
      const disk = new Disk(16 * MiB);
      disk.put(0, randomBytes(3 * MiB));
      const id = randomUUID();
      const volumeId = randomUUID();
      const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
      expect(ref).toMatchObject({ container, serviceMetadata: expect.stringMatching(new RegExp(`^volume_${volumeId}/\\d{14}/az_nova_backup_${id}$`)) });
      const job = { backup: ref, source: disk.source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null };
      await driver.backup(call, job);
      expect((await swift.head(call, container, `${ref.serviceMetadata}_sha256file`))?.large).toBe('static');
      const target = new Disk(disk.bytes);
      await driver.restore(call, { chain: [ref], target });
      disk.expectEqual(target);
      await driver.delete(call, ref);
      const left: string[] = [];
      for await (const { name } of swift.list(call, container)) left.push(name);
      expect(left).toEqual([]);
      await driver.close();
    });

    it('goes on when its servers are killed and come back', async () => {
      const { authUrl, user, key } = real;
      const driver = swiftBackupDriver({ authUrl, user, key, container: `killed-${count++}`, objectBytes: 256 << 10, retries: 8, retryDelayMs: 300 });
      const disk = new Disk(16 * MiB);
      disk.put(0, randomBytes(disk.bytes));
      const id = randomUUID();
      const volumeId = randomUUID();
      const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
      const kills: Promise<void>[] = [];
      const killing = { ...call, progress: (done: number) => { if (done > 4 * MiB && kills.length === 0) kills.push(real.daemons.restart('proxy').then(() => real.daemons.restart('object'))); } };
      await driver.backup(killing, { backup: ref, source: disk.source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null });
      await Promise.all(kills.splice(0));
      const target = new Disk(disk.bytes);
      await driver.restore(killing, { chain: [ref], target });
      await Promise.all(kills);
      disk.expectEqual(target);
      await driver.close();
    });

    it('refuses a wrong key and a policy that is not there, in words', async () => {
      const { authUrl, user, key } = real;
      const wrong = swiftBackupDriver({ authUrl, user, key: 'wrong' });
      await expect(wrong.check(call)).rejects.toMatchObject({ name: 'DriverError' });
      await wrong.close();
      const swift = openSwift({ authUrl, user, key });
      await expect(swift.createContainer(call, `policy-${count++}`, { policy: 'gold' })).rejects.toMatchObject({ name: 'DriverError' });
    });
  });

  const container = 'exchanged';
  let ours: BackupDriver;
  beforeAll(() => { ours = swiftBackupDriver({ authUrl: real.authUrl, user: real.user, key: real.key, container, objectBytes: 8 * MiB }); });
  afterAll(() => ours?.close());
  exchange('swift', () => ({
    ours,
    theirs: {
      driver: 'swift',
      options: {
        backup_swift_auth: 'single_user', backup_swift_auth_version: '1', backup_swift_auth_url: real.authUrl, backup_swift_user: real.user, backup_swift_key: real.key, backup_swift_container: container,
        backup_swift_object_size: 16 * MiB,
      },
    },
  }));
});

describe('a share', () => {
  // Kernels without an NFS client (this project's CI among them) get the same folder by a bind mount: all but the wire is real.
  const exported = mkdtempSync(join(home, 'export-'));
  const mountPoint = join(home, 'mounted here');
  const real = createRunner({ log: silent });
  const binding: Runner = { ...real, run: (program, args, options) => real.run(program, program === 'mount' ? ['--bind', exported, mountPoint] : args, options) };
  afterAll(() => { runProgram('umount', [mountPoint]); });

  it('is mounted when it is needed, and never written below when it is not', async () => {
    await mkdir(mountPoint);
    // A bind mount is listed with the device of its folder, not with HOST:PATH.
    const driver = nfsBackupDriver({ share: 'server:/export', mountPoint, runner: binding });
    await expect(driver.check(call)).rejects.toThrow('The share of the backup target is not where it was mounted.');
    runProgram('umount', [mountPoint]);
    expect(await readdir(mountPoint)).toEqual([]);
    const missing = nfsBackupDriver({ share: '127.0.0.1:/nothing', mountPoint: join(home, 'never'), runner: real, mountOptions: 'retry=0,timeo=10,retrans=1' });
    await expect(missing.check(call)).rejects.toThrow('The share of the backup target cannot be mounted');
    expect(await readdir(join(home, 'never'))).toEqual([]);
    runProgram('mount', ['--bind', exported, mountPoint]);
    await Promise.all([driver.close(), missing.close()]);
  });

  backupConformance('mounted folder', async () => {
    const folder = mkdtempSync(join(mountPoint, 'target-'));
    return {
      open: (options) => posixBackupDriver({ directory: folder, ...options }),
      names: (where) => readdir(join(folder, where)).catch(() => []),
      read: (where, name) => readFile(join(folder, where, name)),
      async write(where, name, bytes) {
        await mkdir(join(folder, where), { recursive: true });
        await writeFile(join(folder, where, name), bytes);
      },
      remove: (where, name) => rm(join(folder, where, name)),
      badContainers: ['..', '/etc'],
    };
  });
});
