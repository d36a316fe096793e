import type { Call } from '../call.ts';
import type { BackupJob } from './contract.ts';
import { fromParts } from './hashes.ts';
import { metadataName, pythonTime, sha256Name } from './layout.ts';
import { VERSION } from './metadata.ts';
import { DIGEST, readPart } from './parts.ts';
import { entryJson, type Ours, type PartRef } from './shapes.ts';
import type { ObjectStore } from './store.ts';

const common = ({ backup, name, description, createdAt }: BackupJob) => ({
  backup_description: description, backup_id: backup.id, backup_name: name, created_at: pythonTime(createdAt), version: VERSION, volume_id: backup.volumeId,
});

/** Upstream's list of hashes, for incremental backups that upstream makes of this one. */
export async function writeSha256File(call: Call, store: ObjectStore, job: BackupJob, parts: readonly PartRef[], block: number): Promise<void> {
  const { container, serviceMetadata } = job.backup;
  const hashes = fromParts(call, store, container, parts, block);
  const total = Math.ceil(job.source.bytes / block);
  async function* lines(): AsyncGenerator<Buffer> {
    const { created_at, version, volume_id, ...before } = common(job);
    yield Buffer.from(`${JSON.stringify({ ...before, chunk_size: block, created_at }).slice(0, -1)}, "sha256s": [`);
    let last: { readonly digests: Buffer; readonly text: Buffer } | undefined;
    for (let at = 0; at < total; at += LINES) {
      call.signal.throwIfAborted();
      const digests = await hashes.take(Math.min(LINES, total - at));
      // Long holes are the same over and over.
      const text: Buffer = last?.digests.equals(digests) ? last.text : hexLines(digests);
      last = { digests, text };
      yield at === 0 ? text.subarray(1) : text;
    }
    yield Buffer.from(`], ${JSON.stringify({ version, volume_id }).slice(1)}`);
  }
  try {
    await store.putStream(call, container, sha256Name(serviceMetadata), lines());
  } finally {
    await hashes.close();
  }
}
const LINES = 4096;

/** `,"…"` for each. */
function hexLines(digests: Buffer): Buffer {
  const hex = digests.toString('hex');
  const out: string[] = [];
  for (let at = 0; at < hex.length; at += 2 * DIGEST) out.push(hex.slice(at, at + 2 * DIGEST));
  return Buffer.from(`,"${out.join('","')}"`, 'latin1');
}

/** The last object of a backup: with it, it is one. */
export async function writeMetadata(
  call: Call, store: ObjectStore, job: BackupJob, { parts, block, parent }: { readonly parts: readonly PartRef[]; readonly block: number; readonly parent: string | null },
): Promise<void> {
  const { container, serviceMetadata, parentId } = job.backup;
  const ours: Ours = { version: 1, bytes: job.source.bytes, block, parts: [...parts], parent_metadata: parent, ...(job.keep && { keep: { ...job.keep } }) };
  const { version, volume_id, ...before } = common(job);
  async function* pieces(): AsyncGenerator<Buffer> {
    yield Buffer.from(`${JSON.stringify({ ...before, cumulet: ours }).slice(0, -1)}, "objects": [`);
    let first = true;
    for (const { name, sha256 } of parts) {
      const { objects } = await readPart(call, store, container, name, sha256);
      if (objects.length === 0) continue;
      yield Buffer.from(`${first ? '' : ','}\n${objects.map(entryJson).join(',\n')}`);
      first = false;
    }
    yield Buffer.from(`], ${JSON.stringify({ parent_id: parentId, version, volume_id, volume_meta: job.volumeMeta }).slice(1)}`);
  }
  await store.putStream(call, container, metadataName(serviceMetadata), pieces());
}
