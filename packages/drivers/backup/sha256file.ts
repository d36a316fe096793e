import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import { DIGEST } from './parts.ts';
import type { ObjectStore } from './store.ts';

/** Longest string that is not a hash: a description. */
const LONGEST = 100_000;
/** Hashes that are given at once. */
const BATCH = 4096;

export interface Sha256File {
  /** Upstream's `chunk_size`. */
  readonly block: number;
  /** Each block's hash, in order, many at a time. */
  readonly digests: AsyncGenerator<Buffer>;
  close(): Promise<void>;
}

/**
 * Upstream's list of hashes: a JSON object with one long array, 70 bytes for each 32 KiB of the volume, so gigabytes for a large one. It is
 * read as it comes. Its keys are sorted, so the grain stands before the hashes.
 */
export async function openSha256File(call: Call, store: ObjectStore, container: string, name: string): Promise<Sha256File> {
  const { body } = await store.get(call, container, name);
  const damaged = (detail: string) => new DriverError('invalid', `The object ${name} is damaged.`, { detail });
  const tokens = tokensOf(body as AsyncIterable<Buffer>, damaged);
  const next = async () => {
    call.signal.throwIfAborted();
    const { value, done } = await tokens.next();
    if (done) throw damaged('it ends too early');
    return value;
  };
  const expect = async (wanted: string) => {
    const token = await next();
    if (token !== wanted) throw damaged(`${wanted} is missing`);
  };
  const close = async () => {
    await tokens.return(undefined);
    body.destroy();
  };

  async function* hashes(): AsyncGenerator<Buffer> {
    let batch = Buffer.allocUnsafe(BATCH * DIGEST);
    let filled = 0;
    for (let token = await next(); token !== ']';) {
      if (token.length !== 66 || batch.write(token.slice(1, -1), filled, 'hex') !== DIGEST) throw damaged('something in it is no hash');
      filled += DIGEST;
      if (filled === batch.length) {
        yield batch;
        batch = Buffer.allocUnsafe(BATCH * DIGEST);
        filled = 0;
      }
      token = await next();
      if (token === ',') token = await next();
      else if (token !== ']') throw damaged('its list is torn');
    }
    if (filled > 0) yield batch.subarray(0, filled);
  }

  try {
    let block = 0;
    await expect('{');
    for (;;) {
      const key = await next();
      await expect(':');
      if (key === '"sha256s"') {
        await expect('[');
        if (!Number.isSafeInteger(block) || block < 512 || block > 2 ** 30) throw damaged('it does not tell its grain');
        return { block, digests: hashes(), close };
      }
      const value = await next();
      if (key === '"chunk_size"') block = Number(value);
      if (/^[[{\]},:]$/.test(value)) throw damaged('it has something else in it');
      await expect(',');
    }
  } catch (error) {
    await close();
    throw error;
  }
}

/** JSON's tokens as they stand: punctuation, strings with their quotes and escapes, and words and numbers. */
async function* tokensOf(body: AsyncIterable<Buffer>, damaged: (detail: string) => DriverError): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of body) {
    // Hashes and punctuation are ASCII; what a name says does not matter here, so a character that was cut in two does not either.
    const text = rest + piece.toString('latin1');
    let at = 0;
    token.lastIndex = 0;
    for (let found = token.exec(text); found; found = token.exec(text)) {
      // A word that ends with the piece may go on in the next one.
      if (token.lastIndex === text.length && found[2] !== undefined) break;
      at = token.lastIndex;
      const got = found[1] ?? found[2];
      if (got !== undefined) yield got;
    }
    rest = text.slice(at);
    if (rest.length > LONGEST) throw damaged('something in it is too long');
  }
  rest = rest.trim();
  if (rest !== '') throw damaged('it ends too early');
}
/** 1: complete whatever follows; 2: complete only when something follows. Sticky, so that nothing is passed over. */
const token = /[ \t\r\n]+|([{}[\],:]|"(?:[^"\\]|\\.)*")|([-+.\w]+)/gy;
