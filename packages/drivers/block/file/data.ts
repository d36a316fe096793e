import { map } from '@cumulet/diskimage';
import { ProgramKilled } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { rangeOf, sparseWritable } from '../../sparse.ts';
import type { BlockData, DataRef, Extent, Range } from '../contract.ts';
import type { Context } from './context.ts';
import { asDriverError, attempt } from './failure.ts';

/** How much of a volume is asked for at once; less when the answer is too long, as for a badly torn file. */
const MAP_AT_ONCE = 2 ** 42;
const MAP_AT_LEAST = 2 ** 26;

export function fileData(context: Context): BlockData {
  const { runner } = context;
  return {
    read: (call, ref, range) => attempt('The volume cannot be read', call.signal, async () => {
      const { path, bytes } = await context.find(ref);
      return context.diskOf(ref).read(call, path, rangeOf(range, bytes));
    }),
    write: (call, volume, range) => attempt('The volume cannot be written', call.signal, async () => {
      const { path, bytes } = await context.find(volume);
      const { offset } = rangeOf(range, bytes);
      const target = await context.diskOf(volume).target(call, path);
      const failing = <A extends unknown[]>(work: (...args: A) => Promise<void>) => (...args: A) => work(...args).catch((error: unknown) => {
        throw asDriverError(error, 'The volume cannot be written');
      });
      return sparseWritable(
        { write: failing(target.write.bind(target)), zero: failing(target.zero.bind(target)), finish: failing(target.finish.bind(target)), close: () => target.close() },
        { offset, limit: bytes, signal: call.signal, what: 'The volume cannot be written' },
      );
    }),
    zero: (call, volume, range) => attempt('The volume cannot be written', call.signal, async () => {
      const { path, bytes } = await context.find(volume);
      const { offset, length } = rangeOf(range, bytes);
      if (length > 0) await context.diskOf(volume).zero(call, path, { offset, length });
    }),
    async *extents(call, ref, range) {
      const { path, bytes } = await attempt('The volume cannot be read', call.signal, () => context.find(ref));
      const { offset, length } = rangeOf(range, bytes);
      yield* merged(pieces(call, ref, path, { offset, length }));
    },
  };

  async function* pieces(call: Call, ref: DataRef, path: string, range: Range): AsyncGenerator<Extent> {
    const end = range.offset + range.length;
    let atOnce = MAP_AT_ONCE;
    for (let at = range.offset; at < end;) {
      const asked = { offset: at, length: Math.min(atOnce, end - at) };
      const entries = await map(runner, { path, format: context.diskOf(ref).format }, asked, { signal: call.signal }).catch((error: unknown) => {
        if (error instanceof ProgramKilled && error.reason === 'output' && atOnce > MAP_AT_LEAST) return undefined;
        call.signal.throwIfAborted();
        throw asDriverError(error, 'The volume cannot be read');
      });
      if (!entries) {
        atOnce /= 16;
        continue;
      }
      for (const entry of entries) {
        // QEMU rounds a raw file up to whole sectors, and a first entry may begin before what was asked.
        const from = Math.max(entry.offset, at);
        const to = Math.min(entry.offset + entry.length, asked.offset + asked.length);
        if (to <= from) continue;
        if (from !== at) throw new DriverError('broken', 'The volume cannot be read: its map has gaps.', { detail: ref.name });
        yield { offset: from, length: to - from, hole: entry.zero };
        at = to;
      }
      if (at === asked.offset) throw new DriverError('broken', 'The volume cannot be read: its map has gaps.', { detail: ref.name });
    }
  }
}

/** Neighbours of one kind as one. */
async function* merged(extents: AsyncIterable<Extent>): AsyncGenerator<Extent> {
  let last: Extent | undefined;
  for await (const extent of extents) {
    if (last && last.hole === extent.hole) last = { ...last, length: last.length + extent.length };
    else {
      if (last) yield last;
      last = extent;
    }
  }
  if (last) yield last;
}
