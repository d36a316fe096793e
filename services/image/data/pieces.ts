import { giveBack, lend } from '@cumulet/drivers';

/** Bytes of one piece: half and four times as many were slower (`BENCH_ONLY=images npm run bench`). */
const pieceBytes = 512 * 1024;

/**
 * Gathers the chunks of a stream into pieces of shared memory, which threads can read where they are and stores write at once. Pieces are lent: the memory of one that
 * everybody has given back is filled again.
 */
export class Pieces {
  readonly #free: Buffer[] = [];
  #memory: Buffer | undefined;
  #filled = 0;

  /** Takes a chunk's bytes; yields the pieces that are full now. */
  *add(chunk: Uint8Array): Generator<Buffer> {
    for (let at = 0; at < chunk.length;) {
      this.#memory ??= this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(pieceBytes));
      const n = Math.min(pieceBytes - this.#filled, chunk.length - at);
      this.#memory.set(chunk.subarray(at, at + n), this.#filled);
      this.#filled += n;
      at += n;
      if (this.#filled === pieceBytes) yield* this.rest();
    }
  }

  /** The last piece, when there is one. */
  *rest(): Generator<Buffer> {
    const memory = this.#memory;
    if (!memory || this.#filled === 0) return;
    const piece = lend(memory.subarray(0, this.#filled), () => { this.#free.push(memory); });
    this.#memory = undefined;
    this.#filled = 0;
    yield piece;
  }
}

/**
 * Says that a chunk has been read. One that is nobody else's (`own`: node's parser copies each piece of a request's body into memory of its own) is freed at once: left to
 * the garbage collector, it would collect the whole heap for every 20 MB that arrive.
 */
export function done(chunk: Uint8Array, own: boolean): void {
  giveBack(chunk);
  const { buffer } = chunk;
  if (own && buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length) buffer.transfer(0);
}
