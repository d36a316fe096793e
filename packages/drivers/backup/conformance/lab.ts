import { randomBytes, randomUUID } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { expect } from 'vitest';
import { plainCall, type Call } from '../../call.ts';
import { DriverError, type DriverErrorKind } from '../../errors.ts';
import type { BackupDriver, BackupJob, BackupRef, Compression, Source, Target } from '../contract.ts';
import type { Threads } from '../threads.ts';

export const KiB = 1 << 10;
export const MiB = 1 << 20;
/** Of the targets under test: small, so that a small disk is many objects. */
export const OBJECT = 256 * KiB;
export const BLOCK = 32 * KiB;

export interface TargetOptions {
  readonly objectBytes: number;
  readonly compression?: Compression;
  readonly now?: () => number;
  readonly threads: Threads;
}
export interface BackupUnderTest {
  /** A driver on the same target; several may be open. */
  open(options: TargetOptions): BackupDriver;
  /** The target as its administrator sees it. Names of everything in a container; none when it is not there. */
  names(container: string): Promise<string[]>;
  read(container: string, name: string): Promise<Buffer>;
  write(container: string, name: string, bytes: Buffer): Promise<void>;
  remove(container: string, name: string): Promise<void>;
  /** Containers that must be refused. */
  readonly badContainers: readonly string[];
}

/** A disk in memory. What was never written is a hole, in 4 KiB as file systems have it. */
export class Disk implements Target {
  readonly bytes: number;
  readonly fresh: boolean;
  /** Bytes that were read and written, zeroed ranges. */
  reads = 0;
  writes = 0;
  zeros = 0;
  readonly #grains = new Map<number, Buffer>();
  static readonly grain = 4 * KiB;
  constructor(bytes: number, options: { readonly fresh?: boolean } = {}) {
    this.bytes = bytes;
    this.fresh = options.fresh ?? true;
  }

