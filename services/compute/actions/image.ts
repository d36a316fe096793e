import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { serviceUrl } from '@cumulet/service';
import { BadRequest, Fault, Forbidden, shape, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { snapshotPlan } from '../plans/snapshot.ts';
import { record, refuseState, serverFor, start } from '../servers/act.ts';
import { metadata, name, whole } from '../servers/fields.ts';
import { isVolumeBacked, type BlockDevice, type ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import { byOf } from '../who.ts';
import { path } from './power.ts';
import { snapshotImage } from './shelve.ts';

const CreateImage = shape('CreateImage', z.strictObject({ createImage: z.strictObject({ name, metadata: metadata.optional() }) }));
const CreateBackup = shape('CreateBackup', z.strictObject({ createBackup: z.strictObject({ name, backup_type: z.string(), rotation: whole(0), metadata: metadata.optional() }) }));
export const changes: Change[] = [{ at: '2.45', trait: 'image id in the body', why: 'createImage and createBackup answer with the image\'s id, not with its address' }];

const quota = (error: unknown): never => { throw error instanceof Fault && error.status === 413 ? new Forbidden(error.message) : error; };
const answer = (c: Compute, ctx: Context, imageId: string | undefined): Reply => {
  if (ctx.dialect.has('image id in the body')) return new Reply(202, imageId === undefined ? undefined : { image_id: imageId });
  return new Reply(202, undefined, imageId === undefined ? {} : { location: `${serviceUrl(c.rt.settings, 'image')}/images/${imageId}` });
};

export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'servers.create_image', summary: 'Make an image of a server', method: 'POST', path, action: 'createImage', policy: 'os_compute_api:servers:create_image', permit: 'object', body: CreateImage,
    handler: async ctx => {
      const b = ctx.body.createImage;
      const imageId = await transaction(c.rt.db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseState(row, 'createImage');
        const devices = await devicesOf(trx, row.id);
        const properties = Object.fromEntries(Object.entries(b.metadata ?? {}));
        if (isVolumeBacked(devices)) {
          ctx.require('os_compute_api:servers:create_image:allow_volume_backed', { project_id: row.project_id, user_id: row.user_id });
          return snapshotVolumes(c, ctx as never, trx, row, devices, b.name, properties).catch(quota);
        }
        return start(c, ctx as never, trx, row, {
          history: 'createImage', plan: snapshotPlan, taskState: 'image_snapshot',
          prepare: async (_, __, taskId) => { const id = await snapshotImage(c, trx, row, taskId, { name: b.name, properties }).catch(quota); return { input: { serverId: row.id, imageId: id, prune: [] }, reply: id }; },
        });
      }) as string;
      return answer(c, ctx as never, imageId);
    },
  }),
  operation({
    id: 'servers.create_backup', summary: 'Make an image and keep the newest ones', method: 'POST', path, action: 'createBackup', policy: 'os_compute_api:os-create-backup', permit: 'object', body: CreateBackup,
    handler: async ctx => {
      const b = ctx.body.createBackup;
      const imageId = await transaction(c.rt.db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseState(row, 'createBackup');
        if (isVolumeBacked(await devicesOf(trx, row.id))) throw new BadRequest('Backup is not supported for volume-backed instances.');
        return start(c, ctx as never, trx, row, {
          history: 'createBackup', plan: snapshotPlan, taskState: 'image_backup',
          prepare: async (_, __, taskId) => {
            const id = await snapshotImage(c, trx, row, taskId, { name: b.name, properties: { ...b.metadata, image_type: 'backup', backup_type: b.backup_type } }).catch(quota);
            const older = (await c.n.images.withProperties(trx, row.project_id, { instance_uuid: row.id, image_type: 'backup', backup_type: b.backup_type })).slice(Math.max(0, b.rotation - 1));
            return { input: { serverId: row.id, imageId: id, prune: older.map(o => o.id) }, reply: id };
          },
        });
      }) as string;
      return answer(c, ctx as never, b.rotation === 0 ? undefined : imageId);
    },
  }),
];

/** A volume-backed server: one snapshot of each volume, and an image without data that names them. It never holds how volumes are reached. */
async function snapshotVolumes(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, devices: readonly BlockDevice[], label: string, properties: Record<string, string>): Promise<string> {
  const mappings: Record<string, unknown>[] = [];
  for (const d of devices) {
    const common = { boot_index: d.boot_index, device_name: d.device_name, device_type: d.device_type, disk_bus: d.disk_bus, guest_format: d.guest_format, delete_on_termination: d.delete_on_termination, tag: d.tag, volume_type: d.volume_type, no_device: null };
    if (d.volume_id === null) {
      if (d.source_type === 'blank') mappings.push({ ...common, source_type: 'blank', destination_type: 'local', volume_size: d.volume_size, snapshot_id: null, image_id: null, volume_id: null });
      continue;
    }
    const snapshot = await c.n.volumes.snapshotForImage(trx, c.rt.tasks, { by: byOf(ctx), volumeId: d.volume_id, name: `snapshot for ${label}`.slice(0, 255) });
    mappings.push({ ...common, source_type: 'snapshot', destination_type: 'volume', snapshot_id: snapshot.id, volume_size: snapshot.size, image_id: null, volume_id: null });
  }
  const image = await c.n.images.createRecord(trx, c.rt, {
    name: label, owner: row.project_id, visibility: 'private', minDisk: 0, minRam: row.image.min_ram ?? 0, diskFormat: 'qcow2', containerFormat: 'bare',
    properties: { ...row.image.properties, ...properties, base_image_ref: row.image.id ?? '', block_device_mapping: JSON.stringify(mappings), bdm_v2: 'True', root_device_name: row.root_device_name ?? '/dev/vda' },
  });
  await c.n.images.activateEmpty(trx, image.id);
  await record(trx, ctx, row.id, 'createImage', null);
  return image.id;
}
