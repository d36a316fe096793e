import { createHash, randomBytes } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { BLOCK, Disk, KiB, MiB, OBJECT, type Lab } from './lab.ts';

export function making(lab: () => Lab): void {
  describe('backup and restore', () => {
    it('makes the round trip, and upstream would read it', async () => {
      const { under, driver, sample, call, place, job, restored } = lab();
      const disk = sample();
      const ref = place();
      const done = await driver.backup(call, job(ref, disk, { keep: { project_id: 'p' } }));
      disk.expectEqual(await restored([ref], disk.bytes));

      const prefix = ref.serviceMetadata;
      const names = (await under.names(ref.container)).filter((name) => name.startsWith(prefix));
      const metadata = JSON.parse((await under.read(ref.container, `${prefix}_metadata`)).toString());
      expect(metadata).toMatchObject({
        version: '1.0.0', backup_id: ref.id, volume_id: ref.volumeId, backup_name: 'näme', backup_description: null, created_at: '2026-11-21 10:56:59+00:00', parent_id: null, volume_meta: '{"version": 1}',
      });
      // Upstream's restore wants the same names in the list and under the prefix, and goes through the list in its order.
      const listed = metadata.objects.flatMap((one: object) => Object.keys(one));
      expect(names.filter((name) => !/_(metadata|sha256file)$/.test(name)).toSorted()).toEqual(listed.toSorted());
      expect(listed).toEqual(listed.map((_: string, n: number) => `${prefix}-${String(n + 1).padStart(5, '0')}`));
      expect(done.objectCount).toBe(listed.length);
      let at = 0;
      for (const [name, one] of metadata.objects.flatMap((entry: object) => Object.entries(entry))) {
        expect(one.offset).toBe(at);
        at += one.length;
        const stored = await under.read(ref.container, name);
        if (one.compression === 'bz2') continue;
        const plain = one.compression === 'zlib' ? inflateSync(stored) : stored;
        expect(plain.equals(disk.get(one.offset, one.length))).toBe(true);
        expect(createHash('md5').update(plain).digest('hex')).toBe(one.md5);
      }
      expect(at).toBe(disk.bytes);

      const hashes = JSON.parse((await under.read(ref.container, `${prefix}_sha256file`)).toString());
      expect(Object.keys(hashes)).toEqual(['backup_description', 'backup_id', 'backup_name', 'chunk_size', 'created_at', 'sha256s', 'version', 'volume_id']);
      expect(hashes.chunk_size).toBe(BLOCK);
      expect(hashes.sha256s).toEqual(Array.from({ length: disk.bytes / BLOCK }, (_, n) => createHash('sha256').update(disk.get(n * BLOCK, BLOCK)).digest('hex')));
    });

    it('reads no holes, and stores next to nothing for them', async () => {
      const { driver, call, place, job, restored } = lab();
      const disk = new Disk(8 * 1024 * MiB);
      disk.put(5 * 1024 * MiB + 77, randomBytes(MiB));
      const ref = place();
      const done = await driver.backup(call, job(ref, disk));
      expect(disk.reads).toBeLessThanOrEqual(MiB + 2 * Disk.grain);
      expect(done.stored).toBeLessThan(2 * MiB);
      const back = await restored([ref], disk.bytes);
      disk.expectEqual(back);
      expect(back.writes).toBeLessThanOrEqual(MiB + 2 * BLOCK);
    });

    it('keeps an empty volume, and one that cannot tell its holes', async () => {
      const { driver, call, place, job, restored, sample } = lab();
      const empty = new Disk(16 * MiB);
      const ref = place();
      await driver.backup(call, job(ref, empty));
      empty.expectEqual(await restored([ref], empty.bytes));
      const disk = sample();
      const { bytes, read } = disk.source();
      const blind = place();
      await driver.backup(call, job(blind, disk, { source: { bytes, read } }));
      expect(disk.reads).toBe(disk.bytes);
      disk.expectEqual(await restored([blind], disk.bytes));
    });

    it.each(['none', 'zlib', 'zstd'] as const)('packs with %s', async (compression) => {
      const { open, call, place, job, sample, restored, under } = lab();
      const by = open({ compression });
      const disk = sample();
      const ref = place();
      const { stored } = await by.backup(call, job(ref, disk));
      if (compression === 'none') expect(stored).toBeGreaterThan(1_700_000);
      else expect(stored).toBeLessThan(1_600_000);
      const metadata = (await under.read(ref.container, `${ref.serviceMetadata}_metadata`)).toString();
      expect(metadata.includes(`"compression":"${compression}"`)).toBe(true);
      // Bytes that do not get fewer are stored as they are.
      expect(metadata.includes('"compression":"none"')).toBe(true);
      disk.expectEqual(await restored([ref], disk.bytes));
    });

    it('zeroes what a used volume had where the backup has holes', async () => {
      const { full, sample, driver, call, next } = lab();
      const disk = sample();
      const ref = await full(disk);
      const used = new Disk(disk.bytes, { fresh: false });
      used.put(0, randomBytes(disk.bytes));
      await driver.restore(call, { chain: [ref], target: used });
      disk.expectEqual(used);
      // And where an incremental one has them.
      disk.hole(700_000, 500_000);
      const second = await next(ref, disk);
      for (const target of [used, new Disk(disk.bytes)]) {
        await driver.restore(call, { chain: [ref, second], target });
        disk.expectEqual(target);
      }
    });

    it('restores into a larger volume, never into a smaller one', async () => {
      const { full, sample, driver, call, fails } = lab();
      const disk = sample();
      const ref = await full(disk);
      const larger = new Disk(disk.bytes + MiB, { fresh: false });
      larger.put(disk.bytes, Buffer.from('its own'));
      await driver.restore(call, { chain: [ref], target: larger });
      expect(larger.get(disk.bytes, 7).toString()).toBe('its own');
      const smaller = new Disk(disk.bytes - MiB);
      await fails(driver.restore(call, { chain: [ref], target: smaller }), 'invalid', /smaller/);
      expect(smaller.writes).toBe(0);
    });

    it('gives back the volume metadata of the whole chain, oldest first', async () => {
      const { driver, call, place, job } = lab();
      const disk = new Disk(MiB);
      const first = place();
      await driver.backup(call, job(first, disk, { volumeMeta: 'first' }));
      const second = place({ parent: first });
      await driver.backup(call, job(second, disk, { parent: first, volumeMeta: null }));
      const third = place({ parent: second });
      await driver.backup(call, job(third, disk, { parent: second, volumeMeta: 'third' }));
      expect((await driver.restore(call, { chain: [first, second, third], target: new Disk(MiB) })).volumeMeta).toEqual(['first', 'third']);
    });

    it('tells how far it is', async () => {
      const { driver, place, job, sample } = lab();
      const disk = sample();
      const ref = place();
      const seen: [number, number][] = [];
      const call = { ...plainCall(), progress: (done: number, total: number) => void seen.push([done, total]) };
      await driver.backup(call, job(ref, disk));
      expect(seen.at(-1)).toEqual([disk.bytes, disk.bytes]);
      seen.length = 0;
      await driver.restore(call, { chain: [ref], target: new Disk(disk.bytes) });
      expect(seen.at(-1)).toEqual([disk.bytes, disk.bytes]);
      expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).toSorted((a, b) => a - b));
    });
  });

  describe('incremental backups', () => {
    it('store what has changed and nothing else', async () => {
      const { full, sample, driver, call, place, job, under, restored } = lab();
      const disk = sample();
      const first = await full(disk);
      const nothing = place({ parent: first });
      expect(await driver.backup(call, job(nothing, disk, { parent: first }))).toMatchObject({ objectCount: 0, stored: 0 });
      disk.put(3 * BLOCK + 5, Buffer.from('changed'));
      disk.put(5 * MiB, Buffer.alloc(2 * BLOCK, 7));
      const second = place({ parent: nothing });
      expect((await driver.backup(call, job(second, disk, { parent: nothing }))).objectCount).toBe(2);
      const { objects, parent_id } = JSON.parse((await under.read(second.container, `${second.serviceMetadata}_metadata`)).toString());
      expect(parent_id).toBe(nothing.id);
      expect(objects.flatMap((one: object) => Object.values(one)).map(({ offset, length }: { offset: number; length: number }) => [offset, length])).toEqual([[3 * BLOCK, BLOCK], [5 * MiB, 2 * BLOCK]]);
      disk.expectEqual(await restored([first, nothing, second], disk.bytes));
    });

    it('restore at every point of a chain, whatever was written between', async () => {
      const { full, next, restored } = lab();
      const disk = new Disk(12 * MiB);
      let seed = 42;
      const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below;
      const scribble = () => {
        for (let n = 0; n < 6; n += 1) {
          const [offset, length] = [random(disk.bytes - MiB), 1 + random(random(2) ? MiB : 5000)];
          const kind = random(4);
          if (kind === 0) disk.hole(offset, length);
          else disk.put(offset, kind === 1 ? Buffer.alloc(length) : kind === 2 ? Buffer.alloc(length, random(256)) : randomBytes(length));
        }
      };
      scribble();
      const chain = [await full(disk)];
      const then = [disk.copy()];
      for (let n = 0; n < 8; n += 1) {
        scribble();
        chain.push(await next(chain.at(-1)!, disk));
        then.push(disk.copy());
      }
      for (const n of chain.keys()) then[n]!.expectEqual(await restored(chain.slice(0, n + 1), disk.bytes));
    });

    it('are refused when the volume has grown or the grain has changed', async () => {
      const { full, driver, call, place, job, fails, under } = lab();
      const ref = await full(new Disk(2 * MiB));
      const grown = place({ parent: ref });
      await fails(driver.backup(call, job(grown, new Disk(3 * MiB), { parent: ref })), 'invalid', /^Volume size increased since the last backup\. Do a full backup\.$/);
      const name = `${ref.serviceMetadata}_sha256file`;
      // As upstream's own: our hashes are not there.
      for (const one of await under.names(ref.container)) if (one.startsWith('cumulet')) await under.remove(ref.container, one);
      await under.write(ref.container, name, Buffer.from((await under.read(ref.container, name)).toString().replace('"chunk_size":32768', '"chunk_size":65536')));
      await fails(driver.backup(call, job(place({ parent: ref }), new Disk(2 * MiB), { parent: ref })), 'invalid', /^Hash block size has changed since the last backup\. New hash block size: 32768\. Old hash block size: 65536\. Do a full backup\.$/);
    });

    it('side by side do not disturb each other', async () => {
      const { full, next, restored, sample } = lab();
      const disks = Array.from({ length: 3 }, sample);
      await Promise.all(disks.map(async (disk) => {
        const first = await full(disk);
        disk.put(MiB, randomBytes(400 * KiB));
        disk.expectEqual(await restored([first, await next(first, disk)], disk.bytes));
      }));
      expect(OBJECT).toBeLessThan(disks[0]!.bytes);
    });
  });
}
