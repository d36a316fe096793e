import { DriverError } from '@cumulet/drivers';
import type { BlockDriver, Provided } from '@cumulet/drivers/block';
import { images } from '@cumulet/image';
import type { Run } from '@cumulet/tasks';
import { call, type VolumeDeps } from '../deps.ts';
import { volumeRef, volumeSpec } from '../refs.ts';
import { byId, hostParts, type VolumeRow } from './store.ts';

type Step = Pick<Run<unknown, unknown, VolumeDeps>, 'taskId' | 'signal' | 'log' | 'progress' | 'deps' | 'transaction'>;

/**
 * A volume made of an image without copying it through this host: by the driver, of a location that it can clone (RBD), or of the volume that holds the image
 * (`cinder://…`) when both are on the same backend. As upstream, only raw images without a container are content and nothing else. Undefined: the bytes have to be copied.
 */
export async function clonedImage(t: Step, driver: BlockDriver, row: VolumeRow, imageId: string): Promise<Provided | undefined> {
  // A clone's bytes would be the image's own: not encrypted.
  if (row.encryption_key_id !== null) return undefined;
  const image = await t.transaction(trx => images.facts(trx, imageId));
  if (image?.status !== 'active' || image.disk_format !== 'raw' || image.container_format !== 'bare') return undefined;
  for (const { url } of image.locations) {
    try {
      const made = await ofVolume(t, driver, row, url) ?? await driver.image?.fromLocation?.(call(t), volumeSpec(row), { url, format: 'raw' });
      if (made) return made;
    } catch (error) {
      // What can be read can still be copied.
      if (!(error instanceof DriverError) || !['absent', 'busy', 'unsupported'].includes(error.kind)) throw error;
      t.log.info({ err: error, volume: row.id, image: imageId }, 'an image cannot be cloned; it is copied');
    }
  }
  return undefined;
}

async function ofVolume(t: Step, driver: BlockDriver, row: VolumeRow, url: string): Promise<Provided | undefined> {
  const id = /^cinder:\/\/(?:[^/]+\/)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(url)?.[1];
  const source = id === undefined ? undefined : await t.transaction(trx => byId(trx, id));
  if (!driver.clone || !source || source.encryption_key_id !== null || source.size > row.size || !['available', 'in-use'].includes(source.status)) return undefined;
  const [from, to] = [hostParts(source.host ?? ''), hostParts(row.host ?? '')];
  if (from.service !== to.service || from.backend !== to.backend) return undefined;
  // Whoever is attached to a volume that is an image only reads it.
  const inUse = source.status === 'in-use' && source.metadata['glance_image_id'] === undefined;
  return driver.clone.fromVolume(call(t), volumeRef(source), volumeSpec(row), { inUse });
}
