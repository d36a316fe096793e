import { createHash, hash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { constants, deflateSync, zstdCompressSync } from 'node:zlib';
import type { Answer, Ask } from './threads.ts';

/** Runs in a thread: hashes and packs bytes that lie in shared memory. */

/** Of each SAMPLE_EVERY bytes, how many are tried before all are packed. */
const SAMPLE = 4 << 10;
const SAMPLE_EVERY = 256 << 10;
/** Samples that stay this large say that packing is not worth it. */
const WORTHLESS = 0.97;

const deflated = (bytes: Uint8Array, level: number, limit: number) => deflateSync(bytes, { level, maxOutputLength: limit });

/** Packed bytes, or undefined when they are not fewer, as upstream decides it, only without packing everything to know. */
function packed(bytes: Uint8Array, compression: string, level: number): Uint8Array | undefined {
  if (compression === 'none' || bytes.length < 64) return undefined;
  if (bytes.length > 4 * SAMPLE_EVERY) {
    let tried = 0;
    let left = 0;
    for (let at = 0; at < bytes.length; at += SAMPLE_EVERY) {
      const sample = bytes.subarray(at, at + SAMPLE);
      tried += sample.length;
      left += deflated(sample, 1, 2 * SAMPLE).length;
    }
    if (left > tried * WORTHLESS) return undefined;
  }
  try {
    const limit = bytes.length - 1;
    return compression === 'zlib' ? deflated(bytes, level, limit)
      : zstdCompressSync(bytes, { maxOutputLength: limit, params: { [constants.ZSTD_c_compressionLevel]: level } });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw error;
  }
}

const runs = new Map<number, Hash>();

function answer(ask: Ask): Answer {
  switch (ask.op) {
    case 'blocks': {
      const count = Math.ceil(ask.bytes.length / ask.block);
      const digests = new Uint8Array(count * 32);
      for (let n = 0; n < count; n += 1) digests.set(hash('sha256', ask.bytes.subarray(n * ask.block, (n + 1) * ask.block), 'buffer'), n * 32);
      return { id: ask.id, digests };
    }
    case 'pack': {
      const smaller = packed(ask.bytes, ask.compression, ask.level);
      const stored = smaller ?? ask.bytes;
      if (smaller) ask.out.set(smaller);
      return {
        id: ask.id, compression: smaller ? ask.compression : 'none', length: stored.length,
        md5: hash('md5', ask.bytes), sha256: hash('sha256', ask.bytes), etag: smaller ? hash('md5', smaller) : undefined,
      };
    }
    case 'see': {
      const run = runs.get(ask.run) ?? createHash(ask.algorithm);
      runs.set(ask.run, run);
      run.update(ask.bytes);
      return { id: ask.id };
    }
    case 'sum': {
      const run = runs.get(ask.run) ?? createHash(ask.algorithm);
      runs.delete(ask.run);
      return { id: ask.id, sum: run.digest('hex') };
    }
  }
}

parentPort?.on('message', (ask: Ask) => {
  try {
    parentPort?.postMessage(answer(ask));
  } catch (error) {
    parentPort?.postMessage({ id: ask.id, error: error instanceof Error ? error.message : String(error) } satisfies Answer);
  }
});
