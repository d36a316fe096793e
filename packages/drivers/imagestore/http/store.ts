import { openFetcher, type FetchRules } from '@cumulet/fetch';
import { DriverError, Unsupported } from '../../errors.ts';
import type { ImageStore } from '../contract.ts';
import { cut } from '../streams.ts';

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
