import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createRunner } from '@cumulet/exec';
import { cpio } from './cpio.ts';
import { masterBootRecord } from './partitions.ts';

const folder = mkdtempSync('/tmp/cumulet-cpio-');
afterAll(() => rmSync(folder, { recursive: true }));

test('an archive is one that cpio reads', async () => {
  mkdirSync(join(folder, 'a'));
  writeFileSync(join(folder, 'a/odd'), 'xyz', { mode: 0o755 });
  symlinkSync('odd', join(folder, 'a/link'));
  const { stdout } = await createRunner({ log: { debug() {}, warn() {} } }).run('cpio', ['--list', '--verbose', '--numeric-uid-gid', '--quiet'], { input: cpio(folder) });
  expect(stdout.trim().split('\n').map((l) => l.replace(/ \w{3} +\d+ +[\d:]+ /, ' '))).toEqual([
    expect.stringMatching(/^drwx.* 0 +0 +0 a$/),
    expect.stringMatching(/^lrwx.* 0 +0 +3 a\/link -> odd$/),
    expect.stringMatching(/^-rwxr-xr-x.* 0 +0 +3 a\/odd$/),
  ]);
});

test('a partition table is one that sfdisk reads', async () => {
  const disk = join(folder, 'disk');
  const record = masterBootRecord(new Uint8Array(512).fill(7), [{ start: 2048, sectors: 100, type: 0x0e, bootable: true }, { start: 4096, sectors: 4_000_000_000, type: 0x83, bootable: false }]);
  writeFileSync(disk, record);
  const { stdout } = await createRunner({ log: { debug() {}, warn() {} } }).run('sfdisk', ['--dump', disk]);
  expect(stdout).toMatch(/start= +2048, size= +100, type=e, bootable/);
  expect(stdout).toMatch(/start= +4096, size= +4000000000, type=83/);
  expect(record.subarray(0, 440).every((byte) => byte === 7)).toBe(true);
});
