import { move, transaction } from '@cumulet/db';
import { Reply, type Operation } from '@cumulet/http';
import { images } from '@cumulet/image';
import type { Runtime } from '@cumulet/service';
import { BadRequest, micros, newId, orNull } from '@cumulet/wire';
import { by } from '../asking.ts';
import { cloneKey } from '../encryption/keys.ts';
import { invalidVolume } from '../faults.ts';
import { imageForVolume } from '../images.ts';
import { typeById } from '../types/store.ts';
import { volumeAction } from './actions.ts';
import { Reimage, UploadImage } from './action_schemas.ts';
import { reimagePlan, uploadImagePlan } from './image_plans.ts';
import { beginClone } from './image_volumes.ts';
import { held } from './service.ts';
import { shownStatus, Volume, type VolumeStatus } from './states.ts';
import { laneOfVolume, queueOf, type VolumeRow } from './store.ts';

/** Image metadata that belongs to the old image itself and not to the content. */
const ownOfImage = ['image_id', 'image_name', 'checksum', 'container_format', 'disk_format', 'min_disk', 'min_ram', 'size', 'signature_verified'];

/** A volume into an image, and an image over a volume. */
export const imageActions = (rt: Runtime): Operation[] => [
  volumeAction({
    action: 'os-volume_upload_image', summary: 'Make an image of it', policy: 'volume_extension:volume_actions:upload_image', body: UploadImage, status: 202,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const o = ctx.body['os-volume_upload_image'];
      const volume = await held(trx, ctx as never, id);
      if (o.image_name === '') throw new BadRequest('Invalid input for field/attribute image_name. Value: . \'\' is too short');
      if (o.disk_format === 'ploop') throw new BadRequest('Images of format ploop cannot be made here.');
      const newer = ctx.dialect.version !== '3.0';
      const visibility = newer ? o.visibility ?? 'private' : 'private';
      if (visibility === 'public') ctx.require('volume_extension:volume_actions:upload_public');
      const ok = volume.status === 'available' || (volume.status === 'in-use' && o.force === true);
      if (!ok) throw invalidVolume(`Volume ${volume.id} status must be available or in-use, but current status is: ${shownStatus(volume.status)}.`);
      const format = o.disk_format ?? 'raw';
      const container = o.container_format ?? 'bare';
      const imageId = newId();
      if (volume.encryption_key_id !== null && (format !== 'raw' || container !== 'bare')) throw new BadRequest("An encrypted volume uploaded as an image must use 'raw' disk_format and 'bare' container_format, which are the defaults for these options.");
      // The bytes are the container as it is. Its key is cloned: the volume's own goes with the volume.
      const key: Record<string, string> = volume.encryption_key_id === null ? {} : { cinder_encryption_key_id: await cloneKey(trx, rt.sealer, volume.encryption_key_id, { projectId: volume.project_id }), cinder_encryption_key_deletion_policy: 'on_image_deletion' };
      const kept = Object.fromEntries(Object.entries(volume.image_metadata ?? {}).filter(([key]) => !ownOfImage.includes(key)));
      const image = await images.createRecord(trx, rt, {
        id: imageId, name: o.image_name, owner: ctx.caller.projectId ?? volume.project_id, diskFormat: format, containerFormat: container, visibility, protected: newer ? o.protected ?? false : false, properties: { ...kept, ...key },
        minDisk: Number(volume.image_metadata?.['min_disk'] ?? 0) || 0, minRam: Number(volume.image_metadata?.['min_ram'] ?? 0) || 0,
      });
      const store = rt.settings.volume.imageUploadStore;
      const stays = store !== undefined && format === 'raw' && container === 'bare' && volume.encryption_key_id === null && volume.host !== null;
      const task = stays ? await beginClone(rt, trx, volume, { imageId, store, by: { ...by(ctx), projectId: ctx.caller.projectId ?? volume.project_id, userId: ctx.caller.userId } }) : await rt.tasks.enqueue(trx, uploadImagePlan, { volumeId: volume.id, imageId, format, was: volume.status as 'available' }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) });
      await images.beginSnapshot(trx, imageId, task);
      const row = await move<VolumeStatus, VolumeRow>(trx, Volume, volume.id, { from: [volume.status], to: 'uploading', task, set: { previous_status: volume.status } });
      const type = await typeById(trx, volume.type_id);
      const at = orNull(micros);
      return {
        'os-volume_upload_image': {
          id: row.id, updated_at: at(row.updated_at), status: 'uploading', display_description: row.description, size: row.size,
          volume_type: type ? { id: type.id, name: type.name, description: type.description, is_public: type.is_public, extra_specs: type.extra_specs, qos_specs_id: type.qos_specs_id, created_at: micros(type.created_at), updated_at: at(type.updated_at), deleted_at: null, deleted: false } : null,
          image_id: image.id, container_format: container, disk_format: format, image_name: o.image_name, ...(newer ? { protected: o.protected ?? false, visibility } : {}),
        },
      };
    }),
  }),
  volumeAction({
    action: 'os-reimage', summary: 'Put an image over it', since: '3.68', policy: 'volume:reimage', body: Reimage,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const o = ctx.body['os-reimage'];
      const volume = await held(trx, ctx as never, id);
      if (o.reimage_reserved) ctx.require('volume:reimage_reserved', { project_id: volume.project_id });
      const allowed = o.reimage_reserved ? ['available', 'error', 'reserved'] : ['available', 'error'];
      if (!allowed.includes(volume.status) || volume.migration_task_id !== null || volume.host === null) throw invalidVolume(`status must be ${allowed.join(' or ')} to reimage, but current status is: ${shownStatus(volume.status)}.`);
      const image = await imageForVolume(trx, { projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId, admin: ctx.allows('context_is_admin') }, o.image_id);
      if (Math.ceil(image.sizeBytes / 2 ** 30) > volume.size || image.minDiskGiB > volume.size) throw new BadRequest(`Invalid input received: Size of specified image ${Math.ceil(image.sizeBytes / 2 ** 30)}GB is larger than volume size ${volume.size}GB.`);
      const task = await rt.tasks.enqueue(trx, reimagePlan, { volumeId: volume.id, imageId: image.id, was: volume.status as 'available', metadata: { ...image.metadata } }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) });
      await move(trx, Volume, volume.id, { from: [volume.status], to: 'downloading', task, set: { previous_status: volume.status } });
      return new Reply(202);
    }),
  }),
];
