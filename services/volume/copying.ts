import { need, type Call } from '@cumulet/drivers';
import { copyContent, type BlockDriver, type DataRef, type LuksKey, type Provided, type VolumeRef, type VolumeSpec } from '@cumulet/drivers/block';

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

/**
 * The same where the two are not encrypted alike: the content of one, read with its key if it has one, becomes the content of the other. Neither guest nor
 * storage can tell afterwards that it was ever something else.
 */
export async function recrypted(call: Call, from: { readonly driver: BlockDriver; readonly ref: VolumeRef; readonly key?: LuksKey | undefined }, to: { readonly driver: BlockDriver; readonly spec: VolumeSpec; readonly key?: LuksKey | undefined }): Promise<Provided> {
  await to.driver.volumes.delete(call, to.spec);
  const given = to.key ? await need(to.driver, 'encryption').create(call, to.spec, to.key) : await to.driver.volumes.create(call, to.spec);
  const { luks: _, ...ref } = from.ref;
  // An encrypted target is opened once for all of it: what is a hole in the source is zeros that have to be written there.
  const source = from.key ? need(from.driver, 'encryption').data(from.key) : to.key ? { read: from.driver.data.read } : from.driver.data;
  const target = to.key ? need(to.driver, 'encryption').data(to.key) : to.driver.data;
  await copyContent(call, { driver: { data: source }, ref }, { driver: { data: target }, volume: { ...to.spec, ...given } }, { fresh: to.key === undefined });
  return given;
}
