import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { luksHeaderBytes } from '@cumulet/diskimage';
import { describe, expect, it } from 'vitest';
import { need } from '../../errors.ts';
import { copyContent } from '../copy.ts';
import type { DataRef, LuksKey, VolumeRef } from '../contract.ts';
import { GiB, MiB, type Lab } from './lab.ts';

export function encryption(lab: () => Lab): void {
  describe('encrypted volumes', () => {
    const key = (): LuksKey => ({ passphrase: randomBytes(32).toString('hex'), cipher: { algorithm: 'aes-256', mode: 'xts', ivgen: 'plain64' } });
    const content = (of: LuksKey) => {
      const { driver, call } = lab();
      const data = need(driver, 'encryption').data(of);
      return {
        data,
        put: async (volume: VolumeRef, offset: number, bytes: Buffer) => pipeline(Readable.from([bytes]), await data.write(call, volume, { offset })),
        has: async (ref: DataRef, offset: number, bytes: Buffer) => expect(Buffer.concat(await (await data.read(call, ref, { offset, length: bytes.length })).toArray()).equals(bytes), `content at ${offset}`).toBe(true),
      };
    };

    it('hold all of their size behind a header, readable with their key alone, before and after they grow', async () => {
      const { driver, call, spec, fails, read, clean } = lab();
      const [mine, other] = [key(), key()];
      const made = { ...spec(1), luks: true };
      await need(driver, 'encryption').create(call, made, mine);
      await need(driver, 'encryption').create(call, made, mine);
      const { put, has } = content(mine);
      const secret = Buffer.from('a sentence that nobody else reads '.repeat(2_000));
      await put(made, 0, secret);
      await put(made, GiB - MiB, Buffer.alloc(MiB, 7));
      await has(made, 0, secret);
      await fails((async () => { await (await content(other).data.read(call, made, { length: 512 })).toArray(); })(), 'invalid');
      await fails(pipeline(Readable.from([Buffer.alloc(2)]), await content(mine).data.write(call, made, { offset: GiB - 1 })), 'invalid');
      const raw = await read(made, 0, luksHeaderBytes + secret.length);
      if (driver.protocol !== 'fake') expect(raw.includes('a sentence')).toBe(false);
      expect(raw.includes(mine.passphrase)).toBe(false);
      await driver.volumes.extend(call, made, 2);
      await driver.volumes.extend(call, made, 2);
      const larger = { ...made, sizeGiB: 2 };
      // Hypervisors open a container in plain bytes only.
      expect((await driver.attach.connect(call, larger, { host: 'host-a' })).data.format ?? 'raw').toBe('raw');
      await has(larger, GiB - MiB, Buffer.alloc(MiB, 7));
      await put(larger, 2 * GiB - MiB, Buffer.alloc(MiB, 9));
      await content(mine).data.zero(call, larger, { offset: 0, length: MiB });
      await has(larger, 0, Buffer.alloc(MiB));
      await driver.volumes.delete(call, larger);
      await clean();
    });

    it('are copied with their header: clones, snapshots and bytes open with the same key', async () => {
      const { driver, call, spec, clean } = lab();
      const mine = key();
      const { put, has } = content(mine);
      const made = { ...spec(1), luks: true };
      await need(driver, 'encryption').create(call, made, mine);
      const bytes = randomBytes(MiB);
      await put(made, 4 * MiB, bytes);
      const [clone, copy] = [{ ...spec(1), luks: true }, { ...spec(1), luks: true }];
      if (driver.clone) {
        await driver.clone.fromVolume(call, made, clone);
        await has(clone, 4 * MiB, bytes);
        await driver.volumes.delete(call, clone);
      }
      if (driver.snapshots) {
        const snapshot = { name: `snapshot-${made.name}`, volume: made, sizeGiB: 1 };
        await driver.snapshots.create(call, snapshot);
        await put(made, 4 * MiB, Buffer.alloc(MiB));
        await has(snapshot, 4 * MiB, bytes);
        await driver.snapshots.revert?.(call, snapshot);
        if (driver.snapshots.revert) await has(made, 4 * MiB, bytes); else await put(made, 4 * MiB, bytes);
        await driver.snapshots.delete(call, snapshot);
      }
      await driver.volumes.create(call, copy);
      await copyContent(call, { driver, ref: made }, { driver, volume: copy }, { fresh: true });
      await has(copy, 4 * MiB, bytes);
      for (const volume of [made, copy]) await driver.volumes.delete(call, volume);
      await clean();
    });
  });
}
