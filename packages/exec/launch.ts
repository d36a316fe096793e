import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { Limits } from './contract.ts';
import { ProgramMissing } from './errors.ts';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The absolute path of a program. Looked up before the wrappers below, whose own "not found" would look like its failure. */
export async function locate(program: string, path: string): Promise<string> {
  if (program.includes('\0')) throw new ProgramMissing(program.replaceAll('\0', ''));
  const candidates = isAbsolute(program) ? [program] : program.includes('/') ? [] : path.split(':').filter(isAbsolute).map((dir) => join(dir, program));
  for (const file of candidates) {
    const runnable = await Promise.all([access(file, constants.X_OK), stat(file)]).then(([, found]) => found.isFile(), () => false);
    if (runnable) return file;
  }
  throw new ProgramMissing(program);
}

/**
 * The argument list that starts `file` with its limits (prlimit) and tied to our life (setpriv): the kernel ends it when
 * this process dies, even by SIGKILL. Both tools replace themselves by the program, so pid and exit code are its own.
 */
export function wrapped(file: string, args: readonly string[], wrappers: Wrappers, limits: Limits | undefined, onParentDeath: 'SIGKILL' | 'SIGTERM'): [string, string[]] {
  const line: string[] = [];
  // First the tie: should we die before it is made, nothing else will end the program.
  if (wrappers.setpriv) line.push(wrappers.setpriv, '--pdeathsig', onParentDeath.slice(3), '--');
  if (limits) line.push(wrappers.prlimit, ...limitFlags(limits), '--');
  line.push(file, ...args);
  const [first = file, ...rest] = line;
  return [first, rest];
}

export interface Wrappers {
  readonly prlimit: string;
  /** Not there on every system: then a program may outlive a killed worker until its own time-out. */
  readonly setpriv: string | undefined;
}

export async function findWrappers(path: string): Promise<Wrappers> {
  return {
    prlimit: await locate('prlimit', path).catch(() => 'prlimit'),
    setpriv: await locate('setpriv', path).catch(() => undefined),
  };
}

function limitFlags(limits: Limits): string[] {
  const flags: [string, number | undefined][] = [
    ['--as', limits.memoryBytes], ['--cpu', limits.cpuSeconds], ['--fsize', limits.fileSizeBytes], ['--nofile', limits.nofile],
  ];
  return flags.flatMap(([flag, value]) => (value === undefined ? [] : [`${flag}=${whole(flag, value)}`]));
}

function whole(flag: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`The limit ${flag} must be a whole number, not ${value}`);
  return value;
}
