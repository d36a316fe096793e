import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import type { Writable } from 'node:stream';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { Range } from '../block/contract.ts';
import type { Engine } from './backup.ts';
import type { BackupRef, RestoreDone, RestoreJob, Target } from './contract.ts';
import { openChain, type Member } from './chain.ts';
import { Pieces, readObject } from './reading.ts';
import type { ObjectEntry } from './shapes.ts';

/** An object of at most this is held in memory until its hash is known; a larger one (of upstream's) passes through. */
const HELD = 64 << 20;
/** After so many bytes were written the target is asked to bring them to stable storage, and the caller told. Holes cost nothing to restore again. */
const CHECKPOINT = 1 << 30;
/** Objects that are fetched ahead, at most. */
const AHEAD = 8;

/** Restores a chain: the full backup first, what changed on top of it. */
export async function runRestore(call: Call, engine: Engine, job: RestoreJob): Promise<RestoreDone> {
  const chain = await openChain(call, engine.store, job.chain);
  const { target, from } = job;
  const largest = Math.max(...chain.map((one) => one.bytes));
  if (largest > target.bytes) throw new DriverError('invalid', 'The volume is smaller than the backup.', { detail: `${largest} of ${target.bytes}` });
  const first = from ? chain.findIndex((one) => one.backup.id === from.backupId) : 0;
  const total = chain.reduce((sum, one) => sum + one.objects.reduce((all, { length }) => all + length, 0), 0);
  const restoring = new Restoring(call, engine, job, total);
  try {
    for (const [n, member] of chain.entries()) {
      if (n < first) restoring.pass(member.objects);
      else await restoring.layer(member, n === 0, from && n === first ? from.objects : 0);
    }
  } finally {
    await restoring.abandon();
  }
  return { volumeMeta: chain.flatMap((one) => one.metadata.volume_meta ?? []), read: restoring.read, written: restoring.written };
}

interface Fetching {
  readonly entry: ObjectEntry;
  readonly weight: number;
  readonly pieces: () => AsyncIterable<Buffer>;
}

class Restoring {
  read = 0;
  written = 0;
  readonly #call: Call;
  readonly #engine: Engine;
  readonly #target: Target;
  readonly #checkpoint: RestoreJob['checkpoint'];
  readonly #total: number;
  readonly #stop = new AbortController();
  readonly #pieces = new Pieces();
  #done = 0;
  /** Still to be made; nothing that is written in between lies in it. */
  #zeros: Range | undefined;
  #open: { readonly stream: Writable; readonly over: Promise<void>; begin: number; at: number } | undefined;

  constructor(call: Call, engine: Engine, job: RestoreJob, total: number) {
    this.#call = { ...call, signal: AbortSignal.any([call.signal, this.#stop.signal]), progress: (done, all) => call.progress(done, all) };
    this.#engine = engine;
    this.#target = job.target;
    this.#checkpoint = job.checkpoint;
    this.#total = total;
  }

  pass(objects: readonly ObjectEntry[]): void {
    this.#done += objects.reduce((sum, { length }) => sum + length, 0);
  }

