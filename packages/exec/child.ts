import { createInterface } from 'node:readline';
import { execa } from 'execa';
import type { Child, ExecLog, Exit, SpawnOptions } from './contract.ts';
import { ProgramMissing } from './errors.ts';
import { scrub, scrubArgs } from './scrub.ts';

const GRACE_MS = 5_000;
const STDERR_TAIL = 4096;

/** A program that stays, already located and wrapped. */
export async function startChild(
  program: string, args: readonly string[], file: string, line: readonly string[], options: SpawnOptions, baseEnv: Record<string, string>, log: ExecLog,
): Promise<Child> {
  const fields = { program, args: scrubArgs(args, options.secrets) };
  const child = execa(file, line, {
    reject: false, extendEnv: false, buffer: false, killDescendants: true, cleanup: true,
    killSignal: 'SIGTERM', forceKillAfterDelay: options.graceMs ?? GRACE_MS,
    env: { ...baseEnv, ...options.env },
    stdin: options.stdin === 'pipe' ? 'pipe' : 'ignore', stdout: 'pipe', stderr: 'pipe',
    ...(options.signal && { cancelSignal: options.signal }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.uid !== undefined && { uid: options.uid }),
    ...(options.gid !== undefined && { gid: options.gid }),
  });

  let running = true;
  let stderr = '';
  const tell = options.onLine ?? ((said, stream) => log.debug({ program, pid: child.pid, stream, line: scrub(said, options.secrets) }, 'A program said'));
  const listen = (stream: NodeJS.ReadableStream | null, name: 'stdout' | 'stderr') => {
    if (!stream) return;
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (said) => {
      if (name === 'stderr') stderr = `${stderr}${said}\n`.slice(-STDERR_TAIL);
      tell(said, name);
    });
  };
  listen(child.stderr, 'stderr');
  if (options.stdout !== 'pipe') listen(child.stdout, 'stdout');

  // What it started may hold its pipes open, for which the result waits: the group goes as soon as the program itself has.
  child.nodeChildProcess.once('exit', () => { if (child.pid !== undefined) killGroup(child.pid); });
  const exit: Promise<Exit> = (async () => {
    const result = await child;
    running = false;
    const gone: Exit = { exitCode: result.exitCode ?? null, signal: result.signal ?? null, stderr };
    log.debug({ ...fields, pid: child.pid, exitCode: gone.exitCode, signal: gone.signal }, 'A program ended');
    return gone;
  })();
  if (child.pid === undefined) {
    await exit;
    throw new ProgramMissing(program);
  }
  log.debug({ ...fields, pid: child.pid }, 'A program started');
  return {
    pid: child.pid,
    stdin: options.stdin === 'pipe' ? child.stdin ?? undefined : undefined,
    stdout: options.stdout === 'pipe' ? child.stdout ?? undefined : undefined,
    exit,
    get running() { return running; },
    kill(signal) { if (running) child.kill(signal); },
    stop(signal = 'SIGTERM') {
      if (running) {
        child.kill(signal);
        // execa escalates only for its own kill signal; a gentler one (SIGINT) gets the same end.
        if (signal !== 'SIGTERM' && signal !== 'SIGKILL') {
          const timer = setTimeout(() => child.kill('SIGKILL'), options.graceMs ?? GRACE_MS);
          void exit.then(() => clearTimeout(timer));
        }
      }
      return exit;
    },
  };
}

/** Its own children that stayed in its group. ESRCH is the good case: nothing was left. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
