import { convert } from '@cumulet/diskimage';
import { DriverError, type Call } from '@cumulet/drivers';
import type { ImageFormat } from '@cumulet/drivers/hypervisor';
import { fileStore } from '@cumulet/drivers/imagestore';
import type { Runner } from '@cumulet/exec';
import type { ImageAccess } from '@cumulet/image';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerImage } from './servers/row.ts';

export interface CachedImage { readonly path: string; readonly format: ImageFormat }
/** What a base is for each disk format of images; those with `true` are converted first. */
const formats: Readonly<Record<string, readonly [ImageFormat, boolean]>> = {
  raw: ['raw', false], qcow2: ['qcow2', false], iso: ['iso', false], ami: ['raw', false], aki: ['raw', false], ari: ['raw', false], vmdk: ['qcow2', true], vdi: ['qcow2', true], vhd: ['qcow2', true], vhdx: ['qcow2', true],
};
const conversions = 'converted';

/** Images on this host: read-only bases of root disks, whole, hashed and inspected before anything opens them. */
export class ImageCache {
  readonly #folder: string;
  readonly #access: ImageAccess;
  readonly #runner: Runner | undefined;
  /** Without a runner nothing is fetched: the fake hypervisor has no disks. */
  constructor(folder: string, access: ImageAccess, runner: Runner | undefined) {
    this.#folder = folder;
    this.#access = access;
    this.#runner = runner;
  }

  /** Where an image is or would be. */
  place(image: ServerImage): CachedImage {
    const [format, converts] = formats[image.disk_format ?? ''] ?? [];
    if (format === undefined || image.id === undefined || !/^[0-9a-f-]{36}$/.test(image.id)) throw new DriverError('invalid', `Images of the format ${image.disk_format ?? 'unknown'} cannot be started.`);
    if (converts) return { path: join(this.#folder, `${image.id}.${conversions}`), format };
    const store = fileStore({ name: 'cache', directory: this.#folder });
    return { path: store.localPath?.(store.location(image.id)) as string, format };
  }

  /** Brings an image here unless it is here. */
  async fetch(call: Call, image: ServerImage): Promise<CachedImage> {
    const place = this.place(image);
    if (!this.#runner) return place;
    if (place.path.endsWith(`.${conversions}`) && await exists(place.path)) return place;
    const local = await this.#access.localCopy(call, image.id as string, this.#folder);
    if (!place.path.endsWith(`.${conversions}`)) return { path: local.path, format: place.format };
    const part = `${place.path}.${call.taskId}`;
    await rm(part, { force: true });
    try {
      await convert(this.#runner, { from: { path: local.path, format: local.format }, to: { path: part, format: 'qcow2' }, signal: call.signal });
      await rename(part, place.path);
    } finally { await rm(part, { force: true }); }
    return place;
  }

  /** Removes bases that no server of this host needs, a day after they were last asked for. */
  async tidy(needed: ReadonlySet<string>, now: number): Promise<void> {
    if (!this.#runner || !await exists(this.#folder)) return;
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const facts = await stat(path);
      if (facts.isFile() && !needed.has(name.slice(0, 36)) && now - facts.mtimeMs > 86_400_000) await rm(path, { force: true });
    }
  }
}
const exists = (path: string): Promise<boolean> => stat(path).then(() => true, (error: NodeJS.ErrnoException) => { if (error.code === 'ENOENT') return false; throw error; });
