import { DriverError } from '../errors.ts';
import { giveBack, keep, lend } from '../lent.ts';
import { runs } from '../sparse.ts';

/** By how much an image grows whose size nobody told. */
const GROWTH = 256 << 20;

const record = (tag: string, ...numbers: number[]) => {
  const bytes = Buffer.alloc(1 + 8 * numbers.length);
  bytes.write(tag, 'latin1');
  numbers.forEach((n, i) => bytes.writeBigUInt64LE(BigInt(n), 1 + 8 * i));
  return bytes;
};

/**
 * Bytes as the stream that `rbd import-diff - IMAGE` takes into an empty image: zeros are left out, so a sparse image stays sparse and costs nothing
 * on the way, and Ceph's program writes several objects at once, which `rbd import -` does not. `done` hears of each chunk. A stream of another
 * length than `size` fails (`invalid`) before its end record. Chunks that are lent are given back when all that is yielded of them has been.
 */
export async function* diffOf(body: AsyncIterable<Buffer>, size: number | undefined, done: (bytes: number) => void): AsyncGenerator<Buffer> {
  let at = 0;
  let room = size ?? 0;
  yield Buffer.from('rbd diff v1\n');
  if (size !== undefined) yield record('s', size);
  for await (const chunk of body) {
    const end = at + chunk.length;
    if (size !== undefined && end > size) throw new DriverError('invalid', `The image has more than the ${size} bytes that were announced.`);
    if (end > room) yield record('s', room = end + GROWTH);
    for (const run of runs(chunk, at)) {
      if (run.zero) continue;
      yield record('w', run.at, run.bytes.length);
      keep(chunk);
      yield lend(run.bytes, () => giveBack(chunk));
    }
    giveBack(chunk);
    done(at = end);
  }
  if (size !== undefined && at !== size) throw new DriverError('invalid', `The image has ${at} bytes where ${size} were announced.`);
  if (size === undefined) yield record('s', at);
  yield record('e');
}
