import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, before, Conflict, Fault, newId, NotFound, one, shape, within, without, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { attachVolumePlan, detachVolumePlan } from '../plans/plug.ts';
import { record, refuseDown, refuseLocked, refuseState, serverFor } from '../servers/act.ts';
import { boolean, deviceTag, uuid } from '../servers/fields.ts';
import { hostQueue, laneOf, type BlockDevice, type ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import { byOf, whoOf } from '../who.ts';

const device = z.string().min(1).max(255).regex(/^\/dev\/x?[a-z]?d?[a-z]+[0-9]*$/).nullable();
const Attach = shape('VolumeAttach', z.strictObject({ volumeAttachment: z.strictObject({ volumeId: uuid, device: device.optional(), tag: deviceTag.optional(), delete_on_termination: boolean.optional() }) }));
const Update = shape('VolumeAttachUpdate', z.strictObject({ volumeAttachment: z.strictObject({ volumeId: uuid, device: device.optional(), tag: deviceTag.nullable().optional(), delete_on_termination: boolean.optional(), serverId: uuid.optional(), id: uuid.optional() }) }));
const ListQuery = shape('VolumeAttachQuery', z.strictObject({ limit: one(z.string().regex(/^[0-9]*$/)).optional(), offset: one(z.string().regex(/^[0-9]*$/)).optional() }));
const View = shape('VolumeAttachment', z.any());
const Shown = shape('ShownVolumeAttachment', z.any(), { volumeAttachment: View });
const Attached = shape('AttachedVolume', z.any(), { volumeAttachment: shape('NewVolumeAttachment', z.any()) });
const Listed = shape('VolumeAttachmentList', z.any(), { volumeAttachments: View });

export const changes: Change[] = [
  { at: '2.49', shape: 'VolumeAttach', why: 'attachments have tags', was: before(['volumeAttachment'], 'tag') },
  { at: '2.101', trait: 'attachment without a reply', why: 'attaching is answered 202 without a body' },
  { at: '2.20', trait: 'volumes of shelved servers', why: 'volumes are attached to and detached from shelved servers' },
  { at: '2.60', trait: 'multiattach', why: 'volumes of several servers' },
  { at: '2.70', shape: 'VolumeAttachment', why: 'the tag is shown', down: without('tag') },
  { at: '2.70', shape: 'NewVolumeAttachment', why: 'the tag is shown', down: without('tag') },
  { at: '2.75', shape: 'VolumeAttachQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
  { at: '2.79', shape: 'VolumeAttach', why: 'a volume may go with its server', was: before(['volumeAttachment'], 'delete_on_termination') },
  { at: '2.79', shape: 'VolumeAttachment', why: 'a volume may go with its server', down: without('delete_on_termination') },
  { at: '2.79', shape: 'NewVolumeAttachment', why: 'a volume may go with its server', down: without('delete_on_termination') },
  { at: '2.85', shape: 'VolumeAttachUpdate', why: 'delete_on_termination may be changed', was: newer => within(newer, ['volumeAttachment'], () => z.strictObject({ volumeId: uuid, device: device.optional() })) },
  { at: '2.85', trait: 'change attachment', why: 'delete_on_termination may be changed' },
  { at: '2.89', shape: 'VolumeAttachment', why: 'attachment and mapping ids are shown, the repeated volume id is not', down: (v: Record<string, unknown>) => { const { attachment_id: _, bdm_uuid: __, ...rest } = v; return { id: v['volumeId'], ...rest }; } },
];
const view = (d: BlockDevice) => ({ volumeId: d.volume_id, serverId: d.server_id, device: d.device_name, tag: d.tag, delete_on_termination: d.delete_on_termination, attachment_id: d.attachment_id, bdm_uuid: d.id });

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const path = '/servers/:server_id/os-volume_attachments';
  const find = async (trx: Knex, row: ServerRow, volumeId: string): Promise<BlockDevice> => {
    const d = (await devicesOf(trx, row.id)).find(x => x.volume_id === volumeId.toLowerCase() && x.attachment_id !== null);
    if (!d) throw new NotFound(`Instance ${row.id} is not attached to volume ${volumeId}`);
    return d;
  };
  return [
    operation({
      id: 'volume_attachments.list', summary: 'Volumes of a server', method: 'GET', path, policy: 'os_compute_api:os-volumes-attachments:index', permit: 'object', query: ListQuery, reply: Listed,
      handler: async ctx => {
        const row = await serverFor(ctx as never, db);
        const all = (await devicesOf(db, row.id)).filter(d => d.volume_id !== null && d.attachment_id !== null);
        const from = Number(ctx.query.offset ?? 0);
        const limit = Math.min(ctx.query.limit ? Number(ctx.query.limit) : c.rt.settings.http.maxLimit, c.rt.settings.http.maxLimit);
        return { volumeAttachments: all.slice(from, from + limit).map(view) };
      },
    }),
    operation({ id: 'volume_attachments.show', summary: 'One volume of a server', method: 'GET', path: `${path}/:volume_id`, policy: 'os_compute_api:os-volumes-attachments:show', permit: 'object', reply: Shown, handler: async ctx => ({ volumeAttachment: view(await find(db, await serverFor(ctx as never, db), ctx.params['volume_id'] ?? '')) }) }),
    operation({
      id: 'volume_attachments.create', summary: 'Attach a volume', method: 'POST', path, policy: 'os_compute_api:os-volumes-attachments:create', permit: 'object', body: Attach, reply: Attached,
      handler: async ctx => {
        const b = ctx.body.volumeAttachment;
        return transaction(db, async trx => {
          const row = await serverFor(ctx as never, trx, { lock: true });
          const made = await attach(c, ctx as never, trx, row, b);
          if (ctx.dialect.has('attachment without a reply')) return new Reply(202);
          return { volumeAttachment: { id: made.volume_id, serverId: row.id, volumeId: made.volume_id, device: made.device_name, tag: made.tag, delete_on_termination: made.delete_on_termination } };
        });
      },
    }),
    operation({
      id: 'volume_attachments.update', summary: 'Change an attachment, or swap its volume', method: 'PUT', path: `${path}/:volume_id`, policy: 'os_compute_api:os-volumes-attachments:update', permit: 'object', body: Update,
      handler: async ctx => {
        const b = ctx.body.volumeAttachment as z.output<typeof Update.newest>['volumeAttachment'];
        const volumeId = ctx.params['volume_id'] ?? '';
        const row = await serverFor(ctx as never, db);
        const swap = b.volumeId.toLowerCase() !== volumeId.toLowerCase() || !ctx.dialect.has('change attachment');
        if (swap) ctx.require('os_compute_api:os-volumes-attachments:swap', {});
        if (ctx.dialect.has('change attachment')) {
          const d = await find(db, row, volumeId);
          for (const [name, given, is] of [['id', b.id, volumeId], ['serverId', b.serverId, row.id], ['device', b.device, d.device_name], ['tag', b.tag, d.tag]] as const) if (given !== undefined && given !== is) throw new BadRequest(`The ${name} property is not mutable`);
          if (b.delete_on_termination !== undefined) await db('block_devices').where({ id: d.id }).update({ delete_on_termination: b.delete_on_termination });
        }
        if (swap) await refuseSwap(c, ctx as Context, row, volumeId, b.volumeId);
        return new Reply(202);
      },
    }),
    operation({
      id: 'volume_attachments.delete', summary: 'Detach a volume', method: 'DELETE', path: `${path}/:volume_id`, policy: 'os_compute_api:os-volumes-attachments:delete', permit: 'object',
      handler: async ctx => {
        await transaction(db, async trx => {
          const row = await serverFor(ctx as never, trx, { lock: true });
          refuseShelved(ctx as never, row, 'detach_volume');
          await detach(c, ctx as never, trx, row, await find(trx, row, ctx.params['volume_id'] ?? ''));
        });
        return new Reply(202);
      },
    }),
  ];
};

/**
 * Swapping was how a storage migration of an attached volume ended: for the block storage service alone, and only while the volume migrates (OSSN-0094). Here that service has
 * compute's host move the volume by a task of its own, so nobody is left who may ask, and each is told why as upstream tells it.
 */
async function refuseSwap(c: Compute, ctx: Context, row: ServerRow, volumeId: string, wanted: string): Promise<never> {
  const who = whoOf(ctx);
  const seen = (id: string) => c.n.volumes.find(c.rt.db, { projectId: who.projectId, userId: who.userId, admin: who.admin }, id);
  const old = await seen(volumeId);
  const attached = (await devicesOf(c.rt.db, row.id)).some(d => d.volume_id === old.id && d.attachment_id !== null);
  await seen(wanted).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new BadRequest(error.message) : error; });
  if (!attached) throw new NotFound(`Instance ${row.id} is not attached to volume ${volumeId}`);
  refuseLocked(ctx, row);
  throw new Conflict(`volume ${old.id} is not migrating; this API should only be called by Cinder`);
}

