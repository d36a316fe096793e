import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { VolumeRef } from '../contract.ts';
import { GiB, MiB, type Lab } from './lab.ts';

export function volumes(lab: () => Lab): void {
  describe('volumes', () => {
    it('are created and deleted, each also twice', async () => {
      const { driver, call, spec, fails, clean } = lab();
      const made = spec();
      await driver.volumes.create(call, made);
      await driver.volumes.create(call, made);
      expect(await driver.volumes.exists(call, made)).toBe(true);
      await fails(driver.volumes.create(call, { ...made, sizeGiB: 2 }), 'invalid');
      await driver.volumes.delete(call, made);
      await driver.volumes.delete(call, made);
      expect(await driver.volumes.exists(call, made)).toBe(false);
      await clean();
    });

    it('read as zeros when new, also where an older one was', async () => {
      const { driver, call, spec, write, expectAt } = lab();
      const made = spec();
      for (let round = 0; round < 2; round += 1) {
        const ref = { ...made, ...await driver.volumes.create(call, made) };
        for (const offset of [0, 500 * MiB, GiB - MiB]) await expectAt(ref, offset, Buffer.alloc(MiB));
        await write(ref, 0, randomBytes(MiB));
        await write(ref, GiB - MiB, randomBytes(MiB));
        await driver.volumes.delete(call, ref);
      }
    });

    it('refuse odd sizes and names that lead elsewhere', async () => {
      const { driver, call, spec, fails, clean } = lab();
      for (const sizeGiB of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 60]) await fails(driver.volumes.create(call, spec(sizeGiB)), 'invalid');
      for (const name of ['', '.', '..', '../x', 'a/b', '/etc/passwd', 'a\0b', '.tmp', 'a~b', 'a@b', 'x'.repeat(300)]) {
        await fails(driver.volumes.create(call, { name, sizeGiB: 1 }), 'invalid');
        await fails(driver.volumes.delete(call, { name, sizeGiB: 1 }), 'invalid');
      }
      await clean();
    });

    it('say absent', async () => {
      const { driver, call, spec, snapshotOf, fails, clean } = lab();
      const gone: VolumeRef = spec();
      await fails(driver.volumes.extend(call, gone, 2), 'absent');
      await fails(driver.data.read(call, gone), 'absent');
      await fails(driver.data.write(call, gone), 'absent');
      await fails(driver.attach.connect(call, gone, { host: 'h' }), 'absent');
      if (driver.snapshots) await fails(snapshotOf(gone), 'absent');
      if (driver.clone) await fails(driver.clone.fromVolume(call, gone, spec()), 'absent');
      await clean();
    });

    it('grow, keep their data, and never shrink', async () => {
      const { driver, call, volume, write, expectAt, fails } = lab();
      const ref = await volume(1);
      const bytes = randomBytes(MiB);
      await write(ref, GiB - MiB, bytes);
      await driver.volumes.extend(call, ref, 3);
      await driver.volumes.extend(call, ref, 3);
      const grown = { ...ref, sizeGiB: 3 };
      await expectAt(grown, GiB - MiB, bytes);
      await expectAt(grown, GiB, Buffer.alloc(MiB));
      await expectAt(grown, 3 * GiB - MiB, Buffer.alloc(MiB));
      await write(grown, 3 * GiB - MiB, bytes);
      await expectAt(grown, 3 * GiB - MiB, bytes);
      await fails(driver.volumes.extend(call, grown, 2), 'invalid');
      await fails(driver.volumes.extend(call, grown, 3.5), 'invalid');
    });

    it('are made many at once', async () => {
      const { driver, call, spec, write, expectAt, clean } = lab();
      const made = Array.from({ length: 12 }, () => spec());
      const twice = await Promise.all([...made, ...made].map((one) => driver.volumes.create(call, one)));
      expect(twice).toHaveLength(24);
      await Promise.all(made.map((one, n) => write(one, n * MiB, Buffer.alloc(MiB, n + 1))));
      for (const [n, one] of made.entries()) await expectAt(one, n * MiB, Buffer.alloc(MiB, n + 1));
      await Promise.all([...made, ...made].map((one) => driver.volumes.delete(call, one)));
      await clean();
    });

    it('count in the pool', async () => {
      const { driver, call, volume } = lab();
      const [before] = await driver.pools(call);
      const ref = await volume(5);
      const [after] = await driver.pools(call);
      expect(after!.provisionedGiB - before!.provisionedGiB).toBeCloseTo(5, 3);
      expect(after!.freeGiB).toBeGreaterThan(0);
      expect(after!.totalGiB).toBeGreaterThanOrEqual(after!.freeGiB);
      expect(after!.name.length).toBeGreaterThan(0);
      await driver.volumes.delete(call, ref);
    });
  });

  describe('attach', () => {
    it('gives a connection that the hypervisor can use, and lets it go twice', async () => {
      const { driver, call, volume } = lab();
      const ref = await volume();
      const connector = { host: 'host-a', ip: '127.0.0.1', initiator: 'iqn.1993-08.org.debian:01:x' };
      const info = await driver.attach.connect(call, ref, connector, { mode: 'ro' });
      expect(info).toEqual(await driver.attach.connect(call, ref, connector, { mode: 'ro' }));
      expect(info.data).toMatchObject({ access_mode: 'ro', encrypted: false });
      expect((await driver.attach.connect(call, ref, connector)).data.access_mode).toBe('rw');
      expect(JSON.parse(JSON.stringify(info))).toEqual(info);
      await driver.attach.disconnect(call, ref, connector);
      await driver.attach.disconnect(call, ref, connector);
      await driver.attach.disconnect(call, ref, undefined);
    });
  });
}
