import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../../call.ts';
import { checkName, fromErrno } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { giveBack } from '../../lent.ts';
import { fileReadable, rangeOf, runs } from '../../sparse.ts';
import type { SwiftAccount } from '../../swift/index.ts';
import type { ImageStore } from '../contract.ts';
import { taking } from '../streams.ts';
import { openDevice } from './device.ts';
import { openVolumes, type Attachment, type Volume, type Volumes } from './volumes.ts';

export interface CinderStoreOptions extends SwiftAccount {
  /** The store's id; default `cinder`. */
  readonly name?: string;
  /** Glance's cinder_volume_type. */
  readonly volumeType?: string | undefined;
  /** How this host presents itself to the volume service. */
  readonly connector: { readonly host: string; readonly [key: string]: unknown };
  /** For tests. */
  readonly volumes?: Volumes;
}

const GiB = 2 ** 30;
/** On volumes that are images: whose, and (when it is complete) how many bytes, as Glance has it. */
const OWNER = 'glance_image_id';
const SIZE = 'image_size';

/**
 * Images on volumes: `image-<id>`, raw, with the image's size in the volume's metadata. Locations are Glance's, `cinder://STORE/VOLUME-ID` (or
 * `cinder://VOLUME-ID`); since Cinder gives the id, `location(imageId)` is `cinder://STORE/image-<id>`, which every verb understands too. A volume that
 * somebody else made, and that only became an image's location, is read and never deleted.
 */
