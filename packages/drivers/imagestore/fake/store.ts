import { Readable } from 'node:stream';
import type { Call } from '../../call.ts';
import { checkName } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { scriptedFaults, type Faults } from '../../faults.ts';
import { giveBack } from '../../lent.ts';
import { rangeOf } from '../../sparse.ts';
import type { ImageStore } from '../contract.ts';
import { taking } from '../streams.ts';

type Verb = 'check' | 'put' | 'get' | 'delete' | 'size' | 'free' | 'list' | 'uploads.offset' | 'uploads.append' | 'uploads.read' | 'uploads.finish' | 'uploads.discard';

export interface FakeStore extends ImageStore {
  readonly faults: Faults<Verb>;
  /** Ids of everything stored, and of unfinished uploads: what a test of a plan wants to be empty. */
  readonly held: { readonly images: readonly string[]; readonly parts: readonly string[] };
}

/** An image store in memory. Locations are `fake://NAME/<id>`. */
export function fakeStore(options: { readonly name?: string; readonly capacityBytes?: number } = {}): FakeStore {
  const name = options.name ?? 'fake';
  const total = options.capacityBytes ?? 2 ** 40;
  const images = new Map<string, Buffer>();
  const parts = new Map<string, Buffer>();
  const writing = new Set<string>();
  const faults = scriptedFaults<Verb>();
  const prefix = `fake://${name}/`;

  const idOf = (location: string) => {
    const id = location.startsWith(prefix) ? location.slice(prefix.length) : '';
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(id)) throw new DriverError('invalid', 'The location is not one of this store.');
    return id;
  };
  const used = () => [...images.values(), ...parts.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  const absent = () => new DriverError('absent', 'The image cannot be read: it is not there.');

  /** All that comes; `keep` sees each piece as it does. */
  const collect = (call: Call, body: Readable, keep: (chunk: Buffer) => void): Promise<void> => taking(call, body, async () => {
    for await (const chunk of body) {
      const bytes = Buffer.from(chunk as Uint8Array);
      if (used() + bytes.length > total) throw new DriverError('full', 'The image cannot be stored: there is no room left.');
      keep(bytes);
      giveBack(chunk as Uint8Array);
    }
    call.signal.throwIfAborted();
  });
  const guard = <T>(verb: Verb, call: Call, work: () => T | Promise<T>) => faults.through(verb, call, work);
  const single = async <T>(imageId: string, work: () => Promise<T>): Promise<T> => {
    if (writing.has(imageId)) throw new DriverError('busy', 'The image is being uploaded already.');
    writing.add(imageId);
    try {
      return await work();
    } finally {
      writing.delete(imageId);
    }
  };

  return {
    name,
    scheme: 'fake',
    faults,
    get held() { return { images: [...images.keys()], parts: [...parts.keys()] }; },
    location: (imageId) => prefix + checkName(imageId),
    check: (call) => guard('check', call, () => undefined),
    put: (call, imageId, body, { size } = {}) => guard('put', call, async () => {
      const url = prefix + checkName(imageId);
      if (images.has(imageId)) throw new DriverError('busy', 'The store has an image of this id already.');
      const pieces: Buffer[] = [];
      let length = 0;
      await collect(call, body, (chunk) => {
        pieces.push(chunk);
        call.progress(length += chunk.length, size ?? 0);
      });
      if (size !== undefined && length !== size) throw new DriverError('invalid', `The image has ${length} bytes where ${size} were announced.`);
      if (images.has(imageId)) throw new DriverError('busy', 'The store has an image of this id already.');
      images.set(imageId, Buffer.concat(pieces));
      return { url, size: length };
    }).catch((error: unknown) => {
      body.destroy();
      throw error;
    }),
    get: (call, location, range) => guard('get', call, () => {
      const bytes = images.get(idOf(location));
      if (!bytes) throw absent();
      const { offset, length } = rangeOf(range, bytes.length);
      return chunked(bytes.subarray(offset, offset + length));
    }),
    delete: (call, location) => guard('delete', call, () => void images.delete(idOf(location))),
    size: (call, location) => guard('size', call, () => images.get(idOf(location))?.length),
    free: (call) => guard('free', call, () => ({ total, free: total - used() })),
    async *list(call) {
      await guard('list', call, () => undefined);
      for (const [imageId, bytes] of images) yield { imageId, size: bytes.length };
    },
    uploads: {
      offset: (call, imageId) => guard('uploads.offset', call, () => parts.get(checkName(imageId))?.length ?? 0),
      append: (call, imageId, offset, body) => guard('uploads.append', call, () => single(checkName(imageId), async () => {
        const at = parts.get(imageId)?.length ?? 0;
        if (offset !== at) throw new DriverError('invalid', `The upload goes on at byte ${at}, not ${offset}.`);
        if (at === 0) parts.set(imageId, Buffer.alloc(0));
        await collect(call, body, (chunk) => void parts.set(imageId, Buffer.concat([parts.get(imageId) ?? Buffer.alloc(0), chunk])));
        return parts.get(imageId)?.length ?? 0;
      })),
      read: (call, imageId) => guard('uploads.read', call, () => {
        const bytes = parts.get(checkName(imageId));
        if (!bytes) throw absent();
        return chunked(bytes);
      }),
      finish: (call, imageId, { size } = {}) => guard('uploads.finish', call, () => {
        const bytes = parts.get(checkName(imageId)) ?? images.get(imageId);
        if (!bytes) throw absent();
        if (writing.has(imageId) || (parts.has(imageId) && images.has(imageId))) throw new DriverError('busy', 'The store has an image of this id already.');
        if (size !== undefined && bytes.length !== size) throw new DriverError('invalid', `The image has ${bytes.length} bytes where ${size} were announced.`);
        images.set(imageId, bytes);
        parts.delete(imageId);
        return { url: prefix + imageId, size: bytes.length };
      }),
      discard: (call, imageId) => guard('uploads.discard', call, () => {
        if (writing.has(imageId)) throw new DriverError('busy', 'The image is being uploaded already.');
        parts.delete(checkName(imageId));
      }),
    },
  };
}

const chunked = (bytes: Buffer): Readable => Readable.from((function* () {
  for (let at = 0; at < bytes.length; at += 1 << 16) yield bytes.subarray(at, at + (1 << 16));
})(), { objectMode: false });
