import type { Call } from '@cumulet/drivers';
import { copyContent, type BlockDriver, type DataRef, type Provided, type VolumeRef, type VolumeSpec } from '@cumulet/drivers/block';

/**
 * A new volume with the content of a volume or snapshot of any driver, through this host: for backends that cannot clone. Repeats: what a broken try
 * left is removed first, for nobody knows how far it got.
 */
export async function copied(call: Call, from: { readonly driver: BlockDriver; readonly ref: DataRef }, to: BlockDriver, spec: VolumeSpec): Promise<Provided> {
  await to.volumes.delete(call, { ...spec });
  const given = await to.volumes.create(call, spec);
  const volume: VolumeRef = { ...spec, ...given };
  await copyContent(call, from, { driver: to, volume }, { fresh: true });
  return given;
}
