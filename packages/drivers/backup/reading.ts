import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { PassThrough } from 'node:stream';
import { createInflate, createZstdDecompress } from 'node:zlib';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { ObjectEntry } from './shapes.ts';
import type { ObjectStore } from './store.ts';
import type { Summing, Threads } from './threads.ts';

/** Plain bytes in pieces of this size. */
const PIECE = 1 << 20;

/** Pieces of shared memory, used again and again: left to the garbage collector they would pile up. */
export class Pieces {
  readonly #free: Buffer[] = [];
  take(): Buffer { return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(PIECE)); }
  /** A piece, or the beginning of one. Nobody may look at it any more. */
  give(piece: Buffer): void { this.#free.push(Buffer.from(piece.buffer as SharedArrayBuffer)); }
}

const damaged = (name: string, why: string) => new DriverError('invalid', `The object ${name} is damaged: ${why}.`);

function unpacker({ name, compression }: ObjectEntry): Transform | undefined {
  switch (compression.toLowerCase()) {
    case 'none': case 'off': case 'no': return undefined;
    case 'zlib': case 'gzip': return createInflate({ chunkSize: 256 << 10 });
    case 'zstd': return createZstdDecompress({ chunkSize: 256 << 10 });
    case 'bz2': case 'bzip2': throw new DriverError('unsupported', `The object ${name} is compressed with bz2, which cannot be read here: restore this backup where it was made, or with zlib or zstd.`);
    default: throw damaged(name, 'its compression is not known');
  }
}

/**
 * The plain bytes of an object, in pieces of PIECE and a last smaller one, never more than its entry says. The pieces lie in shared memory and
 * are hashed in a thread; who gets one gives it back when it is used. The end comes only when length and hash are what the entry says, else an error that names the object.
 */
export async function* readObject(call: Call, store: ObjectStore, threads: Threads, pieces: Pieces, container: string, entry: ObjectEntry): AsyncGenerator<Buffer, void, void> {
  const { name, length } = entry;
  const unpack = unpacker(entry);
  const { size, body } = await store.get(call, container, name).catch((error: unknown) => {
    if (error instanceof DriverError && error.kind === 'absent') throw new DriverError('invalid', `The object ${name} is missing.`, { cause: error });
    throw error;
  });
  if (entry.stored !== undefined && size !== entry.stored || !unpack && size !== length) {
    body.destroy();
    throw damaged(name, 'it has another size');
  }
  const [algorithm, expected] = entry.sha256 === undefined ? ['md5', entry.md5] as const : ['sha256', entry.sha256] as const;
  const sum = expected === undefined ? undefined : threads.sum(algorithm);
  const end = new AbortController();
  const { out, flow } = through(body, unpack, AbortSignal.any([call.signal, end.signal]));
  try {
    let got = 0;
    const piece = new Filling(sum, pieces);
    for await (const bytes of out as AsyncIterable<Buffer>) {
      got += bytes.length;
      if (got > length) throw damaged(name, 'there is more in it than there should be');
      yield* piece.take(bytes);
    }
    await flow;
    yield* piece.rest();
    if (got !== length) throw damaged(name, 'there is less in it than there should be');
    if (sum && await sum.end() !== expected) throw damaged(name, 'its content is not what was stored');
  } catch (error) {
    call.signal.throwIfAborted();
    if (error instanceof DriverError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (/^(Z_|ZSTD_|ERR_ZLIB|ERR__ERROR)/.test(code)) throw new DriverError('invalid', `The object ${name} is damaged: it cannot be unpacked.`, { detail: String(error), cause: error });
    throw new DriverError('transient', `The object ${name} could not be read.`, { detail: String(error), cause: error });
  } finally {
    end.abort();
    body.destroy();
    await flow.catch(() => {});
    await sum?.end().catch(() => {});
  }
}

function through(body: Readable, unpack: Transform | undefined, signal: AbortSignal): { out: Readable; flow: Promise<void> } {
  const out = unpack ?? new PassThrough({ highWaterMark: PIECE });
  const flow = pipeline(body, out, { signal, end: true });
  flow.catch(() => {});
  return { out, flow };
}

/** Gathers bytes in pieces of shared memory and has them hashed. */
class Filling {
  readonly #sum: Summing | undefined;
  readonly #pieces: Pieces;
  #piece: Buffer;
  #filled = 0;
  constructor(sum: Summing | undefined, pieces: Pieces) {
    this.#sum = sum;
    this.#pieces = pieces;
    this.#piece = pieces.take();
  }

  async *take(bytes: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(PIECE - this.#filled, bytes.length - at);
      bytes.copy(this.#piece, this.#filled, at, at + count);
      this.#filled += count;
      at += count;
      if (this.#filled === PIECE) yield* this.rest();
    }
  }
  async *rest(): AsyncGenerator<Buffer> {
    if (this.#filled === 0) return;
    const full = this.#piece.subarray(0, this.#filled);
    await this.#sum?.see(full);
    this.#piece = this.#pieces.take();
    this.#filled = 0;
    yield full;
  }
}
