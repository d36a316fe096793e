import { giveBack, keep } from '@cumulet/drivers';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Answer, Ask } from './hash_thread.ts';

/** Hex digests of what was seen. */
export interface Digests { readonly md5: string; readonly sha512: string }
export interface HashRun {
  /** Takes a piece of shared memory (`Pieces`), which it gives back when its bytes have been hashed. */
  see(piece: Uint8Array): void;
  /** Set when the hashes are behind: to be waited for before more is given. */
  readonly behind: Promise<void> | undefined;
  end(): Promise<Digests>;
  /** Forgets the run; harmless after `end`. */
  drop(): void;
}
export interface Hashing { start(): HashRun; close(): Promise<void> }

/** Pieces that a run may be ahead of its hashes. */
const ahead = 3;
const algorithms = ['sha512', 'md5'] as const;
type Thread = { readonly worker: Worker; load: number };

/**
 * Hashes off the event loop, sha512 and md5 side by side in threads that all runs share and that read the bytes where they are; a run that is ahead of its hashes is told
 * to wait.
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

class Run implements HashRun {
  readonly #id: number;
  readonly #threads: readonly Thread[];
  readonly #over: () => void;
  /** Pieces that are being hashed, with how many threads still read them. */
  readonly #reading = new Map<number, { readonly piece: Uint8Array; readers: number }>();
  readonly #digests = new Map<string, string>();
  #seen = 0;
  #waiting: { yes: () => void; no: (error: Error) => void } | undefined;
  #failed: Error | undefined;
  constructor(id: number, threads: readonly Thread[], over: () => void) {
    this.#id = id;
    this.#threads = threads;
    this.#over = over;
    for (const t of threads) t.load++;
  }

  see(bytes: Uint8Array): void {
    if (this.#failed) throw this.#failed;
    keep(bytes);
    const piece = this.#seen++;
    this.#reading.set(piece, { piece: bytes, readers: algorithms.length });
    this.#ask(algorithm => ({ run: this.#id, algorithm, op: 'more', piece, bytes }));
  }
  get behind(): Promise<void> | undefined { return this.#reading.size < ahead ? undefined : this.#until(() => this.#reading.size < ahead); }
  async end(): Promise<Digests> {
    this.#ask(algorithm => ({ run: this.#id, algorithm, op: 'end' }));
    await this.#until(() => this.#digests.size === algorithms.length);
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
    if ('piece' in answer) this.#read(answer.piece);
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
  #read(index: number): void {
    const reading = this.#reading.get(index);
    if (!reading || --reading.readers > 0) return;
    this.#reading.delete(index);
    giveBack(reading.piece);
  }
  async #until(ready: () => boolean): Promise<void> {
    while (!ready()) {
      if (this.#failed) throw this.#failed;
      await new Promise<void>((yes, no) => { this.#waiting = { yes, no }; });
    }
  }
  #ask(make: (algorithm: string) => Ask): void { algorithms.forEach((algorithm, i) => this.#threads[i]?.worker.postMessage(make(algorithm))); }
}
