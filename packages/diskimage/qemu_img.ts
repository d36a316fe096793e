import { open, rm, stat, truncate } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { ProgramFailed, type Limits, type Runner } from '@cumulet/exec';
import type { DiskFormat } from './contract.ts';
import { inspectFile } from './inspect.ts';
import { assertSafe } from './safety.ts';

/**
 * The only file that calls qemu-img. Formats are always given (`-f`, `-O`, `-F`), paths are absolute (QEMU takes `nbd:…`
 * and `json:…` for protocols), and the program runs in a cage of memory, CPU and time.
 */
const NAMES: Readonly<Record<DiskFormat, string>> = { raw: 'raw', iso: 'raw', qcow2: 'qcow2', vmdk: 'vmdk', vhd: 'vpc', vhdx: 'vhdx', vdi: 'vdi' };

/**
 * Address space, not memory: up to 64 I/O threads with 8 MiB of stack each. glibc adds an arena of 64 MiB for each of them, with
 * which 1 GiB failed at random; held to two arenas, every conversion ran within 512 MiB (QEMU 7.2, 2 processors).
 */
const MEMORY_BYTES = 1536 << 20;
const env = { MALLOC_ARENA_MAX: '2' };
/** For what only reads and writes headers. */
const QUICK = { env, timeoutMs: 60_000, limits: { memoryBytes: MEMORY_BYTES, cpuSeconds: 30 } } as const;
const COPY_TIMEOUT_MS = 6 * 3600_000;
/** CPU time of a copy: at 50 MB/s for the worst compression, 10 TB would pass; a bomb does not. */
const COPY_CPU_SECONDS = 3600;

export interface ImageAt {
  readonly path: string;
  readonly format: DiskFormat;
}

interface Watch {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly limits?: Limits;
}

interface Copy extends Watch {
  /** Bytes done and in total. */
  readonly progress?: (done: number, total: number) => void;
}

export interface Convert extends Copy {
  /**
   * `trusted`: a file that we made ourselves and whose backing files are ours. Anything else is inspected again and
   * must be safe as `format`, with a virtual size of at most `maxVirtualSize`.
   */
  readonly from: ImageAt & {
    readonly trusted?: boolean;
    readonly maxVirtualSize?: number;
    /** Read it even while a QEMU has it open for writing: for raw files, whose writer the caller has stopped (or does not mind). */
    readonly shared?: boolean;
  };
  /** Must not exist; removed again when the copy fails. */
  readonly to: ImageAt;
  /** Grow the result to this virtual size in bytes (raw and qcow2). */
  readonly sizeBytes?: number;
  readonly compress?: boolean;
}

/** Copy an image into another format. When it returns the result is on stable storage. */
export async function convert(runner: Runner, options: Convert): Promise<void> {
  const { from, to, signal } = options;
  checkPath(from.path, to.path);
  if (!from.trusted) assertSafe(await inspectFile(from.path), from.format, from.maxVirtualSize === undefined ? {} : { maxVirtualSize: from.maxVirtualSize });
  if (await stat(to.path).then(() => true, () => false)) throw new Error('The target of a conversion exists');
  const total = (await info(runner, from, watchOf(signal))).virtualSize;
  try {
    const flags = ['-p', ...(from.shared ? ['-U'] : []), ...(options.compress ? ['-c'] : []), ...(to.format === 'vmdk' && options.compress ? ['-o', 'subformat=streamOptimized'] : [])];
    await runner.run('qemu-img', ['convert', ...flags, '-f', NAMES[from.format], '-O', NAMES[to.format], from.path, to.path], {
      ...copying(options), onStdout: percent((done) => options.progress?.(Math.round(done * total), total)),
    });
    if (options.sizeBytes !== undefined && options.sizeBytes > total) await resize(runner, to, options.sizeBytes, watchOf(signal));
    await sync(to.path);
  } catch (error) {
    await rm(to.path, { force: true });
    throw error;
  }
  options.progress?.(total, total);
}

export interface Info {
  /** Bytes. */
  readonly virtualSize: number;
  /** Bytes on disk. */
  readonly actualSize: number;
  /** As written in the header. */
  readonly backingFile: string | undefined;
}

/** What the header says; `format` is not guessed. */
export async function info(runner: Runner, image: ImageAt, watch: Watch = {}): Promise<Info> {
  checkPath(image.path);
  const { stdout } = await runner.run('qemu-img', ['info', '-U', '-f', NAMES[image.format], '--output=json', image.path], { ...QUICK, ...watch });
  const said = JSON.parse(stdout) as { 'virtual-size': number; 'actual-size'?: number; 'full-backing-filename'?: string; 'backing-filename'?: string };
  return { virtualSize: said['virtual-size'], actualSize: said['actual-size'] ?? 0, backingFile: said['full-backing-filename'] ?? said['backing-filename'] };
}

/**
 * A new, empty image; with `backing` an overlay of that base. A base in the image's own folder may be named by its file name
 * alone: it is written like that, so that the folder can move, and is not opened now.
 */
export async function create(runner: Runner, image: ImageAt, sizeBytes: number, options: { readonly backing?: ImageAt } & Watch = {}): Promise<void> {
  const { backing, ...watch } = options;
  checkPath(image.path);
  const base = backing ? baseFlags(backing) : [];
  await runner.run('qemu-img', ['create', '-q', '-f', NAMES[image.format], ...base, image.path, String(sizeBytes)], { ...QUICK, ...watch });
  await sync(image.path);
}

