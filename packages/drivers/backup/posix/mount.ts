import { mkdir, readFile } from 'node:fs/promises';
import { ProgramFailed, ProgramMissing, ProgramTimedOut, type Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';

export interface ShareMount {
  readonly share: string;
  readonly mountPoint: string;
  readonly options?: string;
  readonly runner: Runner;
  /** For tests: default the kernel's list. */
  readonly mounts?: () => Promise<string>;
}

const TIMEOUT_MS = 60_000;

/**
 * Makes sure, before each use, that the share is mounted at its place: without that a backup would be written below the mount point, to be
 * hidden by the next mount.
 */
export function shareMount({ share, mountPoint, options, runner, mounts = () => readFile('/proc/self/mountinfo', 'utf8') }: ShareMount): (call: Call) => Promise<void> {
  if (!/^(\[[0-9a-fA-F:.]+\]|\w[\w.-]*):\/[^\0]*$/.test(share)) throw new DriverError('invalid', 'The share of the backup target is not HOST:PATH.', { detail: share });
  let pending: Promise<void> | undefined;

  /** What is mounted there, the newest last. */
  async function there(): Promise<string | undefined> {
    const found = (await mounts()).split('\n').flatMap((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const [, source = ''] = right.split(' ');
      return plain(left.split(' ')[4] ?? '') === mountPoint ? [plain(source)] : [];
    });
    return found.at(-1);
  }
  async function mount(): Promise<void> {
    const now = await there();
    if (now === share) return;
    if (now !== undefined) throw new DriverError('broken', 'Another share is mounted where the backups belong.', { detail: `${now} at ${mountPoint}` });
    await mkdir(mountPoint, { recursive: true, mode: 0o770 });
    const how = options === undefined || options === '' ? [] : ['-o', options];
    try {
      await runner.run('mount', ['-t', 'nfs', ...how, share, mountPoint], { timeoutMs: TIMEOUT_MS });
    } catch (error) {
      // Another process of this host was faster.
      if (await there() === share) return;
      const passing = error instanceof ProgramTimedOut || error instanceof ProgramFailed && /timed out|refused|no route|busy/i.test(error.stderr);
      if (error instanceof ProgramMissing) throw new DriverError('broken', 'The share of the backup target cannot be mounted: there is no mount program.', { cause: error });
      throw new DriverError(passing ? 'transient' : 'broken', 'The share of the backup target cannot be mounted.', { detail: error instanceof ProgramFailed ? error.stderr.slice(-500) : String(error), cause: error });
    }
    if (await there() !== share) throw new DriverError('broken', 'The share of the backup target is not where it was mounted.', { detail: mountPoint });
  }

  return async (call) => {
    call.signal.throwIfAborted();
    // One for all who ask at the same time.
    pending ??= mount().finally(() => { pending = undefined; });
    await pending;
  };
}

/** mountinfo writes blanks, tabs, newlines and backslashes in octal. */
const plain = (text: string): string => text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
