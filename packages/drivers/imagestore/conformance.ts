import { randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { plainCall, type Call } from '../call.ts';
import { DriverError, type DriverErrorKind } from '../errors.ts';
import { lend } from '../lent.ts';
import type { ImageStore, ResumableUploads } from './contract.ts';

const MiB = 1 << 20;

export interface StoreUnderTest {
  readonly store: ImageStore;
  /** Names of everything the backend holds, unfinished things included. Must be empty when a test left nothing. */
  leftovers(): Promise<readonly string[]>;
  /** Locations of the store's scheme that lead elsewhere. */
  readonly foreign: readonly string[];
}

/** What every image store does, whatever it is made of. */
export function imageStoreConformance(title: string, make: () => Promise<StoreUnderTest>, options: { readonly timeout?: number } = {}): void {
  describe(`image store: ${title}`, { timeout: options.timeout ?? 120_000 }, () => {
    let under: StoreUnderTest;
    let store: ImageStore;
    let id: string;
    const call = plainCall();
    beforeEach(async () => {
      under = await make();
      store = under.store;
      id = randomUUID();
      await store.check(call);
    });

    const bytesOf = async (location: string, range?: { offset?: number; length?: number }) => Buffer.concat(await (await store.get(call, location, range)).toArray());
    const streamOf = (bytes: Buffer, piece = 65_536) => Readable.from((function* () { for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece); })(), { objectMode: false });
    const fails = async (work: Promise<unknown>, kind: DriverErrorKind) => {
      const error = await work.then(() => undefined, (failure: unknown) => failure);
      expect(error).toBeInstanceOf(DriverError);
      expect(error).toMatchObject({ kind });
      expect((error as DriverError).message).not.toMatch(/\/tmp|\/var|ENO|E[A-Z]{4,}/);
    };
    const abortable = (): { call: Call; abort(reason: Error): void } => {
      const stop = new AbortController();
      return { call: plainCall('t', stop.signal), abort: (reason) => stop.abort(reason) };
    };
    /** Gives `bytes` and then nothing more, for ever or until it is told otherwise. `begun`: somebody reads it. */
    const stalling = (bytes: Buffer) => {
      const begun = Promise.withResolvers<void>();
      let sent = false;
      return Object.assign(new Readable({ read() { if (!sent) this.push(bytes); sent = true; begun.resolve(); } }), { begun: begun.promise });
    };

    it('keeps bytes, sizes and ranges', async () => {
      const bytes = randomBytes(3 * MiB + 17);
      bytes.fill(0, MiB, 2 * MiB);
      const stored = await store.put(call, id, streamOf(bytes, 100_001), { size: bytes.length });
      expect(stored).toEqual({ url: expect.stringContaining(':'), size: bytes.length });
      expect(await store.size(call, stored.url)).toBe(bytes.length);
      expect(await store.size(call, store.location(id))).toBe(bytes.length);
      expect((await bytesOf(stored.url)).equals(bytes)).toBe(true);
      expect((await bytesOf(stored.url, { offset: MiB - 5, length: 10 })).equals(bytes.subarray(MiB - 5, MiB + 5))).toBe(true);
      expect((await bytesOf(stored.url, { offset: bytes.length })).length).toBe(0);
      expect((await bytesOf(stored.url, { offset: bytes.length - 3 })).equals(bytes.subarray(-3))).toBe(true);
      for (const range of [{ offset: bytes.length + 1 }, { offset: 0, length: bytes.length + 1 }, { offset: -1 }, { offset: 0.5 }]) await fails(store.get(call, stored.url, range), 'invalid');
      await store.delete(call, stored.url);
      expect(await under.leftovers()).toEqual([]);
    });

    it('gives lent memory back, and not before its bytes are stored', async () => {
      const bytes = randomBytes(9 * MiB);
      bytes.fill(0, 4 * MiB, 5 * MiB + 70_000);
      let at = 0;
      let out = 0;
      let most = 0;
      const body = new Readable({ objectMode: true, highWaterMark: 1, read() {
        const piece = Buffer.from(bytes.subarray(at, at += MiB));
        if (piece.length === 0) return void this.push(null);
        most = Math.max(most, out += 1);
        this.push(lend(piece, () => { out -= 1; piece.fill(0xee); }));
      } });
      const { url } = await store.put(call, id, body, { size: bytes.length });
      expect(out).toBe(0);
      expect(most).toBeLessThan(6);
      expect((await bytesOf(url)).equals(bytes)).toBe(true);
    });

    it('keeps an empty image and one of zeros only', async () => {
      const empty = await store.put(call, id, streamOf(Buffer.alloc(0)));
      expect(empty.size).toBe(0);
      expect(await store.size(call, empty.url)).toBe(0);
      const zeros = await store.put(call, `${id}-z`, streamOf(Buffer.alloc(2 * MiB + 1)));
      expect((await bytesOf(zeros.url)).equals(Buffer.alloc(2 * MiB + 1))).toBe(true);
    });

    it('refuses a second image of the same id, and keeps the first', async () => {
      const first = randomBytes(1000);
      const { url } = await store.put(call, id, streamOf(first));
      await fails(store.put(call, id, streamOf(randomBytes(1000))), 'busy');
      expect((await bytesOf(url)).equals(first)).toBe(true);
    });

    it('lets one of many concurrent writers of an id win', async () => {
      const all = await Promise.allSettled([1, 2, 3, 4].map((fill) => store.put(call, id, streamOf(Buffer.alloc(MiB, fill)))));
      expect(all.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
      const bytes = await bytesOf(store.location(id));
      expect(bytes.equals(Buffer.alloc(MiB, bytes[0]))).toBe(true);
      await store.delete(call, store.location(id));
      expect(await under.leftovers()).toEqual([]);
    });

    it('keeps many images at once', async () => {
      await Promise.all(Array.from({ length: 20 }, (_, n) => store.put(call, `${id}-${n}`, streamOf(Buffer.alloc(200_000, n)))));
      for (let n = 0; n < 20; n += 1) expect((await bytesOf(store.location(`${id}-${n}`))).equals(Buffer.alloc(200_000, n))).toBe(true);
      if (store.list) {
        const seen = [];
        for await (const { imageId, size } of store.list(call)) seen.push([imageId, size]);
        expect(seen.toSorted()).toEqual(Array.from({ length: 20 }, (_, n) => [`${id}-${n}`, 200_000]).toSorted());
      }
    });

    it('leaves nothing of a stream of another length', async () => {
      await fails(store.put(call, id, streamOf(Buffer.alloc(1000, 1)), { size: 999 }), 'invalid');
      await fails(store.put(call, id, streamOf(Buffer.alloc(1000, 1)), { size: 1001 }), 'invalid');
      expect(await store.size(call, store.location(id))).toBeUndefined();
      expect(await under.leftovers()).toEqual([]);
    });

    it('leaves nothing of a stream that breaks, and rethrows its error', async () => {
      for (const broken of [new Error('the client went away'), Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })]) {
        const body = Readable.from((async function* () { yield Buffer.alloc(MiB, 1); await sleep(20); throw broken; })(), { objectMode: false });
        await expect(store.put(call, id, body)).rejects.toBe(broken);
      }
      const before = new Error('broken before it was read');
      const dead = stalling(Buffer.alloc(MiB, 1));
      dead.on('error', () => undefined).destroy(before);
      await expect(store.put(call, id, dead)).rejects.toBe(before);
      expect(await under.leftovers()).toEqual([]);
      const closed = stalling(Buffer.alloc(MiB, 1));
      setTimeout(() => closed.destroy(), 50);
      await expect(store.put(call, id, closed)).rejects.toThrow();
      expect(await store.size(call, store.location(id))).toBeUndefined();
      expect(await under.leftovers()).toEqual([]);
    });

    it('leaves nothing on abort, throws the reason and ends the stream', async () => {
      const stop = abortable();
      const reason = new Error('cancelled');
      const body = stalling(Buffer.alloc(MiB, 1));
      void body.begun.then(() => setTimeout(() => stop.abort(reason), 50));
      await expect(store.put(stop.call, id, body)).rejects.toBe(reason);
      expect(body.destroyed).toBe(true);
      const early = abortable();
      const unread = stalling(Buffer.alloc(MiB, 1));
      setTimeout(() => early.abort(reason), 5);
      await expect(store.put(early.call, id, unread)).rejects.toBe(reason);
      expect(unread.destroyed).toBe(true);
      expect(await under.leftovers()).toEqual([]);
      await expect(store.size(stop.call, store.location(id))).rejects.toBe(reason);
    });

    it('is not seen before it is complete', async () => {
      const body = stalling(Buffer.alloc(MiB, 1));
      const going = store.put(call, id, body);
      await body.begun;
      await sleep(50);
      expect(await store.size(call, store.location(id))).toBeUndefined();
      await fails(store.get(call, store.location(id)), 'absent');
      body.push(null);
      await going;
      expect(await store.size(call, store.location(id))).toBe(MiB);
    });

    it('deletes twice, and says absent', async () => {
      const { url } = await store.put(call, id, streamOf(Buffer.alloc(10, 1)));
      await store.delete(call, url);
      await store.delete(call, url);
      expect(await store.size(call, url)).toBeUndefined();
      await fails(store.get(call, url), 'absent');
    });

    it('frees what an abandoned reader held', async () => {
      const { url } = await store.put(call, id, streamOf(randomBytes(4 * MiB)));
      const stream = await store.get(call, url);
      await new Promise((resolve) => stream.once('readable', resolve));
      stream.destroy();
      await new Promise((resolve) => stream.once('close', resolve));
      await store.delete(call, url);
      expect(await under.leftovers()).toEqual([]);
    });

    it('refuses ids and locations that lead elsewhere', async () => {
      for (const bad of ['', '.', '..', '../x', 'a/b', '/etc/passwd', 'a\0b', '.hidden', 'x'.repeat(300)]) {
        await fails(store.put(call, bad, streamOf(Buffer.alloc(1))), 'invalid');
      }
      for (const location of ['', 'nonsense', 'http://127.0.0.1/x', ...under.foreign]) {
        await fails(store.get(call, location), 'invalid');
        await fails(store.delete(call, location), 'invalid');
        await fails(store.size(call, location), 'invalid');
      }
      expect(await under.leftovers()).toEqual([]);
    });

    it('reports progress and free room', async () => {
      const seen: number[] = [];
      await store.put({ ...call, progress: (done, total) => seen.push(done, total) }, id, streamOf(Buffer.alloc(MiB, 1)), { size: MiB });
      expect(seen.slice(-2)).toEqual([MiB, MiB]);
      if (store.free) {
        const { total, free } = await store.free(call);
        expect(free).toBeGreaterThan(0);
        expect(total).toBeGreaterThanOrEqual(free);
      }
    });

    describe('resumable uploads', () => {
      let uploads: ResumableUploads;
      beforeEach(({ skip }) => {
        if (!store.uploads) return skip();
        uploads = store.uploads;
      });

      it('go on after a broken stream', async () => {
        const bytes = randomBytes(2 * MiB);
        bytes.fill(0, MiB - 1000, MiB);
        expect(await uploads.offset(call, id)).toBe(0);
        const broken = new Error('the client went away');
        const body = Readable.from((async function* () { yield bytes.subarray(0, MiB); await sleep(50); throw broken; })(), { objectMode: false });
        await expect(uploads.append(call, id, 0, body)).rejects.toBe(broken);
        const offset = await uploads.offset(call, id);
        expect(offset).toBe(MiB);
        expect(await store.size(call, store.location(id))).toBeUndefined();
        expect(Buffer.concat(await (await uploads.read(call, id)).toArray()).equals(bytes.subarray(0, offset))).toBe(true);
        await fails(uploads.append(call, id, 0, streamOf(bytes)), 'invalid');
        await fails(uploads.append(call, id, offset + 1, streamOf(bytes)), 'invalid');
        expect(await uploads.append(call, id, offset, streamOf(bytes.subarray(offset)))).toBe(bytes.length);
        await fails(uploads.finish(call, id, { size: bytes.length + 1 }), 'invalid');
        const stored = await uploads.finish(call, id, { size: bytes.length });
        expect(stored).toEqual({ url: store.location(id), size: bytes.length });
        expect(await uploads.finish(call, id, { size: bytes.length })).toEqual(stored);
        expect((await bytesOf(stored.url)).equals(bytes)).toBe(true);
        expect(await uploads.offset(call, id)).toBe(0);
        await store.delete(call, stored.url);
        expect(await under.leftovers()).toEqual([]);
      });

      it('have one writer', async () => {
        const body = stalling(Buffer.alloc(1000, 1));
        const going = uploads.append(call, id, 0, body);
        await sleep(50);
        await fails(uploads.append(call, id, 0, streamOf(Buffer.alloc(10))), 'busy');
        await fails(uploads.finish(call, id), 'busy');
        await fails(uploads.discard(call, id), 'busy');
        body.push(null);
        expect(await going).toBe(1000);
        await uploads.discard(call, id);
        await uploads.discard(call, id);
        expect(await under.leftovers()).toEqual([]);
      });

      it('keep what came before an abort', async () => {
        const stop = abortable();
        const reason = new Error('shutdown');
        const ended = uploads.append(stop.call, id, 0, stalling(Buffer.alloc(MiB, 1))).catch((error: unknown) => error);
        await expect.poll(() => uploads.offset(call, id), { timeout: 10_000 }).toBe(MiB);
        stop.abort(reason);
        expect(await ended).toBe(reason);
        expect(await uploads.offset(call, id)).toBe(MiB);
        await uploads.discard(call, id);
        expect(await under.leftovers()).toEqual([]);
      });

      it('keep trailing zeros, and do not replace an image', async () => {
        expect(await uploads.append(call, id, 0, streamOf(Buffer.alloc(300_000)))).toBe(300_000);
        expect(await uploads.append(call, id, 300_000, streamOf(Buffer.alloc(5)))).toBe(300_005);
        expect((await uploads.finish(call, id)).size).toBe(300_005);
        await uploads.append(call, id, 0, streamOf(Buffer.alloc(7, 7)));
        await fails(uploads.finish(call, id), 'busy');
        expect((await bytesOf(store.location(id))).equals(Buffer.alloc(300_005))).toBe(true);
        await fails(uploads.finish(call, `${id}-none`), 'absent');
        await fails(uploads.append(call, '../x', 0, streamOf(Buffer.alloc(7, 7))), 'invalid');
      });
    });
  });
}
