import { bytesOfData, bytesOfVolume, type BlockData, type DataRef, type VolumeRef } from '../block/contract.ts';
import type { Source, Target } from './contract.ts';

/** A volume or snapshot as what is backed up. `bytes`: its size, or a smaller one when it has grown since. */
export function sourceOf(data: BlockData, ref: DataRef, bytes = bytesOfData(ref)): Source {
  return {
    bytes,
    read: (call, range) => data.read(call, ref, range),
    ...(data.extents && { extents: (call, range) => data.extents!(call, ref, range) }),
  };
}

/** A volume as what a backup is restored to. `fresh`: it was made for this and nothing was written yet. */
export function targetOf(data: BlockData, volume: VolumeRef, options: { readonly fresh: boolean }): Target {
  return {
    bytes: bytesOfVolume(volume),
    fresh: options.fresh,
    write: (call, range) => data.write(call, volume, range),
    zero: (call, range) => data.zero(call, volume, range),
  };
}
