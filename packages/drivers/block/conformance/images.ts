import { randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convert, inspectFile } from '@cumulet/diskimage';
import { createRunner } from '@cumulet/exec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { need } from '../../errors.ts';
import { GiB, MiB, type Lab } from './lab.ts';

const runner = createRunner({ log: { debug() {}, warn() {} } });
const CONTENT = 8 * MiB;

export function images(lab: () => Lab): void {
  describe('images', () => {
    let folder: string;
    let bytes: Buffer;
    const at = (name: string) => join(folder, name);
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'cumulet-images-'));
      bytes = Buffer.concat([randomBytes(3 * MiB), Buffer.alloc(CONTENT - 4 * MiB), randomBytes(MiB)]);
      await writeFile(at('raw'), bytes);
    });
    afterEach(() => rm(folder, { recursive: true, force: true }));

    it('become volumes, whatever their format', async () => {
      const { driver, call, spec, expectAt, clean } = lab();
      const { fromFile } = need(driver, 'image');
      if (!fromFile) return;
      for (const format of ['raw', 'qcow2', 'vmdk', 'vdi', 'vhdx'] as const) {
        if (format !== 'raw') await convert(runner, { from: { path: at('raw'), format: 'raw' }, to: { path: at(format), format } });
        const made = spec(2);
        await fromFile(call, made, { path: at(format), format });
        await fromFile(call, made, { path: at(format), format });
        await expectAt(made, 0, bytes);
        await expectAt(made, CONTENT, Buffer.alloc(MiB));
        await expectAt(made, 2 * GiB - MiB, Buffer.alloc(MiB));
        await driver.volumes.delete(call, made);
      }
      expect((await readFile(at('raw'))).equals(bytes)).toBe(true);
      await clean();
    });

    it('that are too large or not what they say are refused, and leave nothing', async () => {
      const { driver, call, spec, fails, clean } = lab();
      if (!driver.image?.fromFile) return;
      await convert(runner, { from: { path: at('raw'), format: 'raw' }, to: { path: at('qcow2'), format: 'qcow2' } });
      await convert(runner, { from: { path: at('raw'), format: 'raw' }, to: { path: at('vmdk'), format: 'vmdk' } });
      await fails(driver.image.fromFile(call, spec(), { path: at('qcow2'), format: 'raw' }), 'invalid');
      await fails(driver.image.fromFile(call, spec(), { path: at('vmdk'), format: 'raw' }), 'invalid');
      await fails(driver.image.fromFile(call, spec(), { path: at('raw'), format: 'qcow2' }), 'invalid');
      await fails(driver.image.fromFile(call, spec(), { path: at('none'), format: 'raw' }), 'absent');
      await truncate(at('raw'), 2 * GiB);
      await fails(driver.image.fromFile(call, spec(1), { path: at('raw'), format: 'raw' }), 'invalid');
      const file = await open(at('qcow2'), 'r+');
      await file.write(Buffer.from([0, 0, 0, 4]), 0, 4, 76);
      await file.close();
      await fails(driver.image.fromFile(call, spec(), { path: at('qcow2'), format: 'qcow2' }), 'invalid');
      await clean();
    });

    it('are made from volumes and snapshots', async () => {
      const { driver, call, volume, write, snapshotOf, fails, aborted } = lab();
      if (!driver.image?.toFile) return;
      const ref = await volume();
      await write(ref, 0, bytes);
      const source = driver.snapshots ? await snapshotOf(ref) : ref;
      if (driver.snapshots) await write(ref, 0, Buffer.alloc(MiB, 1));
      for (const format of ['raw', 'qcow2', 'vmdk'] as const) {
        const path = at(`made.${format}`);
        await driver.image.toFile(call, source, { path, format });
        expect(await inspectFile(path)).toMatchObject({ format, problems: [], virtualSize: GiB });
        if (format === 'raw') {
          expect((await readFile(path)).subarray(0, CONTENT).equals(bytes)).toBe(true);
          expect((await stat(path)).blocks * 512).toBeLessThan(32 * MiB);
        }
        await fails(driver.image.toFile(call, source, { path, format }), 'busy');
      }
      const reason = new Error('cancelled');
      await driver.image.toFile(aborted(reason, 10), source, { path: at('aborted'), format: 'qcow2' }).catch((error: unknown) => expect(error).toBe(reason));
      expect((await readdir(folder)).filter((name) => name.includes('~'))).toEqual([]);
    });
  });
}