/**
 * A LUKS container, for `luks.ts` alone: it makes the secret and its options, and puts the file in its final shape. Finding out how fast
 * the machine is takes QEMU seconds; where the thread's CPU clock ticks coarsely it may read the same time twice and give up, which
 * says nothing of the next try.
 */
export async function createContainer(runner: Runner, path: string, contentBytes: number, luks: { readonly secret: readonly string[]; readonly options: string }, watch: Watch = {}): Promise<void> {
  checkPath(path);
  for (let triesLeft = 9; ; triesLeft -= 1) {
    try {
      await runner.run('qemu-img', ['create', '-q', '-f', 'luks', ...luks.secret, '-o', luks.options, path, String(contentBytes)], { ...QUICK, timeoutMs: 300_000, limits: { memoryBytes: MEMORY_BYTES, cpuSeconds: 120 }, ...watch });
      return;
    } catch (error) {
      if (triesLeft === 0 || !(error instanceof ProgramFailed && error.stderr.includes('Unable to get accurate CPU usage'))) throw error;
    }
  }
}

/** Grow (never shrink) to `sizeBytes`. */
export async function resize(runner: Runner, image: ImageAt, sizeBytes: number, watch: Watch = {}): Promise<void> {
  checkPath(image.path);
  if (NAMES[image.format] === 'raw') {
    const { size } = await stat(image.path);
    if (sizeBytes > size) await truncate(image.path, sizeBytes);
  } else {
    await runner.run('qemu-img', ['resize', '-q', '-f', NAMES[image.format], image.path, String(sizeBytes)], { ...QUICK, ...watch });
  }
  await sync(image.path);
}

/**
 * Another name for an overlay's base, whose content is the same: only the header is written. (qemu-img can also copy what a new base
 * lacks, but writes the header before the copied data is reachable: killed then, the data is lost. So that is not offered.)
 */
export async function renameBase(runner: Runner, image: ImageAt, base: ImageAt, watch: Watch = {}): Promise<void> {
  checkPath(image.path);
  await runner.run('qemu-img', ['rebase', '-f', NAMES[image.format], ...baseFlags(base, true), image.path], { ...QUICK, ...watch });
  await sync(image.path);
}

/**
 * Write what the overlay has into its base, which may grow. The base that may be written to is always named: never an image below it.
 * Cut short, the overlay still reads as before, the base does not.
 */
export async function commit(runner: Runner, image: ImageAt, base: string, options: Copy = {}): Promise<void> {
  checkPath(image.path, base);
  await runner.run('qemu-img', ['commit', '-d', '-p', '-f', NAMES[image.format], '-b', base, image.path], {
    ...copying(options), onStdout: percent((done) => options.progress?.(Math.round(done * 100), 100)),
  });
  await sync(base);
}

export interface MapEntry {
  readonly offset: number;
  readonly length: number;
  /** Reads as zeros. */
  readonly zero: boolean;
}

/** Where data is, through the whole chain: bytes from `offset`, `length` long. At most a few thousand entries come back per call. */
export async function map(runner: Runner, image: ImageAt, range: { readonly offset: number; readonly length: number }, watch: Watch = {}): Promise<MapEntry[]> {
  checkPath(image.path);
  const { stdout } = await runner.run(
    'qemu-img', ['map', '-U', '-f', NAMES[image.format], '--output=json', `--start-offset=${range.offset}`, `--max-length=${range.length}`, image.path],
    { ...QUICK, maxOutputBytes: 64 << 20, ...watch },
  );
  const said = JSON.parse(stdout) as { start: number; length: number; zero: boolean }[];
  return said.map(({ start, length, zero }) => ({ offset: start, length, zero }));
}

/** Did it fail because a running QEMU has the image open? */
export const isLocked = (error: unknown): boolean => error instanceof ProgramFailed && /get "?(?:write|consistent read|shared "\w+")"? lock/i.test(error.stderr);

/** `-u` (the name is written unseen) is needed for names without a path, which QEMU would look for beside the image's temporary place. */
function baseFlags(backing: ImageAt, unseen = !isAbsolute(backing.path)): string[] {
  if (!isAbsolute(backing.path) && !/^[\w][\w.~-]*$/.test(backing.path)) throw new TypeError('A base is named by an absolute path or a plain file name');
  return [...(unseen ? ['-u'] : []), '-b', backing.path, '-F', NAMES[backing.format]];
}

function checkPath(...paths: string[]): void {
  for (const path of paths) if (!isAbsolute(path) || path.includes('\0')) throw new TypeError('A disk image is named by an absolute path');
}

const watchOf = (signal: AbortSignal | undefined): Watch => (signal ? { signal } : {});

function copying(options: Copy) {
  return {
    env, ...watchOf(options.signal), timeoutMs: options.timeoutMs ?? COPY_TIMEOUT_MS,
    limits: { memoryBytes: MEMORY_BYTES, cpuSeconds: COPY_CPU_SECONDS, ...options.limits },
  };
}

/** `-p` writes `    (12.34/100%)\r`, cut anywhere. */
function percent(tell: (part: number) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    rest = (rest + text).slice(-256);
    const last = [...rest.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1);
    if (!last) return;
    rest = rest.slice(last.index + last[0].length);
    tell(Math.min(1, Number(last[1]) / 100));
  };
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
