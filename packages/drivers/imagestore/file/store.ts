import { constants } from 'node:fs';
import { mkdir, open, opendir, stat, statfs, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Call } from '../../call.ts';
import { checkName, guarded, publish, remove, removeTemporaries, sweepTemporaries, temporary } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { fileReadable, fileTarget, rangeOf, sparseWritable } from '../../sparse.ts';
import type { ImageStore, Stored } from '../contract.ts';
import { pour } from '../streams.ts';
import { fileUploads } from './uploads.ts';

export interface FileStoreOptions {
  /** The store's id; default `file`. */
  readonly name?: string;
  /** One file per image, named by its id, as Glance's filesystem_store_datadir; plus `.tmp` and `.parts`. */
  readonly directory: string;
  /** ms; default Date.now. */
  readonly now?: () => number;
}

export function fileStore(options: FileStoreOptions): ImageStore {
  const root = resolve(options.directory);
  const pathOf = (imageId: string) => join(root, checkName(imageId));
  const locationOf = (imageId: string) => pathToFileURL(pathOf(imageId)).href;

  /** The path of a location of ours; any other is refused, whoever gave it. */
  function pathIn(location: string): string {
    let path: string;
    try {
      path = fileURLToPath(location);
    } catch (error) {
      throw refused(location, error);
    }
    if (dirname(path) !== root || pathToFileURL(path).href !== location) throw refused(location);
    checkName(basename(path));
    return path;
  }

  const store: ImageStore = {
    name: options.name ?? 'file',
    scheme: 'file',
    location: locationOf,
    localPath: pathIn,

    check: (call) => guarded('The image store cannot be used', call.signal, async () => {
      for (const directory of [root, join(root, '.tmp'), join(root, '.parts')]) await mkdir(directory, { recursive: true, mode: 0o750 });
      const swept = await sweepTemporaries(root, (options.now ?? Date.now)());
      if (swept.length > 0) call.log.info({ swept }, 'Removed unfinished images that nobody writes to');
    }),

    async put(call, imageId, body, { size } = {}) {
      const path = pathOf(imageId);
      try {
        return await guarded('The image cannot be stored', call.signal, async () => {
          await refuseExisting(path);
          return keep(call, path, body, size);
        });
      } catch (error) {
        const own = call.signal.aborted ? undefined : body.errored;
        body.destroy();
        throw own ?? error;
      }
    },

    get: (call, location, range) => guarded('The image cannot be read', call.signal, async () => {
      const file = await openPlain(pathIn(location));
      try {
        const { size } = await file.stat();
        return fileReadable(file, rangeOf(range, size), call.signal, 'The image cannot be read');
      } catch (error) {
        await file.close();
        throw error;
      }
    }),

    delete: (call, location) => guarded('The image cannot be deleted', call.signal, async () => {
      const path = pathIn(location);
      await remove(path);
      await removeTemporaries(root, basename(path));
    }),

    size: (call, location) => guarded('The image cannot be found', call.signal, () => sizeOf(pathIn(location))),

    free: (call) => guarded('The image store cannot be measured', call.signal, async () => {
      const { bsize, blocks, bavail } = await statfs(root);
      return { total: blocks * bsize, free: bavail * bsize };
    }),

    async *list(call) {
      for await (const entry of await guarded('The image store cannot be listed', call.signal, () => opendir(root))) {
        call.signal.throwIfAborted();
        const size = entry.isFile() && !entry.name.startsWith('.') ? await sizeOf(join(root, entry.name)) : undefined;
        if (size !== undefined) yield { imageId: entry.name, size };
      }
    },

    uploads: fileUploads({ root, pathOf, stored: (imageId, size) => ({ url: locationOf(imageId), size }) }),
  };

  async function keep(call: Call, path: string, body: Readable, size: number | undefined): Promise<Stored> {
    const unfinished = temporary(root, basename(path));
    const file = await open(unfinished, 'wx', 0o640);
    const target = fileTarget(file, { fresh: true });
    let stored = 0;
    const sink = sparseWritable(
      { ...target, finish: async (end) => {
        if (size !== undefined && end !== size) throw new DriverError('invalid', `The image has ${end} bytes where ${size} were announced.`);
        await target.finish(end);
        stored = end;
      } },
      { offset: 0, limit: size ?? Number.MAX_SAFE_INTEGER, signal: call.signal, what: 'The image cannot be stored', progress: (reached) => call.progress(reached, size ?? 0) },
    );
    try {
      await pour(body, sink);
      await publish(unfinished, path);
    } catch (error) {
      await remove(unfinished);
      throw error;
    }
    return { url: pathToFileURL(path).href, size: stored };
  }
  return store;
}

const refused = (location: string, cause?: unknown) => new DriverError('invalid', 'The location is not one of this store.', { detail: JSON.stringify(location.slice(0, 200)), cause });

async function refuseExisting(path: string): Promise<void> {
  if (await sizeOf(path) !== undefined) throw new DriverError('busy', 'The store has an image of this id already.');
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Never through a symbolic link: that would lead out of the store. */
function openPlain(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
}
