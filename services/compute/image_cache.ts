import { assertSafe, convert, inspectFile, UnsafeImage } from '@cumulet/diskimage';
import { DriverError, type Call } from '@cumulet/drivers';
import type { ImageFormat } from '@cumulet/drivers/hypervisor';
import type { Runner } from '@cumulet/exec';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Images } from './neighbours.ts';
import type { ServerImage } from './servers/row.ts';

export interface CachedImage { readonly path: string; readonly format: ImageFormat }
const formats: Readonly<Record<string, { format: ImageFormat; from?: 'vmdk' | 'vdi' | 'vhd' | 'vhdx' }>> = {
  raw: { format: 'raw' }, qcow2: { format: 'qcow2' }, iso: { format: 'iso' }, ami: { format: 'raw' }, aki: { format: 'raw' }, ari: { format: 'raw' },
  vmdk: { format: 'qcow2', from: 'vmdk' }, vdi: { format: 'qcow2', from: 'vdi' }, vhd: { format: 'qcow2', from: 'vhd' }, vhdx: { format: 'qcow2', from: 'vhdx' },
};

/** Images on this host: read-only bases of root disks, inspected before anything opens them. */
export class ImageCache {
  readonly #folder: string;
  readonly #images: Images;
  readonly #runner: Runner | undefined;
  readonly #under = new Map<string, Promise<void>>();
  /** Without a runner nothing is fetched: the fake hypervisor has no disks. */
  constructor(folder: string, images: Images, runner: Runner | undefined) {
    this.#folder = folder;
    this.#images = images;
    this.#runner = runner;
  }

  /** Where an image is or would be. */
  place(image: ServerImage): CachedImage {
    const known = formats[image.disk_format ?? ''];
    if (!known || image.id === undefined || !/^[0-9a-f-]{36}$/.test(image.id)) throw new DriverError('invalid', `Images of the format ${image.disk_format ?? 'unknown'} cannot be started.`);
    return { path: join(this.#folder, `${image.id}.${known.format}`), format: known.format };
  }

  /** Brings an image here unless it is here. Servers that start at once wait for the same download. */
  async fetch(call: Call, image: ServerImage): Promise<CachedImage> {
    const place = this.place(image);
    if (!this.#runner) return place;
    while (!await exists(place.path)) {
      call.signal.throwIfAborted();
      const under = this.#under.get(place.path);
      if (under) { await Promise.race([under.catch(() => undefined), new Promise<void>((_, no) => call.signal.addEventListener('abort', () => no(call.signal.reason as Error), { once: true }))]); continue; }
      const mine = this.#download(call, image, place, this.#runner).finally(() => this.#under.delete(place.path));
      this.#under.set(place.path, mine);
      await mine;
    }
    return place;
  }

  async #download(call: Call, image: ServerImage, place: CachedImage, runner: Runner): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o711 });
    const part = `${place.path}.${call.taskId}.part`;
    const ready = `${part}.ready`;
    try {
      const { stream, size } = await this.#images.read(call, image.id as string);
      let done = 0;
      stream.on('data', (chunk: Buffer) => { done += chunk.length; call.progress(done, size); });
      await pipeline(stream, createWriteStream(part, { mode: 0o644 }), { signal: call.signal });
      // Whatever the record says, the bytes decide before any tool opens them (CVE-2024-32498, CVE-2024-40767).
      const declared = image.disk_format ?? 'raw';
      assertSafe(await inspectFile(part), declared);
      const from = formats[declared]?.from;
      if (from === undefined) await rename(part, place.path);
      else {
        await convert(runner, { from: { path: part, format: from }, to: { path: ready, format: 'qcow2' }, signal: call.signal });
        await rename(ready, place.path);
      }
    } catch (error) {
      if (error instanceof UnsafeImage) throw new DriverError('invalid', `Image ${image.id} is unacceptable: ${error.message}`, { cause: error });
      throw error;
    } finally { await rm(part, { force: true }); await rm(ready, { force: true }); }
  }

  /** Removes bases that no server of this host needs, a day after they came, and what a crash left of downloads. */
  async tidy(needed: ReadonlySet<string>, now: number): Promise<void> {
    if (!this.#runner || !await exists(this.#folder)) return;
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const { mtimeMs } = await stat(path);
      if (!needed.has(name.slice(0, 36)) && !this.#under.has(path) && now - mtimeMs > 86_400_000) await rm(path, { force: true });
    }
  }
}
const exists = (path: string): Promise<boolean> => stat(path).then(() => true, (error: NodeJS.ErrnoException) => { if (error.code === 'ENOENT') return false; throw error; });
