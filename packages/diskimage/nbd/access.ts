import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgramFailed, ProgramTimedOut, type Child, type Runner } from '@cumulet/exec';
import type { ImageAt } from '../qemu_img.ts';
import { connectNbd, type NbdClient } from './client.ts';

/** Random access to the content of an image, whatever its format: for files of our own, backing chain included. */
export interface ImageAccess extends Omit<NbdClient, 'close'> {
  /** Frees everything; the image is closed when it resolves. Safe to call twice. */
  close(): Promise<void>;
}

export interface AccessOptions {
  readonly signal?: AbortSignal;
  readonly readOnly?: boolean;
}

const START_MS = 15_000;

/** Serves the image by qemu-nbd on a private socket. An image that a QEMU writes to fails as ProgramFailed with `isLocked`. */
export async function openImage(runner: Runner, image: ImageAt, options: AccessOptions = {}): Promise<ImageAccess> {
  if (!isAbsolute(image.path)) throw new TypeError('A disk image is named by an absolute path');
  const directory = await mkdtemp(join(tmpdir(), 'cumulet-nbd-'));
  const socket = join(directory, 's');
  const format = image.format === 'iso' ? 'raw' : image.format === 'vhd' ? 'vpc' : image.format;
  const flags = options.readOnly ? ['-r'] : ['--discard=unmap', '--detect-zeroes=unmap'];
  let child: Child | undefined;
  let closed: Promise<void> | undefined;
  let client: NbdClient | undefined;
  const close = () => (closed ??= (async () => {
    client?.close();
    if (child) {
      // It ends with its last connection, everything flushed; one that does not is ended.
      await Promise.race([child.exit, sleep(2_000, undefined, { ref: false })]);
      await child.stop();
    }
    await rm(directory, { recursive: true, force: true });
  })());
  try {
    child = await runner.spawn('qemu-nbd', ['-f', format, '-k', socket, '--cache=writeback', ...flags, image.path], {
      onLine() {}, env: { MALLOC_ARENA_MAX: '2' }, limits: { memoryBytes: 1536 << 20 }, ...(options.signal && { signal: options.signal }),
    });
    client = await connectWhenUp(child, socket);
  } catch (error) {
    await close();
    throw options.signal?.aborted ? options.signal.reason : error;
  }
  const { size, read, write, zero, flush } = client;
  return { size, read, write, zero, flush, close };
}

async function connectWhenUp(child: Child, socket: string): Promise<NbdClient> {
  for (let waited = 0; waited < START_MS; waited += 5) {
    // It listens before it opens the image, so a connection that breaks only says: not yet, or never.
    const client = await connectNbd(socket).catch(() => undefined);
    if (client) return client;
    await Promise.race([child.exit, sleep(5)]);
    if (!child.running) {
      const { exitCode, stderr } = await child.exit;
      throw new ProgramFailed('qemu-nbd', exitCode ?? -1, stderr);
    }
  }
  throw new ProgramTimedOut('qemu-nbd', START_MS);
}
