import { ProgramFailed, ProgramMissing, ProgramTimedOut, type Child, type Runner } from '@cumulet/exec';
import { Readable, type Writable } from 'node:stream';
import type { Call } from '../call.ts';
import { DriverError, type DriverErrorKind } from '../errors.ts';
import { giveBack } from '../lent.ts';

/** How to reach a Ceph cluster. */
export interface CephAccess {
  readonly runner: Runner;
  /** Path of ceph.conf; default Ceph's own (`/etc/ceph/ceph.conf`). */
  readonly conf?: string | undefined;
  /** The user without `client.`; default `admin`. */
  readonly user?: string | undefined;
}
export interface RbdInfo {
  /** Bytes. */
  readonly size: number;
  readonly object_size: number;
  readonly block_name_prefix: string;
  readonly data_pool?: string;
  readonly stripe_count?: number;
  readonly parent?: object;
  /** Of a snapshot; Ceph's versions say it as a word or as a boolean. */
  readonly protected?: string | boolean;
  readonly id: string;
}
interface Asked {
  /** For users: "The image cannot be stored". */
  readonly what: string;
  /** Failures that are answers. */
  readonly fine?: readonly DriverErrorKind[];
}

/** Ceph's own programs. Failures are DriverErrors; on abort the signal's reason is thrown and the program is gone. */
export interface Rbd {
  /** Says clearly when Ceph's programs are not installed, then asks the cluster who it is. */
  fsid(call: Call): Promise<string>;
  /** Runs `rbd ARGS`; undefined when it failed with one of the kinds that are fine. */
  rbd(call: Call, args: readonly string[], asked: Asked): Promise<string | undefined>;
  /** `rbd ARGS --format json`, parsed. */
  json<T>(call: Call, args: readonly string[], asked: Asked): Promise<T | undefined>;
  /** `rbd ARGS` reading `input` to its end, which may take as long as it takes. Pieces that are lent are given back. Whoever aborts the call ends `input` too. */
  feed(call: Call, args: readonly string[], input: AsyncIterable<Buffer>, asked: Asked): Promise<void>;
  /** What a program writes, as a stream that fails when the program does. Nothing runs before somebody reads. */
  produce(call: Call, program: 'rbd' | 'rados', args: readonly string[], asked: Asked): Readable;
  /** A RADOS object, at most `max` bytes of it; undefined when there is none. */
  object(call: Call, pool: string, name: string, max: number, asked: Asked): Promise<Buffer | undefined>;
  /** Bytes of a pool. */
  pool(call: Call, name: string): Promise<{ readonly total: number; readonly free: number }>;
}

/** Exit codes are errnos. */
const KINDS: Readonly<Record<number, DriverErrorKind>> = { 2: 'absent', 11: 'transient', 16: 'busy', 17: 'busy', 22: 'invalid', 28: 'full', 39: 'busy', 95: 'unsupported', 110: 'transient', 107: 'transient', 108: 'transient', 122: 'full' };
const WORDS: Readonly<Record<DriverErrorKind, string>> = {
  absent: 'it is not there', busy: 'it exists already or is in use', full: 'there is no room left', invalid: 'the storage refuses it',
  transient: 'the storage does not answer', unsupported: 'the storage cannot do that', broken: 'the storage reported an error',
};

