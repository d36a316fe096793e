import type { FileHandle } from 'node:fs/promises';
import { Readable, Writable } from 'node:stream';
import { DriverError } from './errors.ts';
import { fromErrno } from './durable.ts';
import { giveBack, lend } from './lent.ts';

/** The grain of holes: what file systems and qcow2 allocate at once. */
const BLOCK = 64 << 10;
/** Bytes per read of a file. */
const READ_SIZE = 1 << 20;
/** Bytes after which what was written is sent to the disk. */
const FLUSH_SIZE = 64 << 20;
const ZEROS = Buffer.alloc(BLOCK);

const isZero = (bytes: Buffer) => bytes.equals(bytes.length === BLOCK ? ZEROS : ZEROS.subarray(0, bytes.length));

/** Runs of data and of zeros, cut at multiples of BLOCK from the start of the file. */
export function* runs(chunk: Buffer, offset: number): Generator<{ at: number; bytes: Buffer; zero: boolean }> {
  let from = 0;
  let zero: boolean | undefined;
  for (let at = 0; at < chunk.length;) {
    const end = Math.min(chunk.length, at + BLOCK - ((offset + at) % BLOCK));
    const next = isZero(chunk.subarray(at, end));
    if (zero !== undefined && next !== zero) {
      yield { at: offset + from, bytes: chunk.subarray(from, at), zero };
      from = at;
    }
    zero = next;
    at = end;
  }
  if (zero !== undefined) yield { at: offset + from, bytes: chunk.subarray(from), zero };
}

/** Where the bytes of a sparse writer go. */
export interface Target {
  write(bytes: Buffer, offset: number): Promise<void>;
  /** Make the range read as zeros. */
  zero(offset: number, length: number): Promise<void>;
  /** To stable storage. `end` is where the last byte went. */
  finish(end: number): Promise<void>;
  /** Always the last call. */
  close(): Promise<void>;
}

export interface SparseOptions {
  readonly offset: number;
  /** Bytes beyond this offset are refused (`invalid`). */
  readonly limit: number;
  readonly signal: AbortSignal;
  /** For the user, when it breaks: "Writing the volume". */
  readonly what: string;
  /** Called with the offset that was reached. */
  readonly progress?: (reached: number) => void;
}

/** A Writable that writes data and leaves zeros as holes; `finish` comes when everything is on stable storage. Chunks that are lent are given back. */
export function sparseWritable(target: Target, options: SparseOptions): Writable {
  let at = options.offset;
  const step = (work: () => Promise<void>, done: (error?: Error | null) => void) => {
    work().then(() => done(), (error: unknown) => done(asError(options.signal.aborted ? options.signal.reason : fromErrno(error, options.what))));
  };
  const put = async (chunk: Buffer) => {
    if (at + chunk.length > options.limit) throw new DriverError('invalid', `${options.what}: there is more data than it can hold.`);
    for (const run of runs(chunk, at)) await (run.zero ? target.zero(run.at, run.bytes.length) : target.write(run.bytes, run.at));
    at += chunk.length;
  };
  return new Writable({
    highWaterMark: READ_SIZE,
    signal: options.signal,
    write(chunk: Buffer, _encoding, done) {
      step(async () => {
        await put(chunk);
        giveBack(chunk);
        options.progress?.(at);
      }, done);
    },
    final(done) {
      step(() => target.finish(at), done);
    },
    destroy(error, done) {
      const cause = error && options.signal.aborted ? asError(options.signal.reason) : error;
      target.close().then(() => done(cause), (failure: unknown) => done(cause ?? asError(failure)));
    },
  });
}

/**
 * A file that is new and empty, or (`fresh: false`) one whose zeros have to be looked for before they are written. What was written is on its way to the disk while more comes,
 * so that the end has little to wait for.
 */
export function fileTarget(file: FileHandle, options: { readonly fresh: boolean }): Target {
  const scratch = Buffer.alloc(options.fresh ? 0 : BLOCK);
  let dirty = 0;
  let flushing: Promise<void> | undefined;
  // The kernel tells a failed write-back once: it is remembered until somebody wants to know.
  let lost: unknown;
  const written = (bytes: number) => {
    dirty += bytes;
    if (dirty < FLUSH_SIZE || flushing) return;
    dirty = 0;
    flushing = file.datasync().catch((error: unknown) => { lost ??= error; }).finally(() => { flushing = undefined; });
  };
  return {
    async write(bytes, offset) {
      for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      written(bytes.length);
    },
    async zero(offset, length) {
      if (options.fresh) return;
      for (let done = 0; done < length;) {
        const { bytesRead } = await file.read(scratch, 0, Math.min(BLOCK, length - done), offset + done);
        if (bytesRead === 0) return;
        if (!isZero(scratch.subarray(0, bytesRead))) await this.write(ZEROS.subarray(0, bytesRead), offset + done);
        done += bytesRead;
      }
    },
    async finish(end) {
      await flushing;
      if ((await file.stat()).size < end) await file.truncate(end);
      await file.sync();
      if (lost !== undefined) throw lost;
    },
    async close() {
      await flushing;
      await file.close();
    },
  };
}

/** Bytes `[offset, offset + length)` of an open file, which the stream closes. A file shorter than that is an error, never a short read. Its chunks are lent. */
export function fileReadable(file: FileHandle, range: { readonly offset: number; readonly length: number }, signal: AbortSignal, what: string): Readable {
  const free: Buffer[] = [];
  return rangeReadable({
    async read(at, length) {
      const memory = free.pop() ?? Buffer.allocUnsafeSlow(Math.min(READ_SIZE, range.length));
      const { bytesRead } = await file.read(memory, 0, length, at);
      if (bytesRead === 0) throw new DriverError('broken', `${what}: it is shorter than it should be.`);
      return lend(memory.subarray(0, bytesRead), () => { free.push(memory); });
    },
    close: () => file.close(),
  }, { ...range, signal, fail: (error) => fromErrno(error, what) });
}

export interface Source {
  /** At least one byte, at most `length`. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Always the last call. */
  close(): Promise<void>;
}

/** A Readable over random access: one piece in flight, one or two waiting. */
export function rangeReadable(
  source: Source, options: { readonly offset: number; readonly length: number; readonly signal: AbortSignal; readonly fail: (error: unknown) => unknown },
): Readable {
  const { signal } = options;
  let at = options.offset;
  const end = options.offset + options.length;
  return new Readable({
    highWaterMark: READ_SIZE,
    signal,
    read() {
      if (at >= end) return void this.push(null);
      source.read(at, Math.min(READ_SIZE, end - at)).then((bytes) => {
        at += bytes.length;
        this.push(bytes);
      }, (error: unknown) => this.destroy(asError(options.fail(error))));
    },
    destroy(error, done) {
      const cause = error && signal.aborted ? asError(signal.reason) : error;
      source.close().then(() => done(cause), (failure: unknown) => done(cause ?? asError(failure)));
    },
  });
}

/** Checks a range against a size; `length` defaults to the rest. */
export function rangeOf(range: { readonly offset?: number; readonly length?: number } | undefined, size: number): { offset: number; length: number } {
  const offset = range?.offset ?? 0;
  const length = range?.length ?? size - offset;
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!whole || offset + length > size) throw new DriverError('invalid', 'The range is outside of the object.', { detail: `${offset}+${length} of ${size}` });
  return { offset, length };
}

const asError = (value: unknown): Error => (value instanceof Error ? value : new Error(String(value)));
