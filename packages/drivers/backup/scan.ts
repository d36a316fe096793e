import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { BackupRef, Found } from './contract.ts';
import { openMember, type Member } from './chain.ts';
import { readMetadataOf } from './metadata.ts';
import { metadataName, readPrefix, sha256Name } from './layout.ts';
import { openSha256File } from './sha256file.ts';
import type { ObjectStore } from './store.ts';

/** Every backup that lies there, whoever made it. One that is damaged is told too, with what is wrong. */
export async function* scanStore(call: Call, store: ObjectStore, container: string | undefined): AsyncGenerator<Found> {
  const containers = container === undefined ? store.containers(call) : [container];
  for await (const one of containers) {
    for await (const { name } of store.list(call, one, '')) {
      call.signal.throwIfAborted();
      const prefix = name.endsWith('_metadata') ? name.slice(0, -'_metadata'.length) : undefined;
      const named = prefix === undefined ? undefined : readPrefix(prefix);
      if (prefix !== undefined && named) yield await look(call, store, { container: one, serviceMetadata: prefix, id: named.backupId, volumeId: named.volumeId, parentId: null });
    }
  }
}

async function look(call: Call, store: ObjectStore, guess: BackupRef): Promise<Found> {
  const problems: string[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'invalid' && error.kind !== 'unsupported') throw error;
      problems.push(error.message);
      return undefined;
    }
  };
  const read = await attempt(() => readMetadataOf(call, store, guess));
  const parentId = read?.metadata.parent_id ?? null;
  const backup: BackupRef = { ...guess, parentId };
  if (read && (read.metadata.backup_id !== guess.id || read.metadata.volume_id !== guess.volumeId)) problems.push(`The object ${metadataName(guess.serviceMetadata)} names another backup.`);
  const member = read && await attempt(() => openMember(call, store, backup));
  const created = read && pythonDate(read.metadata.created_at);
  return {
    ...backup,
    name: read?.metadata.backup_name ?? null,
    description: read?.metadata.backup_description ?? null,
    createdAt: created,
    objectCount: read?.metadata.objects.length ?? 0,
    bytes: member && await attempt(() => sizeOf(call, store, member)),
    volumeMeta: read?.metadata.volume_meta ?? undefined,
    keep: read?.metadata.cumulet?.keep,
    metadata: read?.sha256 ?? '',
    problems,
  };
}

/** Upstream tells a volume's size in its volume metadata, if there is some; else a full backup's objects do, or how many hashes there are. */
async function sizeOf(call: Call, store: ObjectStore, { metadata, backup, bytes }: Member): Promise<number | undefined> {
  if (metadata.cumulet) return metadata.cumulet.bytes;
  if (backup.parentId === null) return bytes;
  const file = await openSha256File(call, store, backup.container, sha256Name(backup.serviceMetadata)).catch((error: unknown) => {
    if (error instanceof DriverError && error.kind === 'absent') return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    let blocks = 0;
    for await (const digests of file.digests) blocks += digests.length / 32;
    return blocks * file.block;
  } finally {
    await file.close();
  }
}

/** As Python prints it, with or without its zone, which is then UTC. */
function pythonDate(text: string): Date | undefined {
  const [, day, time, zone = 'Z'] = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)(Z|[+-]\d\d:\d\d)?$/.exec(text) ?? [];
  const at = new Date(`${day}T${time}${zone}`);
  return Number.isNaN(at.valueOf()) ? undefined : at;
}