export function openRbd({ runner, conf, user }: CephAccess): Rbd {
  const access = [...(conf === undefined ? [] : ['--conf', conf]), ...(user === undefined ? [] : ['--id', user])];

  async function run(call: Call, program: string, args: readonly string[], { what, fine }: Asked, more: { readonly timeoutMs?: number } = {}): Promise<string | undefined> {
    try {
      return (await runner.run(program, [...access, ...args], { signal: call.signal, maxOutputBytes: 256 << 20, ...more })).stdout;
    } catch (caught) {
      call.signal.throwIfAborted();
      const error = asDriverError(caught, what);
      if (error instanceof DriverError && fine?.includes(error.kind)) return undefined;
      throw error;
    }
  }

  const self: Rbd = {
    async fsid(call) {
      const said = await run(call, 'ceph', ['--connect-timeout', '10', 'fsid'], { what: 'The Ceph cluster cannot be used' }, { timeoutMs: 20_000 });
      // Both are used later; better now than in the middle of an upload.
      await run(call, 'rbd', ['--version'], { what: 'Ceph images cannot be used' });
      await run(call, 'rados', ['--version'], { what: 'Ceph images cannot be used' });
      return (said ?? '').trim();
    },
    rbd: (call, args, asked) => run(call, 'rbd', args, asked),
    async json<T>(call: Call, args: readonly string[], asked: Asked) {
      const said = await run(call, 'rbd', [...args, '--format', 'json'], asked);
      return said === undefined ? undefined : JSON.parse(said) as T;
    },
    async feed(call, args, input, { what }) {
      // A program that is killed holds its lock and its watch for half a minute more; one whose input ends early cleans up and goes.
      const late = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      const stop = () => { timer = setTimeout(() => late.abort(call.signal.reason), 5_000); };
      call.signal.throwIfAborted();
      call.signal.addEventListener('abort', stop, { once: true });
      try {
        // No limit of time: the call's signal ends it.
        const child = await runner.spawn('rbd', [...access, ...args], { stdin: 'pipe', onParentDeath: 'SIGKILL', signal: late.signal }).catch((error: unknown) => { throw asDriverError(error, what); });
        let broken: { readonly cause: unknown } | undefined;
        pump(input, child.stdin as Writable).catch((cause: unknown) => {
          broken = { cause };
          child.stdin?.destroy();
        });
        const { exitCode, stderr } = await child.exit;
        call.signal.throwIfAborted();
        if (broken) throw broken.cause;
        if (exitCode !== 0) throw failed(what, exitCode ?? -1, stderr);
      } finally {
        clearTimeout(timer);
        call.signal.removeEventListener('abort', stop);
      }
    },
    produce: (call, program, args, { what }) => produced(call, () => runner.spawn(program, [...access, ...args], { stdout: 'pipe', onParentDeath: 'SIGKILL', graceMs: 500 }), what),
    async object(call, pool, name, max, { what }) {
      const pieces: Buffer[] = [];
      let size = 0;
      try {
        for await (const chunk of self.produce(call, 'rados', ['--pool', pool, 'get', name, '-'], { what })) {
          pieces.push(chunk as Buffer);
          if ((size += (chunk as Buffer).length) > max) throw new DriverError('broken', `${what}: ${WORDS.broken}.`, { detail: `${name} is larger than ${max} bytes` });
        }
      } catch (error) {
        if (error instanceof DriverError && /\(2\)/.test(error.detail ?? '')) return undefined;
        throw error;
      }
      return Buffer.concat(pieces);
    },
    async pool(call, name) {
      const said = await run(call, 'ceph', ['--connect-timeout', '10', 'df', '--format', 'json'], { what: 'The image store cannot be measured' });
      const { pools } = JSON.parse(said ?? '{}') as { pools?: { name: string; stats: { stored: number; max_avail: number } }[] };
      const stats = pools?.find(p => p.name === name)?.stats;
      if (!stats) throw new DriverError('absent', 'The pool is not there.', { detail: name });
      return { total: stats.stored + stats.max_avail, free: stats.max_avail };
    },
  };
  return self;
}

function asDriverError(caught: unknown, what: string): unknown {
  if (caught instanceof ProgramMissing) return new DriverError('broken', `${what}: the programs of Ceph are not installed here (Debian: ceph-common).`, { cause: caught });
  if (caught instanceof ProgramTimedOut) return new DriverError('transient', `${what}: ${WORDS.transient}.`, { detail: caught.message, cause: caught });
  if (!(caught instanceof ProgramFailed)) return caught;
  return failed(what, caught.exitCode, caught.stderr, caught);
}
function failed(what: string, exitCode: number, stderr: string, cause?: unknown): DriverError {
  const kind = KINDS[exitCode] ?? 'broken';
  return new DriverError(kind, `${what}: ${WORDS[kind]}.`, { detail: `exit ${exitCode}: ${stderr.trim().slice(-400)}`, cause });
}

/** Writes every piece and gives it back when the program has it. A program that does not take more ends it: its exit code says why. */
async function pump(pieces: AsyncIterable<Buffer>, into: Writable): Promise<void> {
  into.on('error', () => undefined);
  for await (const piece of pieces) {
    const refused = await new Promise<unknown>(done => { into.write(piece, done); });
    if (refused) return;
    giveBack(piece);
  }
  into.end();
}

/** The output of a program that starts when it is read and is ended when nobody reads any more. */
function produced(call: Call, start: () => Promise<Child>, what: string): Readable {
  let child: Child | undefined;
  let gone = false;
  async function* output(): AsyncGenerator<Buffer, undefined> {
    child = await start().catch((error: unknown) => { throw asDriverError(error, what); });
    if (gone) { await child.stop('SIGKILL'); return undefined; }
    for await (const chunk of child.stdout ?? []) yield chunk as Buffer;
    const { exitCode, stderr } = await child.exit;
    if (exitCode !== 0 && !gone) throw failed(what, exitCode ?? -1, stderr);
    return undefined;
  }
  const chunks = output();
  return new Readable({
    highWaterMark: 1 << 20,
    signal: call.signal,
    read() { chunks.next().then(({ value, done }) => this.push(done ? null : value), (error: unknown) => this.destroy(error as Error)); },
    destroy(error, done) {
      gone = true;
      const cause = error && call.signal.aborted ? call.signal.reason as Error : error;
      // Output that nobody reads would keep it.
      child?.stdout?.destroy();
      (child?.stop('SIGKILL') ?? Promise.resolve()).then(() => done(cause), () => done(cause));
    },
  });
}
