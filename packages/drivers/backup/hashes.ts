import { createHash } from 'node:crypto';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { BackupRef } from './contract.ts';
import { readMetadataOf } from './metadata.ts';
import { sha256Name } from './layout.ts';
import { DIGEST, readPart, repeated } from './parts.ts';
import { openSha256File } from './sha256file.ts';
import type { PartRef } from './shapes.ts';
import type { ObjectStore } from './store.ts';

/** A backup's hashes in the order of its blocks, with little of them in memory. */
export interface ParentHashes {
  /** The next `blocks`, DIGEST bytes each. */
  take(blocks: number): Promise<Buffer>;
  skip(blocks: number): Promise<void>;
  close(): Promise<void>;
}

/** The hashes that an incremental backup compares with, after upstream's checks. `metadata`: the hash of the parent's metadata object. */
export async function openParent(
  call: Call, store: ObjectStore, parent: BackupRef, child: { readonly bytes: number; readonly block: number },
): Promise<{ readonly hashes: ParentHashes; readonly metadata: string }> {
  const { metadata, sha256 } = await readMetadataOf(call, store, parent);
  const { cumulet } = metadata;
  if (cumulet && cumulet.parts.length > 0 && await firstPartIsThere(call, store, parent, cumulet.parts)) {
    sameGrain(child.block, cumulet.block);
    if (child.bytes > cumulet.bytes) throw grown();
    return { hashes: fromParts(call, store, parent.container, cumulet.parts, cumulet.block), metadata: sha256 };
  }
  const file = await openSha256File(call, store, parent.container, sha256Name(parent.serviceMetadata));
  try {
    sameGrain(child.block, file.block);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { hashes: buffered(file.digests, () => file.close()), metadata: sha256 };
}

async function firstPartIsThere(call: Call, store: ObjectStore, { container }: BackupRef, [first]: readonly PartRef[]): Promise<boolean> {
  for await (const { name } of store.list(call, container, first?.name ?? '')) if (name === first?.name) return true;
  return false;
}

// Upstream's words, since they end in a backup's fail_reason.
const grown = () => new DriverError('invalid', 'Volume size increased since the last backup. Do a full backup.');
function sameGrain(now: number, then: number): void {
  if (now !== then) throw new DriverError('invalid', `Hash block size has changed since the last backup. New hash block size: ${now}. Old hash block size: ${then}. Do a full backup.`);
}

/** Of our own parts; each is read when its turn comes. */
export function fromParts(call: Call, store: ObjectStore, container: string, parts: readonly PartRef[], block: number): ParentHashes {
  const zero = createHash('sha256').update(Buffer.alloc(block)).digest();
  async function* digests(): AsyncGenerator<Buffer> {
    let at = 0;
    for (const ref of parts) {
      const part = await readPart(call, store, container, ref.name, ref.sha256);
      if (part.from !== at || part.to !== ref.to) throw new DriverError('invalid', `The object ${ref.name} is damaged.`, { detail: 'it is of another place' });
      at = part.to;
      let used = 0;
      for (const [n, count] of part.runs.entries()) {
        // Zeros of a large volume are many: some at a time.
        if (n % 2 === 0) for (let left = count; left > 0; left -= AT_ONCE) yield repeated(zero, Math.min(left, AT_ONCE));
        else yield part.digests.subarray(used, used += count * DIGEST);
      }
    }
  }
  return buffered(digests(), async () => {});
}
const AT_ONCE = 16_384;

/** Gives as many as are asked for of pieces as they come. */
function buffered(pieces: AsyncGenerator<Buffer>, close: () => Promise<void>): ParentHashes {
  let held: Buffer = Buffer.alloc(0);
  const next = async (): Promise<boolean> => {
    const { value, done } = await pieces.next();
    if (!done) held = held.length === 0 ? value : Buffer.concat([held, value]);
    return !done;
  };
  return {
    async take(blocks) {
      const wanted = blocks * DIGEST;
      while (held.length < wanted) if (!await next()) throw grown();
      const taken = held.subarray(0, wanted);
      held = held.subarray(wanted);
      return taken;
    },
    async skip(blocks) {
      for (let left = blocks; left > 0; left -= AT_ONCE) await this.take(Math.min(left, AT_ONCE));
    },
    async close() {
      await pieces.return(undefined);
      await close();
    },
  };
}
