import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const keyBytes = 32;

/**
 * Encrypts what the database must not show: credentials, token keys. AES-256-GCM; `context` (table and id) is bound in, so that a sealed value
 * copied to another row does not open. Layout: version 1, 4 bytes of key id, 12 of nonce, 16 of tag, the rest.
 */
export class Sealer {
  readonly #keys: ReadonlyMap<string, Uint8Array>;
  readonly #primary: string;

  /** The first key seals; the others only open, until everything has been sealed anew. */
  constructor(keys: readonly Uint8Array[]) {
    if (keys.length === 0 || keys.some(k => k.length !== keyBytes)) throw new RangeError('sealing needs keys of 32 bytes');
    this.#keys = new Map(keys.map(k => [idOf(k), k]));
    this.#primary = idOf(keys[0] as Uint8Array);
  }

  /** Reads `secret.key` of the state folder (one base64 key a line, the first seals); makes it at the first start. */
  static async fromFolder(home: string): Promise<Sealer> {
    const path = join(home, 'secret.key');
    await mkdir(home, { recursive: true });
    const text = await readFile(path, 'utf8').catch((error: unknown) => { if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; });
    if (text !== undefined) return Sealer.fromText(text);
    // Several processes may start at once: the file appears whole, for the first of them, and all read the same.
    const draft = join(home, `secret.key.${randomBytes(8).toString('hex')}`);
    try {
      await writeFile(draft, `${randomBytes(keyBytes).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
      await link(draft, path).catch((error: unknown) => { if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; });
    } finally { await rm(draft, { force: true }); }
    return Sealer.fromText(await readFile(path, 'utf8'));
  }
  static fromText(text: string): Sealer {
    return new Sealer(text.split(/\s+/).filter(line => line !== '').map(line => Buffer.from(line, 'base64')));
  }

  seal(plain: Uint8Array, context: string): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(this.#primary) as Uint8Array, nonce).setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([Buffer.from([1]), Buffer.from(this.#primary, 'hex'), nonce, cipher.getAuthTag(), sealed]);
  }

  open(sealed: Uint8Array, context: string): Buffer {
    const bytes = Buffer.from(sealed);
    const key = this.#keys.get(bytes.toString('hex', 1, 5));
    if (bytes[0] !== 1 || !key) throw new Error(`${context} was sealed with a key that is not in secret.key`);
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(5, 17)).setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(17, 33));
    return Buffer.concat([decipher.update(bytes.subarray(33)), decipher.final()]);
  }
}

const idOf = (key: Uint8Array): string => createHash('sha256').update(key).digest('hex').slice(0, 8);
