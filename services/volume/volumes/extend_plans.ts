import { DriverError } from '@cumulet/drivers';
import { ChildFailed } from '@cumulet/tasks';
import { z } from 'zod';
import { serverAttachments } from '../attachments/store.ts';
import { call, driverOf, plan } from '../deps.ts';
import { extendGuestPlan } from '../host/guest_plans.ts';
import { tell } from '../messages/store.ts';
import { volumeRef } from '../refs.ts';
import { settleVolume, volumeOf } from './plans.ts';

/**
 * Grows a volume. The row has the new size already; a failure takes it back. A guest that has it is told afterwards, as nova's volume-extended event does; where only
 * QEMU may touch the file of a running guest (qcow2), it is the guest's side that grows it. One that cannot be told sees the new size after its next start.
 */
export const extendPlan = plan('volume.extend', z.object({ volumeId: z.string(), from: z.int(), to: z.int(), was: z.enum(['available', 'in-use']) }))
  .revised(2)
  .step('extend', async (t): Promise<{ byGuest: boolean }> => {
    const row = await volumeOf(t, t.input.volumeId);
    try {
      await driverOf(t, row.host).volumes.extend(call(t), { ...volumeRef(row), sizeGiB: t.input.from }, t.input.to);
      return { byGuest: false };
    } catch (error) {
      if (error instanceof DriverError && error.kind === 'busy' && (await t.transaction(trx => serverAttachments(trx, row.id))).length > 0) return { byGuest: true };
      throw error;
    }
  })
  .step('tell', async (t): Promise<{ unheard: string | null }> => {
    let unheard: string | null = null;
    for (const a of await t.transaction(trx => serverAttachments(trx, t.input.volumeId))) {
      try {
        await t.child(extendGuestPlan, { serverId: a.server_id, volumeId: t.input.volumeId, sizeBytes: t.input.to * 2 ** 30 }, { queue: `host/${a.attached_host}`, lane: `extend-guest/${a.id}`, resource: { type: 'server', id: a.server_id } });
      } catch (error) {
        if (!(error instanceof ChildFailed) || t.out.extend.byGuest) throw error;
        unheard = error.message;
      }
    }
    return { unheard };
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    const row = await settleVolume(trx, how, t, { id: t.input.volumeId, from: ['extending'], done: t.input.was, failed: 'error_extending', action: 'extend', detail: 'extendFailed', setFailed: { size: t.input.from } });
    const unheard = t.out.tell?.unheard;
    if (row && how.state === 'done' && unheard) await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME', id: row.id }, action: 'extend', detail: 'notifyCompute', why: unheard });
  })
  .resumes(async (trx, t) => {
    await trx('volumes').where({ id: t.input.volumeId, status: 'error_extending', size: t.input.from }).update({ status: 'extending', size: t.input.to, task_id: t.taskId });
  });
