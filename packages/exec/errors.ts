/** What every failure of a program has. Messages may name the program and its own words: for logs and `detail`, not for users. */
export abstract class ProgramError extends Error {
  readonly program: string;
  /** The end of what the program said on stderr, at most 4 KiB. */
  readonly stderr: string;
  constructor(program: string, message: string, stderr = '', cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.program = program;
    this.stderr = stderr;
  }
}

/** Not installed, or not executable. */
export class ProgramMissing extends ProgramError {
  constructor(program: string, cause?: unknown) {
    super(program, `${program} is not installed or cannot be started`, '', cause);
  }
}

/** Ended with an exit code that is not an answer. */
export class ProgramFailed extends ProgramError {
  readonly exitCode: number;
  constructor(program: string, exitCode: number, stderr: string) {
    const said = stderr.trim().split('\n').at(-1) ?? '';
    super(program, `${program} failed with exit code ${exitCode}${said ? `: ${said}` : ''}`, stderr);
    this.exitCode = exitCode;
  }
}

export class ProgramTimedOut extends ProgramError {
  readonly timeoutMs: number;
  constructor(program: string, timeoutMs: number, stderr = '') {
    super(program, `${program} did not end within ${timeoutMs} ms`, stderr);
    this.timeoutMs = timeoutMs;
  }
}

/** Ended by a signal: a limit (`SIGXCPU`, `SIGXFSZ`, `SIGKILL`), somebody's kill, or too much output. */
export class ProgramKilled extends ProgramError {
  readonly signal: NodeJS.Signals | undefined;
  readonly reason: 'signal' | 'output';
  constructor(program: string, reason: 'signal' | 'output', signal: NodeJS.Signals | undefined, stderr = '') {
    super(program, reason === 'output' ? `${program} wrote more than it may` : `${program} was ended by ${signal ?? 'a signal'}`, stderr);
    this.reason = reason;
    this.signal = signal;
  }
}
