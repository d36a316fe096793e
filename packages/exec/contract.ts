import type { Readable, Writable } from 'node:stream';

/**
 * How programs are started. A program is a name found on PATH or an absolute path; arguments are an array and reach the
 * program as they are: there is no shell anywhere. Drivers take a `Runner`, tests give them a `fakeRunner()`.
 */
export interface Runner {
  /**
   * Run to the end. Resolves when the program exits with 0 or a code in `okExitCodes`.
   * Throws ProgramMissing, ProgramFailed, ProgramTimedOut or ProgramKilled; on abort, `signal.reason`. When it
   * throws, the whole process group is gone (unless the kernel itself cannot end it: that is logged). When this
   * process dies, by whatever signal, so does the program.
   */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Start something that stays (a supervised daemon, a tool that is fed through pipes). Throws ProgramMissing at once. */
  spawn(program: string, args: readonly string[], options?: SpawnOptions): Promise<Child>;
}

export interface Limits {
  /** Address space of each process in bytes (RLIMIT_AS). */
  readonly memoryBytes?: number;
  /** CPU time of each process in seconds; the kernel kills what passes it. */
  readonly cpuSeconds?: number;
  /** Size of the largest file that may be written, in bytes. */
  readonly fileSizeBytes?: number;
  /** Open files. */
  readonly nofile?: number;
}

interface CommonOptions {
  readonly signal?: AbortSignal;
  /** Added to the runner's minimal environment (PATH, HOME, LANG and LC_ALL = C.UTF-8); nothing else is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly limits?: Limits;
  /** Strings that must never be logged, wherever they appear in arguments or output. */
  readonly secrets?: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
}

export interface RunOptions extends CommonOptions {
  /** Default 60,000 ms. 0 = no limit (say why where you use it). */
  readonly timeoutMs?: number;
  /** Of stdout and of stderr each; default 4 MiB. More kills the program (ProgramKilled, reason `output`). */
  readonly maxOutputBytes?: number;
  /** Given to stdin and then closed. Without it stdin is empty. */
  readonly input?: string | Uint8Array | Readable;
  /** stdout goes here instead of into `result.stdout` (then ''), with back-pressure; ended when the program ends. */
  readonly output?: Writable;
  /** Called for each piece of stdout as it comes, e.g. to parse progress. */
  readonly onStdout?: (text: string) => void;
  /** Exit codes beside 0 that are answers and not failures. */
  readonly okExitCodes?: readonly number[];
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
  readonly durationMs: number;
}

export interface SpawnOptions extends CommonOptions {
  /** `pipe` gives `child.stdin` / `child.stdout`; the default `lines` logs stdout by line, stdin is empty. */
  readonly stdin?: 'pipe' | 'none';
  readonly stdout?: 'pipe' | 'lines';
  /** Each line of stdout (unless piped) and stderr, already without its newline. Default: debug log. */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
  /** What the program gets when this process dies; default `SIGTERM`, so that a database can still close its files. */
  readonly onParentDeath?: 'SIGTERM' | 'SIGKILL';
  /** On abort or `stop()`: SIGTERM, then SIGKILL after this long. Default 5,000 ms. */
  readonly graceMs?: number;
}

export interface Child {
  readonly pid: number;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  /** Resolves when the program is gone, never rejects. */
  readonly exit: Promise<Exit>;
  readonly running: boolean;
  /** End the process group and wait for it. Safe to call twice. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

export interface Exit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last 4 KiB of stderr. */
  readonly stderr: string;
}

/** The part of pino that this package uses. */
export interface ExecLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
