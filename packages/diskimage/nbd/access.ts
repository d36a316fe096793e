import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgramFailed, ProgramTimedOut, type Child, type Runner } from '@cumulet/exec';
import { luksImage, sweepSecrets, withSecret } from '../luks.ts';
import { ownerLives, ownerName } from '../owner.ts';
import { isLocked, type ImageAt } from '../qemu_img.ts';
import { connectNbd, type NbdClient } from './client.ts';

/** Random access to the content of an image, whatever its format: for files of our own, backing chain included. */
export interface ImageAccess extends Omit<NbdClient, 'close'> {
  /** Frees everything; the image is closed when it resolves. Safe to call twice. */
  close(): Promise<void>;
}

export interface AccessOptions {
  readonly signal?: AbortSignal;
  readonly readOnly?: boolean;
  /** The file is a LUKS container, and this opens it: what is read and written is its content. One that does not fit fails as ProgramFailed with `isWrongKey`. */
  readonly passphrase?: string;
}

/** Did it fail because the passphrase opens nothing? */
export const isWrongKey = (error: unknown): boolean => error instanceof ProgramFailed && /Invalid password|not in LUKS format|Volume is not/i.test(error.stderr);

const START_MS = 15_000;
/** The folder of a socket says who it belongs to: `cumulet-nbd-<pid>-<when that process began>-…`. */
const PREFIX = 'cumulet-nbd-';

/** Serves the image by qemu-nbd on a private socket. An image that a QEMU writes to fails as ProgramFailed with `isLocked`. */
export async function openImage(runner: Runner, image: ImageAt, options: AccessOptions = {}): Promise<ImageAccess> {
  if (!isAbsolute(image.path)) throw new TypeError('A disk image is named by an absolute path');
  try {
    return await serve(runner, image, options);
  } catch (error) {
    if (!isLocked(error) || await endOrphans() === 0) throw error;
    return serve(runner, image, options);
  }
}

async function serve(runner: Runner, image: ImageAt, options: AccessOptions): Promise<ImageAccess> {
  const directory = await mkdtemp(join(tmpdir(), `${PREFIX}${await ownerName()}-`));
  const socket = join(directory, 's');
  const format = image.format === 'iso' ? 'raw' : image.format === 'vhd' ? 'vpc' : image.format;
  const flags = options.readOnly ? ['-r'] : ['--discard=unmap', '--detect-zeroes=unmap'];
  const { passphrase } = options;
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
  const start = async (opened: readonly string[]): Promise<NbdClient> => {
    child = await runner.spawn('qemu-nbd', ['-k', socket, '--cache=writeback', ...opened], {
      // A SIGTERM that comes while it opens the image is lost, and it would hold the image's lock for ever.
      onParentDeath: 'SIGKILL', graceMs: 1_000,
      onLine() {}, env: { MALLOC_ARENA_MAX: '2' }, limits: { memoryBytes: 1536 << 20 }, ...(options.signal && { signal: options.signal }),
    });
    return connectWhenUp(child, socket);
  };
  try {
    // Zeros and holes of the content are neither in what is encrypted: the flags for them have no meaning there.
    client = passphrase === undefined ? await start(['-f', format, ...flags, image.path]) : await withSecret(passphrase, (secret) => start([...secret, '--image-opts', ...(options.readOnly ? ['-r'] : []), luksImage(image.path)]));
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

/**
 * A process that is killed in the very moment when it starts a server leaves it behind, with a lock on its image. Such a server has
 * never had a client and ends with its first. Returns how many were ended. Called when an image is locked; call it at start.
 */
export async function endOrphans(): Promise<number> {
  let ended = 0;
  await sweepSecrets();
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX) || await ownerLives(name.slice(PREFIX.length))) continue;
    const directory = join(tmpdir(), name);
    const client = await connectNbd(join(directory, 's')).catch(() => undefined);
    client?.close();
    if (client) ended += 1;
    await rm(directory, { recursive: true, force: true });
  }
  // It lets go of the lock a moment after the goodbye.
  if (ended > 0) await sleep(200);
  return ended;
}
