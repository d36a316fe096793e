import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../../errors.ts';

/*
 * Helper processes put themselves in the background and write their pid to a file, so they live on when the worker is
 * restarted. A pid in a file proves nothing by itself (the number may have been given to another program): the process must
 * also have been started with the configuration file that is ours.
 */

const missing = (error: unknown) => error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');

export async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (missing(error)) return undefined;
    throw error;
  });
}

/** Write only what differs, so that the caller knows whether a daemon has to read it again. */
export async function writeIfNew(path: string, text: string, mode = 0o644): Promise<boolean> {
  if (await readIfThere(path) === text) return false;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, text, { mode });
  return true;
}

/** @param mark an argument that only our process has */
export async function pidOf(pidFile: string, mark: string): Promise<number | undefined> {
  const pid = Number((await readIfThere(pidFile))?.trim());
  if (!Number.isInteger(pid) || pid < 2) return undefined;
  const line = await readIfThere(`/proc/${pid}/cmdline`);
  return line?.split('\0').includes(mark) ? pid : undefined;
}

/** Ends the process if it is ours and waits until it is gone: SIGTERM, and SIGKILL after two seconds. */
export async function endDaemon(pidFile: string, mark: string): Promise<void> {
  const started = performance.now();
  for (let tries = 0; ; tries++) {
    const pid = await pidOf(pidFile, mark);
    if (pid === undefined) break;
    const waited = performance.now() - started;
    if (waited > 5_000) throw new DriverError('busy', 'A network service on the host does not end.', { detail: `pid ${pid} of ${pidFile}` });
    try {
      if (tries === 0) process.kill(pid, 'SIGTERM');
      else if (waited > 2_000) process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!missing(error)) throw error;
    }
    await sleep(5);
  }
  await rm(pidFile, { force: true });
}
