import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, opendir, realpath, rename, rm, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fromErrno, guarded, syncDirectory } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { fileReadable } from '../../sparse.ts';
import type { Call } from '../../call.ts';
import { checkContainer, ownContainer, readPrefix, stamp } from '../layout.ts';
import type { Entry, ObjectStore } from '../store.ts';

export interface PosixStoreOptions {
  readonly directory: string;
  /** For backups that name no container; default a directory for each, `ab/cd/<id>`, as upstream's. */
  readonly container?: string;
  readonly service: string;
  /** Before every use: makes the directory be there, or throws (a share that is not mounted must not be written below). */
  readonly ready: (call: Call) => Promise<void>;
}

/** Unfinished files; the name of the object follows. Upstream looks only at names that begin with a backup's prefix. */
const UNFINISHED = '.cumulet~';
const READ = 'The backup cannot be read';
const WRITE = 'The backup cannot be stored';
/** Directories below directories that are looked through for backups. */
const DEEPEST = 8;
/** Upstream's modes: its group may share the directory with others. */
const DIRECTORY_MODE = 0o770;
const FILE_MODE = 0o660;

function checkObject(name: string): string {
  if (name === '' || Buffer.byteLength(name) > 255 - UNFINISHED.length - 37 || name.startsWith('.') || /[/\0-\x1f]/.test(name)) {
    throw new DriverError('invalid', 'The name of the object is not valid.', { detail: JSON.stringify(name.slice(0, 300)) });
  }
  return name;
}

