import { transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { newId } from '@cumulet/wire';
import type { Tasks } from '@cumulet/tasks';
import type { Knex } from 'knex';
import type { Compute } from '../compute.ts';
import { deletePlan } from '../plans/delete.ts';
import { softDeletePlan } from '../plans/soft_delete.ts';
import { byOf } from '../who.ts';
import { record, refuseLocked, serverFor, start } from './act.ts';
import { hostQueue, laneOf, type ServerRow } from './row.ts';
import { downAfterSeconds } from './store.ts';

/** Deletes a server in whatever it is doing: what is at work on it is told to stop and undo, and the deletion follows in the same lane. */
export async function deleteServer(c: Compute, ctx: Context, history: 'delete' | 'forceDelete' = 'delete'): Promise<void> {
  await transaction(c.rt.db, async trx => {
    const row = await serverFor(ctx, trx, { lock: true });
    refuseLocked(ctx, row);
    if (row.task_state === 'deleting' || (history === 'delete' && (row.vm_state === 'soft-delete' || row.task_state === 'soft-deleting'))) return;
    // What never ran, or is nowhere, is not worth keeping.
    if (history === 'delete' && c.rt.settings.compute.reclaimSeconds > 0 && row.host !== null && row.launched_at !== null) {
      await start(c, ctx, trx, row, { history, plan: softDeletePlan, taskState: 'soft-deleting', prepare: () => ({ input: { serverId: row.id } }) });
      return;
    }
    await beginDelete(c.rt, trx, row, byOf(ctx), task => record(trx, ctx, row.id, history, task));
  });
}

export async function beginDelete(c: { readonly tasks: Tasks }, trx: Knex.Transaction, row: ServerRow, by: { projectId?: string; userId?: string; requestId?: string }, recorded?: (task: string) => PromiseLike<unknown>): Promise<void> {
  await c.tasks.supersede(trx, laneOf(row.id));
  const id = newId();
  // On a host that does not answer only rows are removed; the host cleans what it has when it comes back.
  const up = row.host === null ? false : await trx('compute_hosts').where({ host: row.host, forced_down: false }).where('seen_at', '>', trx.raw(`now() - interval '${downAfterSeconds} seconds'`)).first('host');
  await c.tasks.enqueue(trx, deletePlan, { serverId: row.id, local: !up }, { id, queue: up && row.host !== null ? hostQueue(row.host) : 'any', lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by });
  await trx('servers').where({ id: row.id }).update({ task_state: 'deleting', task_id: id, updated_at: trx.fn.now() });
  await recorded?.(id);
}
