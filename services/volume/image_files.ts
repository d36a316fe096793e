import { convert } from '@cumulet/diskimage';
import { DriverError, need, type Call } from '@cumulet/drivers';
import { bytesOfVolume, type BlockDriver, type ImageFile, type LuksKey, type Provided, type VolumeRef, type VolumeSpec } from '@cumulet/drivers/block';
import type { Runner } from '@cumulet/exec';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** A place for files on their way, and who converts them. `name` is the task's: a repeated try finds and removes what an earlier one left. */
export interface Workbench { readonly runner: Runner; readonly scratch: string; readonly name: string }

/**
 * A new volume with an image's content. Where the driver cannot make it of a file, the image becomes raw bytes here and is written into an empty volume.
 * An image that needs more than the volume's size is `invalid`.
 */
export async function volumeOfImage(call: Call, driver: BlockDriver, spec: VolumeSpec, image: ImageFile, at: Workbench): Promise<Provided> {
  if (driver.image?.fromFile) return driver.image.fromFile(call, spec, image);
  return asRaw(call, spec, image, at, async file => {
    await driver.volumes.delete(call, spec);
    const given = await driver.volumes.create(call, spec);
    await pipeline(createReadStream(file), await driver.data.write(call, { ...spec, ...given }), { signal: call.signal });
    return given;
  });
}

/** The same, encrypted: the content is what the image holds, and noise behind it. */
export const encryptedVolumeOfImage = (call: Call, driver: BlockDriver, spec: VolumeSpec, key: LuksKey, image: ImageFile, at: Workbench): Promise<Provided> => asRaw(call, spec, image, at, async file => {
  const encryption = need(driver, 'encryption');
  await driver.volumes.delete(call, spec);
  const given = await encryption.create(call, spec, key);
  await pipeline(createReadStream(file), await encryption.data(key).write(call, { ...spec, ...given }), { signal: call.signal });
  return given;
});

/** A new volume of an image that an encrypted volume was made into: its bytes are the container, and whoever has the key opens both. */
export async function volumeOfContainer(call: Call, driver: BlockDriver, spec: VolumeSpec, image: ImageFile): Promise<Provided> {
  if ((await stat(image.path)).size > bytesOfVolume(spec)) throw new DriverError('invalid', 'The image is larger than the volume.');
  await driver.volumes.delete(call, spec);
  const given = await driver.volumes.create(call, spec);
  await pipeline(createReadStream(image.path), await driver.data.write(call, { ...spec, ...given }), { signal: call.signal });
  return given;
}

/** Gives `use` the image as plain bytes that fit into the volume. */
async function asRaw<T>(call: Call, spec: VolumeSpec, image: ImageFile, at: Workbench, use: (file: string) => Promise<T>): Promise<T> {
  const bytes = spec.sizeGiB * 2 ** 30;
  const raw = join(at.scratch, `${at.name}.raw`);
  const plain = image.format === 'raw' || image.format === 'iso';
  await rm(raw, { force: true });
  try {
    if (!plain) await convert(at.runner, { from: { path: image.path, format: image.format, maxVirtualSize: bytes }, to: { path: raw, format: 'raw' }, signal: call.signal });
    const file = plain ? image.path : raw;
    if ((await stat(file)).size > bytes) throw new DriverError('invalid', `The image needs ${Math.ceil((await stat(file)).size / 2 ** 30)} GiB, more than the volume has.`);
    return await use(file);
  } finally { await rm(raw, { force: true }); }
}

/** A volume's content as an image file, which appears complete or not at all. */
export async function imageOfVolume(call: Call, driver: BlockDriver, volume: VolumeRef, image: { readonly path: string; readonly format: 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vhd' | 'vhdx' }, at: Workbench): Promise<void> {
  if (driver.image?.toFile) return driver.image.toFile(call, volume, image);
  const raw = join(at.scratch, `${at.name}.raw`);
  try {
    await pipeline(await driver.data.read(call, volume), createWriteStream(raw), { signal: call.signal });
    await rm(image.path, { force: true });
    await convert(at.runner, { from: { path: raw, format: 'raw', trusted: true }, to: image, signal: call.signal, progress: call.progress.bind(call) });
  } finally { await rm(raw, { force: true }); }
}
