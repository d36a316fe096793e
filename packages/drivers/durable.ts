import { link, open, opendir, rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DriverError, type DriverErrorKind } from './errors.ts';

/** Objects that are files: complete under their name and on stable storage, or not there. */

const KINDS: Readonly<Record<string, DriverErrorKind>> = {
  ENOENT: 'absent', EEXIST: 'busy', EBUSY: 'busy', ETXTBSY: 'busy', ENOSPC: 'full', EDQUOT: 'full', EFBIG: 'full',
  ESTALE: 'transient', ETIMEDOUT: 'transient', EAGAIN: 'transient', EINTR: 'transient', EMFILE: 'transient', ENFILE: 'transient',
  ENOTSUP: 'unsupported', EOPNOTSUPP: 'unsupported', ENAMETOOLONG: 'invalid', ELOOP: 'invalid',
};

/** For users, who know nothing of system calls. */
const WORDS: Readonly<Record<DriverErrorKind, string>> = {
  absent: 'it is not there', busy: 'it exists already or is in use', full: 'there is no room left', invalid: 'its name is not valid',
  transient: 'the storage does not answer', unsupported: 'the storage cannot do that', broken: 'the storage reported an error',
};

/** A failed system call as a DriverError: `what` is for the user, path and call only for the log. Other errors pass through. */
export function fromErrno(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string' || !('syscall' in error)) return error;
  const kind = KINDS[error.code] ?? 'broken';
  return new DriverError(kind, `${what}: ${WORDS[kind]}.`, { detail: error.message, cause: error });
}

/** Run `work`; a system call's failure becomes a DriverError, an abort the signal's reason. */
export async function guarded<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw fromErrno(error, what);
  }
}

/** Names are given by our services, but they become paths. */
export function checkName(name: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$/.test(name)) throw new DriverError('invalid', 'The name of the object is not valid.', { detail: JSON.stringify(name.slice(0, 80)) });
  return name;
}

export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Make renames and unlinks in it survive a power cut. */
export const syncDirectory = (path: string): Promise<void> => syncFile(path);

/** The finished file gets its name and loses the temporary one. Taken by another file is EEXIST, and `temporary` stays. */
export async function publish(temporary: string, path: string): Promise<void> {
  await link(temporary, path).catch(async (error: NodeJS.ErrnoException) => {
    // Killed between link and unlink the last time: both names are the same file.
    if (error.code !== 'EEXIST' || (await stat(path)).ino !== (await stat(temporary)).ino) throw error;
  });
  await unlink(temporary);
  await syncDirectory(dirname(path));
}

/** The same for a file that may replace the older one. */
export async function replace(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Gone already is success. Returns whether there was anything. */
export async function remove(path: string): Promise<boolean> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await syncDirectory(dirname(path));
  return true;
}

export const exists = (path: string): Promise<boolean> => stat(path).then(() => true, (error: NodeJS.ErrnoException) => {
  if (error.code === 'ENOENT') return false;
  throw error;
});

/** Work in progress: in `.tmp` of the same file system, named after its object so that the object's deletion finds it. */
export const temporary = (root: string, name: string): string => join(root, '.tmp', `${name}~${crypto.randomUUID()}`);

/** What a killed process left under the object's name. */
export async function removeTemporaries(root: string, name: string): Promise<void> {
  for await (const entry of await opendir(join(root, '.tmp'))) if (entry.name.startsWith(`${name}~`)) await rm(join(root, '.tmp', entry.name), { force: true });
}

const STALE_MS = 24 * 3600_000;

/** Work in progress that nobody has written to for a day. `now` in ms. */
export async function sweepTemporaries(root: string, now: number): Promise<string[]> {
  const swept: string[] = [];
  for await (const entry of await opendir(join(root, '.tmp'))) {
    const path = join(root, '.tmp', entry.name);
    const found = await stat(path).catch(() => undefined);
    if (!found || now - Math.max(found.mtimeMs, found.ctimeMs) < STALE_MS) continue;
    await rm(path, { force: true });
    swept.push(basename(path));
  }
  return swept;
}
