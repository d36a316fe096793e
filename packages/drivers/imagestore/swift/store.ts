import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { plainCall, type Call } from '../../call.ts';
import { checkName } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { rangeOf } from '../../sparse.ts';
import { openSwift, type SwiftOptions } from '../../swift/index.ts';
import type { ImageStore } from '../contract.ts';
import { taking } from '../streams.ts';
import { isPiece, removePieces, sendPieces } from './segments.ts';

export interface SwiftStoreOptions extends SwiftOptions {
  /** The store's id; default `swift`. */
  readonly name?: string;
  /** The account in locations, `swift+config://REFERENCE/…` (glance: default_swift_reference); default `ref1`. */
  readonly reference?: string | undefined;
  /** Default `glance`. */
  readonly container?: string | undefined;
  /** Makes the container at the first need; default true. */
  readonly createContainer?: boolean | undefined;
  /** Bytes of a segment, two of which an upload holds; default 16 MiB. */
  readonly segmentBytes?: number | undefined;
}

/**
 * One object per image, named by its id as Glance does, in one container; larger ones as static large objects. Locations are
 * `swift+config://REFERENCE/CONTAINER/ID`, which hold no credentials; those with credentials, as Glance writes them without a reference, are read when they are ours.
 */
export function swiftStore(options: SwiftStoreOptions): ImageStore {
  const name = options.name ?? 'swift';
  const reference = options.reference ?? 'ref1';
  const container = options.container ?? 'glance';
  const segmentBytes = options.segmentBytes ?? 16 << 20;
  const swift = openSwift(options);
  const prefixes = [`swift+config://${reference}/${container}/`, ...withCredentials(options, container)];
  const locationOf = (imageId: string) => `${prefixes[0]}${checkName(imageId)}`;
  /** Ids that this process is storing: Swift itself keeps only those apart that do not end in the same moment. */
  const storing = new Set<string>();

  function objectOf(location: string): string {
    const prefix = prefixes.find(p => location.startsWith(p));
    if (prefix === undefined) throw new DriverError('invalid', 'The location is not one of this store.', { detail: JSON.stringify(location.slice(0, 40)) });
    return checkName(location.slice(prefix.length));
  }

  async function put(call: Call, imageId: string, body: Readable, size: number | undefined): Promise<number> {
    checkName(imageId);
    if (isPiece(imageId)) throw new DriverError('invalid', 'The name of the object is that of a segment.');
    if (storing.has(imageId)) throw new DriverError('busy', 'The image is being uploaded already.');
    storing.add(imageId);
    const pieces = { swift, container, name: imageId, mark: randomBytes(6).toString('hex'), pieceBytes: segmentBytes, size };
    try {
      if (await swift.head(call, container, imageId)) throw new DriverError('busy', 'The store has an image of this id already.');
      return await sendPieces(call, pieces, body);
    } catch (error) {
      // What is left of it goes, also when the call was aborted; if even that fails, deleting the image finds it.
      await removePieces(plainCall(call.taskId, AbortSignal.timeout(30_000)), pieces, pieces.mark).catch((err: unknown) => call.log.warn({ err, imageId, store: name }, 'Segments of a broken upload are left'));
      throw error;
    } finally {
      storing.delete(imageId);
    }
  }

  return {
    name, scheme: 'swift', location: locationOf,
    async check(call) {
      await swift.check(call);
      if (options.createContainer ?? true) await swift.createContainer(call, container);
      else if (!await swift.containerExists(call, container)) throw new DriverError('absent', 'The container of the image store does not exist.', { detail: container });
    },
    put: (call, imageId, body, { size } = {}) => taking(call, body, async () => {
      const stored = await put(call, imageId, body, size);
      return { url: locationOf(imageId), size: stored };
    }),
    async get(call, location, range) {
      const object = objectOf(location);
      if (range === undefined) return (await swift.get(call, container, object)).body;
      const facts = await swift.head(call, container, object);
      if (!facts) throw new DriverError('absent', 'The image cannot be read: it is not there.');
      const { offset, length } = rangeOf(range, facts.size);
      return length === 0 ? Readable.from([]) : (await swift.get(call, container, object, { offset, length })).body;
    },
    async delete(call, location) {
      const object = objectOf(location);
      await swift.delete(call, container, object, { segments: true });
      await removePieces(call, { swift, container, name: object });
    },
    async size(call, location) {
      const object = objectOf(location);
      call.signal.throwIfAborted();
      return (await swift.head(call, container, object))?.size;
    },
    async *list(call) {
      for await (const found of swift.list(call, container)) if (!isPiece(found.name)) yield { imageId: found.name, size: found.size };
    },
  };
}

/** `swift+https://user:key@host:port/path/CONTAINER/`, as Glance writes locations of the store that it has no reference for. */
function withCredentials({ authUrl, user, key }: SwiftOptions, container: string): string[] {
  if (user === undefined || key === undefined) return [];
  const rest = `${encodeURIComponent(user)}:${encodeURIComponent(key)}@${authUrl.replace(/^https?:\/\//, '').replace(/^\/+|\/+$/g, '')}/${container}/`;
  return authUrl.startsWith('https:') ? [`swift+https://${rest}`, `swift://${rest}`] : [`swift+http://${rest}`];
}
