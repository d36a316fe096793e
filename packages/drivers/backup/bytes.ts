import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { ObjectStore } from './store.ts';

/** A small object, whole. One that is larger than `limit` is refused before it is read. */
export async function readAtMost(call: Call, store: ObjectStore, container: string, name: string, limit: number): Promise<Buffer> {
  const { size, body } = await store.get(call, container, name);
  if (size > limit) {
    body.destroy();
    throw new DriverError('invalid', `The object ${name} is too large.`, { detail: `${size} of at most ${limit}` });
  }
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    call.signal.throwIfAborted();
    length += piece.length;
    if (length > limit) throw new DriverError('invalid', `The object ${name} is too large.`);
    pieces.push(piece);
  }
  if (length !== size) throw new DriverError('transient', `The object ${name} could not be read to its end.`);
  return Buffer.concat(pieces);
}
