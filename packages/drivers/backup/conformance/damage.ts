import { randomBytes, randomUUID } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { BackupRef } from '../contract.ts';
import { Disk, KiB, MiB, OBJECT, type Lab } from './lab.ts';
import { asUpstream } from './upstream.ts';

type Listed = { objects: Record<string, Record<string, unknown>>[]; [key: string]: unknown };

export function damage(lab: () => Lab): void {
  describe('what a target may hold', () => {
    const change = async (ref: BackupRef, edit: (metadata: Listed) => void) => {
      const { under } = lab();
      const name = `${ref.serviceMetadata}_metadata`;
      const metadata = JSON.parse((await under.read(ref.container, name)).toString()) as Listed;
      edit(metadata);
      await under.write(ref.container, name, Buffer.from(JSON.stringify(metadata)));
    };
    const entry = (metadata: Listed, n: number): Record<string, unknown> => Object.values(metadata.objects[n] ?? {})[0] ?? {};
    /** Both ways to notice: restoring and verifying. */
    const refused = async (chain: readonly BackupRef[], bytes: number, names: string | RegExp) => {
      const { driver, call, fails } = lab();
      await fails(driver.restore(call, { chain, target: new Disk(bytes) }), 'invalid', names);
      await fails(driver.verify(call, chain, { depth: 'data' }), 'invalid', names);
    };

    it('a flipped bit anywhere names its object', async () => {
      const { full, under, driver, call } = lab();
      const disk = new Disk(6 * OBJECT);
      disk.put(0, randomBytes(3 * OBJECT));
      disk.put(3 * OBJECT, Buffer.alloc(3 * OBJECT, 'packs well '));
      const ref = await full(disk);
      const names = (await under.names(ref.container)).filter((name) => /-\d{5}$/.test(name) || name.endsWith('_metadata'));
      expect(names).toHaveLength(8);
      for (const name of names) {
        const was = await under.read(ref.container, name);
        for (const at of [0, Math.floor(was.length / 2), was.length - 1]) {
          const bytes = Buffer.from(was);
          bytes[at] = (bytes[at] ?? 0) ^ 1;
          await under.write(ref.container, name, bytes);
          if (name.startsWith('cumulet')) await expect(driver.verify(call, [ref], { depth: 'data' })).rejects.toThrow(name);
          // A changed letter of a name or description leaves a backup that restores; only an export knows of it.
          else if (!name.endsWith('_metadata')) await refused([ref], disk.bytes, name);
        }
        await under.write(ref.container, name, was);
      }
      await driver.verify(call, [ref], { depth: 'data' });
    });

    it('a missing, shorter, longer or foreign object is named before anything is written', async () => {
      const { full, under, driver, call, fails } = lab();
      const disk = new Disk(4 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const ref = await full(disk);
      const name = `${ref.serviceMetadata}-00003`;
      const was = await under.read(ref.container, name);
      const check = async (names: string) => {
        const target = new Disk(disk.bytes);
        await fails(driver.restore(call, { chain: [ref], target }), 'invalid', names);
        expect(target.writes).toBe(0);
        await fails(driver.verify(call, [ref], { depth: 'objects' }), 'invalid', names);
        await fails(driver.importRecord(call, ref, undefined), 'invalid', names);
      };
      await under.remove(ref.container, name);
      await check(name);
      await under.write(ref.container, name, was.subarray(0, -1));
      await check(name);
      await under.write(ref.container, name, Buffer.concat([was, was]));
      await check(name);
      await under.write(ref.container, name, was);
      await under.write(ref.container, `${ref.serviceMetadata}-99999`, was);
      await check(`${ref.serviceMetadata}-99999`);
      await under.remove(ref.container, `${ref.serviceMetadata}-99999`);
      await driver.verify(call, [ref]);
      await under.remove(ref.container, `${ref.serviceMetadata}_metadata`);
      await check(`${ref.serviceMetadata}_metadata`);
    });

    it('a bomb unpacks to no more than its entry says', async () => {
      const { full, under } = lab();
      const disk = new Disk(2 * OBJECT);
      disk.put(0, Buffer.alloc(disk.bytes, 'packs well '));
      const ref = await full(disk);
      const name = `${ref.serviceMetadata}-00001`;
      const bomb = deflateSync(Buffer.alloc(64 * MiB));
      await under.write(ref.container, name, bomb);
      await change(ref, (metadata) => void (entry(metadata, 0)['stored'] = bomb.length));
      await refused([ref], disk.bytes, name);
      // One whose metadata lies about that too does not fit into the volume.
      await change(ref, (metadata) => void (entry(metadata, 0)['length'] = 64 * MiB));
      await refused([ref], disk.bytes, 'metadata');
    });

    it('metadata that is not JSON, not of this kind, or lies is refused', async () => {
      const { full, under } = lab();
      const disk = new Disk(4 * OBJECT);
      disk.put(0, randomBytes(disk.bytes));
      const ref = await full(disk);
      const name = `${ref.serviceMetadata}_metadata`;
      const was = await under.read(ref.container, name);
      const lies: ((metadata: Listed) => void)[] = [
        (m) => void (m['objects'] = [{ '../../../etc/passwd': entry(m, 0) }]),
        (m) => void (m['objects'] = [{ [`${ref.serviceMetadata}-/../../x`]: entry(m, 0) }]),
        (m) => void (m['objects'] = [{ [`volume_${randomUUID()}_20260101000000_backup_${randomUUID()}-00001`]: entry(m, 0) }]),
        (m) => void (entry(m, 1)['offset'] = 5),
        (m) => void (entry(m, 0)['offset'] = -1),
        (m) => void (entry(m, 0)['offset'] = 2 ** 60),
        (m) => void (entry(m, 3)['offset'] = disk.bytes),
        (m) => void (entry(m, 0)['length'] = '5'),
        (m) => void (entry(m, 0)['length'] = null),
        (m) => void m['objects'].push(m['objects'][0] ?? {}),
        (m) => void (m['objects'] = 'none' as never),
        (m) => void (m['parent_id'] = randomUUID()),
      ];
      for (const lie of lies) {
        await change(ref, lie);
        await refused([ref], disk.bytes, name);
        await under.write(ref.container, name, was);
      }
      for (const bytes of [Buffer.alloc(0), Buffer.from('[]'), Buffer.from('null'), was.subarray(0, -1), Buffer.alloc(5000, 255), Buffer.from('[['.repeat(100_000))]) {
        await under.write(ref.container, name, bytes);
        await refused([ref], disk.bytes, name);
      }
      await under.write(ref.container, name, was);
      await change(ref, (m) => void (m['version'] = '2.0.0'));
      await refused([ref], disk.bytes, /^No support to restore backup version 2\.0\.0$/);
      await change(ref, (m) => { m['version'] = '1.0.0'; entry(m, 0)['compression'] = 'lzma'; });
      await refused([ref], disk.bytes, `${ref.serviceMetadata}-00001`);
    });

    it('a parent that is not the one it was made on is named', async () => {
      const { full, next, sample, driver, call, fails } = lab();
      const disk = sample();
      const first = await full(disk);
      const second = await next(first, disk);
      const third = await next(second, disk);
      await fails(driver.restore(call, { chain: [second], target: new Disk(disk.bytes) }), 'invalid', /parents/);
      await fails(driver.restore(call, { chain: [first, third], target: new Disk(disk.bytes) }), 'invalid', /parents/);
      await change(first, (m) => void (m['backup_name'] = 'another'));
      await refused([first, second, third], disk.bytes, `${first.serviceMetadata}_metadata`);
    });

    it('places that lead elsewhere are refused', async () => {
      const { driver, call, fails, full, sample, place, job, under } = lab();
      const disk = sample();
      const ref = await full(disk);
      for (const container of under.badContainers) {
        expect(() => driver.place({ id: randomUUID(), volumeId: randomUUID(), container }, new Date()), JSON.stringify(container)).toThrow(/container/);
        const bad = { ...ref, container };
        await fails(driver.restore(call, { chain: [bad], target: new Disk(disk.bytes) }), 'invalid');
        await fails(driver.importRecord(call, bad, undefined), 'invalid');
        await fails(driver.delete(call, bad), 'invalid');
        await fails(driver.backup(call, job({ ...place(), container }, disk)), 'invalid');
      }
      for (const serviceMetadata of ['', 'volume', 'x/../../y', `${ref.serviceMetadata}/..`, ref.serviceMetadata.slice(0, -1), `${ref.serviceMetadata}\0`]) {
        const bad = { ...ref, serviceMetadata };
        await fails(driver.restore(call, { chain: [bad], target: new Disk(disk.bytes) }), 'invalid');
        await fails(driver.importRecord(call, bad, undefined), 'invalid');
        await fails(driver.delete(call, bad), 'invalid');
        await fails(driver.backup(call, job(bad, disk)), 'invalid');
      }
      await driver.verify(call, [ref]);
    });

    it('a list of hashes that is damaged is refused, and named', async () => {
      const { call, driver, place, job, fails, under } = lab();
      const disk = new Disk(4 * MiB);
      disk.put(0, randomBytes(100 * KiB));
      const ref = place();
      const { container } = ref;
      await asUpstream(under, ref, disk);
      const name = `${ref.serviceMetadata}_sha256file`;
      const was = (await under.read(container, name)).toString();
      for (const text of ['', '{', '[]', was.slice(0, -100), was.replace('"chunk_size": 32768', '"chunk_size": "x"'), was.replace(/[0-9a-f]{64}/, 'short'), was.replace('"chunk_size"', '"chunk"'), was.replace('"sha256s": [', '"sha256s": [['), `{"backup_description": "${'x'.repeat(300_000)}`, '@'.repeat(300_000)]) {
        await under.write(container, name, Buffer.from(text));
        await fails(driver.backup(call, job(place({ parent: ref }), disk, { parent: ref })), 'invalid', name);
      }
      await under.remove(container, name);
      await fails(driver.backup(call, job(place({ parent: ref }), disk, { parent: ref })), 'absent', name);
    });
  });
}
