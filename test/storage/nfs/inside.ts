import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { backupConformance } from '../../../packages/drivers/backup/conformance.ts';
import { Disk, MiB } from '../../../packages/drivers/backup/conformance/lab.ts';
import { nfsBackupDriver } from '../../../packages/drivers/backup/index.ts';
import { plainCall, silent } from '../../../packages/drivers/index.ts';
import { createRunner } from '../../../packages/exec/index.ts';

// Runs in a kernel that has an NFS client: see nfs.test.ts beside this folder. The driver itself mounts the share.
const { share = '', mountOptions = '' } = JSON.parse(process.env['CUMULET_TEST_NFS'] ?? '{}') as { share?: string; mountOptions?: string };
const runner = createRunner({ log: silent });
const mountPoint = mkdtempSync('/run/share-');
afterAll(() => runner.run('umount', [mountPoint]));

describe('a share', () => {
  it('is mounted by the driver, written, read back and left empty', async () => {
    const driver = nfsBackupDriver({ share, mountOptions, mountPoint, runner, objectBytes: MiB });
    const call = plainCall();
    await driver.check(call);
    expect(await readFile('/proc/mounts', 'utf8')).toMatch(new RegExp(`${share} ${mountPoint} nfs4 .*vers=4\\.2`));
    const disk = new Disk(64 * MiB);
    disk.put(0, randomBytes(5 * MiB));
    disk.put(60 * MiB, randomBytes(MiB));
    const id = randomUUID();
    const volumeId = randomUUID();
    const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
    await driver.backup(call, { backup: ref, source: disk.source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null });
    const target = new Disk(disk.bytes);
    await driver.restore(call, { chain: [ref], target });
    disk.expectEqual(target);
    await driver.verify(call, [ref], { depth: 'data' });
    await driver.delete(call, ref);
    expect(await readdir(mountPoint)).toEqual([]);
    await driver.close();
  });
});

backupConformance('NFS 4.2', async () => {
  const container = `target-${randomUUID()}`;
  const at = (where: string) => join(mountPoint, where);
  return {
    open: (options) => nfsBackupDriver({ share, mountOptions, mountPoint, runner, container, ...options }),
    names: (where) => readdir(at(where)).catch(() => []),
    read: (where, name) => readFile(join(at(where), name)),
    async write(where, name, bytes) {
      await mkdir(at(where), { recursive: true });
      await writeFile(join(at(where), name), bytes);
    },
    remove: (where, name) => rm(join(at(where), name)),
    badContainers: ['..', '/etc'],
  };
}, { timeout: 600_000 });
