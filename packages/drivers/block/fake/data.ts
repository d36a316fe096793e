import { rangeOf, rangeReadable, sparseWritable } from '../../sparse.ts';
import type { BlockData } from '../contract.ts';
import type { FakeContext } from './context.ts';
import { BLOCK, bytesIn, overwrite } from './state.ts';

export function fakeData(context: FakeContext): BlockData {
  return {
    read: (call, ref, range) => context.through('data.read', call, () => {
      const object = context.find(ref);
      return rangeReadable(
        { read: async (offset, length) => bytesIn(object, offset, length), close: async () => {} },
        { ...rangeOf(range, object.bytes), signal: call.signal, fail: (error) => error },
      );
    }),
    write: (call, ref, range) => context.through('data.write', call, () => {
      const object = context.find(ref);
      const { offset } = rangeOf(range, object.bytes);
      const blocks = new Map(object.blocks);
      const keep = () => {
        const now = context.get(object.key);
        if (now) context.put({ ...now, blocks });
      };
      return sparseWritable({
        write: async (bytes, at) => overwrite({ ...object, blocks }, at, bytes.length, bytes),
        zero: async (at, length) => overwrite({ ...object, blocks }, at, length),
        finish: async () => keep(),
        close: async () => {},
      }, { offset, limit: object.bytes, signal: call.signal, what: 'The volume cannot be written' });
    }),
    zero: (call, ref, range) => context.through('data.zero', call, () => {
      const object = context.find(ref);
      const { offset, length } = rangeOf(range, object.bytes);
      const blocks = new Map(object.blocks);
      overwrite({ ...object, blocks }, offset, length);
      context.put({ ...object, blocks });
    }),
    async *extents(call, ref, range) {
      const object = await context.through('data.extents', call, () => context.find(ref));
      const { offset, length } = rangeOf(range, object.bytes);
      const end = offset + length;
      let at = offset;
      const numbers = [...object.blocks.keys()].toSorted((a, b) => a - b);
      for (let n = 0; n < numbers.length && at < end; n += 1) {
        let last = n;
        while (numbers[last + 1] === (numbers[last] ?? 0) + 1) last += 1;
        const from = Math.max(at, (numbers[n] ?? 0) * BLOCK);
        const to = Math.min(end, ((numbers[last] ?? 0) + 1) * BLOCK);
        n = last;
        if (to <= at || from >= end) continue;
        if (from > at) yield { offset: at, length: from - at, hole: true };
        yield { offset: from, length: to - from, hole: false };
        at = to;
      }
      if (at < end) yield { offset: at, length: end - at, hole: true };
    },
  };
}
