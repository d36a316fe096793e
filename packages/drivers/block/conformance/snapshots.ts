import { createHash, randomBytes } from 'node:crypto';
import { assert, describe, expect, it } from 'vitest';
import { need } from '../../errors.ts';
import type { SnapshotRef } from '../contract.ts';
import { GiB, MiB, type Lab } from './lab.ts';

export function snapshots(lab: () => Lab): void {
  describe('snapshots', () => {
    it('keep their content, whatever is written later', async () => {
      const { driver, call, volume, snapshotOf, write, expectAt, fails, clean } = lab();
      const snapshots = need(driver, 'snapshots');
      const ref = await volume();
      const [first, second, third] = [randomBytes(2 * MiB), randomBytes(2 * MiB), randomBytes(2 * MiB)];
      await write(ref, 0, first);
      const one = await snapshotOf(ref);
      await write(ref, MiB, second);
      const two = await snapshotOf(ref);
      await write(ref, GiB - 2 * MiB, third);
      await snapshots.create(call, one);
      expect(await snapshots.exists(call, one)).toBe(true);
      await expectAt(one, 0, first);
      await expectAt(one, 2 * MiB, Buffer.alloc(MiB));
      await expectAt(two, 0, Buffer.concat([first.subarray(0, MiB), second]));
      await expectAt(two, GiB - 2 * MiB, Buffer.alloc(2 * MiB));
      await expectAt(ref, 0, Buffer.concat([first.subarray(0, MiB), second]));
      await expectAt(ref, GiB - 2 * MiB, third);
      await fails(driver.volumes.delete(call, ref), 'busy');
      expect(await driver.volumes.exists(call, ref)).toBe(true);
      // The older first: what depends on it stays whole.
      await snapshots.delete(call, one);
      await snapshots.delete(call, one);
      expect(await snapshots.exists(call, one)).toBe(false);
      await fails(driver.data.read(call, one), 'absent');
      await expectAt(two, 0, Buffer.concat([first.subarray(0, MiB), second]));
      await expectAt(ref, 0, Buffer.concat([first.subarray(0, MiB), second]));
      await snapshots.delete(call, two);
      await expectAt(ref, 0, Buffer.concat([first.subarray(0, MiB), second]));
      await expectAt(ref, GiB - 2 * MiB, third);
      await driver.volumes.delete(call, ref);
      await clean();
    });

    it('of a chain are deleted in any order', async () => {
      const { driver, call, volume, snapshotOf, write, read, expectAt, clean } = lab();
      const snapshots = need(driver, 'snapshots');
      for (const order of [[2, 1, 0], [1, 0, 2], [1, 2, 0]]) {
        const ref = await volume();
        const chain: SnapshotRef[] = [];
        const sums: string[] = [];
        for (let n = 0; n < 3; n += 1) {
          await write(ref, n * MiB, randomBytes(2 * MiB));
          chain.push(await snapshotOf(ref));
          sums.push(createHash('sha1').update(await read(ref, 0, 8 * MiB)).digest('hex'));
        }
        await write(ref, 3 * MiB, randomBytes(MiB));
        const now = await read(ref, 0, 8 * MiB);
        for (const [step, n] of order.entries()) {
          await snapshots.delete(call, chain[n]!);
          for (const left of order.slice(step + 1)) {
            expect(createHash('sha1').update(await read(chain[left]!, 0, 8 * MiB)).digest('hex')).toBe(sums[left]);
          }
          await expectAt(ref, 0, now);
        }
        await driver.volumes.delete(call, ref);
      }
      await clean();
    });

    it('put the volume back, again and again', async () => {
      const { driver, call, volume, snapshotOf, write, expectAt, fails, clean } = lab();
      const snapshots = need(driver, 'snapshots');
      assert(snapshots.revert);
      const ref = await volume();
      const kept = randomBytes(MiB);
      await write(ref, 0, kept);
      const snapshot = await snapshotOf(ref);
      for (let round = 0; round < 2; round += 1) {
        await write(ref, 0, randomBytes(2 * MiB));
        await snapshots.revert(call, snapshot);
        await expectAt(ref, 0, kept);
        await expectAt(ref, MiB, Buffer.alloc(MiB));
      }
      await driver.volumes.extend(call, ref, 2);
      await write({ ...ref, sizeGiB: 2 }, GiB, kept);
      await snapshots.revert(call, { ...snapshot, volume: { ...ref, sizeGiB: 2 } });
      await expectAt({ ...ref, sizeGiB: 2 }, 0, kept);
      await expectAt({ ...ref, sizeGiB: 2 }, GiB, Buffer.alloc(MiB));
      await expectAt(snapshot, 0, kept);
      await snapshots.delete(call, snapshot);
      await fails(snapshots.revert(call, snapshot), 'absent');
      await driver.volumes.delete(call, ref);
      await clean();
    });

    it('of a volume in use are of one moment, or refused', async () => {
      const { under, driver, call, volume, snapshotOf, write, expectAt, fails } = lab();
      const snapshots = need(driver, 'snapshots');
      const ref = await volume();
      await write(ref, 0, Buffer.alloc(MiB, 1));
      if (under.live) {
        const snapshot = await snapshotOf(ref, true);
        await write(ref, 0, Buffer.alloc(MiB, 2));
        await expectAt(snapshot, 0, Buffer.alloc(MiB, 1));
        await snapshots.delete(call, snapshot, { inUse: true });
      } else {
        const before = await under.leftovers();
        await fails(snapshotOf(ref, true), 'busy');
        expect(await under.leftovers()).toEqual(before);
      }
    });

    it('are made and deleted many at once', async () => {
      const { driver, call, volume, snapshotOf, write, expectAt, clean } = lab();
      const snapshots = need(driver, 'snapshots');
      const ref = await volume();
      await write(ref, 0, Buffer.alloc(MiB, 3));
      const many = await Promise.all([1, 2, 3, 4].map(() => snapshotOf(ref)));
      for (const one of many) await expectAt(one, 0, Buffer.alloc(MiB, 3));
      await Promise.all([...many, ...many].map((one) => snapshots.delete(call, one)));
      await expectAt(ref, 0, Buffer.alloc(MiB, 3));
      await driver.volumes.delete(call, ref);
      await clean();
    });
  });
}
