import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BackupRef } from '../../packages/drivers/backup/index.ts';
import { Disk } from '../../packages/drivers/backup/conformance/lab.ts';

export interface CinderTarget {
  readonly driver: 'posix' | 'swift';
  /** cinder.conf's. */
  readonly options: Readonly<Record<string, string | number>>;
}
interface Answer {
  readonly container: string;
  readonly service_metadata: string;
  readonly object_count: number;
  readonly volume_meta: readonly string[];
}

/** Cinder's own backup driver, of Debian's python3-cinder. It reads and writes `volume`, a file. */
export function cinder(target: CinderTarget, volume: string) {
  const ask = (verb: string, chain: readonly (Omit<BackupRef, 'container' | 'serviceMetadata'> & { readonly container: string | null; readonly serviceMetadata: string | null })[]): Answer => {
    const rows = chain.map((one) => ({ id: one.id, volume_id: one.volumeId, container: one.container, service_metadata: one.serviceMetadata, parent_id: one.parentId, created_at: '2026-11-21 10:00:00+00:00' }));
    const done = spawnSync('/usr/bin/python3', [fileURLToPath(new URL('cinder_backup.py', import.meta.url))], {
      input: JSON.stringify({ ...target, verb, volume, sizeGiB: 1, chain: rows }), encoding: 'utf8', timeout: 500_000, maxBuffer: 1 << 28,
    });
    if (/No module named '(cinder|zstd)'/.test(done.stderr)) throw new Error("cinder's own driver is not there: apt-get install --no-install-recommends python3-cinder python3-zstd");
    if (done.status !== 0) throw new Error(`cinder could not ${verb}: ${done.stderr.slice(-3000)}`);
    return JSON.parse(done.stdout) as Answer;
  };
  return {
    /** What it makes of the disk. `parents`: the chain below it. */
    backup(disk: Disk, id: string, volumeId: string, parents: readonly BackupRef[] = []): BackupRef {
      writeFileSync(volume, disk.get(0, disk.bytes));
      const parentId = parents.at(-1)?.id ?? null;
      const { container, service_metadata: serviceMetadata } = ask('backup', [...parents, { id, volumeId, parentId, container: null, serviceMetadata: null }]);
      return { id, volumeId, parentId, container, serviceMetadata };
    },
    /** Into a volume that is full of something else. */
    restore(chain: readonly BackupRef[], bytes: number): { disk: Disk; volumeMeta: readonly string[] } {
      writeFileSync(volume, Buffer.alloc(bytes, 0xaa));
      const { volume_meta: volumeMeta } = ask('restore', chain);
      const disk = new Disk(bytes);
      disk.put(0, readFileSync(volume));
      return { disk, volumeMeta };
    },
    delete(chain: readonly BackupRef[]): void {
      ask('delete', chain);
    },
  };
}
