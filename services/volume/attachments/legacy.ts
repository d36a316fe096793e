import { move, transaction } from '@cumulet/db';
import type { ConnectionInfo } from '@cumulet/drivers/block';
import { Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId, shape } from '@cumulet/wire';
import { z } from 'zod';
import { by } from '../asking.ts';
import { attachmentNotFound, invalidVolume } from '../faults.ts';
import { volumeAction } from '../volumes/actions.ts';
import * as bodies from '../volumes/action_schemas.ts';
import { held } from '../volumes/service.ts';
import { isBusy, Volume } from '../volumes/states.ts';
import { laneOfVolume, patch, queueOf } from '../volumes/store.ts';
import { resultOf } from '../waiting.ts';
import { initializePlan, publicConnection, terminatePlan } from './plans.ts';
import { refuseIfComputes } from './service.ts';
import { followAttachments, ofVolume } from './store.ts';

const Any = shape('AnyAction', z.looseObject({}));

/** The calls of clients older than 3.27: reserve, initialize, attach, and back. */
export const legacyActions = (rt: Runtime): Operation[] => [
  volumeAction({
    action: 'os-reserve', summary: 'Reserve', policy: 'volume_extension:volume_actions:reserve', body: Any,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const volume = await held(trx, ctx as never, id);
      const shared = volume.multiattach && volume.status === 'in-use';
      if (volume.status !== 'available' && !shared) throw invalidVolume(`Volume status must be available${volume.multiattach ? ' or in-use' : ''} to reserve, but the status is ${volume.status}.`);
      if ((await ofVolume(trx, volume.id)).length > 0 && !volume.multiattach) throw invalidVolume(`Volume ${volume.id} is attached already.`);
      await move(trx, Volume, volume.id, { from: [volume.status], to: 'attaching', set: { previous_status: volume.status } });
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-unreserve', summary: 'Unreserve', policy: 'volume_extension:volume_actions:unreserve', body: Any,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const volume = await held(trx, ctx as never, id);
      if (volume.status === 'attaching') await followAttachments(trx, volume.id);
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-begin_detaching', summary: 'Begin to detach', policy: 'volume_extension:volume_actions:begin_detaching', body: Any,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const volume = await held(trx, ctx as never, id);
      if (volume.status !== 'in-use' || !(await ofVolume(trx, volume.id)).some(a => a.status === 'attached')) throw invalidVolume("Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.");
      await move(trx, Volume, volume.id, { from: ['in-use'], to: 'detaching' });
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-roll_detaching', summary: 'Give up detaching', policy: 'volume_extension:volume_actions:roll_detaching', body: Any,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const volume = await held(trx, ctx as never, id);
      if (volume.status === 'detaching') await move(trx, Volume, volume.id, { from: ['detaching'], to: 'in-use' });
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-attach', summary: 'Mark as attached', policy: 'volume_extension:volume_actions:attach', body: bodies.Attach,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const { instance_uuid, mountpoint, host_name, mode } = ctx.body['os-attach'];
      if (Boolean(instance_uuid) === Boolean(host_name)) throw new BadRequest(instance_uuid ? "Invalid request to attach volume with an invalid host: both 'instance_uuid' and 'host_name' are given" : "Invalid request to attach volume to an invalid target");
      const volume = await held(trx, ctx as never, id);
      if (!['attaching', 'available'].includes(volume.status) && !(volume.multiattach && volume.status === 'in-use')) throw invalidVolume(`Volume ${volume.id} status must be available or attaching, but is ${volume.status}.`);
      if (volume.admin_metadata['readonly'] === 'True' && mode !== 'ro') throw new BadRequest(`Invalid attaching mode '${mode ?? 'rw'}' for volume ${volume.id}.`);
      const rows = await ofVolume(trx, volume.id);
      if (rows.length > 0 && !volume.multiattach) throw invalidVolume(`Volume ${volume.id} is attached already.`);
      await trx('volume_attachments').insert({ id: newId(), volume_id: volume.id, project_id: volume.project_id, server_id: instance_uuid && isUuid(instance_uuid) ? instance_uuid : null, status: 'attached', mode: mode ?? 'rw', multiattach: volume.multiattach, attached_host: host_name ?? null, device: mountpoint, attached_at: trx.fn.now() });
      await patch(trx, volume.id, { admin_metadata: { ...volume.admin_metadata, attached_mode: mode ?? 'rw', readonly: volume.admin_metadata['readonly'] ?? 'False' } });
      await move(trx, Volume, volume.id, { from: [volume.status], to: 'in-use' });
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-detach', summary: 'Mark as detached', policy: 'volume_extension:volume_actions:detach', body: bodies.Detach,
    handler: (ctx, id) => detach(rt, ctx as never, id, ctx.body['os-detach']?.attachment_id ?? undefined, false),
  }),
  volumeAction({
    action: 'os-force_detach', summary: 'Detach by force', policy: 'volume_extension:volume_admin_actions:force_detach', body: bodies.ForceDetach,
    handler: async (ctx, id) => {
      const { attachment_id, connector } = ctx.body['os-force_detach'];
      const { volume, task } = await transaction(rt.db, async trx => {
        const row = await held(trx, ctx as never, id);
        return { volume: row, task: row.host ? await rt.tasks.enqueue(trx, terminatePlan, { volumeId: row.id, connector: connector ?? null }, { queue: queueOf(row.host), lane: laneOfVolume(row.id), resource: { type: 'volume', id: row.id }, by: by(ctx) }) : undefined };
      });
      if (task) await resultOf(rt, task);
      return detach(rt, ctx as never, volume.id, attachment_id ?? undefined, true);
    },
  }),
  volumeAction({
    action: 'os-initialize_connection', summary: 'Connect', policy: 'volume_extension:volume_actions:initialize_connection', body: bodies.InitializeConnection, status: 200,
    handler: async (ctx, id) => {
      const task = await transaction(rt.db, async trx => {
        const volume = await held(trx, ctx as never, id);
        return rt.tasks.enqueue(trx, initializePlan, { volumeId: volume.id, connector: ctx.body['os-initialize_connection'].connector }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) });
      });
      const out = await resultOf(rt, task);
      return { connection_info: publicConnection(out['connect'] as ConnectionInfo, ctx.allows('context_is_admin') || ctx.caller.serviceRoles.includes('service')) };
    },
  }),
  volumeAction({
    action: 'os-terminate_connection', summary: 'Disconnect', policy: 'volume_extension:volume_actions:terminate_connection', body: bodies.TerminateConnection,
    handler: async (ctx, id) => {
      const task = await transaction(rt.db, async trx => {
        const volume = await held(trx, ctx as never, id);
        for (const row of await ofVolume(trx, volume.id)) refuseIfComputes(ctx, row);
        return volume.host ? rt.tasks.enqueue(trx, terminatePlan, { volumeId: volume.id, connector: ctx.body['os-terminate_connection'].connector ?? null }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) }) : undefined;
      });
      if (task) await resultOf(rt, task);
      return new Reply(202);
    },
  }),
];

/** Forgets one attachment (the only one when none is named) and lets the volume follow. */
const detach = (rt: Runtime, ctx: Context, id: string, attachmentId: string | undefined, force: boolean): Promise<Reply> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, id);
  const rows = await ofVolume(trx, volume.id);
  const row = attachmentId === undefined ? rows[0] : rows.find(r => r.id === attachmentId);
  if (attachmentId !== undefined && !row) throw attachmentNotFound(attachmentId);
  if (attachmentId === undefined && rows.length > 1) throw invalidVolume('Detach volume failed: More than one attachment, but no attachment_id provided.');
  if (row) {
    if (!force) refuseIfComputes(ctx, row);
    await trx('volume_attachments').where({ id: row.id }).delete();
  }
  const { attached_mode: _, ...rest } = volume.admin_metadata;
  await patch(trx, volume.id, { admin_metadata: rest });
  const now = await followAttachments(trx, volume.id);
  // The last detach makes a volume available whatever an administrator called it meanwhile.
  if (row && now && !isBusy(now.status) && now.status !== 'available' && (await ofVolume(trx, volume.id)).length === 0) await move(trx, Volume, volume.id, { from: [now.status], to: 'available' });
  return new Reply(202);
});
