import { pipeline } from 'node:stream/promises';
import type { Call } from '../call.ts';
import { bytesOfData, type BlockDriver, type DataRef, type Extent, type VolumeRef } from './contract.ts';

/** A driver, or the content of a driver's encrypted volumes. */
type Source = { readonly data: Pick<BlockDriver['data'], 'read' | 'extents'> };
interface CopyOptions {
  /** The target is new: what is a hole in the source already reads as zeros there. */
  readonly fresh?: boolean;
}

/**
 * Content from one backend to another through this host, with a few MiB of memory: the fall-back for everything that a driver
 * cannot do itself (migration, cloning between backends). Holes are not read. The target must be at least as large.
 */
export async function copyContent(
  call: Call, from: { readonly driver: Source; readonly ref: DataRef }, to: { readonly driver: Pick<BlockDriver, 'data'> | { readonly data: Pick<BlockDriver['data'], 'write' | 'zero'> }; readonly volume: VolumeRef }, options: CopyOptions = {},
): Promise<void> {
  const total = bytesOfData(from.ref);
  const extents = from.driver.data.extents?.(call, from.ref) ?? whole(total);
  let done = 0;
  for await (const { offset, length, hole } of extents) {
    if (!hole) {
      const reader = await from.driver.data.read(call, from.ref, { offset, length });
      const counted = async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          yield chunk;
          call.progress(done += chunk.length, total);
        }
      };
      await pipeline(reader, counted, await to.driver.data.write(call, to.volume, { offset })).catch((error: unknown) => {
        call.signal.throwIfAborted();
        throw error;
      });
    } else {
      if (!options.fresh) await to.driver.data.zero(call, to.volume, { offset, length });
      call.progress(done += length, total);
    }
  }
}

async function* whole(length: number): AsyncGenerator<Extent> {
  yield { offset: 0, length, hole: false };
}
