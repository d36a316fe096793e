import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert, describe, expect, it } from 'vitest';
import type { Extent } from '../contract.ts';
import { copyContent } from '../copy.ts';
import { GiB, listOf, MiB, type Lab } from './lab.ts';

export function data(lab: () => Lab): void {
  describe('data', () => {
    it('makes the round trip at any offset', async () => {
      const { volume, write, expectAt } = lab();
      const ref = await volume();
      const bytes = randomBytes(3 * MiB + 12_345);
      await write(ref, 0, bytes.subarray(0, 100));
      await write(ref, 777_777, bytes);
      await write(ref, GiB - 513, bytes.subarray(0, 513));
      await expectAt(ref, 0, bytes.subarray(0, 100));
      await expectAt(ref, 777_777, bytes);
      await expectAt(ref, 777_777 + 1_000_001, bytes.subarray(1_000_001, 1_000_101));
      await expectAt(ref, GiB - 513, bytes.subarray(0, 513));
      await expectAt(ref, 100, Buffer.alloc(777_677));
    });

    it('is exactly as long as the volume', async () => {
      const { driver, call, volume, write, read, fails } = lab();
      const ref = await volume();
      let length = 0;
      for await (const chunk of await driver.data.read(call, ref)) length += (chunk as Buffer).length;
      expect(length).toBe(GiB);
      await fails(driver.data.read(call, ref, { offset: 0, length: GiB + 1 }), 'invalid');
      await fails(driver.data.read(call, ref, { offset: -1 }), 'invalid');
      await fails(driver.data.write(call, ref, { offset: GiB + 1 }), 'invalid');
      await fails(write(ref, GiB - 10, Buffer.alloc(11, 1)), 'invalid');
      expect((await read(ref, GiB, 0)).length).toBe(0);
    });

    it('overwrites with zeros, by writing them and by zero()', async () => {
      const { driver, call, volume, write, expectAt, fails } = lab();
      const ref = await volume();
      const bytes = randomBytes(4 * MiB);
      await write(ref, 0, bytes);
      await write(ref, MiB, Buffer.alloc(MiB));
      await expectAt(ref, 0, Buffer.concat([bytes.subarray(0, MiB), Buffer.alloc(MiB), bytes.subarray(2 * MiB)]));
      await driver.data.zero(call, ref, { offset: 2 * MiB + 1000, length: MiB });
      await expectAt(ref, 2 * MiB, Buffer.concat([bytes.subarray(2 * MiB, 2 * MiB + 1000), Buffer.alloc(MiB), bytes.subarray(3 * MiB + 1000)]));
      await driver.data.zero(call, ref, { offset: 3 * MiB, length: GiB - 3 * MiB });
      await driver.data.zero(call, ref, { offset: 0, length: 0 });
      await expectAt(ref, 3 * MiB, Buffer.alloc(2 * MiB));
      await expectAt(ref, GiB - MiB, Buffer.alloc(MiB));
      await expectAt(ref, 0, bytes.subarray(0, MiB));
      await fails(driver.data.zero(call, ref, { offset: GiB, length: 1 }), 'invalid');
    });

    it('leaves holes where zeros are written, and tells of them', async () => {
      const { driver, call, volume, write } = lab();
      const { extents } = driver.data;
      assert(extents);
      const ref = await volume(8);
      await write(ref, 5 * GiB, Buffer.concat([randomBytes(MiB), Buffer.alloc(64 * MiB), randomBytes(MiB)]));
      const all = await listOf<Extent>(extents.call(driver.data, call, ref));
      let at = 0;
      for (const extent of all) {
        expect(extent.offset).toBe(at);
        expect(extent.length).toBeGreaterThan(0);
        at += extent.length;
      }
      expect(at).toBe(8 * GiB);
      const data = all.filter((extent) => !extent.hole);
      expect(data.reduce((sum, extent) => sum + extent.length, 0)).toBeLessThan(16 * MiB);
      for (const point of [5 * GiB, 5 * GiB + 66 * MiB - 1]) expect(data.some(({ offset, length }) => offset <= point && point < offset + length)).toBe(true);
      const part = await listOf<Extent>(extents.call(driver.data, call, ref, { offset: 5 * GiB - 10, length: 20 }));
      expect(part.reduce((sum, extent) => sum + extent.length, 0)).toBe(20);
      expect(part[0]?.offset).toBe(5 * GiB - 10);
    });

    it('stops on abort, and the volume can be used again', async () => {
      const { driver, call, volume, write, expectAt, aborted, clean } = lab();
      const ref = await volume();
      const reason = new Error('cancelled');
      const by = aborted(reason, 100);
      const endless = Readable.from((async function* () { for (;;) { yield randomBytes(MiB); await sleep(5); } })(), { objectMode: false });
      await expect((async () => pipeline(endless, await driver.data.write(by, ref)))()).rejects.toBe(reason);
      endless.destroy();
      await write(ref, 0, Buffer.alloc(MiB, 7));
      await expectAt(ref, 0, Buffer.alloc(MiB, 7));
      const reading = aborted(reason, 60);
      await expect((async () => { for await (const chunk of await driver.data.read(reading, ref)) { expect(chunk).toBeDefined(); await sleep(2); } })()).rejects.toBe(reason);
      const abandoned = await driver.data.read(call, ref);
      await new Promise((resolve) => abandoned.once('readable', resolve));
      abandoned.destroy();
      await new Promise((resolve) => abandoned.once('close', resolve));
      await driver.volumes.delete(call, ref);
      await clean();
    });
  });

  it('does not read the holes of a large volume', async () => {
    const { under, driver, call, spec, volume, write, expectAt } = lab();
    assert(driver.data.extents);
    const began = performance.now();
    const ref = await volume(1024);
    const bytes = randomBytes(4 * MiB);
    for (const at of [0, 512 * GiB, 1024 * GiB - 4 * MiB]) await write(ref, at, bytes);
    if (driver.clone) {
      const made = spec(1024);
      await driver.clone.fromVolume(call, ref, made);
      await expectAt(made, 512 * GiB, bytes);
      await driver.volumes.delete(call, made);
    }
    const copy = await volume(1024);
    const seen: number[] = [];
    await copyContent({ ...call, progress: (done) => seen.push(done) }, { driver, ref }, { driver, volume: copy }, { fresh: true });
    await expectAt(copy, 1024 * GiB - 4 * MiB, bytes);
    expect(seen.at(-1)).toBe(1024 * GiB);
    if (under.used) expect(await under.used()).toBeLessThan(64 * MiB);
    // Reading the holes would take many minutes.
      expect(performance.now() - began).toBeLessThan(120_000);
  });

  it('copies over old content through this host', async () => {
    const { driver, call, volume, write, read } = lab();
    const [from, to] = [await volume(1), await volume(2)];
    await write(from, MiB, randomBytes(3 * MiB));
    await write(to, 0, randomBytes(8 * MiB));
    await copyContent(call, { driver, ref: from }, { driver, volume: to });
    expect((await read(to, 0, 16 * MiB)).equals(await read(from, 0, 16 * MiB))).toBe(true);
  });
}
