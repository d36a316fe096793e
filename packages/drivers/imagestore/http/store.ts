import { openFetcher, type FetchRules } from '@cumulet/fetch';
import { Transform, type Readable } from 'node:stream';
import { DriverError, Unsupported } from '../../errors.ts';
import type { ImageStore } from '../contract.ts';

export interface HttpStoreOptions extends FetchRules {
  /** The store's id; default `http`. */
  readonly name?: string;
  readonly idleTimeoutMs: number;
}

/** Images that stay where they are on the web: it only reads. What may be reached is checked at every connection. */
export function httpStore(options: HttpStoreOptions): ImageStore {
  const name = options.name ?? 'http';
  const fetcher = openFetcher(options);
  const plainly = async <T>(work: Promise<T>): Promise<T> => {
    try { return await work; } catch (error) {
      const { kind, message } = error as { kind?: DriverError['kind']; message: string };
      throw kind === undefined ? error : new DriverError(kind, message, { cause: error });
    }
  };
  return {
    name, scheme: 'http',
    check: async () => undefined,
    put: async (_call, _id, body) => { body.destroy(); throw new Unsupported(name, 'storing images'); },
    get: (call, location, { offset = 0, length } = {}) => plainly((async () => {
      const partial = offset > 0 || length !== undefined;
      const got = await fetcher.get(location, { signal: call.signal, ...(partial ? { range: { offset, length } } : {}) });
      // A server that knows no ranges gives everything.
      return partial ? cut(got.body, offset - got.offset, length) : got.body;
    })()),
    delete: async () => undefined,          // not ours to delete
    size: (call, location) => plainly(fetcher.size(location, { signal: call.signal })),
    location: (imageId) => `http://invalid/${imageId}`,
  };
}

/** Leaves out `skip` bytes and ends after `length`. */
function cut(body: Readable, skip: number, length: number | undefined): Readable {
  let before = skip;
  let left = length ?? Number.POSITIVE_INFINITY;
  const part = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      const from = Math.min(before, chunk.length);
      before -= from;
      const bytes = chunk.subarray(from, from + Math.min(left, chunk.length - from));
      left -= bytes.length;
      next(null, bytes.length > 0 ? bytes : undefined);
      if (left === 0) { part.end(); body.destroy(); }
    },
  });
  body.on('error', (error) => { if (left > 0) part.destroy(error); });
  part.on('close', () => body.destroy());
  return body.pipe(part);
}
