import type { Call } from '../call.ts';
import { DriverError } from '../errors.ts';
import type { Extent, Range } from '../block/contract.ts';
import type { Source } from './contract.ts';

/** What becomes one object, or in an incremental backup at most one row of objects. */
export interface Span extends Range {
  /** Parts of it that hold data, in order; all else of it is zeros that need not be read. None: a hole. */
  readonly data: readonly Range[];
}

export interface SpanRules {
  /** Grain of offsets and lengths, but for the end of the source. */
  readonly block: number;
  /** The most that a span with data holds, and one without. */
  readonly objectBytes: number;
  readonly holeBytes: number;
  /** A smaller hole between data is part of its object: an object for each would cost more than its zeros. */
  readonly smallHole: number;
}

/** The source from `from` on (a multiple of `block`), in order and without gaps. */
export async function* spans(call: Call, source: Source, from: number, { block, objectBytes, holeBytes, smallHole }: SpanRules): AsyncGenerator<Span> {
  const end = source.bytes;
  let at = from;
  /** Where the blocks with data end, as far as they are in the span that begins at `at`. */
  let to = from;
  let data: Range[] = [];

  const span = (until: number): Span => {
    const one = { offset: at, length: until - at, data };
    at = to = until;
    data = [];
    return one;
  };
  function* hole(until: number): Generator<Span> {
    while (at < until) yield span(Math.min(until, at + holeBytes));
  }

  for await (const { offset, length } of dataOf(call, source, { offset: from, length: end - from })) {
    const begin = Math.max(to, offset - (offset % block));
    if (begin - to >= smallHole) {
      if (data.length > 0) yield span(to);
      yield* hole(begin);
    }
    for (let next = offset; next < offset + length;) {
      const full = at + objectBytes;
      // Not before it is sure that no more data comes: its last block may have some of the next extent too.
      if (next >= full) yield span(full);
      else {
        const until = Math.min(offset + length, full);
        data.push({ offset: next, length: until - next });
        next = until;
        to = Math.min(end, Math.ceil(until / block) * block);
      }
    }
  }
  if (data.length > 0) yield span(to);
  yield* hole(end);
}

/** Extents with data. */
async function* dataOf(call: Call, source: Source, range: Range): AsyncGenerator<Range> {
  if (range.length === 0) return;
  if (!source.extents) return void (yield range);
  let at = range.offset;
  for await (const extent of source.extents(call, range)) {
    check(extent, at, range);
    at += extent.length;
    if (!extent.hole && extent.length > 0) yield extent;
  }
  if (at !== range.offset + range.length) throw gaps();
}

function check(extent: Extent, at: number, range: Range): void {
  if (extent.offset !== at || extent.length < 0 || at + extent.length > range.offset + range.length) throw gaps();
}
const gaps = () => new DriverError('broken', 'The volume cannot be read: its map has gaps.');