/** Before 2.20 a shelved server's volumes were as they were. */
function refuseShelved(ctx: Pick<Context, 'dialect'>, row: ServerRow, action: string): void {
  if ((row.vm_state === 'shelved' || row.vm_state === 'shelved_offloaded') && !ctx.dialect.has('volumes of shelved servers')) throw new Conflict(`Cannot '${action}' instance ${row.id} while it is in vm_state ${row.vm_state}`);
}

const letters = 'abcdefghijklmnopqrstuvwxyz';
/** The next free name on the bus of the root disk; guests may call it otherwise. */
function nextDevice(row: ServerRow, devices: readonly BlockDevice[]): string {
  const prefix = (row.root_device_name ?? '/dev/vda').replace(/[a-z]$/, '');
  const used = new Set([row.root_device_name ?? '/dev/vda', ...devices.flatMap(d => (d.device_name === null ? [] : [d.device_name.startsWith('/dev/') ? d.device_name : `/dev/${d.device_name}`]))]);
  for (const letter of letters.slice(1)) if (!used.has(prefix + letter)) return prefix + letter;
  throw new BadRequest(`Instance ${row.id} has no free disk device name.`);
}

async function attach(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, b: z.output<typeof Attach.newest>['volumeAttachment']): Promise<BlockDevice> {
  const who = whoOf(ctx);
  refuseShelved(ctx, row, 'attach_volume');
  refuseLocked(ctx, row);
  refuseState(row, 'attach_volume');
  const volume = await c.n.volumes.find(trx, { projectId: who.projectId, userId: who.userId, admin: who.admin }, b.volumeId).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new NotFound(`Volume ${b.volumeId} could not be found.`) : error; });
  const devices = await devicesOf(trx, row.id);
  if (devices.some(d => d.volume_id === volume.id)) throw new BadRequest(`Invalid volume: volume ${volume.id} is already attached to instances: ${row.id}`);
  if (volume.multiattach && !ctx.dialect.has('multiattach')) throw new BadRequest('Multiattach volumes are only supported starting with compute API version 2.60.');
  if (!volume.multiattach) {
    const others = await trx('block_devices as b').join('servers as s', 's.id', 'b.server_id').where({ 'b.volume_id': volume.id, 's.deleted': false }).whereNotNull('b.attachment_id').select('b.server_id') as { server_id: string }[];
    if (others.length > 0) throw new BadRequest(`Invalid volume: volume ${volume.id} is already attached to instances: ${others.map(o => o.server_id).join(', ')}`);
  }
  if (row.vm_state === 'shelved_offloaded' && b.tag !== undefined) throw new BadRequest('Attaching tagged volume to a shelved-offloaded server is not supported.');
  const wanted = b.device == null ? undefined : b.device.startsWith('/dev/') ? b.device : `/dev/${b.device}`;
  if (wanted !== undefined && devices.some(d => d.device_name === wanted)) throw new Conflict(`The supplied device path (${wanted}) is in use.`);
  const attachment = await c.n.volumes.reserve(trx, { volumeId: volume.id, serverId: row.id, who, multiattach: ctx.dialect.has('multiattach') });
  const [made] = await trx('block_devices').insert({
    id: newId(), server_id: row.id, source_type: 'volume', destination_type: 'volume', volume_id: volume.id, volume_size: volume.size, attachment_id: attachment.id, device_name: wanted ?? nextDevice(row, devices), tag: b.tag ?? null, delete_on_termination: b.delete_on_termination ?? false,
  }).returning('*') as BlockDevice[];
  const d = made as BlockDevice;
  // On no host there is nothing to connect yet; the volume is in use all the same, as upstream shows it, and is connected when the server comes back (2.20).
  if (row.host === null) await c.n.volumes.complete(trx, attachment.id, { device: d.device_name as string });
  const task = row.host === null ? null : await c.rt.tasks.enqueue(trx, attachVolumePlan, { serverId: row.id, deviceId: d.id }, { queue: hostQueue(row.host), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx) });
  await record(trx, ctx, row.id, 'attach_volume', task);
  return d;
}

async function detach(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, d: BlockDevice): Promise<void> {
  if (d.boot_index === 0) throw new BadRequest('Cannot detach a root device volume');
  refuseLocked(ctx, row);
  refuseState(row, 'detach_volume');
  if (row.host === null) {
    await c.n.volumes.release(trx, d.attachment_id as string);
    await trx('block_devices').where({ id: d.id }).delete();
    await record(trx, ctx, row.id, 'detach_volume', null);
    return;
  }
  await refuseDown(trx, row);
  await c.n.volumes.beginDetach(trx, d.attachment_id as string);
  const task = await c.rt.tasks.enqueue(trx, detachVolumePlan, { serverId: row.id, deviceId: d.id, offloaded: false }, { queue: hostQueue(row.host), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx) });
  await record(trx, ctx, row.id, 'detach_volume', task);
}
