import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { checkName } from '../../durable.ts';
import type { DataRef, SnapshotRef, VolumeRef } from '../contract.ts';

/**
 * The folder of a file backend is flat, so that overlays name their base by file name and the share can be mounted anywhere:
 *
 *   volume-<uuid>                      what guests write to
 *   volume-<uuid>~snapshot-<uuid>      a snapshot of it, read-only
 *   volume-<uuid>~snapshot-<uuid>~gone a deleted snapshot on which something still depends (qcow2), until it is merged
 *   .tmp/                              work in progress, never seen as an object
 *
 * Volume names cannot hold a `~`, so the two kinds never collide.
 */
const MARK = '~';
const GONE = '~gone';

/** Where a snapshot waits that is deleted but still depended on. */
export const goneName = (snapshot: string): string => `${snapshot}${GONE}`;

export interface Layout {
  readonly root: string;
  volume(name: string): string;
  snapshot(snapshot: SnapshotRef): string;
  of(ref: DataRef): string;
  /** Paths of the volume's snapshots, and of those that are deleted but not yet merged. */
  snapshotsOf(volume: string): Promise<{ readonly snapshots: string[]; readonly gone: string[] }>;
  /** Regular files that are volumes or could be, and snapshots. */
  files(): Promise<LayoutFile[]>;
}

export interface LayoutFile {
  readonly name: string;
  readonly path: string;
  /** Set when it is a snapshot. */
  readonly snapshot: { readonly volume: string; readonly name: string } | undefined;
}

export const isSnapshot = (ref: DataRef): ref is SnapshotRef => 'volume' in ref;

export function fileLayout(root: string): Layout {
  const layout: Layout = {
    root,
    volume: (name) => join(root, checkName(name)),
    snapshot: ({ volume, name }) => join(root, `${checkName(volume.name)}${MARK}${checkName(name)}`),
    of: (ref) => (isSnapshot(ref) ? layout.snapshot(ref) : layout.volume((ref satisfies VolumeRef).name)),
    async snapshotsOf(volume) {
      const [snapshots, gone]: [string[], string[]] = [[], []];
      for await (const { name } of await opendir(root)) if (name.startsWith(`${volume}${MARK}`)) (name.endsWith(GONE) ? gone : snapshots).push(join(root, name));
      return { snapshots, gone };
    },
    async files() {
      const found: LayoutFile[] = [];
      for await (const entry of await opendir(root)) {
        if (!entry.isFile() || entry.name.startsWith('.')) continue;
        const [volume = '', name, more] = entry.name.split(MARK);
        if (more === undefined) found.push({ name: entry.name, path: join(root, entry.name), snapshot: name === undefined ? undefined : { volume, name } });
      }
      return found;
    },
  };
  return layout;
}

/** One file under two names: a snapshot whose making was cut short. Such a snapshot is not there yet. */
export async function sameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  })));
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}
