import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Answer, Ask } from './hash_thread.ts';

/** Hex digests of what was seen. */
export interface Digests { readonly md5: string; readonly sha512: string }
export interface HashRun {
  /** Takes the bytes before it returns (they may be changed afterwards). A promise means: wait for it before giving more. */
  see(chunk: Uint8Array): Promise<void> | undefined;
  end(): Promise<Digests>;
  /** Forgets the run; harmless after `end`. */
  drop(): void;
}
export interface Hashing { start(): HashRun; close(): Promise<void> }

const slabBytes = 512 * 1024;
const slabsPerRun = 4;
const algorithms = ['sha512', 'md5'] as const;
type Thread = { readonly worker: Worker; load: number };

/**
 * Hashes off the event loop, sha512 and md5 side by side in threads that all runs share. Bytes go over in shared memory,
 * 2 MiB for each run; a run that is ahead of its hashes is told to wait.
 */
export function openHashing(threads = Math.max(2, Math.min(4, availableParallelism()))): Hashing {
  const pool: Thread[] = [];
  const runs = new Map<number, Run>();
  let next = 0;
  const start = (): Thread => {
    const worker = new Worker(new URL('./hash_thread.ts', import.meta.url));
    worker.unref();
    const thread: Thread = { worker, load: 0 };
    worker.on('message', (answer: Answer) => runs.get(answer.run)?.hear(answer));
    worker.on('error', error => { pool.splice(pool.indexOf(thread), 1); for (const run of runs.values()) run.fail(thread, error); });
    pool.push(thread);
    return thread;
  };
  const least = (not: readonly Thread[]): Thread => {
    const free = pool.filter(t => !not.includes(t)).toSorted((a, b) => a.load - b.load)[0];
    return (free && (free.load === 0 || pool.length >= threads)) ? free : pool.length < threads ? start() : free ?? pool[0] as Thread;
  };
  return {
    start() {
      const id = next++;
      const chosen: Thread[] = [];
      for (const _ of algorithms) chosen.push(least(chosen));
      const run = new Run(id, chosen, () => runs.delete(id));
      runs.set(id, run);
      return run;
    },
    async close() { await Promise.all(pool.splice(0).map(t => t.worker.terminate())); },
  };
}

interface Slab { readonly bytes: Uint8Array; readers: number }

class Run implements HashRun {
  readonly #id: number;
  readonly #threads: readonly Thread[];
  readonly #over: () => void;
  readonly #slabs: Slab[] = [];
  readonly #digests = new Map<string, string>();
  #current: number | undefined;
  #filled = 0;
  #waiting: { yes: () => void; no: (error: Error) => void } | undefined;
  #failed: Error | undefined;
  constructor(id: number, threads: readonly Thread[], over: () => void) {
    this.#id = id;
    this.#threads = threads;
    this.#over = over;
    for (const t of threads) t.load++;
  }

  see(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#failed) return Promise.reject(this.#failed);
    for (let at = 0; at < chunk.length;) {
      const index = this.#current ?? this.#free();
      if (index === undefined) return this.#room().then(() => this.see(chunk.subarray(at)));
      this.#current = index;
      const slab = this.#slabs[index] as Slab;
      const n = Math.min(slabBytes - this.#filled, chunk.length - at);
      slab.bytes.set(chunk.subarray(at, at + n), this.#filled);
      this.#filled += n;
      at += n;
      if (this.#filled === slabBytes) this.#flush();
    }
    return undefined;
  }
  async end(): Promise<Digests> {
    if (this.#current !== undefined && this.#filled > 0) this.#flush();
    this.#ask(algorithm => ({ run: this.#id, algorithm, op: 'end' }));
    while (this.#digests.size < algorithms.length) await this.#room();
    this.#release();
    return { md5: this.#digests.get('md5') as string, sha512: this.#digests.get('sha512') as string };
  }
  drop(): void {
    if (!this.#release()) return;
    this.#ask(algorithm => ({ run: this.#id, algorithm, op: 'drop' }));
    this.#failed = new Error('the hashing was given up');
    this.#waiting?.no(this.#failed);
  }

  hear(answer: Answer): void {
    if ('slab' in answer) (this.#slabs[answer.slab] as Slab).readers--;
    else this.#digests.set(answer.algorithm, answer.digest);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.yes();
  }
  fail(thread: Thread, error: Error): void {
    if (!this.#threads.includes(thread)) return;
    this.#failed = error;
    this.#waiting?.no(error);
    this.#release();
  }

  #released = false;
  #release(): boolean {
    if (this.#released) return false;
    this.#released = true;
    for (const t of this.#threads) t.load--;
    this.#over();
    return true;
  }
  #room(): Promise<void> {
    if (this.#failed) return Promise.reject(this.#failed);
    return new Promise((yes, no) => { this.#waiting = { yes, no }; });
  }
  #free(): number | undefined {
    const idle = this.#slabs.findIndex(s => s.readers === 0);
    if (idle >= 0) return idle;
    if (this.#slabs.length === slabsPerRun) return undefined;
    return this.#slabs.push({ bytes: new Uint8Array(new SharedArrayBuffer(slabBytes)), readers: 0 }) - 1;
  }
  #flush(): void {
    const index = this.#current as number;
    const slab = this.#slabs[index] as Slab;
    slab.readers = algorithms.length;
    const bytes = slab.bytes.subarray(0, this.#filled);
    this.#ask(algorithm => ({ run: this.#id, algorithm, op: 'more', slab: index, bytes }));
    this.#current = undefined;
    this.#filled = 0;
  }
  #ask(make: (algorithm: string) => Ask): void { algorithms.forEach((algorithm, i) => this.#threads[i]?.worker.postMessage(make(algorithm))); }
}
