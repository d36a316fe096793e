import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { Disk, KiB, MiB } from '../conformance/lab.ts';
import { asUpstream } from '../conformance/upstream.ts';
import { fakeBackupDriver, openThreads } from '../index.ts';

const call = plainCall();
const threads = openThreads();
afterAll(() => threads.close());

describe('the fake, as a target that fails', () => {
  let minutes = 0;
  const setup = async () => {
    const disk = new Disk(6 * MiB);
    disk.put(0, randomBytes(800 * KiB));
    disk.put(5 * MiB, Buffer.alloc(300 * KiB, 'packs well '));
    const driver = fakeBackupDriver({ objectBytes: 256 * KiB, threads, now: () => (minutes += 60_000) });
    const ref = (parentId: string | null = null) => {
      const id = randomUUID();
      const volumeId = randomUUID();
      return { id, volumeId, parentId, ...driver.place({ id, volumeId, container: null }, new Date()) };
    };
    const backup = ref();
    const job = { backup, source: disk.source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null };
    const whole = async () => {
      const target = new Disk(disk.bytes);
      await driver.restore(call, { chain: [backup], target });
      disk.expectEqual(target);
      await driver.verify(call, [backup], { depth: 'data' });
    };
    return { disk, driver, backup, job, whole };
  };

  it.each(['before', 'after'] as const)('every write fails once, %s it happens: told as it is, and the next try goes on', async (when) => {
    const { driver, job } = await setup();
    await driver.backup(call, job);
    const puts = driver.faults.calls['object.put'] ?? 0;
    expect(puts).toBeGreaterThan(8);
    for (let nth = 1; nth <= puts; nth += 1) {
      const one = await setup();
      one.driver.faults.failAt('object.put', nth, 'full', when);
      const error = await one.driver.backup(call, one.job).catch((failure: unknown) => failure);
      expect(error, String(nth)).toBeInstanceOf(DriverError);
      expect(error).toMatchObject({ kind: 'full' });
      await one.driver.backup(call, one.job);
      await one.whole();
      await one.driver.delete(call, one.backup);
      expect(one.driver.held.size).toBe(0);
    }
  });

  it('every write hangs once and is aborted: the reason, and the next try goes on', async () => {
    for (let nth = 1; nth <= 8; nth += 1) {
      const { driver, job, whole } = await setup();
      driver.faults.hangAt('object.put', nth);
      const reason = new Error('stop');
      const stop = new AbortController();
      const watch = setInterval(() => { if ((driver.faults.calls['object.put'] ?? 0) >= nth) stop.abort(reason); }, 5);
      await expect(driver.backup(plainCall('t', stop.signal), job)).rejects.toBe(reason);
      clearInterval(watch);
      await driver.backup(call, job);
      await whole();
    }
  });

  it('every read fails once: told as it is, and the next try is whole', async () => {
    const { driver, job, backup, disk, whole } = await setup();
    await driver.backup(call, job);
    driver.faults.clear();
    await driver.restore(call, { chain: [backup], target: new Disk(disk.bytes) });
    const gets = driver.faults.calls['object.get'] ?? 0;
    for (let nth = 1; nth <= gets; nth += 1) {
      driver.faults.failAt('object.get', nth, 'transient');
      await expect(driver.restore(call, { chain: [backup], target: new Disk(disk.bytes) })).rejects.toMatchObject({ kind: 'transient' });
      await whole();
    }
  });

  it('a delete that fails anywhere can be repeated, and what is half deleted is no backup', async () => {
    for (let nth = 1; nth <= 8; nth += 1) {
      const { driver, job, backup } = await setup();
      await driver.backup(call, job);
      driver.faults.failAt('object.remove', nth, 'transient');
      await expect(driver.delete(call, backup)).rejects.toMatchObject({ kind: 'transient' });
      if (nth > 1) await expect(driver.verify(call, [backup])).rejects.toMatchObject({ kind: 'invalid' });
      await driver.delete(call, backup);
      expect(driver.held.size).toBe(0);
    }
  });
});

describe("an object of upstream's usual 2 GB", () => {
  it('passes through, and is named when its end is not what it should be', async () => {
    const driver = fakeBackupDriver({ threads });
    const disk = new Disk(80 * MiB);
    disk.put(0, Buffer.alloc(disk.bytes, 'packs well '));
    const id = randomUUID();
    const volumeId = randomUUID();
    const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
    const { held } = driver;
    held.set(ref.container, new Map());
    const under = { write: async (container: string, name: string, bytes: Buffer) => void held.get(container)?.set(name, bytes) };
    await asUpstream(under, ref, disk, { objectBytes: 128 * MiB });
    const target = new Disk(disk.bytes);
    await driver.restore(call, { chain: [ref], target });
    disk.expectEqual(target);
    const metadata = `${ref.serviceMetadata}_metadata`;
    const text = held.get(ref.container)?.get(metadata)?.toString() ?? '';
    await under.write(ref.container, metadata, Buffer.from(text.replace(/"md5": ".{4}/, '"md5": "0000')));
    await expect(driver.restore(call, { chain: [ref], target })).rejects.toThrow(`${ref.serviceMetadata}-00001`);
    await driver.close();
  });
});

describe('a large volume that holds little', () => {
  it.each([true, false])('costs its data when it is restored, also where something was (fresh: %s)', async (fresh) => {
    const driver = fakeBackupDriver({ threads });
    const disk = new Disk(2 ** 36);
    for (const at of [8 * MiB, 2 ** 34, 2 ** 36 - MiB]) disk.put(at, randomBytes(MiB));
    const id = randomUUID();
    const volumeId = randomUUID();
    const ref = { id, volumeId, parentId: null, ...driver.place({ id, volumeId, container: null }, new Date()) };
    const { objectCount } = await driver.backup(call, { backup: ref, source: disk.source(), moment: 'now', name: null, description: null, createdAt: new Date(), volumeMeta: null });
    expect(objectCount).toBeGreaterThan(120);
    const target = new Disk(disk.bytes, { fresh });
    const zeroed: number[] = [];
    const seen: unknown[] = [];
    const zero = target.zero.bind(target);
    Object.assign(target, { zero: async (...args: Parameters<typeof zero>) => { zeroed.push(args[1].length); return zero(...args); } });
    if (!fresh) target.put(2 ** 35, randomBytes(MiB));
    await driver.restore(call, { chain: [ref], target, checkpoint: async (at) => void seen.push(at) });
    disk.expectEqual(target);
    // Each hole is one call, however many objects it is; and holes are nothing to write down.
    expect(zeroed.length).toBe(fresh ? 0 : 3);
    expect(seen).toEqual([{ backupId: id, objects: objectCount }]);
    await driver.close();
  });
});
