import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Compression } from './contract.ts';

type Sum = 'md5' | 'sha256';
type Work =
  | { readonly op: 'blocks'; readonly bytes: Uint8Array; readonly block: number }
  | { readonly op: 'pack'; readonly bytes: Uint8Array; readonly out: Uint8Array; readonly compression: Compression; readonly level: number }
  | { readonly op: 'see'; readonly run: number; readonly algorithm: Sum; readonly bytes: Uint8Array }
  | { readonly op: 'sum'; readonly run: number; readonly algorithm: Sum };
export type Ask = Work & { readonly id: number };
export interface Answer {
  readonly id: number;
  readonly digests?: Uint8Array;
  readonly compression?: Compression;
  readonly length?: number;
  readonly md5?: string;
  readonly sha256?: string;
  readonly etag?: string | undefined;
  readonly sum?: string;
  readonly error?: string;
}

export interface Packed {
  /** What was done: `none` when packing did not make it smaller. */
  readonly compression: Compression;
  /** Bytes to store: of `out`, or the plain ones for `none`. */
  readonly length: number;
  /** Of the plain bytes, hex. */
  readonly md5: string;
  readonly sha256: string;
  /** MD5 of the stored bytes. */
  readonly etag: string;
}
export interface Summing {
  /** The bytes must not change until the promise is kept. */
  see(bytes: Uint8Array): Promise<void>;
  end(): Promise<string>;
}

/** Hashing and packing off the event loop. Bytes are given in shared memory, never copied. */
export interface Threads {
  /** SHA-256 of each block, one after the other. */
  blocks(bytes: Uint8Array, block: number): Promise<Buffer>;
  /** `out` must be as large as `bytes`. */
  pack(bytes: Uint8Array, out: Uint8Array, compression: Compression, level: number): Promise<Packed>;
  sum(algorithm: Sum): Summing;
  /** How many work at once. */
  readonly count: number;
  close(): Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  readonly asked: Map<number, { yes(answer: Answer): void; no(error: Error): void }>;
}

export function openThreads(count = Math.max(2, Math.min(4, availableParallelism()))): Threads {
  const pool: Thread[] = [];
  let next = 0;

  const start = (): Thread => {
    const worker = new Worker(new URL('./chunk_thread.ts', import.meta.url));
    worker.unref();
    const thread: Thread = { worker, asked: new Map() };
    const fail = (error: Error) => {
      if (pool.includes(thread)) pool.splice(pool.indexOf(thread), 1);
      for (const { no } of thread.asked.values()) no(error);
      thread.asked.clear();
    };
    worker.on('message', (answer: Answer) => {
      const waiting = thread.asked.get(answer.id);
      thread.asked.delete(answer.id);
      if (thread.asked.size === 0) worker.unref();
      if (answer.error === undefined) waiting?.yes(answer);
      else waiting?.no(new Error(answer.error));
    });
    worker.on('error', fail);
    worker.on('exit', () => fail(new Error('a thread that packs backups ended')));
    pool.push(thread);
    return thread;
  };
  const least = (): Thread => {
    const idlest = pool.toSorted((a, b) => a.asked.size - b.asked.size)[0];
    return idlest && (idlest.asked.size === 0 || pool.length >= count) ? idlest : start();
  };
  const ask = (thread: Thread, work: Work): Promise<Answer> => new Promise((yes, no) => {
    const id = next += 1;
    thread.asked.set(id, { yes, no });
    thread.worker.ref();
    thread.worker.postMessage({ ...work, id } satisfies Ask);
  });

  return {
    count,
    async blocks(bytes, block) {
      const { digests } = await ask(least(), { op: 'blocks', bytes, block });
      return Buffer.from((digests as Uint8Array).buffer);
    },
    async pack(bytes, out, compression, level) {
      const { compression: done, length, md5, sha256, etag } = await ask(least(), { op: 'pack', bytes, out, compression, level });
      return { compression: done as Compression, length: length as number, md5: md5 as string, sha256: sha256 as string, etag: etag ?? md5 as string };
    },
    sum(algorithm) {
      const thread = least();
      const run = next += 1;
      return {
        async see(bytes) { await ask(thread, { op: 'see', run, algorithm, bytes }); },
        async end() { return (await ask(thread, { op: 'sum', run, algorithm })).sum as string; },
      };
    },
    async close() {
      await Promise.all(pool.splice(0).map(({ worker }) => worker.terminate()));
    },
  };
}
