import { Readable } from 'node:stream';
import type { Call } from '../../call.ts';
import { diffOf, openRbd, type CephAccess, type RbdInfo } from '../../ceph/index.ts';
import { checkName } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { rangeOf } from '../../sparse.ts';
import type { ImageStore } from '../contract.ts';
import { cut, taking } from '../streams.ts';
import { rangeOfObjects } from './objects.ts';

export interface RbdStoreOptions extends CephAccess {
  /** The store's id; default `rbd`. */
  readonly name?: string;
  /** Default `images`. */
  readonly pool?: string | undefined;
  /** Bytes of a RADOS object, a power of two; default 8 MiB (glance: rbd_store_chunk_size). */
  readonly objectBytes?: number | undefined;
}

/** The protected snapshot that makes an image complete, as Glance and its readers call it. */
const SNAP = 'snap';
/** Up to here, reading and throwing away is cheaper than asking for single objects. */
const SKIP = 64 << 20;

/**
 * One RBD image per image, named by its id, with a protected snapshot `snap` from which volumes and servers are cloned. Locations are Glance's,
 * `rbd://FSID/POOL/ID/snap`. What has no such snapshot is an upload that is going on, or was left by somebody who was killed, until the image is deleted.
 */
export function rbdStore(options: RbdStoreOptions): ImageStore {
  const name = options.name ?? 'rbd';
  const pool = options.pool ?? 'images';
  const ceph = openRbd(options);
  let fsid: string | undefined;
  const cluster = async (call: Call) => fsid ??= await ceph.fsid(call);
  const at = (image: string) => `${pool}/${image}`;
  const complete = (image: string) => `${at(image)}@${SNAP}`;
  const locationOf = (imageId: string) => {
    if (fsid === undefined) throw new DriverError('transient', 'The image store has not reached its Ceph cluster yet.');
    return `rbd://${fsid}/${encodeURIComponent(pool)}/${checkName(imageId)}/${SNAP}`;
  };
  async function imageOf(call: Call, location: string): Promise<string> {
    call.signal.throwIfAborted();
    const parts = location.startsWith('rbd://') ? location.slice(6).split('/') : [];
    const [id, inPool, image = '', snap] = parts;
    if (parts.length !== 4 || id !== await cluster(call) || inPool !== encodeURIComponent(pool) || snap !== SNAP) throw new DriverError('invalid', 'The location is not one of this store.', { detail: JSON.stringify(location.slice(0, 200)) });
    return checkName(image);
  }
  /** Of a complete image. */
  const info = async (call: Call, image: string, what: string) => {
    const found = await ceph.json<RbdInfo>(call, ['info', complete(image)], { what, fine: ['absent'] });
    return String(found?.protected) === 'true' ? found : undefined;
  };

  async function put(call: Call, imageId: string, body: Readable, size: number | undefined): Promise<number> {
    const what = 'The image cannot be stored';
    let stored = 0;
    // Refused when there is one already, finished or not: of several uploads the first to begin is the image.
    // Not ended in the middle: nobody could tell afterwards whose image it is.
    await ceph.rbd(steady(call), ['create', at(checkName(imageId)), '--size', '0', '--object-size', String(options.objectBytes ?? 8 << 20), '--image-format', '2'], { what });
    try {
      const diff = diffOf(body as AsyncIterable<Buffer>, size, bytes => call.progress(stored = bytes, size ?? 0));
      call.signal.throwIfAborted();
      await ceph.feed(call, ['import-diff', '--no-progress', '-', at(imageId)], diff, { what });
      await ceph.rbd(call, ['snap', 'create', '--no-progress', complete(imageId)], { what });
      await ceph.rbd(call, ['snap', 'protect', complete(imageId)], { what });
      return stored;
    } catch (error) {
      await drop(steady(call), imageId).catch((err: unknown) => call.log.warn({ err, imageId, store: name }, 'A broken upload is left'));
      throw error;
    }
  }

  /** Removes an image with its snapshot; one that has clones goes to Ceph's trash until the last clone is gone. */
  async function drop(call: Call, image: string): Promise<void> {
    const what = 'The image cannot be deleted';
    const unprotected = await ceph.rbd(call, ['snap', 'unprotect', complete(image)], { what, fine: ['absent', 'busy', 'invalid'] });
    const cloned = unprotected === undefined && await info(call, image, what) !== undefined;
    if (!cloned) {
      await ceph.rbd(call, ['snap', 'purge', '--no-progress', at(image)], { what, fine: ['absent', 'busy'] });
      // Busy: somebody who was killed counts as watching it for another half minute.
      try { return void await ceph.rbd(call, ['rm', '--no-progress', at(image)], { what, fine: ['absent'] }); } catch (error) { if (!(error instanceof DriverError) || error.kind !== 'busy') throw error; }
    }
    await ceph.rbd(call, ['trash', 'mv', at(image)], { what, fine: ['absent'] });
  }

  /** What can go now of what was thrown away. */
  async function emptyTrash(call: Call): Promise<void> {
    const what = 'The trash cannot be emptied';
    for (const { id } of await ceph.json<{ id: string }[]>(call, ['trash', 'ls', pool], { what }) ?? []) {
      const one = ['--pool', pool, '--image-id', id];
      await ceph.rbd(call, ['snap', 'unprotect', ...one, '--snap', SNAP], { what, fine: ['absent', 'busy', 'invalid'] });
      await ceph.rbd(call, ['snap', 'purge', '--no-progress', ...one], { what, fine: ['absent', 'busy'] });
      await ceph.rbd(call, ['trash', 'rm', '--no-progress', `${pool}/${id}`], { what, fine: ['absent', 'busy'] });
    }
  }

  return {
    name, scheme: 'rbd', location: locationOf,
    async check(call) {
      await cluster(call);
      await ceph.rbd(call, ['ls', pool], { what: 'The image store cannot be used' });
    },
    put: (call, imageId, body, { size } = {}) => taking(call, body, async () => {
      await cluster(call);
      const stored = await put(call, imageId, body, size);
      return { url: locationOf(imageId), size: stored };
    }),
    async get(call, location, range) {
      const what = 'The image cannot be read';
      const image = await imageOf(call, location);
      const facts = await info(call, image, what);
      if (!facts) throw new DriverError('absent', `${what}: it is not there.`);
      const { offset, length } = rangeOf(range, facts.size);
      if (length === 0) return Readable.from([]);
      // Missing objects of a clone are its parent's, and striped ones lie elsewhere.
      if (offset > SKIP && facts.parent === undefined && (facts.stripe_count ?? 1) === 1) return rangeOfObjects(call, ceph, facts.data_pool ?? pool, facts, offset, length, what);
      const whole = ceph.produce(call, 'rbd', ['export', '--no-progress', complete(image), '-'], { what });
      return offset === 0 && length === facts.size ? whole : cut(whole, offset, length);
    },
    async delete(call, location) {
      const image = await imageOf(call, location);
      await drop(call, image);
      await emptyTrash(call);
    },
    async size(call, location) {
      return (await info(call, await imageOf(call, location), 'The image cannot be found'))?.size;
    },
    free: call => ceph.pool(call, pool),
    async *list(call) {
      const found = await ceph.json<{ image: string; snapshot?: string; size: number; protected?: string }[]>(call, ['ls', '--long', pool], { what: 'The images cannot be listed' }) ?? [];
      for (const { image, snapshot, size, protected: kept } of found) if (snapshot === SNAP && String(kept) === 'true') yield { imageId: image, size };
    },
  };
}

/** The same call, for what is short and must not stop half-way. */
const steady = (call: Call): Call => ({ ...call, signal: AbortSignal.timeout(120_000) });
