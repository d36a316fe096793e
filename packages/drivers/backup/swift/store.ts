import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { Segment, SwiftClient } from '../../swift/index.ts';
import { stamp } from '../layout.ts';
import type { ObjectStore } from '../store.ts';

export interface SwiftStoreOptions {
  readonly swift: SwiftClient;
  /** For backups that name none. */
  readonly container: string;
  /** In the names of objects, as upstream's. */
  readonly zone: string;
  /** Of containers that are made here. */
  readonly policy?: string;
  /** False: a container must be there already. */
  readonly createContainers: boolean;
  /** Lists and metadata that are longer are stored in pieces of this size, in bytes. */
  readonly segmentBytes: number;
}

export function checkContainer(container: string): string {
  if (container === '' || container === '.' || container === '..' || container.includes('/') || Buffer.byteLength(container) > 256 || /[\0-\x1f]/.test(container)) {
    throw new DriverError('invalid', 'The name of the container is not valid.', { detail: JSON.stringify(container.slice(0, 300)) });
  }
  return container;
}
const checkObject = (name: string): string => {
  if (name === '' || Buffer.byteLength(name) > 1024 || /[\0-\x1f]/.test(name) || name.split('/').some((part) => part === '..' || part === '.')) throw new DriverError('invalid', 'The name of the object is not valid.', { detail: JSON.stringify(name.slice(0, 300)) });
  return name;
};
/** Pieces of a long object: outside of the backup's prefix, where upstream would take them for data. */
const SEGMENTS = 'cumulet_segments/';
const segmentName = (name: string, number: number): string => `${SEGMENTS}${name}/${String(number).padStart(5, '0')}`;

/** Objects in Swift, with upstream's names. Swift answers when a write is on enough of its disks, so there is nothing to settle. */
export function swiftStore({ swift, container: usual, zone, policy, createContainers, segmentBytes }: SwiftStoreOptions): ObjectStore {
  return {
    service: 'cinder.backup.drivers.swift.SwiftBackupDriver',
    serves: (service) => /^cinder\.backup\.drivers\.swift(\.SwiftBackupDriver)?$/.test(service),
    place: ({ id, volumeId, container }, now) => ({ container: checkContainer(container ?? usual), serviceMetadata: `volume_${volumeId}/${stamp(now)}/az_${zone}_backup_${id}` }),
    check: (call) => swift.check(call),
    async prepare(call, container) {
      if (await swift.containerExists(call, checkContainer(container))) return;
      if (!createContainers) throw new DriverError('absent', 'The container is not there, and this target makes none.', { detail: container });
      await swift.createContainer(call, container, policy === undefined ? {} : { policy });
    },
    async put(call, container, name, bytes, { md5 } = {}) {
      await swift.put(call, checkContainer(container), checkObject(name), bytes, md5 === undefined ? {} : { etag: md5 });
    },
    async putStream(call, container, name, body) {
      checkContainer(container);
      const segments: Segment[] = [];
      const store = async (bytes: Buffer) => {
        const segment = segmentName(checkObject(name), segments.length + 1);
        const { etag } = await swift.put(call, container, segment, bytes);
        segments.push({ container, name: segment, size: bytes.length, etag });
      };
      let rest: Buffer<ArrayBuffer> = Buffer.alloc(0);
      for await (const bytes of gathered(body, segmentBytes)) {
        call.signal.throwIfAborted();
        if (rest.length > 0) await store(rest);
        rest = bytes;
      }
      if (segments.length === 0) return void await swift.put(call, container, name, rest);
      await store(rest);
      await manifest(call, container, name, segments);
    },
    async get(call, container, name) {
      const { body, facts } = await swift.get(call, checkContainer(container), checkObject(name)).catch((error: unknown) => {
        if (error instanceof DriverError && error.kind === 'absent') throw new DriverError('absent', `The object ${name} is not there.`, { cause: error });
        throw error;
      });
      return { size: facts.size, body };
    },
    async *list(call, container, prefix) {
      for await (const { name, size } of swift.list(call, checkContainer(container), prefix)) yield { name, size };
    },
    async remove(call, container, name) {
      await swift.delete(call, checkContainer(container), checkObject(name), { segments: name.endsWith('file') || name.endsWith('_metadata') });
    },
    async settle() {},
    async sweep(call, { container, serviceMetadata }) {
      // Pieces whose manifest was never written. The container is everybody's.
      for await (const { name } of swift.list(call, checkContainer(container), `${SEGMENTS}${serviceMetadata}`)) await swift.delete(call, container, name);
    },
    async leave() {},
    async *containers(call) {
      for await (const name of swift.containers(call)) if (!name.startsWith('.')) yield name;
    },
    close: () => swift.close(),
  };

  /** Swift takes a thousand pieces in a manifest, and manifests as pieces. */
  async function manifest(call: Call, container: string, name: string, segments: readonly Segment[]): Promise<void> {
    if (segments.length > 1000) throw new DriverError('full', 'The list of the backup is longer than the object storage takes.');
    await swift.putManifest(call, container, name, segments);
  }
}

/** Buffers of exactly `size`, and a last smaller one. */
async function* gathered(body: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer<ArrayBuffer>> {
  let piece = Buffer.alloc(size);
  let filled = 0;
  for await (const bytes of body) {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(size - filled, bytes.length - at);
      piece.set(bytes.subarray(at, at + count), filled);
      filled += count;
      at += count;
      if (filled === size) {
        yield piece;
        piece = Buffer.alloc(size);
        filled = 0;
      }
    }
  }
  yield piece.subarray(0, filled);
}

