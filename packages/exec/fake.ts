import { Readable, Writable } from 'node:stream';
import type { Child, Exit, Runner, RunOptions, SpawnOptions } from './contract.ts';
import { ProgramFailed, ProgramMissing, ProgramTimedOut } from './errors.ts';

export interface FakeCall {
  readonly program: string;
  readonly args: readonly string[];
  readonly options: RunOptions | SpawnOptions;
}

/** What a scripted program does: answer, fail (`exitCode`, or any Error), or never end until time-out or abort. */
export type FakeAnswer = { readonly stdout?: string; readonly stderr?: string; readonly exitCode?: number } | Error | 'hang';
type Script = (call: FakeCall) => FakeAnswer | undefined | Promise<FakeAnswer | undefined>;

export interface FakeRunner extends Runner {
  /** Every start, in order. */
  readonly calls: readonly FakeCall[];
  /** What `program` does from now on; `undefined` from the script means "ends well and says nothing". */
  on(program: string, script: Script): FakeRunner;
}

/** A runner that starts nothing. A program without a script is missing, so a test names all that its subject may start. */
export function fakeRunner(scripts: Readonly<Record<string, Script>> = {}): FakeRunner {
  const known = new Map(Object.entries(scripts));
  const calls: FakeCall[] = [];
  let nextPid = 100_000;

  const answer = async (call: FakeCall): Promise<FakeAnswer> => {
    call.options.signal?.throwIfAborted();
    const script = known.get(call.program);
    if (!script) throw new ProgramMissing(call.program);
    calls.push(call);
    return (await script(call)) ?? {};
  };

  const fake: FakeRunner = {
    calls,
    on(program, script) {
      known.set(program, script);
      return fake;
    },
    async run(program, args, options = {}) {
      const said = await answer({ program, args, options });
      if (said === 'hang') return hang(program, options);
      if (said instanceof Error) throw said;
      const { stdout = '', stderr = '', exitCode = 0 } = said;
      if (exitCode !== 0 && !options.okExitCodes?.includes(exitCode)) throw new ProgramFailed(program, exitCode, stderr);
      options.onStdout?.(stdout);
      options.output?.end(stdout);
      return { stdout: options.output ? '' : stdout, stderr, exitCode, durationMs: 0 };
    },
    async spawn(program, args, options = {}) {
      const said = await answer({ program, args, options });
      if (said instanceof Error) throw said;
      return fakeChild(nextPid++, said, options);
    },
  };
  return fake;
}

function hang(program: string, options: RunOptions): Promise<never> {
  return new Promise((_, reject) => {
    const { signal, timeoutMs = 60_000 } = options;
    if (signal?.aborted) return reject(signal.reason);
    const timer = timeoutMs > 0 ? setTimeout(() => reject(new ProgramTimedOut(program, timeoutMs)), timeoutMs) : undefined;
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

function fakeChild(pid: number, said: Exclude<FakeAnswer, Error>, options: SpawnOptions): Child {
  const { promise: exit, resolve } = Promise.withResolvers<Exit>();
  let running = true;
  const end = (gone: Exit) => {
    running = false;
    resolve(gone);
    return exit;
  };
  const script = said === 'hang' ? {} : said;
  for (const line of (script.stdout ?? '').split('\n').filter(Boolean)) options.onLine?.(line, 'stdout');
  for (const line of (script.stderr ?? '').split('\n').filter(Boolean)) options.onLine?.(line, 'stderr');
  options.signal?.addEventListener('abort', () => end({ exitCode: null, signal: 'SIGTERM', stderr: '' }), { once: true });
  if (said !== 'hang') queueMicrotask(() => end({ exitCode: script.exitCode ?? 0, signal: null, stderr: script.stderr ?? '' }));
  return {
    pid,
    stdin: options.stdin === 'pipe' ? new Writable({ write: (_chunk, _encoding, done) => done() }) : undefined,
    stdout: options.stdout === 'pipe' ? Readable.from([script.stdout ?? '']) : undefined,
    exit,
    get running() { return running; },
    kill(signal) { void end({ exitCode: null, signal, stderr: '' }); },
    stop(signal = 'SIGTERM') { return end({ exitCode: null, signal, stderr: '' }); },
  };
}
