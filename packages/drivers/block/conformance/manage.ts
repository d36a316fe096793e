import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { need } from '../../errors.ts';
import type { SnapshotRef } from '../contract.ts';
import { GiB, listOf, MiB, type Lab } from './lab.ts';

export function manage(lab: () => Lab): void {
  it('renames', async () => {
    const { driver, call, spec, volume, write, expectAt, fails, clean } = lab();
    const rename = need(driver, 'rename');
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
    it('lists, adopts under our name, and releases', async () => {
      const { under, driver, call, spec, volume, expectAt, fails, clean } = lab();
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
      const { driver, call, spec, fails } = lab();
      const manage = need(driver, 'manage');
      await fails(manage.size(call, { 'source-name': 'none' }), 'absent');
      await fails(manage.adopt(call, spec(), { 'source-name': 'none' }), 'absent');
      for (const reference of [{}, { 'source-id': 'x' }, { 'source-name': '' }, { 'source-name': '../../etc/passwd' }, { 'source-name': '/etc/passwd' }, { 'source-name': '.tmp' }, { 'source-name': 'a\0b' }] as Record<string, string>[]) {
        await fails(manage.size(call, reference), 'invalid');
        await fails(manage.adopt(call, spec(), reference), 'invalid');
      }
    });

    it('snapshots likewise', async () => {
      const { driver, call, volume, snapshotOf, write, expectAt, fails, clean } = lab();
      const manage = need(driver, 'manageSnapshots');
      const snapshots = need(driver, 'snapshots');
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
      expect(await snapshots.exists(call, old)).toBe(false);
      await fails(manage.size(call, ref, { 'source-name': 'none' }), 'absent');
      await fails(manage.size(call, ref, { 'source-name': 'volume-x~snapshot-y' }), 'invalid');
      await snapshots.delete(call, taken);
      await snapshots.delete(call, later);
      await driver.volumes.delete(call, ref);
      await clean();
    });
  });
}
