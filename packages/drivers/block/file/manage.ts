import { lstat, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { assertSafe, inspectFile, UnsafeImage } from '@cumulet/diskimage';
import type { Call } from '../../call.ts';
import { exists, publish } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { Manage, Manageable, ManageSnapshots, Reference, SnapshotRef } from '../contract.ts';
import { bytesOf, GiB, nothing, type Context } from './context.ts';
import { attempt } from './failure.ts';
import { hasSnapshots, renameSnapshot } from './volumes.ts';

const WHAT = 'The volume cannot be managed';

/** `source-name` is a file's name in the folder, or `<share>/<name>` as upstream's NFS driver has it. */
export function fileManage(context: Context, shares: readonly string[]): Manage {
  const { layout, disk } = context;

  function pathOf(reference: Reference): string {
    const given = reference['source-name'];
    if (given === undefined) throw new DriverError('invalid', 'The reference must have a source-name.');
    const name = shares.includes(dirname(given)) ? basename(given) : given;
    if (name === '' || name.length > 200 || /[/~\0]/.test(name) || name.startsWith('.')) throw new DriverError('invalid', 'The source-name does not name a volume of this backend.');
    return join(layout.root, name);
  }

  /** Its size in bytes; throws `invalid` with the reason for what must not become a volume. */
  async function inspect(path: string): Promise<number> {
    const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw new DriverError('absent', 'There is no such volume on this backend.', { cause: error });
      throw error;
    });
    if (!found.isFile() || found.nlink !== 1) throw new DriverError('invalid', 'The source-name does not name a plain file.');
    const image = await inspectFile(path);
    assertSafe(image, disk.format);
    return image.virtualSize ?? found.size;
  }

  async function describe(name: string, path: string): Promise<Manageable> {
    const reference = { 'source-name': name };
    try {
      const bytes = await inspect(path);
      return { reference, sizeGiB: Math.max(1, Math.ceil(bytes / GiB)), safe: true, extra: { bytes } };
    } catch (error) {
      if (!(error instanceof UnsafeImage) && !(error instanceof DriverError)) throw error;
      return { reference, sizeGiB: Math.max(1, Math.ceil((await stat(path)).size / GiB)), safe: false, reason: error.message };
    }
  }

  return {
    async *list(call) {
      const files = await attempt('The backend cannot be listed', call.signal, () => layout.files());
      // Overlays of our own have a base beside them; they are volumes like any other and must not look dangerous.
      const withSnapshots = new Set(files.flatMap(({ snapshot }) => (snapshot ? [snapshot.volume] : [])));
      for (const { name, path, snapshot } of files) {
        call.signal.throwIfAborted();
        if (snapshot) continue;
        if (withSnapshots.has(name)) {
          const bytes = await context.sizeOfFile(path);
          yield { reference: { 'source-name': name }, sizeGiB: Math.max(1, Math.ceil(bytes / GiB)), safe: false, reason: 'The volume has snapshots.', extra: { bytes } };
        } else if (await exists(path)) yield await attempt('The backend cannot be listed', call.signal, () => describe(name, path));
      }
    },
    size: (call, reference) => attempt(WHAT, call.signal, async () => Math.max(1, Math.ceil(await inspect(pathOf(reference)) / GiB))),
    adopt: (call, spec, reference) => context.turn(call, spec.name, WHAT, async () => {
      const [from, to] = [pathOf(reference), layout.volume(spec.name)];
      const wanted = bytesOf(spec);
      if (from === to || !await exists(to)) {
        const bytes = await inspect(from);
        if (from !== to && await hasSnapshots(context, basename(from))) throw new DriverError('busy', 'The volume has snapshots.');
        if (bytes > wanted) throw new DriverError('invalid', `The volume is larger than ${spec.sizeGiB} GiB.`);
        // A whole number of GiB first: a repeated call finds either the old name or the finished volume.
        if (bytes < wanted) await disk.grow(call, from, wanted);
        if (from !== to) await publish(from, to);
      }
      return nothing;
    }),
    release: (call) => attempt(WHAT, call.signal, async () => {}),
  };
}

const SNAPSHOT_WHAT = 'The snapshot cannot be managed';

/** `source-name` is `<volume>~<snapshot>`, as the list gives it, or the part behind the `~`. */
export function fileManageSnapshots(context: Context): ManageSnapshots {
  const { layout } = context;
  function refOf(volume: SnapshotRef['volume'], reference: Reference): SnapshotRef {
    const given = reference['source-name'];
    if (given === undefined) throw new DriverError('invalid', 'The reference must have a source-name.');
    const [first = '', second, more] = given.split('~');
    if (more !== undefined || (second !== undefined && first !== volume.name)) throw new DriverError('invalid', 'The source-name does not name a snapshot of this volume.');
    return { name: second ?? first, volume, sizeGiB: volume.sizeGiB };
  }
  const sizeOf = async (ref: SnapshotRef) => Math.max(1, Math.ceil((await context.find(ref)).bytes / GiB));

  return {
    async *list(call) {
      for (const { name, path, snapshot } of await attempt('The backend cannot be listed', call.signal, () => layout.files())) {
        call.signal.throwIfAborted();
        if (!snapshot) continue;
        const bytes = await attempt('The backend cannot be listed', call.signal, () => context.sizeOfFile(path));
        yield { reference: { 'source-name': name }, source: { 'source-name': snapshot.volume }, sizeGiB: Math.max(1, Math.ceil(bytes / GiB)), safe: true, extra: { bytes } };
      }
    },
    size: (call: Call, volume, reference) => attempt(SNAPSHOT_WHAT, call.signal, () => sizeOf(refOf(volume, reference))),
    adopt: (call, snapshot, reference) => context.turn(call, snapshot.volume.name, SNAPSHOT_WHAT, async () => {
      const source = refOf(snapshot.volume, reference);
      const [from, to] = [layout.snapshot(source), layout.snapshot(snapshot)];
      if (from === to || (!await exists(from) && await exists(to))) {
        await context.find(snapshot);
        return nothing;
      }
      await context.find(source);
      await renameSnapshot(context, call, snapshot.volume, from, to);
      return nothing;
    }),
    release: (call) => attempt(SNAPSHOT_WHAT, call.signal, async () => {}),
  };
}
