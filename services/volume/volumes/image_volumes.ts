import { images } from '@cumulet/image';
import type { Runtime } from '@cumulet/service';
import { newId } from '@cumulet/wire';
import type { Provided } from '@cumulet/drivers/block';
import type { Knex } from 'knex';
import { z } from 'zod';
import { copied } from '../copying.ts';
import type { By } from '../for_compute.ts';
import { call, driverOf, plan } from '../deps.ts';
import { enforce } from '../quotas/limits.ts';
import { provided, volumeRef, volumeSpec } from '../refs.ts';
import { typeById } from '../types/store.ts';
import { settleVolume, volumeOf } from './plans.ts';
import { byId, insert, laneOfVolume, patch, queueOf, remove, type VolumeRow } from './store.ts';

/**
 * An image of a volume that stays a volume (cinder: image_upload_use_cinder_backend): the backend clones it, and the clone is the image's location in a `cinder` store. Its
 * bytes are not read, so as with upstream the image has no hashes; whoever opens it as raw inspects it then.
 */
export const cloneToImagePlan = plan('volume.clone_to_image', z.object({ volumeId: z.string(), cloneId: z.string(), imageId: z.string(), store: z.string(), was: z.enum(['available', 'in-use']) }))
  .step('clone', async (t): Promise<Provided> => {
    const volume = await volumeOf(t, t.input.volumeId);
    const clone = await volumeOf(t, t.input.cloneId);
    const driver = driverOf(t, volume.host);
    if (driver.clone) return driver.clone.fromVolume(call(t), volumeRef(volume), volumeSpec(clone), { inUse: t.input.was === 'in-use' });
    return copied(call(t), { driver, ref: volumeRef(volume) }, driver, volumeSpec(clone));
  }, { undo: async t => {
    const clone = await t.transaction(trx => byId(trx, t.input.cloneId));
    if (clone) await driverOf(t, clone.host).volumes.delete(call(t), volumeRef(clone));
  } })
  .settles(async (trx, how, t) => {
    const { volumeId, cloneId, imageId, store, was } = t.input;
    const made = how.state === 'done' ? t.out.clone : undefined;
    if (made) {
      const clone = await settleVolume(trx, how, t, { id: cloneId, from: ['creating'], done: 'available', failed: 'error', action: 'copyToImage', set: { ...provided(made), launched_at: new Date(), admin_metadata: { readonly: 'True' } } });
      const size = (clone?.size ?? 0) * 2 ** 30;
      if (clone) await patch(trx, cloneId, { metadata: { ...clone.metadata, image_size: String(size) } });
      await images.finishAt(trx, imageId, t.taskId, { url: `cinder://${store}/${cloneId}`, store, size });
    } else {
      await images.fail(trx, imageId, t.taskId);
      await remove(trx, cloneId);
    }
    await settleVolume(trx, how, t, { id: volumeId, from: ['uploading'], done: was, failed: was, action: 'copyToImage', detail: 'failedUpload', set: { previous_status: null }, setFailed: { previous_status: null } });
  });

/** The clone's row and its task, in the request's transaction. The caller moves the volume and the image to what the task holds. */
export async function beginClone(rt: Pick<Runtime, 'tasks'>, trx: Knex.Transaction, volume: VolumeRow, o: { readonly imageId: string; readonly store: string; readonly by: By & { readonly projectId: string; readonly userId: string } }): Promise<string> {
  const cloneId = newId();
  const task = await rt.tasks.enqueue(trx, cloneToImagePlan, { volumeId: volume.id, cloneId, imageId: o.imageId, store: o.store, was: volume.status as 'available' }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: o.by });
  await insert(trx, {
    id: cloneId, project_id: o.by.projectId, user_id: o.by.userId, name: `image-${o.imageId}`, description: null, size: volume.size, status: 'creating', task_id: task, host: volume.host, availability_zone: volume.availability_zone,
    type_id: volume.type_id, multiattach: false, metadata: { glance_image_id: o.imageId }, source_volid: volume.id,
  });
  const type = await typeById(trx, volume.type_id);
  if (type) await enforce(trx, 'volume', { projectId: o.by.projectId, sizeGiB: volume.size, type });
  return task;
}
