import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { need } from '../../errors.ts';
import { GiB, MiB, type Lab } from './lab.ts';

export function clones(lab: () => Lab): void {
  describe('clones', () => {
    it('of volumes and snapshots stand alone', async () => {
      const { driver, call, spec, volume, snapshotOf, write, expectAt, clean } = lab();
      const clone = need(driver, 'clone');
      const ref = await volume();
      const bytes = randomBytes(2 * MiB);
      await write(ref, GiB - 2 * MiB, bytes);
      const larger = spec(2);
      const same = spec(1);
      await clone.fromVolume(call, ref, larger);
      await clone.fromVolume(call, ref, larger);
      if (driver.snapshots) {
        const snapshot = await snapshotOf(ref);
        await write(ref, GiB - MiB, Buffer.alloc(MiB, 9));
        await clone.fromSnapshot(call, snapshot, same);
        await driver.snapshots.delete(call, snapshot);
        await expectAt(same, GiB - 2 * MiB, bytes);
        await driver.volumes.delete(call, same);
      }
      await write(larger, 0, Buffer.alloc(MiB, 5));
      await expectAt(ref, 0, Buffer.alloc(MiB));
      await driver.volumes.delete(call, ref);
      await expectAt(larger, 0, Buffer.alloc(MiB, 5));
      await expectAt(larger, GiB - 2 * MiB, bytes);
      await expectAt(larger, GiB, Buffer.alloc(MiB));
      await driver.volumes.delete(call, larger);
      await clean();
    });

    it('are never smaller than their source', async () => {
      const { driver, call, spec, volume, fails } = lab();
      const ref = await volume(2);
      const smaller = spec(1);
      await fails(need(driver, 'clone').fromVolume(call, ref, smaller), 'invalid');
      expect(await driver.volumes.exists(call, smaller)).toBe(false);
    });

    it('that are cut short leave nothing, and can be made again', async () => {
      const { under, driver, call, spec, volume, write, expectAt, aborted } = lab();
      const clone = need(driver, 'clone');
      const ref = await volume(1);
      const bytes = randomBytes(under.bigBytes ?? 128 * MiB);
      await write(ref, 0, bytes);
      const reason = new Error('cancelled');
      for (const afterMs of [0, 5, 30, 80]) {
        const made = spec(1);
        const before = await under.leftovers();
        const result = await clone.fromVolume(aborted(reason, afterMs), ref, made).catch((error: unknown) => error);
        if (result === reason) {
          expect(await driver.volumes.exists(call, made)).toBe(false);
          expect(await under.leftovers()).toEqual(before);
        } else expect(result).toEqual({});
        await clone.fromVolume(call, ref, made);
        await expectAt(made, 0, bytes);
        await expectAt(made, bytes.length, Buffer.alloc(MiB));
        await driver.volumes.delete(call, made);
      }
    });
  });
}
