import { constants } from 'node:fs';
import { access, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Runner } from '@cumulet/exec';
import { ownerLives, ownerName } from './owner.ts';
import { createContainer } from './qemu_img.ts';

/**
 * LUKS containers in raw files, as QEMU and the Linux kernel open them (version 1: the one that QEMU knows). Passphrases go to programs by files in
 * memory that are there for a moment: an argument would be everybody's to read.
 */

/** Bytes before the content, whatever the cipher: what cryptsetup leaves too. QEMU would take a little less, so that sizes would be odd. */
export const luksHeaderBytes = 2 << 20;
const SECTOR = 512;
/** Of version 1's header, which has no checksum: where the content begins, in sectors (LUKS On-Disk Format, 1.2.3, figure 1). */
const PAYLOAD_OFFSET_AT = 104;

export interface LuksCipher {
  /** QEMU's names: `aes-256`, `xts`, `plain64`. */
  readonly algorithm: string;
  readonly mode: string;
  readonly ivgen: string;
}

const keySizes: Readonly<Record<string, readonly number[]>> = { aes: [128, 192, 256], serpent: [128, 192, 256], twofish: [128, 192, 256] };

/**
 * A cipher in dm-crypt's words (`aes-xts-plain64`) with its key size in bits; absent ones are the customary ones. In XTS mode twice the cipher's own size is
 * said as often as the size itself, so 512 means 256. Undefined for what is not known.
 */
export function luksCipher(spec: string | null | undefined, keyBits: number | null | undefined): LuksCipher | undefined {
  const [name = '', mode = 'xts', ivgen = 'plain64', ...more] = (spec || 'aes-xts-plain64').toLowerCase().split('-');
  const bits = !keyBits ? 256 : keyBits === 512 && mode === 'xts' ? 256 : keyBits;
  if (more.length > 0 || !keySizes[name]?.includes(bits) || !['xts', 'cbc', 'ecb'].includes(mode) || !['plain', 'plain64', 'essiv'].includes(ivgen)) return undefined;
  return { algorithm: `${name}-${bits}`, mode, ivgen };
}

const PREFIX = 'cumulet-key-';
/** Memory where there is some to be had as files. */
const memory = async (): Promise<string> => access('/dev/shm', constants.W_OK).then(() => '/dev/shm', () => tmpdir());

/** Runs `work` with the arguments by which a program of QEMU finds the passphrase, as the secret named `key`. It is gone when `work` is over. */
export async function withSecret<T>(passphrase: string, work: (args: readonly string[]) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(await memory(), `${PREFIX}${await ownerName()}-`));
  try {
    const path = join(directory, 'k');
    await writeFile(path, passphrase, { mode: 0o600 });
    return await work(['--object', `secret,id=key,file=${path}`]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
/** Removes what processes that were killed have left. */
export async function sweepSecrets(): Promise<void> {
  const folder = await memory();
  for (const name of await readdir(folder)) {
    if (name.startsWith(PREFIX) && !await ownerLives(name.slice(PREFIX.length))) await rm(join(folder, name), { recursive: true, force: true });
  }
}
/** The image with the content, opened by that secret. */
export const luksImage = (path: string): string => `driver=luks,key-secret=key,file.driver=file,file.filename=${path.replaceAll(',', ',,')}`;

/** A new container with room for `contentBytes`. What the content reads as is not defined. A file of that name is overwritten; on failure there is none. */
export async function createLuks(runner: Runner, path: string, contentBytes: number, options: { readonly passphrase: string; readonly cipher: LuksCipher; readonly signal?: AbortSignal }): Promise<void> {
  const { algorithm, mode, ivgen } = options.cipher;
  // A passphrase that is a random key gains nothing from being stretched.
  const of = ['key-secret=key', `cipher-alg=${algorithm}`, `cipher-mode=${mode}`, `ivgen-alg=${ivgen}`, ...(ivgen === 'essiv' ? ['ivgen-hash-alg=sha256'] : []), 'hash-alg=sha256', 'iter-time=10'].join(',');
  try {
    await withSecret(options.passphrase, (secret) => createContainer(runner, path, contentBytes, { secret, options: of }, options.signal && { signal: options.signal }));
    const file = await open(path, 'r+');
    try {
      const offset = Buffer.alloc(4);
      offset.writeUInt32BE(luksHeaderBytes / SECTOR);
      await file.write(offset, 0, 4, PAYLOAD_OFFSET_AT);
      await file.truncate(luksHeaderBytes + contentBytes);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}
