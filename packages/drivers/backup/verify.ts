import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { Engine } from './backup.ts';
import { readAtMost } from './bytes.ts';
import { openChain, openMember, type Member } from './chain.ts';
import type { BackupRef, DriverInfo, Imported, Verified } from './contract.ts';
import { fromParts } from './hashes.ts';
import { metadataName } from './layout.ts';
import { Pieces, readObject } from './reading.ts';
import { packedZeros } from './zeros.ts';

/** Would the chain restore? Same checks, same errors. */
export async function runVerify(call: Call, engine: Engine, chain: readonly BackupRef[], depth: 'objects' | 'data'): Promise<Verified> {
  const members = await openChain(call, engine.store, chain);
  const objects = members.reduce((sum, one) => sum + one.objects.length, 0);
  if (depth === 'objects') return { objects, read: 0 };
  const total = members.reduce((sum, one) => sum + one.objects.reduce((all, { length }) => all + length, 0), 0);
  const pieces = new Pieces();
  let done = 0;
  let read = 0;
  for (const member of members) {
    await verifyHashes(call, engine, member);
    // Some side by side, as when it is restored; each holds a few pieces only.
    const left = member.objects.values();
    const stop = new AbortController();
    const within: Call = { ...call, signal: AbortSignal.any([call.signal, stop.signal]) };
    const work = async () => {
      for (const entry of left) {
        within.signal.throwIfAborted();
        if (entry.zeros) await verifyZeros(within, engine, member.backup, entry.name, entry.length);
        else for await (const piece of readObject(within, engine.store, engine.threads, pieces, member.backup.container, entry)) {
          read += piece.length;
          pieces.give(piece);
        }
        call.progress(done += entry.length, total);
      }
    };
    await Promise.all(Array.from({ length: engine.threads.count }, work)).catch((error: unknown) => {
      stop.abort(error);
      call.signal.throwIfAborted();
      throw error;
    });
  }
  return { objects, read };
}

async function verifyZeros(call: Call, { store }: Engine, { container }: BackupRef, name: string, length: number): Promise<void> {
  const wanted = packedZeros(length);
  const bytes = await readAtMost(call, store, container, name, wanted.length).catch((error: unknown) => {
    if (error instanceof DriverError && error.kind === 'absent') throw new DriverError('invalid', `The object ${name} is missing.`, { cause: error });
    throw error;
  });
  if (!bytes.equals(wanted)) throw new DriverError('invalid', `The object ${name} is damaged: its content is not what was stored.`);
}

/** Our own hashes are there and whole: without them nothing can be built on the backup. */
async function verifyHashes(call: Call, { store }: Engine, { metadata, backup }: Member): Promise<void> {
  if (!metadata.cumulet) return;
  const { parts, block, bytes } = metadata.cumulet;
  const hashes = fromParts(call, store, backup.container, parts, block);
  try {
    await hashes.skip(Math.ceil(bytes / block));
  } finally {
    await hashes.close();
  }
}

/** The hashes of a chain's metadata objects, which in turn have the hashes of all their objects. */
export async function describeChain(call: Call, engine: Engine, chain: readonly BackupRef[]): Promise<DriverInfo> {
  const members = await openChain(call, engine.store, chain);
  return { cumulet: { chain: members.map(({ backup, sha256 }) => ({ id: backup.id, metadata: sha256 })) } };
}

/** An imported record against what lies there. */
export async function checkImport(call: Call, engine: Engine, backup: BackupRef, info: DriverInfo | undefined): Promise<Imported> {
  const member = await openMember(call, engine.store, backup);
  const links = info?.cumulet?.chain;
  const own = Array.isArray(links) ? links.at(-1) : undefined;
  if (own && own.metadata !== member.sha256) throw new DriverError('invalid', `The object ${metadataName(backup.serviceMetadata)} is not the one that was exported.`);
  return { objectCount: member.objects.length, bytes: member.bytes || undefined, parentId: backup.parentId };
}

