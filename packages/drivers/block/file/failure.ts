import { isLocked, UnsafeImage } from '@cumulet/diskimage';
import { ProgramError, ProgramKilled, ProgramMissing, ProgramTimedOut } from '@cumulet/exec';
import { fromErrno } from '../../durable.ts';
import { DriverError } from '../../errors.ts';

/** Any failure below the driver as a DriverError with words for the user; the program's own words go into `detail`. */
export function asDriverError(error: unknown, what: string): unknown {
  if (error instanceof UnsafeImage) return new DriverError('invalid', `${what}: ${error.message}`, { cause: error });
  if (!(error instanceof ProgramError)) return fromErrno(error, what);
  const because = (kind: DriverError['kind'], why: string) => new DriverError(kind, `${what}: ${why}.`, { detail: `${error.message} ${error.stderr}`.trim(), cause: error });
  if (isLocked(error)) return because('busy', 'it is in use');
  if (/No space left on device|Disk quota exceeded/i.test(error.stderr)) return because('full', 'there is no room left');
  if (/No such file or directory/i.test(error.stderr)) return because('absent', 'it is not there');
  if (error instanceof ProgramMissing) return because('broken', `the program ${error.program} is not installed on the storage host`);
  if (error instanceof ProgramTimedOut) return because('transient', 'the storage does not answer');
  if (error instanceof ProgramKilled) return because('broken', 'it took more memory or time than it may');
  return because('broken', 'the storage reported an error');
}

/** Run `work`; on abort throw the signal's reason, else what `asDriverError` makes of the failure. */
export async function attempt<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw asDriverError(error, what);
  }
}
