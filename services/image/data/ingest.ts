import { assertSafe, createInspector, UnsafeImage, type Found } from '@cumulet/diskimage';
import type { Call } from '@cumulet/drivers';
import type { ImageStore } from '@cumulet/drivers/imagestore';
import { Transform, type Readable } from 'node:stream';
import type { Hashing } from './hashing.ts';
import { done, Pieces } from './pieces.ts';

/** What became of bytes that went into a store. Sizes in bytes. */
export interface Ingested {
  readonly url: string;
  readonly size: number;
  readonly virtualSize: number | null;
  /** md5, hex. */
  readonly checksum: string;
  /** sha512, hex. */
  readonly hash: string;
}
/** What became of them, and the store where they are now: what a step keeps in its result for `finish`. */
export type StoredImage = Ingested & { readonly store: string };
/** More bytes than allowed. */
export class TooMuch extends Error { readonly kind = 'invalid'; constructor() { super('The provided image is too large.'); this.name = 'TooMuch'; } }
/** The bytes are not those that somebody promised. */
export class WrongHash extends Error { readonly kind = 'invalid'; constructor(what: string) { super(`The ${what} of the data is not the one that was given.`); this.name = 'WrongHash'; } }

export interface Expectation {
  /** Declared format and container; absent: the content is not judged (staged bytes are judged at their import). */
  readonly format?: { readonly disk: string; readonly container: string };
  /** Refuse content that is not what the declared format says; dangerous content is refused anyhow. */
  readonly strict?: boolean;
  /** Bytes. */
  readonly most?: number;
  /** The chunks that come are nobody else's: their memory is freed as soon as they have been read. */
  readonly own?: boolean;
  readonly checksum?: string | null;
  readonly hash?: string | null;
}

/** Containers whose bytes are the disk itself; what is in a tar or a gzip is judged when it has been unpacked. */
const bare = new Set(['bare', 'ami', 'ari', 'aki']);

/** Throws UnsafeImage for what must not be opened as the declared format. */
export function judge(found: Found, e: Expectation): void {
  if (!e.format || !bare.has(e.format.container)) return;
  const { disk } = e.format;
  if (e.strict !== false) { assertSafe(found, disk); return; }
  // An operator allows mislabelled images: danger in the content is refused all the same.
  if (found.problems.length > 0) throw new UnsafeImage(found.problems);
}

/** A stream that passes bytes on, in lent pieces, while they are counted, hashed and inspected; it fails before its end when something is wrong with them. */
export function watching(hashing: Hashing, e: Expectation): { readonly stream: Transform; result(): Omit<Ingested, 'url'> } {
  const run = hashing.start();
  const inspector = createInspector();
  const pieces = new Pieces();
  let size = 0;
  let early = false;
  let facts: Omit<Ingested, 'url'> | undefined;
  const pass = (piece: Buffer): void => {
    inspector.see(piece);
    if (!early && inspector.early) {
      early = true;
      // What the first bytes say already costs no disk.
      const [first] = inspector.early;
      if (first !== undefined) judge({ format: first, formats: inspector.early, virtualSize: undefined, actualSize: size, partitionTable: undefined, problems: [] }, e);
    }
    run.see(piece);
    stream.push(piece);
  };
  const stream = new Transform({
    writableHighWaterMark: 262_144,
    // Piece by piece: bytes that wait would be put together into memory that is not the lent one. One is written while the next waits.
    readableObjectMode: true,
    readableHighWaterMark: 2,
    transform(chunk: Buffer, _encoding, next) {
      size += chunk.length;
      if (e.most !== undefined && size > e.most) { next(new TooMuch()); return; }
      try { for (const piece of pieces.add(chunk)) pass(piece); } catch (error) { next(error as Error); return; }
      done(chunk, e.own ?? false);
      const { behind } = run;
      if (behind) behind.then(() => next(), next); else next();
    },
    flush(next) {
      try { for (const piece of pieces.rest()) pass(piece); } catch (error) { next(error as Error); return; }
      const found = inspector.finish();
      run.end().then(({ md5, sha512 }) => {
        judge(found, e);
        if (e.checksum && e.checksum !== md5) throw new WrongHash('checksum');
        if (e.hash && e.hash !== sha512) throw new WrongHash('sha512 hash');
        const isDisk = e.format === undefined || bare.has(e.format.container);
        facts = { size, virtualSize: isDisk ? found.virtualSize ?? null : null, checksum: md5, hash: sha512 };
      }).then(() => next(), next);
    },
    destroy(error, over) { run.drop(); over(error); },
  });
  return { stream, result: () => facts as Omit<Ingested, 'url'> };
}

/** Hash, inspect and store in one pass. Whatever goes wrong, nothing stays in the store, and the error says why. */
export async function ingest(hashing: Hashing, call: Call, store: ImageStore, imageId: string, body: Readable, e: Expectation & { readonly size?: number }): Promise<Ingested> {
  const { stream, result } = watching(hashing, e);
  // The store reports it; but a stream may fail before the store listens.
  stream.on('error', () => undefined);
  let broken: Error | undefined;
  body.once('error', error => { broken = error; stream.destroy(error); });
  // A client that hangs up ends an HTTP body without an error event of its own.
  body.once('close', () => { if (!body.readableEnded) stream.destroy(broken ?? new BrokenBody()); });
  if (body.destroyed && !body.readableEnded) stream.destroy(body.errored ?? new BrokenBody());
  body.pipe(stream);
  try {
    const { url, size } = await store.put(call, imageId, stream, e.size === undefined ? {} : { size: e.size });
    return { ...result(), url, size };
  } catch (error) {
    body.unpipe(stream);
    stream.destroy();
    throw error;
  }
}
/** The one who sent the bytes stopped before the end. */
export class BrokenBody extends Error { readonly kind = 'transient'; constructor() { super('The data ended before its end.'); this.name = 'BrokenBody'; } }
