import { open, rename, stat, truncate, type FileHandle } from 'node:fs/promises';
import { exists } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { consoleCapBytes, lastLines } from '../console-lines.ts';
import type { Consoles } from '../contract.ts';
import type { Context } from './context.ts';

export function createConsoles(context: Context): Consoles {
  return {
    async log(_call, id, { lines, maxBytes = consoleCapBytes } = {}) {
      await context.require(id);
      const path = context.consoleLog(id);
      const limit = Math.min(maxBytes, consoleCapBytes);
      const newest = await tail(path, limit);
      // the older half, kept when the log was last cut
      const older = newest.length < limit ? await tail(`${path}.0`, limit - newest.length) : Buffer.alloc(0);
      const text = Buffer.concat([older, newest]).toString('utf8');
      return lines === undefined ? text : lastLines(text, lines);
    },
    async vnc(_call, id) {
      const domain = await context.require(id);
      const screen = (await context.xml(domain)).at('devices', 'graphics');
      const port = Number(screen.attribute('port') ?? -1);
      if (screen.attribute('type') !== 'vnc' || port <= 0) throw new DriverError('absent', 'The server has no screen at the moment.');
      const websocketPort = Number(screen.attribute('websocket') ?? -1);
      return { host: screen.attribute('listen') ?? '127.0.0.1', port, ...(websocketPort > 0 && { websocketPort }) };
    },
    async serial(_call, id) {
      await context.require(id);
      const unixPath = context.serialSocket(id);
      if (unixPath === undefined) throw new DriverError('unsupported', 'The serial console cannot be reached on this host.', { detail: 'the folder of the servers is too long for a unix socket' });
      if (!(await exists(unixPath))) throw new DriverError('absent', 'The server does not run.');
      return { unixPath };
    },
  };
}

async function tail(path: string, maxBytes: number): Promise<Buffer> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, maxBytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * A guest may write to its console without end; QEMU appends, so the file can be cut under it: the newest part moves to `console.log.0`.
 * What is written between the copy and the cut is lost.
 */
export async function trimConsoleLog(path: string, maxBytes: number): Promise<boolean> {
  const size = await stat(path).then((s) => s.size, () => 0);
  if (size <= maxBytes) return false;
  const kept = await tail(path, Math.floor(maxBytes / 2));
  const copy = await open(`${path}.0.part`, 'w', 0o600);
  try {
    await copy.writeFile(kept);
  } finally {
    await copy.close();
  }
  await rename(`${path}.0.part`, `${path}.0`);
  await truncate(path, 0);
  return true;
}
