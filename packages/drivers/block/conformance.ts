import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { plainCall, type Call } from '../call.ts';
import { DriverError, need, type DriverErrorKind } from '../errors.ts';
import type { BlockDriver, DataRef, Extent, SnapshotRef, VolumeRef, VolumeSpec } from './contract.ts';
import { copyContent } from './copy.ts';

const MiB = 1 << 20;
const GiB = 2 ** 30;

async function listOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

export interface BlockUnderTest {
  readonly driver: BlockDriver;
  /** Names of everything the backend holds, unfinished things included. */
  leftovers(): Promise<readonly string[]>;
  /** Bytes that the backend really uses, when it can tell. */
  readonly used?: () => Promise<number>;
  /** Put an object of that many bytes there as an administrator would, under a name that is not ours. */
  readonly plant?: (name: string, bytes: number, content: Buffer) => Promise<void>;
  /** Can it freeze a volume while somebody writes to it? */
  readonly live: boolean;
}

/** What every block backend does, whatever it is made of. */
export function blockConformance(title: string, make: () => Promise<BlockUnderTest>, options: { readonly timeout?: number } = {}): void {
  describe(`block driver: ${title}`, { timeout: options.timeout ?? 60_000 }, () => {
    let under: BlockUnderTest;
    let driver: BlockDriver;
    const call = plainCall();
    beforeEach(async () => {
      under = await make();
      driver = under.driver;
      await driver.check(call);
    });

    const spec = (sizeGiB = 1): VolumeSpec => ({ name: `volume-${randomUUID()}`, sizeGiB });
    const volume = async (sizeGiB = 1): Promise<VolumeRef> => {
      const made = spec(sizeGiB);
      return { ...made, ...await driver.volumes.create(call, made) };
    };
    const snapshotOf = async (of: VolumeRef, inUse = false): Promise<SnapshotRef> => {
      const made = { name: `snapshot-${randomUUID()}`, volume: of, sizeGiB: of.sizeGiB };
      return { ...made, ...await need(driver, 'snapshots').create(call, made, { inUse }) };
    };
    const write = async (ref: VolumeRef, offset: number, bytes: Buffer, by: Call = call) =>
      pipeline(Readable.from((function* () { for (let at = 0; at < bytes.length; at += 200_003) yield bytes.subarray(at, at + 200_003); })(), { objectMode: false }), await driver.data.write(by, ref, { offset }));
    const read = async (ref: DataRef, offset: number, length: number) => Buffer.concat(await (await driver.data.read(call, ref, { offset, length })).toArray());
    const hash = async (ref: DataRef) => {
      const sum = createHash('sha1');
      for await (const chunk of await driver.data.read(call, ref)) sum.update(chunk as Buffer);
      return sum.digest('hex');
    };
    const expectAt = async (ref: DataRef, offset: number, bytes: Buffer) => expect((await read(ref, offset, bytes.length)).equals(bytes), `bytes at ${offset}`).toBe(true);
    const fails = async (work: Promise<unknown>, kind: DriverErrorKind) => {
      const error = await work.then(() => undefined, (failure: unknown) => failure);
      expect(error).toBeInstanceOf(DriverError);
      expect(error).toMatchObject({ kind });
      expect((error as DriverError).message).not.toMatch(/\/tmp|\/var|qemu|\bE[A-Z]{4,}\b/);
    };
    const aborted = (reason: Error, afterMs: number): Call => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(reason), afterMs);
      return plainCall('t', stop.signal);
    };
    const clean = async () => expect(await under.leftovers()).toEqual([]);

    describe('volumes', () => {
      it('are created and deleted, each also twice', async () => {
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
        for (const sizeGiB of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 60]) await fails(driver.volumes.create(call, spec(sizeGiB)), 'invalid');
        for (const name of ['', '.', '..', '../x', 'a/b', '/etc/passwd', 'a\0b', '.tmp', 'a~b', 'a@b', 'x'.repeat(300)]) {
          await fails(driver.volumes.create(call, { name, sizeGiB: 1 }), 'invalid');
          await fails(driver.volumes.delete(call, { name, sizeGiB: 1 }), 'invalid');
        }
        await clean();
      });

      it('say absent', async () => {
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
        const made = Array.from({ length: 12 }, () => spec());
        const twice = await Promise.all([...made, ...made].map((one) => driver.volumes.create(call, one)));
        expect(twice).toHaveLength(24);
        await Promise.all(made.map((one, n) => write(one, n * MiB, Buffer.alloc(MiB, n + 1))));
        for (const [n, one] of made.entries()) await expectAt(one, n * MiB, Buffer.alloc(MiB, n + 1));
        await Promise.all([...made, ...made].map((one) => driver.volumes.delete(call, one)));
        await clean();
      });

      it('count in the pool', async () => {
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

    describe('data', () => {
      it('makes the round trip at any offset', async () => {
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

      it('leaves holes where zeros are written, and tells of them', async ({ skip }) => {
        const { extents } = driver.data;
        if (!extents) return skip();
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
        const ref = await volume();
        const reason = new Error('cancelled');
        const by = aborted(reason, 100);
        const endless = Readable.from((async function* () { for (;;) { yield randomBytes(MiB); await sleep(5); } })(), { objectMode: false });
        await expect(pipeline(endless, await driver.data.write(by, ref))).rejects.toBe(reason);
        await write(ref, 0, Buffer.alloc(MiB, 7));
        await expectAt(ref, 0, Buffer.alloc(MiB, 7));
        const reading = aborted(reason, 60);
        const stream = await driver.data.read(reading, ref);
        await expect((async () => { for await (const chunk of stream) { expect(chunk).toBeDefined(); await sleep(2); } })()).rejects.toBe(reason);
        const abandoned = await driver.data.read(call, ref);
        await new Promise((resolve) => abandoned.once('readable', resolve));
        abandoned.destroy();
        await new Promise((resolve) => abandoned.once('close', resolve));
        await driver.volumes.delete(call, ref);
        await clean();
      });
    });

    describe('attach', () => {
      it('gives a connection that the hypervisor can use, and lets it go twice', async () => {
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

    describe('snapshots', () => {
      beforeEach(({ skip }) => { if (!driver.snapshots) skip(); });

      it('keep their content, whatever is written later', async () => {
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

      it('put the volume back, again and again', async ({ skip }) => {
        const snapshots = need(driver, 'snapshots');
        if (!snapshots.revert) return skip();
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

    describe('clones', () => {
      beforeEach(({ skip }) => { if (!driver.clone) skip(); });

      it('of volumes and snapshots stand alone', async () => {
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
        const ref = await volume(2);
        const smaller = spec(1);
        await fails(need(driver, 'clone').fromVolume(call, ref, smaller), 'invalid');
        expect(await driver.volumes.exists(call, smaller)).toBe(false);
      });

      it('that are cut short leave nothing, and can be made again', async () => {
        const clone = need(driver, 'clone');
        const ref = await volume(1);
        await write(ref, 0, randomBytes(192 * MiB));
        const sum = await hash(ref);
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
          expect(await hash(made)).toBe(sum);
          await driver.volumes.delete(call, made);
        }
      });
    });

    it('does not read the holes of a large volume', { timeout: 30_000 }, async ({ skip }) => {
      if (!driver.data.extents) return skip();
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
      expect(performance.now() - began).toBeLessThan(15_000);
    });

    it('copies over old content through this host', async () => {
      const [from, to] = [await volume(1), await volume(2)];
      await write(from, MiB, randomBytes(3 * MiB));
      await write(to, 0, randomBytes(8 * MiB));
      await copyContent(call, { driver, ref: from }, { driver, volume: to });
      expect((await read(to, 0, 16 * MiB)).equals(await read(from, 0, 16 * MiB))).toBe(true);
    });

    it('renames', async ({ skip }) => {
      const { rename } = driver;
      if (!rename) return skip();
      const [ref, taken] = [await volume(), await volume()];
      await write(ref, 0, Buffer.alloc(MiB, 6));
      const name = `volume-${randomUUID()}`;
      await rename(call, ref, name);
      await rename(call, ref, name);
      const renamed = { ...ref, name };
      await expectAt(renamed, 0, Buffer.alloc(MiB, 6));
      expect(await driver.volumes.exists(call, ref)).toBe(false);
      await fails(rename(call, renamed, taken.name), 'busy');
      await fails(rename(call, renamed, '../x'), 'invalid');
      await fails(rename(call, spec(), `volume-${randomUUID()}`), 'absent');
      await driver.volumes.delete(call, renamed);
      await driver.volumes.delete(call, taken);
      await clean();
    });

    describe('manage', () => {
      beforeEach(({ skip }) => { if (!driver.manage || !under.plant) skip(); });

      it('lists, adopts under our name, and releases', async () => {
        const manage = need(driver, 'manage');
        const content = randomBytes(MiB);
        await under.plant!('old disk.img', GiB + 5 * MiB, content);
        const ours = await volume(1);
        const reference = { 'source-name': 'old disk.img' };
        const listed = await listOf(manage.list(call));
        expect(listed.find((one) => one.reference['source-name'] === 'old disk.img')).toMatchObject({ sizeGiB: 2, safe: true });
        expect(listed.some((one) => one.reference['source-name'] === ours.name)).toBe(true);
        expect(await manage.size(call, reference)).toBe(2);
        const made = spec(2);
        await fails(manage.adopt(call, { ...made, sizeGiB: 1 }, reference), 'invalid');
        await manage.adopt(call, made, reference);
        await manage.adopt(call, made, reference);
        await expectAt(made, 0, content);
        await expectAt(made, 2 * GiB - MiB, Buffer.alloc(MiB));
        expect((await listOf(manage.list(call))).some((one) => one.reference['source-name'] === 'old disk.img')).toBe(false);
        await manage.release(call, made);
        await expectAt(made, 0, content);
        const again = spec(2);
        await manage.adopt(call, again, { 'source-name': made.name });
        await expectAt(again, 0, content);
        await driver.volumes.delete(call, again);
        await driver.volumes.delete(call, ours);
        await clean();
      });

      it('refuses references that are absent, malformed or lead elsewhere', async () => {
        const manage = need(driver, 'manage');
        await fails(manage.size(call, { 'source-name': 'none' }), 'absent');
        await fails(manage.adopt(call, spec(), { 'source-name': 'none' }), 'absent');
        for (const reference of [{}, { 'source-id': 'x' }, { 'source-name': '' }, { 'source-name': '../../etc/passwd' }, { 'source-name': '/etc/passwd' }, { 'source-name': '.tmp' }, { 'source-name': 'a\0b' }] as Record<string, string>[]) {
          await fails(manage.size(call, reference), 'invalid');
          await fails(manage.adopt(call, spec(), reference), 'invalid');
        }
      });

      it('snapshots likewise', async ({ skip }) => {
        const manage = driver.manageSnapshots;
        if (!manage || !driver.snapshots) return skip();
        const ref = await volume(2);
        const kept = randomBytes(MiB);
        await write(ref, 0, kept);
        const old = await snapshotOf(ref);
        await write(ref, 0, randomBytes(MiB));
        const later = await snapshotOf(ref);
        const [listed] = (await listOf(manage.list(call))).filter((one) => one.reference['source-name']?.includes(old.name));
        expect(listed).toMatchObject({ source: { 'source-name': ref.name }, sizeGiB: 2, safe: true });
        await manage.release(call, old);
        expect(await manage.size(call, ref, listed!.reference)).toBe(2);
        const taken: SnapshotRef = { ...old, name: `snapshot-${randomUUID()}` };
        await manage.adopt(call, taken, listed!.reference);
        await manage.adopt(call, taken, listed!.reference);
        await expectAt(taken, 0, kept);
        expect(await driver.snapshots.exists(call, old)).toBe(false);
        await fails(manage.size(call, ref, { 'source-name': 'none' }), 'absent');
        await fails(manage.size(call, ref, { 'source-name': 'volume-x~snapshot-y' }), 'invalid');
        await driver.snapshots.delete(call, taken);
        await driver.snapshots.delete(call, later);
        await driver.volumes.delete(call, ref);
        await clean();
      });
    });
  });
}
