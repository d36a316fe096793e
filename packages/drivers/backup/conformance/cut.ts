import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { plainCall, type Call } from '../../call.ts';
import { Disk, MiB, OBJECT, type Lab } from './lab.ts';

/** Each look at the clock is a minute later: parts are kept after each object. */
const fast = () => {
  let now = 0;
  return () => (now += 60_000);
};

/** A call that is aborted when so many bytes are done. */
function cutAt(bytes: number, reason: Error): Call {
  const stop = new AbortController();
  return { ...plainCall('t', stop.signal), progress: (done) => { if (done > bytes) stop.abort(reason); } };
}

export function cut(lab: () => Lab): void {
  describe('cut short', () => {
    it('a repeated backup is success without work', async () => {
      const { driver, call, place, job, sample } = lab();
      const disk = sample();
      const ref = place();
      const first = await driver.backup(call, job(ref, disk));
      disk.reads = 0;
      expect(await driver.backup(call, job(ref, disk))).toEqual({ objectCount: first.objectCount, read: 0, stored: 0 });
      expect(disk.reads).toBe(0);
    });

    it('a backup goes on behind what is stored, wherever it was stopped', async () => {
      const { open, call, place, job, under, restored } = lab();
      const disk = new Disk(16 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const reason = new Error('stop');
      for (const share of [0, 0.4, 0.9]) {
        const ref = place();
        const by = open({ now: fast() });
        const cutCall = cutAt(share * disk.bytes, reason);
        await expect(by.backup(cutCall, job(ref, disk))).rejects.toBe(reason);
        expect(await under.names(ref.container)).not.toContain(`${ref.serviceMetadata}_metadata`);
        disk.reads = 0;
        const { objectCount, read } = await open({ now: fast() }).backup(call, job(ref, disk));
        expect(objectCount).toBe(16);
        expect(read).toBe(disk.reads);
        if (share > 0) expect(read).toBeLessThan(disk.bytes * (1.1 - share));
        disk.expectEqual(await restored([ref], disk.bytes));
      }
    });

    it('an incremental backup goes on too', async () => {
      const { open, call, place, job, full, restored } = lab();
      const disk = new Disk(16 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const first = await full(disk);
      for (let n = 0; n < 16; n += 1) disk.put(n * OBJECT + 1000 * n, randomBytes(1000));
      const ref = place({ parent: first });
      const reason = new Error('stop');
      await expect(open({ now: fast() }).backup(cutAt(disk.bytes / 2, reason), job(ref, disk, { parent: first }))).rejects.toBe(reason);
      disk.reads = 0;
      await open({ now: fast() }).backup(call, job(ref, disk, { parent: first }));
      expect(disk.reads).toBeLessThan(disk.bytes * 0.7);
      disk.expectEqual(await restored([first, ref], disk.bytes));
    });

    it('what was stored of another moment, or lost or damaged since, is not used', async () => {
      const { open, call, place, job, under, restored, sample } = lab();
      const disk = sample();
      for (const harm of ['moment', 'lost', 'short', 'part'] as const) {
        const ref = place();
        const reason = new Error('stop');
        await expect(open({ now: fast() }).backup(cutAt(disk.bytes * 0.7, reason), job(ref, disk))).rejects.toBe(reason);
        const object = `${ref.serviceMetadata}-00001`;
        const part = `cumulet_${ref.serviceMetadata}_part-00002`;
        if (harm === 'lost') await under.remove(ref.container, object);
        if (harm === 'short') await under.write(ref.container, object, (await under.read(ref.container, object)).subarray(1));
        if (harm === 'part') await under.write(ref.container, part, (await under.read(ref.container, part)).subarray(1));
        if (harm === 'moment') disk.put(0, randomBytes(MiB));
        await open().backup(call, job(ref, disk, { moment: harm === 'moment' ? 'later' : 'now' }));
        disk.expectEqual(await restored([ref], disk.bytes));
        await open().verify(call, [ref]);
      }
    });

    it('a restore goes on where it was told to', async () => {
      const { open, call, full, next } = lab();
      const disk = new Disk(8 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const first = await full(disk);
      disk.put(OBJECT, randomBytes(2 * OBJECT));
      const second = await next(first, disk);
      const target = new Disk(disk.bytes);
      const seen: unknown[] = [];
      const by = open();
      await by.restore(call, { chain: [first, second], target, checkpoint: async (at) => void seen.push(at) });
      expect(seen).toEqual([{ backupId: first.id, objects: 8 }, { backupId: second.id, objects: 2 }]);
      disk.expectEqual(target);
      target.writes = 0;
      await by.restore(call, { chain: [first, second], target, from: { backupId: first.id, objects: 8 } });
      expect(target.writes).toBe(2 * OBJECT);
      await by.restore(call, { chain: [first, second], target, from: { backupId: second.id, objects: 2 } });
      expect(target.writes).toBe(2 * OBJECT);
      await by.restore(call, { chain: [first, second], target, from: { backupId: first.id, objects: 6 } });
      expect(target.writes).toBe(6 * OBJECT);
      disk.expectEqual(target);
    });

    it('an aborted restore or verification throws the reason', async () => {
      const { driver, full } = lab();
      const disk = new Disk(16 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const ref = await full(disk);
      const reason = new Error('stop');
      await expect(driver.restore(cutAt(disk.bytes / 3, reason), { chain: [ref], target: new Disk(disk.bytes) })).rejects.toBe(reason);
      await expect(driver.verify(cutAt(disk.bytes / 3, reason), [ref], { depth: 'data' })).rejects.toBe(reason);
      const before = { ...plainCall('t', AbortSignal.abort(reason)) };
      await expect(driver.restore(before, { chain: [ref], target: new Disk(disk.bytes) })).rejects.toBe(reason);
      await expect(driver.delete(before, ref)).rejects.toBe(reason);
      await expect(driver.check(before)).rejects.toBe(reason);
    });

    it('an error of the volume is told as it is, and nothing hangs', async () => {
      const { driver, call, place, job, full } = lab();
      const disk = new Disk(16 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const broken = new Error('the disk is on fire');
      const source = disk.source();
      let reads = 0;
      const failing = { ...source, read: async (...args: Parameters<typeof source.read>) => { if ((reads += 1) === 5) throw broken; return source.read(...args); } };
      await expect(driver.backup(call, job(place(), disk, { source: failing }))).rejects.toBe(broken);
      const short = { ...source, read: (...[c, range]: Parameters<typeof source.read>) => source.read(c, { ...range, length: range.length - 1 }) };
      await expect(driver.backup(call, job(place(), disk, { source: short }))).rejects.toMatchObject({ kind: 'broken' });
      const ref = await full(disk);
      const target = new Disk(disk.bytes);
      await expect(driver.restore(call, { chain: [ref], target: Object.assign(target, { write: failingWrite(broken) }) })).rejects.toBe(broken);
    });
  });

  describe('delete', () => {
    it('leaves nothing, and can be repeated', async () => {
      const { driver, call, full, next, sample, under, place, job } = lab();
      const disk = sample();
      const first = await full(disk);
      const second = await next(first, disk);
      await driver.delete(call, second);
      await driver.delete(call, second);
      await driver.verify(call, [first]);
      await driver.delete(call, first);
      await driver.delete(call, first);
      // Half written.
      const ref = place();
      await expect(driver.backup(cutAt(disk.bytes / 2, new Error('stop')), job(ref, disk))).rejects.toThrow('stop');
      await driver.delete(call, ref);
      // Nothing was ever there.
      await driver.delete(call, place());
      for (const one of [first, second, ref]) expect(await under.names(one.container)).toEqual([]);
    });

    it('touches no others in its container, and takes what a record under another id leads to', async () => {
      const { driver, call, place, job, sample, under, restored } = lab();
      const disk = sample();
      const [one, other] = [place({ container: 'shared' }), place({ container: 'shared' })];
      for (const ref of [one, other]) await driver.backup(call, job(ref, disk));
      await under.write('shared', 'somebody-elses', Buffer.from('file'));
      // The record of `one`, imported under a new id.
      await driver.delete(call, { ...one, id: crypto.randomUUID() });
      expect((await under.names('shared')).filter((name) => name.includes(one.id))).toEqual([]);
      disk.expectEqual(await restored([other], disk.bytes));
      expect(await under.names('shared')).toContain('somebody-elses');
      const own = place();
      await driver.backup(call, job(own, disk));
      await driver.delete(call, { ...own, id: crypto.randomUUID() });
      expect(await under.names(own.container)).toEqual(expect.not.arrayContaining([expect.stringContaining(own.id)]));
    });
  });
}

function failingWrite(error: Error) {
  return async () => new Writable({ write: (_bytes, _encoding, done) => done(error) });
}
