import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Found } from '../contract.ts';
import { Disk, MiB, type Lab } from './lab.ts';
import { asUpstream } from './upstream.ts';

export function catalogue(lab: () => Lab): void {
  const scanned = async (container?: string): Promise<Found[]> => {
    const { driver, call, volumeId } = lab();
    const found: Found[] = [];
    for await (const one of driver.scan(call, container === undefined ? {} : { container })) if (one.volumeId === volumeId) found.push(one);
    return found;
  };

  describe('records and scans', () => {
    it('finds every backup, with what a row of it needs', async () => {
      const { driver, call, place, job, full, next, sample } = lab();
      expect(await scanned()).toEqual([]);
      const disk = sample();
      const first = await full(disk);
      const second = await next(first, disk);
      const own = place({ container: 'chosen' });
      const keep = { project_id: 'p', metadata: { a: 'b' } };
      await driver.backup(call, job(own, disk, { keep, name: null, description: 'why', volumeMeta: '{}' }));
      const found = await scanned();
      expect(found.map(({ id }) => id).toSorted()).toEqual([first.id, second.id, own.id].toSorted());
      for (const ref of [first, second, own]) expect(found.find(({ id }) => id === ref.id)).toMatchObject({ ...ref, bytes: disk.bytes, problems: [], createdAt: new Date('2026-11-21T10:56:59Z') });
      expect(found.find(({ id }) => id === own.id)).toMatchObject({ keep, name: null, description: 'why', volumeMeta: '{}' });
      expect(found.find(({ id }) => id === first.id)).toMatchObject({ name: 'näme', keep: undefined });
      expect((await scanned('chosen')).map(({ id }) => id)).toEqual([own.id]);
      expect(await scanned('absent')).toEqual([]);
      // What was found restores.
      const chain = found.filter(({ id }) => id !== own.id).toSorted((a) => (a.parentId === null ? -1 : 1));
      const back = new Disk(disk.bytes);
      await driver.restore(call, { chain, target: back });
      disk.expectEqual(back);
    });

    it('tells what is wrong with a damaged one, and goes on', async () => {
      const { full, sample, under } = lab();
      const disk = sample();
      const [whole, short, torn] = [await full(disk), await full(disk), await full(disk)];
      await under.remove(short.container, `${short.serviceMetadata}-00002`);
      await under.write(torn.container, `${torn.serviceMetadata}_metadata`, Buffer.from('{"objects": '));
      await under.write(whole.container, 'notes_metadata', Buffer.from('not ours'));
      const found = await scanned();
      const problems = (id: string) => found.find((one) => one.id === id)?.problems;
      expect(problems(whole.id)).toEqual([]);
      expect(problems(short.id)).toEqual([`The object ${short.serviceMetadata}-00002 is missing.`]);
      expect(problems(torn.id)).toEqual([`The object ${torn.serviceMetadata}_metadata is damaged.`]);
      expect(found).toHaveLength(3);
    });

    it('an export ties a record to its objects', async () => {
      const { full, next, sample, driver, call, fails, under } = lab();
      const disk = sample();
      const first = await full(disk);
      const second = await next(first, disk);
      const info = await driver.exportRecord(call, [first, second]);
      expect(info.cumulet?.chain.map(({ id }) => id)).toEqual([first.id, second.id]);
      expect(JSON.parse(JSON.stringify(info))).toEqual(info);
      expect(await driver.importRecord(call, second, info)).toEqual({ objectCount: 0, bytes: disk.bytes, parentId: first.id });
      // Upstream's records tell nothing; whatever else stands there is not believed either.
      for (const odd of [undefined, {}, { cumulet: 5 }, { cumulet: { chain: 'x' } }, { cumulet: { chain: [] } }]) await driver.importRecord(call, first, odd as never);
      const name = `${second.serviceMetadata}_metadata`;
      const metadata = JSON.parse((await under.read(second.container, name)).toString());
      await under.write(second.container, name, Buffer.from(JSON.stringify({ ...metadata, backup_name: 'forged' })));
      await fails(driver.importRecord(call, second, info), 'invalid', name);
      await fails(driver.importRecord(call, { ...first, container: first.container.replace(/.$/, '_') }, info), 'invalid', 'metadata');
    });

    it('knows its own kind', () => {
      const { driver } = lab();
      expect(driver.serves(driver.service)).toBe(true);
      expect(driver.serves('cinder.backup.drivers.ceph.CephBackupDriver')).toBe(false);
      expect(driver.serves('')).toBe(false);
    });
  });

  describe("upstream's backups", () => {
    it('restore, verify, are found, and incremental ones are made on them', async () => {
      const { under, driver, call, place, sample, restored, next } = lab();
      const disk = sample();
      const first = place();
      await asUpstream(under, first, disk);
      const before = disk.copy();
      disk.put(MiB + 5, randomBytes(100_000));
      const second = { ...place({ parent: first }), container: first.container };
      await asUpstream(under, second, disk, { since: before });
      before.expectEqual(await restored([first], disk.bytes));
      disk.expectEqual(await restored([first, second], disk.bytes));
      await driver.verify(call, [first, second], { depth: 'data' });
      expect((await scanned()).map(({ id, bytes, problems, parentId, volumeMeta }) => ({ id, bytes, problems, parentId, volumeMeta })).toSorted((a) => (a.parentId === null ? -1 : 1))).toEqual([
        { id: first.id, bytes: disk.bytes, problems: [], parentId: null, volumeMeta: '{"version": 2}' },
        { id: second.id, bytes: disk.bytes, problems: [], parentId: first.id, volumeMeta: '{"version": 2}' },
      ]);
      disk.put(10 * MiB, randomBytes(MiB));
      disk.hole(0, 2 * MiB);
      const third = await next(second, disk);
      disk.expectEqual(await restored([first, second, third], disk.bytes));
    });

    it('a flipped bit in one of them is found by its md5, and bz2 is refused in words', async () => {
      const { under, driver, call, place, sample, fails } = lab();
      const disk = sample();
      const ref = place();
      await asUpstream(under, ref, disk);
      const name = `${ref.serviceMetadata}-00001`;
      const metadata = JSON.parse((await under.read(ref.container, `${ref.serviceMetadata}_metadata`)).toString());
      metadata.objects[0][name].md5 = randomUUID().replaceAll('-', '');
      await under.write(ref.container, `${ref.serviceMetadata}_metadata`, Buffer.from(JSON.stringify(metadata)));
      await fails(driver.restore(call, { chain: [ref], target: new Disk(disk.bytes) }), 'invalid', name);
      await asUpstream(under, ref, disk, { compression: 'bz2' });
      await fails(driver.restore(call, { chain: [ref], target: new Disk(disk.bytes) }), 'unsupported', /bz2/);
    });
  });
}