/** Objects as files in upstream's places. Nothing is followed out of the directory, neither by names nor by symbolic links. */
export function posixStore(options: PosixStoreOptions): ObjectStore {
  const root = resolve(options.directory);
  const pathOf = (container: string) => join(root, ...checkContainer(container));

  /** The container's directory, which is one and lies where its name says. Undefined when it is not there. */
  async function find(container: string): Promise<string | undefined> {
    const path = pathOf(container);
    let real: string;
    try {
      real = await realpath(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    if (real !== join(await realpath(root), ...checkContainer(container))) throw new DriverError('invalid', 'The container leads out of the backup directory.', { detail: path });
    return real;
  }
  async function need(container: string): Promise<string> {
    const path = await find(container);
    if (path === undefined) throw new DriverError('absent', 'The container is not there.', { detail: pathOf(container) });
    return path;
  }

  async function keep(call: Call, container: string, name: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
    await guarded(WRITE, call.signal, async () => {
      const folder = await need(container);
      const unfinished = join(folder, `${UNFINISHED}${checkObject(name)}~${randomUUID()}`);
      const file = await open(unfinished, 'wx', FILE_MODE);
      try {
        try {
          await write(file);
          await file.chmod(FILE_MODE);
          await file.sync();
        } finally {
          await file.close();
        }
        call.signal.throwIfAborted();
        await rename(unfinished, join(folder, name));
      } catch (error) {
        await rm(unfinished, { force: true });
        throw error;
      }
    });
  }

  return {
    service: options.service,
    // The same layout, and a share may be a directory tomorrow.
    serves: (service) => /^cinder\.backup\.drivers\.(posix|nfs)(\.\w+)?$/.test(service),
    place: ({ id, volumeId, container }, now) => {
      const chosen = container ?? options.container ?? ownContainer(id);
      checkContainer(chosen);
      return { container: chosen, serviceMetadata: `volume_${volumeId}_${stamp(now)}_backup_${id}` };
    },

    check: (call) => guarded('The backup directory cannot be used', call.signal, async () => {
      await options.ready(call);
      const probe = join(root, `${UNFINISHED}check~${randomUUID()}`);
      await (await open(probe, 'wx', FILE_MODE)).close();
      await unlink(probe);
    }),

    prepare: (call, container) => guarded(WRITE, call.signal, async () => {
      await options.ready(call);
      const parts = checkContainer(container);
      let path = await realpath(root);
      for (const part of parts) {
        const below = join(path, part);
        const made = await mkdir(below, { mode: DIRECTORY_MODE }).then(() => true, (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        });
        if (made) {
          await chmod(below, DIRECTORY_MODE);
          await syncDirectory(path);
        } else if (!(await lstat(below)).isDirectory()) throw new DriverError('invalid', 'The container leads out of the backup directory.', { detail: below });
        path = below;
      }
    }),

    put: (call, container, name, bytes) => keep(call, container, name, async (file) => {
      for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, Math.min(bytes.length - done, 8 << 20))).bytesWritten;
    }),
    putStream: (call, container, name, body) => keep(call, container, name, async (file) => {
      for await (const piece of body) {
        call.signal.throwIfAborted();
        for (let done = 0; done < piece.length;) done += (await file.write(piece, done)).bytesWritten;
      }
    }),

    get: (call, container, name) => guarded(READ, call.signal, async () => {
      await options.ready(call);
      // A link would lead out; a fifo would hang.
      const path = join(await need(container), checkObject(name));
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'ENOENT' ? new DriverError('absent', `The object ${name} is not there.`, { cause: error }) : error;
      });
      try {
        const found = await file.stat();
        if (!found.isFile()) throw new DriverError('invalid', `The object ${name} is not a file.`);
        return { size: found.size, body: fileReadable(file, { offset: 0, length: found.size }, call.signal, READ) };
      } catch (error) {
        await file.close();
        throw error;
      }
    }),

    async *list(call, container, prefix) {
      const entries = await guarded(READ, call.signal, async () => {
        await options.ready(call);
        const folder = await find(container);
        return folder === undefined ? [] : entriesOf(call, folder, prefix);
      });
      yield* entries;
    },

    remove: (call, container, name) => guarded('The backup cannot be deleted', call.signal, async () => {
      await options.ready(call);
      const folder = await find(container);
      if (folder !== undefined) await unlink(join(folder, checkObject(name))).catch(unlessGone);
    }),

    settle: (call, container) => guarded(WRITE, call.signal, async () => syncDirectory(await need(container))),

    sweep: (call, { container, serviceMetadata }) => guarded(WRITE, call.signal, async () => {
      const folder = await find(container);
      if (folder === undefined) return;
      for await (const { name } of await opendir(folder)) if (name.startsWith(UNFINISHED) && name.includes(serviceMetadata)) await unlink(join(folder, name)).catch(unlessGone);
    }),
    leave: (call, { container, serviceMetadata }) => guarded('The backup cannot be deleted', call.signal, async () => {
      const folder = await find(container);
      if (folder === undefined) return;
      await syncDirectory(folder);
      // Of the backup that the objects were made for, whatever id a record has given it since.
      const id = readPrefix(serviceMetadata)?.backupId;
      if (id === undefined || container !== ownContainer(id)) return;
      // Not empty: somebody else has put something there.
      for (const parts = container.split('/'); parts.length > 0; parts.pop()) {
        const gone = await rmdir(join(root, ...parts)).then(() => true, (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false;
          if (error.code === 'ENOENT') return true;
          throw error;
        });
        if (!gone) return;
      }
    }),

    async *containers(call) {
      await guarded(READ, call.signal, () => options.ready(call));
      yield* below(call, []);
    },
    async close() {},
  };

  async function* below(call: Call, parts: readonly string[]): AsyncGenerator<string> {
    call.signal.throwIfAborted();
    const folders: string[] = [];
    let files = false;
    try {
      for await (const entry of await opendir(join(root, ...parts))) {
        if (entry.isFile()) files = true;
        else if (entry.isDirectory() && !entry.name.startsWith('.')) folders.push(entry.name);
      }
    } catch (error) {
      throw fromErrno(error, READ);
    }
    if (files && parts.length > 0) yield parts.join('/');
    if (parts.length < DEEPEST) for (const name of folders.toSorted()) yield* below(call, [...parts, name]);
  }
}

async function entriesOf(call: Call, folder: string, prefix: string): Promise<Entry[]> {
  const found: Entry[] = [];
  for await (const { name } of await opendir(folder)) {
    if (!name.startsWith(prefix) || name.startsWith(UNFINISHED)) continue;
    call.signal.throwIfAborted();
    try {
      const { size } = await lstat(join(folder, name));
      found.push({ name, size });
    } catch (error) {
      unlessGone(error as NodeJS.ErrnoException);
    }
  }
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
