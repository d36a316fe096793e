import { DriverError, need } from '@cumulet/drivers';
import type { ConnectionInfo } from '@cumulet/drivers/block';
import type { VolumeDisk } from '@cumulet/drivers/hypervisor';
import type { Run } from '@cumulet/tasks';
import { z } from 'zod';
import { switchPlaces } from '../migration/places.ts';
import { hostCall, hostPlan, type HostDeps } from './deps.ts';

/** In the server's history, where nova has it; the steps of this task are its events, `compute_extend_volume` … A server that is gone has none. */
const noted = (t: Pick<Run<unknown, unknown, HostDeps>, 'taskId' | 'projectId' | 'userId' | 'requestId' | 'transaction'>, serverId: string, action: string): Promise<void> => t.transaction(async trx => {
  await trx.raw(`insert into server_actions (server_id, action, request_id, user_id, project_id, task_id) select id, ?, ?, ?, ?, ? from servers where id = ? and not exists (select 1 from server_actions where server_id = ? and task_id = ?)`,
    [action, t.requestId ?? `req-${t.taskId}`, t.userId, t.projectId, t.taskId, serverId, serverId, t.taskId]);
});

/** Tells a running guest that its volume has grown. A server that is not on this host any more has nobody to tell. */
export const extendGuestPlan = hostPlan('volume.extend_guest', z.object({ serverId: z.string(), volumeId: z.string(), sizeBytes: z.int() }))
  .step('extend_volume', async t => {
    await noted(t, t.input.serverId, 'extend_volume');
    try { await need(t.deps.hypervisor, 'volumes').extend(hostCall(t), t.input.serverId, t.input.volumeId, t.input.sizeBytes); } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'absent') throw error;
    }
  }, { cancel: false });

const connection = z.custom<ConnectionInfo>(value => typeof value === 'object' && value !== null);
const places = z.object({ volumeId: z.string(), targetId: z.string(), to: z.string(), newTypeId: z.string().nullable() });

/**
 * Lets the hypervisor copy a volume that a guest writes to, and switch the guest over. The rows change places in the transaction in which this ends: either
 * the guest and the rows have moved, or neither has.
 */
export const swapGuestPlan = hostPlan('volume.swap_guest', z.object({
  serverId: z.string(), attachmentId: z.string(), places, from: connection, into: connection, provided: z.object({ providerId: z.string().optional(), meta: z.record(z.string(), z.unknown()).optional() }),
}))
  .step('swap_volume', async t => { await noted(t, t.input.serverId, 'swap_volume'); await swap(t, t.input.into); }, { undo: t => swap(t, t.input.from) })
  .settles(async (trx, how, t) => {
    if (how.state !== 'done') return;
    await switchPlaces(trx, { ...t.input.places, provided: t.input.provided, moved: false });
    const set = { connection: JSON.stringify(t.input.into) };
    await trx('volume_attachments').where({ id: t.input.attachmentId }).update({ connection_info: set.connection, updated_at: trx.fn.now() });
    // The next start of the server is made of compute's own note of the connection.
    await trx('block_devices').where({ attachment_id: t.input.attachmentId }).update(set);
  });
async function swap(t: Parameters<typeof hostCall>[0] & { readonly input: { readonly serverId: string; readonly places: { readonly volumeId: string } }; readonly deps: { readonly hypervisor: Parameters<typeof need>[0] & { readonly volumes?: import('@cumulet/drivers/hypervisor').Volumes } } }, into: ConnectionInfo): Promise<void> {
  const volumes = need(t.deps.hypervisor, 'volumes');
  if (!volumes.swap) throw new DriverError('unsupported', 'The hypervisor of this server cannot swap a volume while the server has it.');
  const disk: VolumeDisk = { volumeId: t.input.places.volumeId, connection: into as unknown as VolumeDisk['connection'], readOnly: into.data.access_mode === 'ro' };
  await volumes.swap(hostCall(t), t.input.serverId, t.input.places.volumeId, disk);
}
