import { rm, stat } from 'node:fs/promises';
import type { Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { exists, publish, temporary } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { bytesOfVolume, type DataRef, type Provided, type SnapshotRef } from '../contract.ts';
import { attempt } from './failure.ts';
import type { Disk } from './disk.ts';
import { isSnapshot, sameFile, type Layout } from './layout.ts';

export const GiB = 2 ** 30;

/** What the parts of the file driver share. */
export interface Context {
  readonly runner: Runner;
  readonly layout: Layout;
  /** Of whatever is not encrypted. */
  readonly disk: Disk;
  /** Containers of encrypted volumes are plain bytes, whatever the backend's format is. */
  diskOf(ref: { readonly luks?: boolean | undefined } | SnapshotRef): Disk;
  /** The virtual size in bytes of a file that could be either. */
  sizeOfFile(path: string): Promise<number>;
  /** One change at a time of one volume and its snapshots. Between processes, the lanes of the task queue see to that. */
  turn<T>(call: Call, volume: string, what: string, work: () => Promise<T>): Promise<T>;
  /** A file made under a temporary name by `build` and then published as `path`; already there is for the caller to decide beforehand. */
  make(volume: string, path: string, build: (temporary: string) => Promise<void>): Promise<void>;
  /** The path of a volume or a complete snapshot, and its size in bytes; `absent` when it is not there. */
  find(ref: DataRef): Promise<{ readonly path: string; readonly bytes: number }>;
  isComplete(ref: DataRef): Promise<boolean>;
}

export const nothing: Provided = {};

/** `raw`: for containers; the same as `disk` where that is raw. */
export function fileContext(runner: Runner, layout: Layout, disk: Disk, raw: Disk): Context {
  const last = new Map<string, Promise<void>>();
  const context: Context = {
    runner, layout, disk,
    diskOf: (ref) => (('volume' in ref ? ref.volume.luks : ref.luks) === true ? raw : disk),
    sizeOfFile: (path) => disk.size(path).catch((error: unknown) => {
      if (error instanceof DriverError && error.kind === 'broken') return stat(path).then(({ size }) => size);
      throw error;
    }),
    async turn(call, volume, what, work) {
      const before = last.get(volume) ?? Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      const mine = before.then(() => promise);
      last.set(volume, mine);
      try {
        await before;
        return await attempt(what, call.signal, work);
      } finally {
        resolve();
        if (last.get(volume) === mine) last.delete(volume);
      }
    },
    async make(volume, path, build) {
      const unfinished = temporary(layout.root, volume);
      try {
        await build(unfinished);
        await publish(unfinished, path);
      } finally {
        await rm(unfinished, { force: true });
      }
    },
    async isComplete(ref) {
      const path = layout.of(ref);
      return await exists(path) && !(isSnapshot(ref) && await sameFile(path, layout.volume(ref.volume.name)));
    },
    async find(ref) {
      if (!await context.isComplete(ref)) throw new DriverError('absent', `The ${isSnapshot(ref) ? 'snapshot' : 'volume'} is not on the storage.`, { detail: ref.name });
      const path = layout.of(ref);
      return { path, bytes: await context.diskOf(ref).size(path) };
    },
  };
  return context;
}

/** A whole number of GiB, in bytes, with the header of an encrypted volume. */
export function bytesOf(volume: { readonly sizeGiB: number; readonly luks?: boolean | undefined }): number {
  const { sizeGiB } = volume;
  if (!Number.isSafeInteger(sizeGiB) || sizeGiB <= 0 || sizeGiB > 2 ** 22) throw new DriverError('invalid', 'The size of a volume is a whole number of GiB.', { detail: String(sizeGiB) });
  return bytesOfVolume(volume);
}