  /** One member of the chain; `from` of its objects are there already. `base`: what it does not hold is zeros. */
  async layer(member: Member, base: boolean, from: number): Promise<void> {
    const { backup, objects } = member;
    this.pass(objects.slice(0, from));
    const fetches: Fetching[] = [];
    let next = from;
    let busy = 0;
    let held = 0;
    let reached = from === 0 ? 0 : ends(objects[from - 1]);
    let kept = this.written;
    const more = () => {
      // In order, so that nothing waits for the memory of what comes after it.
      for (; next < objects.length && busy < AHEAD; next += 1) {
        const entry = objects[next] as ObjectEntry;
        const weight = entry.zeros ? 0 : Math.min(entry.length, HELD);
        if (busy > 0 && held + weight > this.#engine.memoryBytes) return;
        held += weight;
        busy += entry.zeros ? 0 : 1;
        fetches.push(this.#fetch(backup, entry, weight));
      }
    };
    try {
      for (let n = from; n < objects.length; n += 1) {
        more();
        const { entry, weight, pieces } = fetches.shift() as Fetching;
        if (base && entry.offset > reached) await this.#zero(reached, entry.offset - reached);
        if (entry.zeros) await this.#zero(entry.offset, entry.length, !base);
        else for await (const piece of this.#at(entry.offset, pieces())) await this.#write(piece);
        reached = ends(entry);
        held -= weight;
        busy -= entry.zeros ? 0 : 1;
        this.#done += entry.length;
        this.#call.progress(this.#done, this.#total);
        if (this.written - kept >= CHECKPOINT) {
          await this.#settle();
          await this.#checkpoint?.({ backupId: backup.id, objects: n + 1 });
          kept = this.written;
        }
      }
      if (base && reached < member.bytes) await this.#zero(reached, member.bytes - reached);
      await this.#settle();
      await this.#checkpoint?.({ backupId: backup.id, objects: objects.length });
    } catch (error) {
      this.#stop.abort(error);
      throw this.#stop.signal.reason ?? error;
    }
  }

  #fetch({ container }: BackupRef, entry: ObjectEntry, weight: number): Fetching {
    const { store, threads } = this.#engine;
    const bytes = () => readObject(this.#call, store, threads, this.#pieces, container, entry);
    if (entry.zeros) return { entry, weight, pieces: nothing };
    if (entry.length > HELD) return { entry, weight, pieces: bytes };
    const whole = (async () => {
      const pieces: Buffer[] = [];
      for await (const piece of bytes()) pieces.push(piece);
      return pieces;
    })();
    // The first failure ends all; it is told when its turn to be written comes, or at once.
    whole.catch((error: unknown) => this.#stop.abort(error));
    return { entry, weight, pieces: async function* () { yield* await whole; } };
  }

  async *#at(offset: number, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    if (this.#open?.at !== offset) {
      await this.#flush();
      const stream = await this.#target.write(this.#call, { offset });
      const over = finished(stream);
      over.catch(() => {});
      this.#open = { stream, over, begin: offset, at: offset };
    }
    for await (const piece of pieces) {
      this.read += piece.length;
      yield piece;
    }
  }

  async #write(piece: Buffer): Promise<void> {
    this.#call.signal.throwIfAborted();
    const open = this.#open;
    if (!open) return;
    const more = open.stream.write(piece, (error) => { if (!error) this.#pieces.give(piece); });
    if (!more) await Promise.race([once(open.stream, 'drain', { signal: this.#call.signal }), open.over]);
    open.at += piece.length;
    this.written += piece.length;
  }

  /** In a fresh target zeros are there already, unless something was written over them. */
  async #zero(offset: number, length: number, dirty = !this.#target.fresh): Promise<void> {
    if (!dirty && this.#target.fresh) return;
    const before = this.#zeros;
    if (before && before.offset + before.length === offset) return void (this.#zeros = { offset: before.offset, length: before.length + length });
    await this.#settle();
    this.#zeros = { offset, length };
  }

  /** All of the layer so far is on stable storage. A hole may be many objects long; it is one call. */
  async #settle(): Promise<void> {
    await this.#flush();
    const zeros = this.#zeros;
    this.#zeros = undefined;
    if (zeros) await this.#target.zero(this.#call, zeros);
  }

  /** What the open stream has is on stable storage. */
  async #flush(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    open.stream.end();
    await open.over;
  }

  async abandon(): Promise<void> {
    if (!this.#open) return;
    const { stream, over } = this.#open;
    this.#open = undefined;
    stream.destroy();
    await over.catch(() => {});
  }
}

async function* nothing(): AsyncGenerator<Buffer> {}
const ends = (entry: ObjectEntry | undefined): number => (entry ? entry.offset + entry.length : 0);
