import { convert } from '@cumulet/diskimage';
import { DriverError, type Call } from '@cumulet/drivers';
import type { BlockDriver, ImageFile, Provided, VolumeRef, VolumeSpec } from '@cumulet/drivers/block';
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
  const bytes = spec.sizeGiB * 2 ** 30;
  const raw = join(at.scratch, `${at.name}.raw`);
  const plain = image.format === 'raw' || image.format === 'iso';
  await rm(raw, { force: true });
  try {
    if (!plain) await convert(at.runner, { from: { path: image.path, format: image.format, maxVirtualSize: bytes }, to: { path: raw, format: 'raw' }, signal: call.signal });
    const file = plain ? image.path : raw;
    if ((await stat(file)).size > bytes) throw new DriverError('invalid', `The image needs ${Math.ceil((await stat(file)).size / 2 ** 30)} GiB, more than the volume has.`);
    await driver.volumes.delete(call, spec);
    const given = await driver.volumes.create(call, spec);
    await pipeline(createReadStream(file), await driver.data.write(call, { ...spec, ...given }), { signal: call.signal });
    return given;
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