export function cinderStore(options: CinderStoreOptions): ImageStore {
  const name = options.name ?? 'cinder';
  const cinder = options.volumes ?? openVolumes(options, options.connector);
  const prefix = `cinder://${name}/`;
  const volumeName = (imageId: string) => `image-${checkName(imageId)}`;
  const storing = new Set<string>();

  /** The volumes of a location: all that were begun for an image, oldest first, or the one of that id. */
  async function volumesAt(call: Call, location: string): Promise<Volume[]> {
    call.signal.throwIfAborted();
    const rest = location.startsWith(prefix) ? location.slice(prefix.length) : location.startsWith('cinder://') ? location.slice('cinder://'.length) : '';
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(rest)) {
      const volume = await cinder.get(call, rest);
      return volume ? [volume] : [];
    }
    if (!rest.startsWith('image-') || !location.startsWith(prefix)) throw new DriverError('invalid', 'The location is not one of this store.', { detail: JSON.stringify(location.slice(0, 200)) });
    const imageId = checkName(rest.slice('image-'.length));
    return (await cinder.named(call, rest)).filter(v => v.metadata[OWNER] === imageId).toSorted((a, b) => `${a.created_at}${a.id}`.localeCompare(`${b.created_at}${b.id}`));
  }
  /** Bytes of a complete image; a volume that was not made for an image is one as a whole. */
  const sizeOf = (v: Volume): number | undefined => (v.metadata[SIZE] !== undefined ? Number(v.metadata[SIZE]) : v.metadata[OWNER] === undefined ? v.size * GiB : undefined);
  const complete = async (call: Call, location: string) => (await volumesAt(call, location)).find(v => sizeOf(v) !== undefined && !v.status.startsWith('deleting'));

  async function remove(call: Call, volume: Volume): Promise<void> {
    for (const left of await cinder.attachments(call, volume.id)) await cinder.detach(call, left.id);
    await cinder.until(call, volume.id, ['available', 'error', 'deleting', 'error_deleting', 'error_extending']).catch((error: unknown) => { if (!(error instanceof DriverError) || error.kind !== 'broken') throw error; });
    await cinder.delete(call, volume.id);
    await cinder.until(call, volume.id, []);
  }

  async function put(call: Call, imageId: string, body: Readable, size: number | undefined): Promise<{ url: string; size: number }> {
    const title = volumeName(imageId);
    if (storing.has(imageId)) throw busy();
    storing.add(imageId);
    let volume: Volume | undefined;
    try {
      if ((await volumesAt(call, prefix + title)).length > 0) throw busy();
      // Not ended in the middle: nobody would know its id.
      volume = await cinder.create(steady(call), { name: title, size: Math.max(1, Math.ceil((size ?? 1) / GiB)), type: options.volumeType, metadata: { [OWNER]: imageId } });
      // Of several that began at once the oldest is the image.
      if ((await volumesAt(call, prefix + title))[0]?.id !== volume.id) throw busy();
      await cinder.until(call, volume.id, ['available']);
      const stored = await fill(call, volume, body, size);
      await cinder.setMetadata(call, volume.id, { [SIZE]: String(stored) });
      return { url: prefix + volume.id, size: stored };
    } catch (error) {
      if (volume) await remove(steady(call), volume).catch((err: unknown) => call.log.warn({ err, imageId, store: name }, 'The volume of a broken upload is left'));
      throw error;
    } finally {
      storing.delete(imageId);
    }
  }

  /** Writes a stream onto a new volume, which grows as needed, and leaves out zeros. */
  async function fill(call: Call, volume: Volume, body: Readable, size: number | undefined): Promise<number> {
    const what = 'The image cannot be stored';
    let room = volume.size;
    let held: { attachment: Attachment; file: FileHandle } | undefined;
    const begin = async () => {
      const attachment = await cinder.attach(call, volume.id, 'rw');
      try { held = { attachment, file: await openDevice(attachment, 'rw') }; } catch (error) { await cinder.detach(steady(call), attachment.id); throw error; }
      return held;
    };
    const end = async (sync: boolean) => {
      const { attachment, file } = held ?? {};
      held = undefined;
      try { if (sync) await file?.sync(); } finally { await file?.close(); }
      if (attachment) await cinder.detach(steady(call), attachment.id);
      await cinder.until(steady(call), volume.id, ['available']);
    };
    let at = 0;
    try {
      await begin();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (size !== undefined && at + chunk.length > size) throw new DriverError('invalid', `The image has more than the ${size} bytes that were announced.`);
        if (at + chunk.length > room * GiB) {
          await end(true);
          room = Math.max(room * 2, Math.ceil((at + chunk.length) / GiB));
          await cinder.extend(call, volume.id, room);
          await cinder.until(call, volume.id, ['available']);
          await begin();
        }
        const { file } = held as { file: FileHandle };
        try {
          for (const run of runs(chunk, at)) for (let done = 0; !run.zero && done < run.bytes.length;) done += (await file.write(run.bytes, done, run.bytes.length - done, run.at + done)).bytesWritten;
        } catch (error) { throw fromErrno(error, what); }
        call.progress(at += chunk.length, size ?? 0);
        giveBack(chunk);
      }
      call.signal.throwIfAborted();
      if (size !== undefined && at !== size) throw new DriverError('invalid', `The image has ${at} bytes where ${size} were announced.`);
      await end(true);
      return at;
    } catch (error) {
      if (held) await end(false).catch((err: unknown) => call.log.warn({ err, store: name }, 'The volume of a broken upload stays attached until it is deleted'));
      throw error;
    }
  }

  /** The volume on this host, read only: through an attachment that somebody here has already (a download that goes on, or one that was killed), or a new one. */
  async function openToRead(call: Call, volume: Volume): Promise<{ file: FileHandle; release: () => Promise<void> }> {
    for (let n = 1; ; n += 1) {
      for (const there of await cinder.attachments(call, volume.id)) {
        if (there.attach_mode === 'ro' && typeof there.connection_info['device_path'] === 'string') return { file: await openDevice(there, 'ro'), release: async () => undefined };
      }
      try {
        const mine = await cinder.attach(call, volume.id, 'ro');
        const release = () => cinder.detach(steady(call), mine.id);
        try { return { file: await openDevice(mine, 'ro'), release }; } catch (error) { await release(); throw error; }
      } catch (error) {
        // Somebody attaches or detaches it at this moment.
        if (!(error instanceof DriverError) || error.kind !== 'busy' || n > 20) throw error;
        await sleep(250, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
      }
    }
  }

  return {
    name, scheme: 'cinder',
    location: imageId => prefix + volumeName(imageId),
    check: async call => void await cinder.named(call, 'image-none'),
    put: (call, imageId, body, { size } = {}) => taking(call, body, () => put(call, checkName(imageId), body, size)),
    async get(call, location, range) {
      const what = 'The image cannot be read';
      const volume = await complete(call, location);
      const size = volume && sizeOf(volume);
      if (!volume || size === undefined) throw new DriverError('absent', `${what}: it is not there.`);
      const span = rangeOf(range, size);
      if (span.length === 0) return Readable.from([]);
      const { file, release } = await openToRead(call, volume);
      return fileReadable(file, span, call.signal, what).once('close', () => { release().catch((err: unknown) => call.log.warn({ err, store: name }, 'The volume of an image stays attached until it is deleted')); });
    },
    async delete(call, location) {
      for (const volume of await volumesAt(call, location)) if (volume.metadata[OWNER] !== undefined) await remove(call, volume);
    },
    async size(call, location) {
      const volume = await complete(call, location);
      return volume && sizeOf(volume);
    },
    async *list(call) {
      for (const volume of await cinder.all(call)) {
        const size = sizeOf(volume);
        const imageId = volume.metadata[OWNER];
        if (imageId !== undefined && size !== undefined) yield { imageId, size };
      }
    },
  };
}

const busy = () => new DriverError('busy', 'The store has an image of this id already.');
/** The same call, for what is short and must not stop half-way. */
const steady = (call: Call): Call => ({ ...call, signal: AbortSignal.timeout(120_000) });
