import { UnsafeImage, type DiskFormat } from '@cumulet/diskimage';
import { DriverError, type Call } from '@cumulet/drivers';
import { fileStore, type ImageStore } from '@cumulet/drivers/imagestore';
import type { Runtime } from '@cumulet/service';
import { chmod, mkdir, readFile, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { noteUse } from './caching/store.ts';
import { openImage } from './data/download.ts';
import { openHashing } from './data/hashing.ts';
import { ingest, type StoredImage } from './data/ingest.ts';
import { imageById, type ImageRow } from './images/store.ts';
import { openStores } from './stores.ts';

export interface LocalImage {
  /** A complete file that nobody may write to. */
  readonly path: string;
  readonly format: DiskFormat;
  /** Bytes that a guest sees. */
  readonly virtualSize: number;
}

/** Image data for workers of other services. */
export interface ImageAccess {
  /**
   * The image as a read-only file in `cacheDir`, fetched once for all who ask: complete or not there, its hash that of the image, its content inspected.
   * A copy that is there is used even when the image has been deleted since. Throws DriverError: `absent`, `invalid` (dangerous or not its hash), `full`.
   */
  localCopy(call: Call, imageId: string, cacheDir: string): Promise<LocalImage>;
  /** The image's bytes as they are stored. */
  read(call: Call, imageId: string): Promise<Readable>;
  /** Fills a `saving` image: hashed, inspected, stored in the default store. Repeats: what an earlier try left is replaced. */
  put(call: Call, imageId: string, body: Readable, options?: { readonly size?: number }): Promise<StoredImage>;
  /** Takes `put` back. */
  discard(call: Call, imageId: string): Promise<void>;
  close(): Promise<void>;
}

const openable: Readonly<Record<string, DiskFormat>> = { raw: 'raw', qcow2: 'qcow2', vmdk: 'vmdk', vhd: 'vhd', vhdx: 'vhdx', vdi: 'vdi', iso: 'iso', ami: 'raw', aki: 'raw', ari: 'raw' };

/** What an image's bytes are: those of an encrypted volume are declared raw, as upstream declares them, and are its container. */
const contentOf = (row: ImageRow): string | null => (row.disk_format === 'raw' && row.properties['cinder_encryption_key_id'] !== undefined ? 'luks' : row.disk_format);

export async function openImageAccess(rt: Runtime): Promise<ImageAccess> {
  const stores = await openStores(rt);
  const hashing = openHashing();
  const flights = new Map<string, Promise<LocalImage>>();
  const find = async (id: string): Promise<ImageRow> => {
    const row = await imageById(rt.db, id);
    if (!row || row.status === 'pending_delete') throw new DriverError('absent', `Image ${id} could not be found.`);
    return row;
  };

  async function fetchCopy(call: Call, id: string, cache: ImageStore, cacheDir: string): Promise<LocalImage> {
    const path = cache.localPath?.(cache.location(id)) as string;
    const facts = join(cacheDir, '.facts', `${id}.json`);
    if (await cache.size(call, cache.location(id)) !== undefined) {
      const known = await readFile(facts, 'utf8').then(text => JSON.parse(text) as LocalImage, () => undefined);
      if (known) { const now = new Date(rt.clock()); await utimes(path, now, now); return { ...known, path }; }
      await cache.delete(call, cache.location(id));      // of a process that died before it could say what this is
    }
    const row = await find(id);
    const format = openable[row.disk_format ?? ''];
    if (row.status !== 'active') throw new DriverError('absent', `Image ${id} is not active.`);
    if (!format || row.size === null) throw new DriverError('unsupported', `An image of format ${row.disk_format} cannot be used here.`);
    try {
      const got = await ingest(hashing, call, cache, id, await openImage({ stores }, call, row), {
        format: { disk: contentOf(row) as string, container: row.container_format ?? 'bare' }, strict: true, size: row.size, hash: row.os_hash_algo === 'sha512' ? row.os_hash_value : null, checksum: row.checksum,
      });
      const local: LocalImage = { path, format, virtualSize: got.virtualSize ?? got.size };
      await chmod(path, 0o444);
      await mkdir(join(cacheDir, '.facts'), { recursive: true });
      await writeFile(`${facts}.new`, JSON.stringify({ format: local.format, virtualSize: local.virtualSize }));
      await rename(`${facts}.new`, facts);
      return local;
    } catch (error) { throw plainly(error); }
  }

  return {
    async localCopy(call, id, cacheDir) {
      const key = join(cacheDir, id);
      for (;;) {
        call.signal.throwIfAborted();
        const flying = flights.get(key);
        if (flying) {
          const landed = await flying.then(value => ({ value }), () => undefined);
          if (landed) return landed.value;
          continue;                                       // the other one gave up or failed: try for ourselves
        }
        const cache = fileStore({ name: 'cache', directory: cacheDir });
        const flight = cache.check(call).then(() => fetchCopy(call, id, cache, cacheDir));
        flights.set(key, flight);
        try {
          const local = await flight;
          await noteUse(rt.db, { host: rt.settings.host, folder: resolve(cacheDir), image_id: id }, (await stat(local.path)).size);
          return local;
        } finally { flights.delete(key); }
      }
    },
    read: async (call, id) => openImage({ stores }, call, await find(id)),
    async put(call, id, body, { size } = {}) {
      const row = await find(id);
      const store = stores.default;
      await store.delete(call, store.location(id));
      try {
        const got = await ingest(hashing, call, store, id, body, { ...(size === undefined ? {} : { size }), ...(row.disk_format ? { format: { disk: contentOf(row) ?? row.disk_format, container: row.container_format ?? 'bare' }, strict: true } : {}) });
        return { ...got, store: store.name };
      } catch (error) { throw plainly(error); }
    },
    discard: (call, id) => stores.default.delete(call, stores.default.location(id)),
    close: () => hashing.close(),
  };
}
const plainly = (error: unknown) => (error instanceof UnsafeImage ? new DriverError('invalid', error.message, { cause: error }) : error);
