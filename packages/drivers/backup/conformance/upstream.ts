import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import type { BackupRef } from '../contract.ts';
import type { BackupUnderTest, Disk } from './lab.ts';

/** A backup as upstream's driver leaves it: large objects, Python's JSON, no hashes but its own. `since`: the disk of its parent. */
export async function asUpstream(under: Pick<BackupUnderTest, 'write'>, ref: BackupRef, disk: Disk, options: { readonly since?: Disk; readonly objectBytes?: number; readonly compression?: string } = {}): Promise<void> {
  const { since, objectBytes = 3 << 20, compression = 'zlib' } = options;
  const block = 32_768;
  const sha = (of: Disk, at: number) => createHash('sha256').update(of.get(at, block)).digest('hex');
  const common = { backup_id: ref.id, volume_id: ref.volumeId, version: '1.0.0', created_at: '2026-11-21 10:56:59+00:00', backup_name: null, backup_description: 'made "sha256s": [ there' };
  const objects: Record<string, object>[] = [];
  const store = async (offset: number, length: number) => {
    const name = `${ref.serviceMetadata}-${String(objects.length + 1).padStart(5, '0')}`;
    const plain = disk.get(offset, length);
    const packed = deflateSync(plain);
    await under.write(ref.container, name, packed.length < length ? packed : plain);
    objects.push({ [name]: { offset, length, compression: packed.length < length ? compression : 'none', md5: createHash('md5').update(plain).digest('hex') } });
  };
  for (let at = 0; at < disk.bytes; at += objectBytes) {
    const end = Math.min(disk.bytes, at + objectBytes);
    if (!since) {
      await store(at, end - at);
      continue;
    }
    for (let from = at; from < end;) {
      const differs = sha(since, from) !== sha(disk, from);
      let to = from + block;
      while (to < end && (sha(since, to) !== sha(disk, to)) === differs) to += block;
      if (differs) await store(from, to - from);
      from = to;
    }
  }
  const sha256s = Array.from({ length: disk.bytes / block }, (_, n) => sha(disk, n * block));
  const json = (value: object) => Buffer.from(JSON.stringify(Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))), null, 2));
  await under.write(ref.container, `${ref.serviceMetadata}_sha256file`, json({ ...common, chunk_size: block, sha256s }));
  await under.write(ref.container, `${ref.serviceMetadata}_metadata`, json({ ...common, objects, parent_id: ref.parentId, volume_meta: '{"version": 2}' }));
}
