import { chmod, link, open, rename, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { commit, convert, create, openImage, renameBase, resize, type ImageAccess, type ImageAt } from '@cumulet/diskimage';
import type { Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { exists, remove, replace, syncDirectory } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { rangeReadable } from '../../sparse.ts';
import { asDriverError } from './failure.ts';
import type { Disk } from './disk.ts';
import { goneName, sameFile } from './layout.ts';

const q = (path: string): ImageAt => ({ path, format: 'qcow2' });
/** Named by its file name: base and overlay are in one folder, also after that is mounted elsewhere. */
const beside = (path: string): ImageAt => q(basename(path));

/**
 * Sparse images with chains of snapshots: the volume's file is an overlay of its newest snapshot, that of the next older one, and so
 * on. A running QEMU holds a lock on the chain, so all of this needs the volume at rest (`busy` otherwise).
 */
export function qcow2Disk(runner: Runner): Disk {
  const watch = (call: Call) => ({ signal: call.signal, progress: call.progress.bind(call) });

  /** From the header of a file of our own: its virtual size, and its base's file name. */
  async function header(path: string): Promise<{ bytes: number; base: string | undefined }> {
    const file = await open(path, 'r');
    try {
      const { buffer: head, bytesRead } = await file.read(Buffer.alloc(72), 0, 72, 0);
      if (bytesRead < 72 || head.readUInt32BE(0) !== 0x514649fb) throw new DriverError('broken', 'The file of the volume is damaged.', { detail: path });
      const [at, length] = [Number(head.readBigUInt64BE(8)), head.readUInt32BE(16)];
      const name = at === 0 ? undefined : (await file.read(Buffer.alloc(Math.min(length, 1023)), 0, Math.min(length, 1023), at)).buffer.toString();
      return { bytes: Number(head.readBigUInt64BE(24)), base: name === undefined ? undefined : basename(name) };
    } finally {
      await file.close();
    }
  }

  /** The file among `others` whose base is `snapshot`; the chain is linear, so there is at most one. */
  async function childOf(snapshot: string, others: readonly string[]): Promise<string | undefined> {
    for (const path of others) if ((await header(path)).base === basename(snapshot)) return path;
    return undefined;
  }

  const disk: Disk = {
    format: 'qcow2',
    size: async (path) => (await header(path)).bytes,
    create: (call, temporary, bytes) => create(runner, q(temporary), bytes, { signal: call.signal }),
    grow: (call, path, bytes) => resize(runner, q(path), bytes, { signal: call.signal }),
    async copy(call, from, temporary, { bytes, inUse }) {
      if (inUse) throw inUseError();
      await convert(runner, { from: { ...q(from), trusted: true }, to: q(temporary), ...(bytes !== undefined && { sizeBytes: bytes }), ...watch(call) });
    },
    load: (call, image, temporary, bytes) => convert(runner, {
      from: { path: image.path, format: image.format, maxVirtualSize: bytes }, to: q(temporary), sizeBytes: bytes, ...watch(call),
    }),

    async read(call, path, { offset, length }) {
      const access = await openImage(runner, q(path), { readOnly: true, signal: call.signal });
      return rangeReadable(access, { offset, length, signal: call.signal, fail: (error) => asDriverError(error, 'The volume cannot be read') });
    },
    async target(call, path) {
      const access = await openImage(runner, q(path), { signal: call.signal });
      return {
        write: (bytes, at) => access.write(at, bytes),
        zero: (at, length) => access.zero(at, length),
        finish: () => access.flush(),
        close: () => access.close(),
      };
    },
    async zero(call, path, { offset, length }) {
      const access = await openImage(runner, q(path), { signal: call.signal });
      try {
        await access.zero(offset, length);
        await access.flush();
      } finally {
        await access.close();
      }
    },

    async snapshot(call, volume, snapshot, temporary, inUse) {
      if (inUse) throw inUseError();
      const bytes = await disk.size(volume);
      // The volume's file gets the snapshot's name too; the overlay then takes its old name in one step. In between, both
      // names are one file, which counts as "no snapshot yet", so that whoever cuts this short has lost nothing.
      await rest(volume, call);
      if (!await sameFile(volume, snapshot)) await link(volume, snapshot);
      await create(runner, q(temporary), bytes, { backing: beside(snapshot), signal: call.signal });
      await syncDirectory(dirname(snapshot));
      await chmod(temporary, (await stat(volume)).mode & 0o777);
      await rename(temporary, volume);
      await chmod(snapshot, 0o440);
      await syncDirectory(dirname(volume));
    },
    async discard(call, snapshot, others, inUse) {
      const gone = goneName(snapshot);
      const child = await childOf(snapshot, others) ?? await childOf(gone, others);
      if (child === undefined) {
        await remove(snapshot);
        await remove(gone);
        return;
      }
      if (inUse) throw inUseError();
      await rest(child, call);
      // First it stops being a snapshot, in steps that each leave a whole chain.
      if (!await exists(gone)) await link(snapshot, gone);
      await renameBase(runner, q(child), beside(gone), { signal: call.signal });
      await remove(snapshot);
      // Then its child is merged into it and replaced by it. Until the last step the child reads as ever: it hides what is
      // overwritten below it. Cut short, a repeated call goes on; nobody can see the half-merged file.
      const { mode } = await stat(child);
      await chmod(gone, 0o640);
      await commit(runner, q(child), gone, watch(call));
      await chmod(gone, mode & 0o777);
      await replace(gone, child);
    },
    async renamed(call, from, to, others) {
      const child = await childOf(from, others);
      if (child !== undefined) await renameBase(runner, q(child), beside(to), { signal: call.signal });
    },
    async revert(call, volume, snapshot, temporary, bytes) {
      if ((await header(volume)).base !== basename(snapshot)) throw new DriverError('invalid', 'A volume can be put back to its newest snapshot only.');
      await rest(volume, call);
      await create(runner, q(temporary), bytes, { backing: beside(snapshot), signal: call.signal });
    },
  };

  /** Throws `busy` when a QEMU has it open, whatever the caller believes. */
  async function rest(path: string, call: Call): Promise<void> {
    let access: ImageAccess | undefined;
    try {
      access = await openImage(runner, q(path), { signal: call.signal });
    } finally {
      await access?.close();
    }
  }
  return disk;
}

const inUseError = () => new DriverError('busy', 'The volume is in use; a volume of this kind must be at rest for that.');
