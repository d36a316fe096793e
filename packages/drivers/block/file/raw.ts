import { constants } from 'node:fs';
import { chmod, copyFile, open, rm, stat, truncate } from 'node:fs/promises';
import { assertSafe, convert, inspectFile } from '@cumulet/diskimage';
import { ProgramFailed, ProgramMissing, type Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { publish, remove, syncFile } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { fileReadable, fileTarget } from '../../sparse.ts';
import type { Disk } from './disk.ts';

const CANNOT_CLONE = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'ENOSYS', 'EINVAL', 'ENOTTY']);
const BLOCK = 64 << 10;

/** Sparse files of plain bytes. Copies share blocks where the file system can (XFS, btrfs), else they skip the holes. */
export function rawDisk(runner: Runner): Disk {
  /** Shared blocks, at one moment whatever is written meanwhile; false when this file system cannot. */
  async function reflink(from: string, to: string): Promise<boolean> {
    try {
      await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    } catch (error) {
      if (!CANNOT_CLONE.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      await rm(to, { force: true });
      return false;
    }
    await chmod(to, 0o640);
    return true;
  }

  async function atLeast(path: string, bytes: number): Promise<void> {
    if ((await stat(path)).size < bytes) await truncate(path, bytes);
    await syncFile(path);
  }

  const disk: Disk = {
    format: 'raw',
    size: async (path) => (await stat(path)).size,
    async create(_call, temporary, bytes) {
      const file = await open(temporary, 'wx', 0o640);
      try {
        await file.truncate(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
    },
    grow: (_call, path, bytes) => atLeast(path, bytes),
    async copy(call, from, temporary, { bytes = 0, inUse = false }) {
      if (!await reflink(from, temporary)) {
        if (inUse) throw new DriverError('busy', 'The volume is in use, and this storage cannot copy it as it is at one moment.');
        // A guest that was paused for this still holds its lock.
        await convert(runner, { from: { path: from, format: 'raw', trusted: true, shared: true }, to: { path: temporary, format: 'raw' }, signal: call.signal, progress: call.progress.bind(call) });
      }
      await atLeast(temporary, bytes);
    },
    async load(call, image, temporary, bytes) {
      if (image.format === 'raw' || image.format === 'iso') {
        assertSafe(await inspectFile(image.path), image.format, { maxVirtualSize: bytes });
        if (await reflink(image.path, temporary)) return atLeast(temporary, bytes);
      }
      await convert(runner, {
        from: { path: image.path, format: image.format, maxVirtualSize: bytes }, to: { path: temporary, format: 'raw' }, sizeBytes: bytes,
        signal: call.signal, progress: call.progress.bind(call),
      });
    },
    async read(call, path, range) {
      return fileReadable(await open(path, constants.O_RDONLY | constants.O_NOFOLLOW), range, call.signal, 'The volume cannot be read');
    },
    async target(_call, path) {
      return fileTarget(await open(path, constants.O_RDWR | constants.O_NOFOLLOW), { fresh: false });
    },
    async zero(call, path, { offset, length }) {
      const { size } = await stat(path);
      if (offset + length === size) {
        await truncate(path, offset);
        await truncate(path, size);
        return syncFile(path);
      }
      try {
        await runner.run('fallocate', ['--punch-hole', '--keep-size', '--offset', String(offset), '--length', String(length), path], { signal: call.signal });
      } catch (error) {
        // Shares that cannot punch holes (NFS before 4.2) get zeros where there are none.
        if (!(error instanceof ProgramFailed && /not supported/i.test(error.stderr)) && !(error instanceof ProgramMissing)) throw error;
        await writeZeros(call, path, offset, length);
      }
      await syncFile(path);
    },

    async snapshot(call, volume, snapshot, temporary, inUse) {
      await disk.copy(call, volume, temporary, { inUse });
      await chmod(temporary, 0o440);
      await publish(temporary, snapshot);
    },
    // Nothing depends on a copy.
    discard: async (_call, snapshot) => void await remove(snapshot),
    async renamed() {},
    async revert(call, _volume, snapshot, temporary, bytes) {
      await disk.copy(call, snapshot, temporary, { bytes });
      await chmod(temporary, 0o640);
    },
  };

  async function writeZeros(call: Call, path: string, offset: number, length: number): Promise<void> {
    const file = await open(path, 'r+');
    const target = fileTarget(file, { fresh: false });
    try {
      for (let done = 0; done < length; done += BLOCK) {
        call.signal.throwIfAborted();
        await target.zero(offset + done, Math.min(BLOCK, length - done));
      }
    } finally {
      await target.close();
    }
  }
  return disk;
}

