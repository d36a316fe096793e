import { link, rm, unlink } from 'node:fs/promises';
import type { Call } from '../../call.ts';
import { exists, publish, remove, removeTemporaries, replace, temporary } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { BlockDriver, Provided, SnapshotRef, Snapshots, VolumeRef, VolumeSpec } from '../contract.ts';
import { bytesOf, nothing, type Context } from './context.ts';
import { sameFile } from './layout.ts';

/** A new volume by `build`, or success when it is there already with that size. */
export function makeVolume(context: Context, call: Call, spec: VolumeSpec, what: string, build: (temporary: string, bytes: number) => Promise<void>): Promise<Provided> {
  const { layout } = context;
  return context.turn(call, spec.name, what, async () => {
    const bytes = bytesOf(spec);
    const path = layout.volume(spec.name);
    // Whoever was cut short while making it before us is presumed dead: its file goes, and with it its chance to publish.
    await removeTemporaries(layout.root, spec.name);
    if (await exists(path)) {
      if (await context.diskOf(spec).size(path) !== bytes) throw new DriverError('invalid', 'A volume of that name and another size exists.', { detail: spec.name });
      return nothing;
    }
    await context.make(spec.name, path, (unfinished) => build(unfinished, bytes));
    return nothing;
  });
}

export function fileVolumes(context: Context): BlockDriver['volumes'] {
  const { layout } = context;
  return {
    create: (call, spec) => makeVolume(context, call, spec, 'The volume cannot be created', (unfinished, bytes) => context.diskOf(spec).create(call, unfinished, bytes)),
    delete: (call, { name }) => context.turn(call, name, 'The volume cannot be deleted', async () => {
      const path = layout.volume(name);
      const { snapshots, gone } = await layout.snapshotsOf(name);
      for (const snapshot of snapshots) if (!await sameFile(path, snapshot)) throw new DriverError('busy', 'The volume has snapshots.', { detail: snapshot });
      for (const layer of [...snapshots, path, ...gone]) await remove(layer);
      await removeTemporaries(layout.root, name);
    }),
    extend: (call, volume, sizeGiB) => context.turn(call, volume.name, 'The volume cannot be extended', async () => {
      const wanted = bytesOf({ sizeGiB, luks: volume.luks });
      const { path, bytes } = await context.find(volume);
      if (wanted < bytes) throw new DriverError('invalid', 'A volume cannot become smaller.');
      if (wanted > bytes) await context.diskOf(volume).grow(call, path, wanted);
    }),
    exists: (call, ref) => context.turn(call, ref.name, 'The volume cannot be found', () => context.isComplete(ref)),
  };
}

/** Deleted ones that still wait count too: their names hold the volume's name. */
export async function hasSnapshots({ layout }: Context, volume: string): Promise<boolean> {
  const { snapshots, gone } = await layout.snapshotsOf(volume);
  return snapshots.length + gone.length > 0;
}

export function fileRename(context: Context): NonNullable<BlockDriver['rename']> {
  const { layout } = context;
  return (call, ref, name) => context.turn(call, ref.name, 'The volume cannot be renamed', async () => {
    const [from, to] = [layout.volume(ref.name), layout.volume(name)];
    if (from === to || (!await exists(from) && await exists(to))) return nothing;
    if (await hasSnapshots(context, ref.name)) throw new DriverError('busy', 'The volume has snapshots.');
    await publish(from, to);
    return nothing;
  });
}

export function fileSnapshots(context: Context): Snapshots {
  const { layout } = context;
  const whole = (snapshot: SnapshotRef) => layout.volume(snapshot.volume.name);

  return {
    create: (call, snapshot, { inUse = false } = {}) => context.turn(call, snapshot.volume.name, 'The snapshot cannot be created', async () => {
      await removeTemporaries(layout.root, snapshot.volume.name);
      if (await context.isComplete(snapshot)) return nothing;
      await context.find(snapshot.volume);
      const unfinished = temporary(layout.root, snapshot.volume.name);
      try {
        await context.diskOf(snapshot).snapshot(call, whole(snapshot), layout.snapshot(snapshot), unfinished, inUse);
      } catch (error) {
        // Linked but not yet the volume's base: the second name goes again.
        if (await sameFile(whole(snapshot), layout.snapshot(snapshot))) await unlink(layout.snapshot(snapshot));
        throw error;
      } finally {
        await rm(unfinished, { force: true });
      }
      return nothing;
    }),
    delete: (call, snapshot, { inUse = false } = {}) => context.turn(call, snapshot.volume.name, 'The snapshot cannot be deleted', async () => {
      const path = layout.snapshot(snapshot);
      await removeTemporaries(layout.root, snapshot.volume.name);
      // Linked, but never the volume's base.
      if (await sameFile(path, whole(snapshot))) await remove(path);
      else await context.diskOf(snapshot).discard(call, path, await filesOf(context, snapshot.volume.name, path), inUse);
    }),
    revert: (call, snapshot) => context.turn(call, snapshot.volume.name, 'The volume cannot be put back', async () => {
      const { path, bytes } = await context.find(snapshot.volume);
      const base = await context.find(snapshot);
      await removeTemporaries(layout.root, snapshot.volume.name);
      const unfinished = temporary(layout.root, snapshot.volume.name);
      try {
        await context.diskOf(snapshot).revert(call, path, base.path, unfinished, Math.max(bytes, base.bytes));
        await replace(unfinished, path);
      } finally {
        await rm(unfinished, { force: true });
      }
    }),
    exists: (call, snapshot) => context.turn(call, snapshot.volume.name, 'The snapshot cannot be found', () => context.isComplete(snapshot)),
  };
}

/** The volume's file and all that its content may depend on, but for some. */
async function filesOf({ layout }: Context, volume: string, ...without: string[]): Promise<string[]> {
  const { snapshots, gone } = await layout.snapshotsOf(volume);
  const all = [layout.volume(volume), ...snapshots, ...gone].filter((path) => !without.includes(path));
  const there = await Promise.all(all.map(exists));
  return all.filter((_, n) => there[n]);
}

/** Give a snapshot's file another name: the new name first, then what depends on it, then the old name away. */
export async function renameSnapshot(context: Context, call: Call, volume: VolumeRef, from: string, to: string): Promise<void> {
  if (!await sameFile(from, to)) await link(from, to);
  await context.diskOf(volume).renamed(call, from, to, await filesOf(context, volume.name, from, to));
  await remove(from);
}
