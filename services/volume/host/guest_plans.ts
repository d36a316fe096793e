import { DriverError, need } from '@cumulet/drivers';
import type { ConnectionInfo } from '@cumulet/drivers/block';
import type { Swap, VolumeDisk } from '@cumulet/drivers/hypervisor';
import type { Run } from '@cumulet/tasks';
import type { Knex } from 'knex';
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
const places = z.object({ volumeId: z.string(), targetId: z.string(), to: z.string(), inPlace: z.boolean().default(false), newTypeId: z.string().nullable() });

const swapInput = z.object({
  serverId: z.string(), attachmentId: z.string(), places, from: connection, into: connection, provided: z.object({ providerId: z.string().optional(), meta: z.record(z.string(), z.unknown()).optional() }),
});
type Swapping = z.infer<typeof swapInput>;

/**
 * Lets the hypervisor copy a volume that a guest writes to, and switch the guest over. Once that has happened the guest writes to the new place alone, so that there is
 * no way back: whatever became of the task, the rows follow the guest.
 */
export const swapGuestPlan = hostPlan('volume.swap_guest', swapInput)
  .revised(2)
  .step('swap_volume', async t => {
    await noted(t, t.input.serverId, 'swap_volume');
    await swapOf(t).run(hostCall(t), t.input.serverId, t.input.places.volumeId, diskOf(t.input));
    await t.transaction(trx => follow(trx, t.input));
  }, {
    timeoutMs: 24 * 3_600_000,
    undo: async t => {
      const { switched } = await t.deps.hypervisor.volumes?.swap?.abandon(hostCall(t), t.input.serverId, t.input.places.volumeId, diskOf(t.input)) ?? { switched: false };
      if (switched) await t.transaction(trx => follow(trx, t.input));
    },
  });
const diskOf = (input: Swapping): VolumeDisk => ({ volumeId: input.places.volumeId, connection: input.into as unknown as VolumeDisk['connection'], readOnly: input.into.data.access_mode === 'ro', ...(input.into.data['multiattach'] === true ? { multiattach: true } : {}) });
function swapOf(t: Pick<Run<unknown, unknown, HostDeps>, 'deps'>): Swap {
  const { swap } = need(t.deps.hypervisor, 'volumes');
  if (!swap) throw new DriverError('unsupported', 'The hypervisor of this server cannot move a volume while the server has it.');
  return swap;
}
/** The rows change places, and everybody who connects the server again uses the new one. Repeats. */
async function follow(trx: Knex.Transaction, input: Swapping): Promise<void> {
  await switchPlaces(trx, { ...input.places, provided: input.provided, moved: false });
  const into = JSON.stringify(input.into);
  await trx('volume_attachments').where({ id: input.attachmentId }).update({ connection_info: into, updated_at: trx.fn.now() });
  // The next start of the server is made of compute's own note of the connection.
  await trx('block_devices').where({ attachment_id: input.attachmentId }).update({ connection: into });
}
