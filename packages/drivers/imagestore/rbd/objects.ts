import { Readable } from 'node:stream';
import type { Call } from '../../call.ts';
import type { Rbd, RbdInfo } from '../../ceph/index.ts';

/** Objects on their way at once. */
const AHEAD = 4;

/** Bytes `[offset, offset + length)` of an image, from the RADOS objects that hold them: `rbd export` knows no ranges. Not for clones. */
export function rangeOfObjects(call: Call, ceph: Rbd, pool: string, { object_size: step, block_name_prefix: prefix }: RbdInfo, offset: number, length: number, what: string): Readable {
  const last = Math.floor((offset + length - 1) / step);
  const fetch = async (n: number): Promise<Buffer> => {
    const bytes = await ceph.object(call, pool, `${prefix}.${n.toString(16).padStart(16, '0')}`, step, { what });
    const from = Math.max(offset - n * step, 0);
    const to = Math.min(offset + length - n * step, step);
    // An object that is not there, or ends early, goes on with zeros.
    const part = Buffer.alloc(to - from);
    bytes?.copy(part, 0, from, to);
    return part;
  };
  async function* pieces(): AsyncGenerator<Buffer> {
    const coming: Promise<Buffer>[] = [];
    for (let n = Math.floor(offset / step); n <= last || coming.length > 0;) {
      while (n <= last && coming.length < AHEAD) {
        const next = fetch(n++);
        next.catch(() => undefined);
        coming.push(next);
      }
      yield await (coming.shift() as Promise<Buffer>);
    }
  }
  return Readable.from(pieces(), { objectMode: false, signal: call.signal });
}