  put(offset: number, bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const number = Math.floor((offset + at) / Disk.grain);
      const within = offset + at - number * Disk.grain;
      const grain = this.#grains.get(number) ?? Buffer.alloc(Disk.grain);
      this.#grains.set(number, grain);
      at += bytes.copy(grain, within, at, Math.min(bytes.length, at + Disk.grain - within));
    }
  }
  hole(offset: number, length: number): void {
    for (let at = offset; at < offset + length;) {
      const number = Math.floor(at / Disk.grain);
      const end = Math.min(offset + length, (number + 1) * Disk.grain);
      if (at === number * Disk.grain && end - at === Disk.grain) this.#grains.delete(number);
      else this.#grains.get(number)?.fill(0, at - number * Disk.grain, end - number * Disk.grain);
      at = end;
    }
  }
  get(offset: number, length: number): Buffer {
    const out = Buffer.alloc(length);
    for (let at = 0; at < length;) {
      const number = Math.floor((offset + at) / Disk.grain);
      const within = offset + at - number * Disk.grain;
      const count = Math.min(Disk.grain - within, length - at);
      this.#grains.get(number)?.copy(out, at, within, within + count);
      at += count;
    }
    return out;
  }
  copy(): Disk {
    const other = new Disk(this.bytes, { fresh: this.fresh });
    for (const [number, grain] of this.#grains) other.#grains.set(number, Buffer.from(grain));
    return other;
  }
  expectEqual(other: Disk): void {
    const zero = Buffer.alloc(Disk.grain);
    for (const number of new Set([...this.#grains.keys(), ...other.#grains.keys()])) {
      if (!(this.#grains.get(number) ?? zero).equals(other.#grains.get(number) ?? zero)) expect.fail(`the disks differ at ${number * Disk.grain}`);
    }
  }

  source(): Source { return Disk.#sourceOf(this); }
  static #sourceOf(disk: Disk): Source {
    return {
      bytes: disk.bytes,
      async read(call, { offset, length }) {
        return Readable.from((function* () {
          for (let at = 0; at < length; at += 100_001) {
            call.signal.throwIfAborted();
            const bytes = disk.get(offset + at, Math.min(100_001, length - at));
            disk.reads += bytes.length;
            yield bytes;
          }
        })(), { objectMode: false });
      },
      async *extents(_call, { offset, length }) {
        const end = offset + length;
        const numbers = [...disk.#grains.keys()].filter((n) => (n + 1) * Disk.grain > offset && n * Disk.grain < end).toSorted((a, b) => a - b);
        let at = offset;
        for (const n of numbers) {
          const [from, to] = [Math.max(at, n * Disk.grain), Math.min(end, (n + 1) * Disk.grain)];
          if (from > at) yield { offset: at, length: from - at, hole: true };
          yield { offset: from, length: to - from, hole: false };
          at = to;
        }
        if (at < end) yield { offset: at, length: end - at, hole: true };
      },
    };
  }
  async write(_call: Call, { offset }: { readonly offset: number }): Promise<Writable> {
    let at = offset;
    return new Writable({
      highWaterMark: MiB,
      write: (bytes: Buffer, _encoding, done) => {
        if (at + bytes.length > this.bytes) return done(new DriverError('invalid', 'past the end'));
        this.put(at, bytes);
        at += bytes.length;
        this.writes += bytes.length;
        // As slow as storage is, so that what goes on side by side meets.
        setImmediate(done);
      },
    });
  }
  async zero(_call: Call, { offset, length }: { readonly offset: number; readonly length: number }): Promise<void> {
    if (offset + length > this.bytes) throw new DriverError('invalid', 'past the end');
    this.zeros += length;
    this.hole(offset, length);
  }
}

/** A target and short words for what tests do with it. */
export type Lab = ReturnType<typeof lab>;

export function lab(under: BackupUnderTest, threads: Threads) {
  const call = plainCall();
  const opened: BackupDriver[] = [];
  const open = (options: Partial<TargetOptions> = {}): BackupDriver => {
    const driver = under.open({ objectBytes: OBJECT, threads, ...options });
    opened.push(driver);
    return driver;
  };
  const driver = open();
  const volumeId = randomUUID();
  let made = 0;
  const place = (options: { readonly parent?: BackupRef; readonly container?: string | null; readonly by?: BackupDriver } = {}): BackupRef => {
    const id = randomUUID();
    const at = new Date(Date.UTC(2026, 10, 21, 10, 0, made += 1));
    return { id, volumeId, parentId: options.parent?.id ?? null, ...(options.by ?? driver).place({ id, volumeId, container: options.container ?? null }, at) };
  };
  const job = (backup: BackupRef, disk: Disk, rest: Partial<BackupJob> = {}): BackupJob => ({
    backup, source: disk.source(), moment: 'now', name: 'näme', description: null, createdAt: new Date('2026-11-21T10:56:59Z'), volumeMeta: '{"version": 1}', ...rest,
  });
  const full = async (disk: Disk, by = driver): Promise<BackupRef> => {
    const ref = place({ by });
    await by.backup(call, job(ref, disk));
    return ref;
  };
  const next = async (parent: BackupRef, disk: Disk, by = driver): Promise<BackupRef> => {
    const ref = place({ parent, by });
    await by.backup(call, job(ref, disk, { parent }));
    return ref;
  };
  const restored = async (chain: readonly BackupRef[], bytes: number, by = driver): Promise<Disk> => {
    const disk = new Disk(bytes);
    await by.restore(call, { chain, target: disk });
    return disk;
  };
  const fails = async (work: Promise<unknown>, kind: DriverErrorKind, names?: string | RegExp): Promise<DriverError> => {
    const error = await work.then(() => undefined, (failure: unknown) => failure);
    expect(error).toBeInstanceOf(DriverError);
    expect(error).toMatchObject({ kind });
    const { message } = error as DriverError;
    expect(message).not.toMatch(/\/tmp|\/var|\bE[A-Z]{4,}\b|127\.0\.0\.1/);
    if (names !== undefined) expect(message).toMatch(names);
    return error as DriverError;
  };
  /** Data, a long hole, bytes that pack well, bytes at the very end. */
  const sample = (): Disk => {
    const disk = new Disk(16 * MiB);
    disk.put(0, randomBytes(300_000));
    disk.put(700_000, Buffer.alloc(500_000, 'packs well '));
    disk.put(9 * MiB + 5, randomBytes(1_000_000));
    disk.put(16 * MiB - 10, randomBytes(10));
    return disk;
  };
  const close = async () => {
    await Promise.all(opened.map((one) => one.close()));
  };
  return { under, call, driver, open, volumeId, place, job, full, next, restored, fails, sample, close };
}
