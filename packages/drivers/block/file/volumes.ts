import { link, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call } from '../../call.ts';
import { exists, publish, remove, removeTemporaries, replace, temporary } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { BlockDriver, Provided, SnapshotRef, Snapshots, VolumeSpec } from '../contract.ts';
import { bytesOf, nothing, type Context } from './context.ts';
import { sameFile } from './layout.ts';

/** A new volume by `build`, or success when it is there already with that size. */
export function makeVolume(context: Context, call: Call, spec: VolumeSpec, what: string, build: (temporary: string, bytes: number) => Promise<void>): Promise<Provided> {
  const { layout, disk } = context;
  return context.turn(call, spec.name, what, async () => {
    const bytes = bytesOf(spec.sizeGiB);
    const path = layout.volume(spec.name);
    if (await exists(path)) {
      if (await disk.size(path) !== bytes) throw new DriverError('invalid', 'A volume of that name and another size exists.', { detail: spec.name });
      return nothing;
    }
    await context.make(call, spec.name, path, (unfinished) => build(unfinished, bytes));
    return nothing;
  });
}

export function fileVolumes(context: Context): BlockDriver['volumes'] {
  const { layout, disk } = context;
  return {
    create: (call, spec) => makeVolume(context, call, spec, 'The volume cannot be created', (unfinished, bytes) => disk.create(call, unfinished, bytes)),
    delete: (call, { name }) => context.turn(call, name, 'The volume cannot be deleted', async () => {
      const path = layout.volume(name);
      for (const file of await layout.snapshotsOf(name)) {
        if (!await sameFile(path, join(layout.root, file))) throw new DriverError('busy', 'The volume has snapshots.', { detail: file });
        await remove(join(layout.root, file));
      }
      await remove(path);
      await removeTemporaries(layout.root, name);
    }),
    extend: (call, volume, sizeGiB) => context.turn(call, volume.name, 'The volume cannot be extended', async () => {
      const wanted = bytesOf(sizeGiB);
      const { path, bytes } = await context.find(volume);
      if (wanted < bytes) throw new DriverError('invalid', 'A volume cannot become smaller.');
      if (wanted > bytes) await disk.grow(call, path, wanted);
    }),
    exists: (call, ref) => context.turn(call, ref.name, 'The volume cannot be found', () => context.isComplete(ref)),
  };
}

export function fileRename(context: Context): NonNullable<BlockDriver['rename']> {
  const { layout } = context;
  return (call, ref, name) => context.turn(call, ref.name, 'The volume cannot be renamed', async () => {
    const [from, to] = [layout.volume(ref.name), layout.volume(name)];
    if (from === to || (!await exists(from) && await exists(to))) return nothing;
    if ((await layout.snapshotsOf(ref.name)).length > 0) throw new DriverError('busy', 'The volume has snapshots.');
    await publish(from, to);
    return nothing;
  });
}

export function fileSnapshots(context: Context): Snapshots {
  const { layout, disk } = context;
  const others = async (snapshot: SnapshotRef) => {
    const mine = layout.snapshot(snapshot);
    return (await layout.snapshotsOf(snapshot.volume.name)).map((file) => join(layout.root, file)).filter((path) => path !== mine);
  };
  const whole = (snapshot: SnapshotRef) => layout.volume(snapshot.volume.name);

  return {
    create: (call, snapshot, { inUse = false } = {}) => context.turn(call, snapshot.volume.name, 'The snapshot cannot be created', async () => {
      if (await context.isComplete(snapshot)) return nothing;
      await context.find(snapshot.volume);
      await removeTemporaries(layout.root, snapshot.volume.name);
      const unfinished = temporary(layout.root, snapshot.volume.name);
      try {
        await disk.snapshot(call, whole(snapshot), layout.snapshot(snapshot), unfinished, inUse);
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
      if (await context.isComplete(snapshot)) await disk.release(call, whole(snapshot), path, await others(snapshot), inUse);
      await remove(path);
    }),
    revert: (call, snapshot) => context.turn(call, snapshot.volume.name, 'The volume cannot be put back', async () => {
      const { path, bytes } = await context.find(snapshot.volume);
      const base = await context.find(snapshot);
      await removeTemporaries(layout.root, snapshot.volume.name);
      const unfinished = temporary(layout.root, snapshot.volume.name);
      try {
        await disk.revert(call, path, base.path, unfinished, Math.max(bytes, base.bytes));
        await replace(unfinished, path);
      } finally {
        await rm(unfinished, { force: true });
      }
    }),
    exists: (call, snapshot) => context.turn(call, snapshot.volume.name, 'The snapshot cannot be found', () => context.isComplete(snapshot)),
  };
}

/** Give a snapshot's file another name: the new name first, then what depends on it, then the old name away. */
export async function renameSnapshot(context: Context, call: Call, volume: string, from: string, to: string): Promise<void> {
  const { layout, disk } = context;
  if (!await sameFile(from, to)) await link(from, to);
  const all = (await layout.snapshotsOf(volume)).map((file) => join(layout.root, file));
  await disk.renamed(call, layout.volume(volume), from, to, all.filter((path) => path !== from && path !== to));
  await remove(from);
}
