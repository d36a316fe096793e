import { StringDecoder } from 'node:string_decoder';
import { homedir } from 'node:os';
import { Readable } from 'node:stream';
import { execa, type Options, type Result } from 'execa';
import type { ExecLog, Runner, RunOptions, RunResult } from './contract.ts';
import { ProgramFailed, ProgramKilled, ProgramMissing, ProgramTimedOut } from './errors.ts';
import { DEFAULT_PATH, findWrappers, locate, wrapped } from './launch.ts';
import { scrub, scrubArgs } from './scrub.ts';
import { killGroup, startChild } from './child.ts';

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_OUTPUT = 4 << 20;
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 2_000;
/** How long a program may take to vanish after SIGKILL before we stop waiting: one that hangs in the kernel (dead NFS) never does. */
const BURY_MS = 3_000;

export interface RunnerOptions {
  readonly log: ExecLog;
  /** Where programs are looked for; default the system's usual folders. */
  readonly path?: string;
}

export function createRunner({ log, path = DEFAULT_PATH }: RunnerOptions): Runner {
  const baseEnv = { PATH: path, HOME: homedir(), LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
  let wrappers: ReturnType<typeof findWrappers> | undefined;
  const found = () => (wrappers ??= findWrappers(path));

  async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    options.signal?.throwIfAborted();
    const [file, line] = wrapped(await locate(program, path), args, await found(), options.limits, 'SIGKILL');
    options.signal?.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const started = performance.now();
    const child = execa(file, line, execaOptions(options, timeoutMs, baseEnv));
    if (options.onStdout) observe(child.stdout, options.onStdout);

    const result = await Promise.race([child, buried(child, options.signal, timeoutMs)]);
    const durationMs = Math.round(performance.now() - started);
    const fields = { program, args: scrubArgs(args, options.secrets), durationMs };
    if (result === 'left behind') {
      log.warn({ ...fields, pid: child.pid }, 'A program does not die; it is left behind');
      options.signal?.throwIfAborted();
      throw new ProgramTimedOut(program, timeoutMs);
    }
    const stderr = text(result.stderr);
    if (result.failed && !okExit(result, options)) {
      if (child.pid !== undefined) killGroup(child.pid);
      const error = failure(program, result, options, timeoutMs, stderr);
      log.debug({ ...fields, exitCode: result.exitCode, signal: result.signal, stderr: scrub(stderr.slice(-1024), options.secrets) }, 'A program failed');
      throw error;
    }
    log.debug({ ...fields, exitCode: result.exitCode }, 'A program ran');
    return { stdout: text(result.stdout), stderr, exitCode: result.exitCode ?? 0, durationMs };
  }

  return {
    run,
    async spawn(program, args, options = {}) {
      options.signal?.throwIfAborted();
      const [file, line] = wrapped(await locate(program, path), args, await found(), options.limits, options.onParentDeath ?? 'SIGTERM');
      options.signal?.throwIfAborted();
      return startChild(program, args, file, line, options, baseEnv, log);
    },
  };
}

function execaOptions(options: RunOptions, timeoutMs: number, baseEnv: Record<string, string>) {
  const max = options.maxOutputBytes ?? DEFAULT_OUTPUT;
  return {
    reject: false, extendEnv: false, stripFinalNewline: false, killDescendants: true, cleanup: true,
    killSignal: 'SIGTERM', forceKillAfterDelay: GRACE_MS, timeout: timeoutMs, maxBuffer: max,
    env: { ...baseEnv, ...options.env },
    ...(options.signal && { cancelSignal: options.signal }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.uid !== undefined && { uid: options.uid }),
    ...(options.gid !== undefined && { gid: options.gid }),
    ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
    ...(options.output && { stdout: ['pipe', options.output], buffer: { stdout: false } }),
  } as const satisfies Options;
}

type Outcome = Result<ReturnType<typeof execaOptions>>;

function okExit(result: Outcome, options: RunOptions): boolean {
  return !result.timedOut && !result.isCanceled && !result.isMaxBuffer && result.exitCode !== undefined && (options.okExitCodes?.includes(result.exitCode) ?? false)
    && (result.cause === undefined);
}

function failure(program: string, result: Outcome, options: RunOptions, timeoutMs: number, stderr: string): unknown {
  const tail = scrub(stderr.slice(-4096), options.secrets);
  if (options.signal?.aborted) return options.signal.reason;
  if (result.timedOut) return new ProgramTimedOut(program, timeoutMs, tail);
  if (result.isMaxBuffer) return new ProgramKilled(program, 'output', undefined, tail);
  if (result.code === 'ENOENT' || result.code === 'EACCES') return new ProgramMissing(program, result.cause);
  // A stream that fed it or took its output broke: the program's SIGPIPE or complaint is only the echo.
  const broken = options.output?.errored ?? (options.input instanceof Readable ? options.input.errored : undefined);
  if (broken) return broken;
  if (result.exitCode !== undefined && result.exitCode !== 0) return new ProgramFailed(program, result.exitCode, tail);
  if (result.signal !== undefined) return new ProgramKilled(program, 'signal', result.signal, tail);
  return result.cause ?? new ProgramKilled(program, 'signal', undefined, tail);
}

/** Resolves when a program that was told to die has not done so in time; never otherwise. */
function buried(child: PromiseLike<unknown>, signal: AbortSignal | undefined, timeoutMs: number): Promise<'left behind'> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const later = (ms: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => resolve('left behind'), ms);
    };
    const aborted = () => later(GRACE_MS + BURY_MS);
    if (timeoutMs > 0) later(timeoutMs + GRACE_MS + BURY_MS);
    signal?.addEventListener('abort', aborted, { once: true });
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
    };
    child.then(done, done);
  });
}

function observe(stdout: NodeJS.ReadableStream | null, tell: (text: string) => void): void {
  const decoder = new StringDecoder('utf8');
  stdout?.on('data', (piece: Buffer | string) => tell(typeof piece === 'string' ? piece : decoder.write(piece)));
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
