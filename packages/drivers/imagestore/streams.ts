import { Transform, type Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';

/** Leaves out `skip` bytes of a stream and ends it after `length`. */
export function cut(body: Readable, skip: number, length: number | undefined): Readable {
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

/** Storing a stream: an abort ends it, the stream's own error is rethrown as it is, and whatever happens it is over afterwards. */
export async function taking<T>(call: Call, body: Readable, store: () => Promise<T>): Promise<T> {
  const stop = () => body.destroy(call.signal.reason instanceof Error ? call.signal.reason : new Error('aborted'));
  call.signal.addEventListener('abort', stop, { once: true });
  // It may break while nobody reads it yet; whoever reads it then is told.
  body.on('error', () => undefined);
  try {
    call.signal.throwIfAborted();
    return await store();
  } catch (error) {
    call.signal.throwIfAborted();
    // Leaving a stream early marks it as broken too: what we found out ourselves counts.
    throw error instanceof DriverError ? error : body.errored ?? error;
  } finally {
    call.signal.removeEventListener('abort', stop);
    body.destroy();
  }
}

/** A whole stream into a sink. A failure is reported when the sink has cleaned up: of a stream that was broken before, `pipeline` would report it at once. */
export async function pour(body: Readable, sink: Writable): Promise<void> {
  const closed = new Promise<void>(done => { sink.once('close', done); });
  sink.on('error', () => undefined);
  try {
    await pipeline(body, sink);
  } catch (error) {
    sink.destroy();
    await closed;
    throw error;
  }
}
