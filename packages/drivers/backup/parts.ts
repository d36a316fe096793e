import { createHash } from 'node:crypto';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import { partName } from './layout.ts';
import { entryJson, readPartHead, type ObjectEntry, type PartHead, type PartRef } from './shapes.ts';
import { readAtMost } from './bytes.ts';
import type { ObjectStore } from './store.ts';

/** Bytes of a SHA-256. */
export const DIGEST = 32;
/** A part's head says what its objects are; its body is hashes. Both fit in this. */
const LARGEST = 16 << 20;

const long = new Map<string, Buffer>();
/** One hash many times, not to be changed: a hole of a large volume needs it by the thousand, and it is always the same one. */
export function repeated(digest: Buffer, count: number): Buffer {
  const key = digest.toString('latin1');
  let held = long.get(key);
  if (!held || held.length < count * DIGEST) long.set(key, held = Buffer.alloc(Math.max(count, 16_384) * DIGEST, digest));
  return held.subarray(0, count * DIGEST);
}

/** Blocks of zeros and hashed ones by turns, as a part keeps them: what is zeros takes no room. */
export interface Hashes {
  readonly runs: readonly number[];
  /** Of the hashed blocks, in order. */
  readonly digests: Buffer;
}

/** Hashes of all blocks, `DIGEST` bytes each, as runs. */
export function packHashes(all: Buffer, zero: Buffer): Hashes {
  const runs: number[] = [];
  const kept: Buffer[] = [];
  for (let at = 0, zeros = true; at < all.length; zeros = !zeros) {
    let end = at;
    while (end < all.length && (all.compare(zero, 0, DIGEST, end, end + DIGEST) === 0) === zeros) end += DIGEST;
    runs.push((end - at) / DIGEST);
    if (!zeros) kept.push(all.subarray(at, end));
    at = end;
  }
  return { runs, digests: Buffer.concat(kept) };
}

/** Grows while a backup goes on. */
export class PartDraft {
  readonly from: number;
  to: number;
  readonly objects: ObjectEntry[] = [];
  /** Hashed bytes and objects so far, for deciding when it is enough. */
  weight = 0;
  readonly #runs: number[] = [];
  readonly #digests: Buffer[] = [];
  constructor(from: number) { this.from = this.to = from; }

  add(length: number, hashes: Hashes, objects: readonly ObjectEntry[]): void {
    hashes.runs.forEach((count, n) => {
      if (count === 0) return;
      const zeros = n % 2 === 0;
      const same = this.#runs.length > 0 && (this.#runs.length % 2 === 1) === zeros;
      if (same) this.#runs[this.#runs.length - 1] = (this.#runs.at(-1) ?? 0) + count;
      else if (this.#runs.length === 0 && !zeros) this.#runs.push(0, count);
      else this.#runs.push(count);
    });
    this.#digests.push(hashes.digests);
    this.objects.push(...objects);
    this.weight += hashes.digests.length + objects.length * 512;
    this.to += length;
  }

  encode(of: { readonly backupId: string; readonly moment: string; readonly block: number }): Buffer {
    const head = { cumulet: 1, backup_id: of.backupId, moment: of.moment, block: of.block, from: this.from, to: this.to, runs: this.#runs };
    const text = `${JSON.stringify(head).slice(0, -1)},"objects":[${this.objects.map(entryJson).join(',')}]}\n`;
    return Buffer.concat([Buffer.from(text), ...this.#digests]);
  }
}

export interface Part extends PartHead {
  readonly ref: PartRef;
  readonly digests: Buffer;
}

/** Reads one part. With `expected`, its SHA-256 must be that. */
export async function readPart(call: Call, store: ObjectStore, container: string, name: string, expected?: string): Promise<Part> {
  const bytes = await readAtMost(call, store, container, name, LARGEST);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const end = bytes.indexOf(10);
  const broken = (detail: string) => new DriverError('invalid', `The object ${name} is damaged.`, { detail });
  if (expected !== undefined && sha256 !== expected) throw broken('its hash is another');
  if (end < 0) throw broken('no head');
  const head = readPartHead(bytes.toString('utf8', 0, end), name);
  const digests = bytes.subarray(end + 1);
  const blocks = head.runs.reduce((sum, count) => sum + count, 0);
  const hashed = head.runs.reduce((sum, count, n) => (n % 2 === 1 ? sum + count : sum), 0);
  if (head.to < head.from || blocks !== Math.ceil((head.to - head.from) / head.block) || hashed * DIGEST !== digests.length) throw broken('its numbers do not fit');
  return { ...head, digests, ref: { name, sha256, from: head.from, to: head.to } };
}

/** What an interrupted backup of the same moment has got, from the volume's beginning on and without gaps. */
export async function partsSoFar(
  call: Call, store: ObjectStore, of: { readonly container: string; readonly prefix: string; readonly backupId: string; readonly moment: string; readonly block: number },
): Promise<Pick<Part, 'ref' | 'objects'>[]> {
  const found: Pick<Part, 'ref' | 'objects'>[] = [];
  for (let at = 0; ;) {
    const name = partName(of.prefix, found.length + 1);
    const next = await readPart(call, store, of.container, name).catch((error: unknown) => {
      if (error instanceof DriverError && (error.kind === 'absent' || error.kind === 'invalid')) return undefined;
      throw error;
    });
    if (!next || next.from !== at || next.to <= at || next.moment !== of.moment || next.block !== of.block || next.backup_id !== of.backupId) return found;
    found.push({ ref: next.ref, objects: next.objects });
    at = next.to;
  }
}
