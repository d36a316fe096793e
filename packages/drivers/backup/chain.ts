import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { BackupRef } from './contract.ts';
import { readMetadataOf } from './metadata.ts';
import { checkRef, metadataName, sha256Name } from './layout.ts';
import type { Metadata, ObjectEntry } from './shapes.ts';
import type { ObjectStore } from './store.ts';

export interface Member {
  readonly backup: BackupRef;
  readonly metadata: Metadata;
  /** SHA-256 of the metadata object. */
  readonly sha256: string;
  /** By offset, none overlapping. */
  readonly objects: readonly ObjectEntry[];
  /** Of the volume, at least what its objects reach. */
  readonly bytes: number;
}

/** Reads and checks what a restore goes by, before a byte of data: metadata, names, sizes, and that each member was made on the one before it. */
export async function openChain(call: Call, store: ObjectStore, chain: readonly BackupRef[]): Promise<Member[]> {
  const members: Member[] = [];
  for (const backup of chain) {
    call.signal.throwIfAborted();
    const member = await openMember(call, store, backup);
    const before = members.at(-1);
    const name = metadataName(backup.serviceMetadata);
    if (backup.parentId !== (before?.backup.id ?? null)) throw new DriverError('invalid', 'The parents of the backup are not the ones that were given.');
    const expected = member.metadata.cumulet?.parent_metadata;
    if (expected !== undefined && expected !== null && before && expected !== before.sha256) {
      throw new DriverError('invalid', `The object ${metadataName(before.backup.serviceMetadata)} is not the one that ${name} was made on.`);
    }
    members.push(member);
  }
  if (members.length === 0) throw new DriverError('broken', 'There is nothing to restore.');
  return members;
}

export async function openMember(call: Call, store: ObjectStore, backup: BackupRef): Promise<Member> {
  checkRef(backup);
  const name = metadataName(backup.serviceMetadata);
  const { metadata, sha256 } = await readMetadataOf(call, store, backup).catch((error: unknown) => {
    if (error instanceof DriverError && error.kind === 'absent') throw new DriverError('invalid', `The object ${name} is missing.`, { cause: error });
    throw error;
  });
  const damaged = (detail: string) => new DriverError('invalid', `The object ${name} is damaged.`, { detail });
  // A record may have been imported under another id, but not with other parents than its objects'.
  if ((metadata.parent_id ?? null) === null !== (backup.parentId === null)) throw damaged('it disagrees about being incremental');
  const objects = [...metadata.objects].toSorted((a, b) => a.offset - b.offset);
  let reached = 0;
  for (const entry of objects) {
    if (!entry.name.startsWith(`${backup.serviceMetadata}-`) || /[/\0]/.test(entry.name.slice(backup.serviceMetadata.length))) throw damaged(`a foreign object: ${entry.name.slice(0, 200)}`);
    if (entry.offset < reached || !Number.isSafeInteger(entry.offset + entry.length)) throw damaged('objects overlap');
    reached = entry.offset + entry.length;
  }
  if (new Set(objects.map((one) => one.name)).size !== objects.length) throw damaged('an object is named twice');
  const bytes = metadata.cumulet?.bytes ?? reached;
  if (reached > bytes) throw damaged('objects beyond the end');
  await checkObjects(call, store, backup, objects);
  return { backup, metadata, sha256, objects, bytes };
}

/** Everything that is listed lies there, in the size that was stored, and nothing else of that name does. */
async function checkObjects(call: Call, store: ObjectStore, { container, serviceMetadata: prefix }: BackupRef, objects: readonly ObjectEntry[]): Promise<void> {
  const wanted = new Map(objects.map((one) => [one.name, one]));
  const others = new Set([metadataName(prefix), sha256Name(prefix)]);
  for await (const { name, size } of store.list(call, container, prefix)) {
    const entry = wanted.get(name);
    wanted.delete(name);
    if (entry?.stored !== undefined && entry.stored !== size) throw new DriverError('invalid', `The object ${name} is damaged: it has another size.`);
    if (!entry && !others.has(name)) throw new DriverError('invalid', `The object ${name} does not belong to the backup.`);
  }
  const [missing] = wanted.keys();
  if (missing !== undefined) throw new DriverError('invalid', `The object ${missing} is missing.`);
}
