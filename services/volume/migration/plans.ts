import { DriverError } from '@cumulet/drivers';
import type { Provided } from '@cumulet/drivers/block';
import { z } from 'zod';
import { copied } from '../copying.ts';
import { call, driverOf, plan } from '../deps.ts';
import { tell } from '../messages/store.ts';
import { provided, volumeRef, volumeSpec } from '../refs.ts';
import { byId, hostParts, patch, type VolumeRow } from '../volumes/store.ts';

/**
 * Moves a volume to another pool. Its new place is held by a hidden volume row, which counts in the pool and not in the quota. The row changes places in one
 * transaction, `switch`; before it a failure leaves the volume where it was, after it the move has succeeded and only the old copy remains to be removed.
 */
export const migratePlan = plan('volume.migrate', z.object({ volumeId: z.string(), targetId: z.string(), to: z.string(), newTypeId: z.string().nullable(), was: z.string(), forceCopy: z.boolean() }))
  .step('copy', async (t): Promise<{ provided: Provided; moved: boolean }> => {
    const { source, target } = await both(t);
    await t.transaction(trx => trx('volumes').where({ id: t.input.volumeId, migration_task_id: t.taskId }).update({ migration_status: 'migrating' }));
    const from = driverOf(t, source.host);
    const to = driverOf(t, target.host);
    const pool = hostParts(t.input.to).pool;
    if (!t.input.forceCopy && from === to && from.migrate && pool !== undefined) {
      const given = await from.migrate(call(t), volumeRef(source), pool);
      if (given) return { provided: given, moved: true };
    }
    return { provided: await copied(call(t), { driver: from, ref: volumeRef(source) }, to, volumeSpec(target)), moved: false };
  }, { undo: async t => {
    const target = await t.transaction(trx => byId(trx, t.input.targetId));
    // After the switch the hidden row stands for the old copy, and the new one is the volume: nothing of it is taken back.
    if (target && target.host === t.input.to && !t.out.copy?.moved) await driverOf(t, target.host).volumes.delete(call(t), volumeRef(target));
  } })
  .step('switch', async t => {
    await t.transaction(async trx => {
      const source = await byId(trx, t.input.volumeId);
      const target = await byId(trx, t.input.targetId);
      if (!source || !target || source.host === t.input.to) return;     // done already
      const { moved, provided: given } = t.out.copy;
      await patch(trx, target.id, { host: source.host, backend_name: source.backend_name ?? `volume-${source.id}`, provider_id: source.provider_id, provider_meta: source.provider_meta });
      await patch(trx, source.id, { host: t.input.to, ...(moved ? {} : { backend_name: target.backend_name ?? `volume-${target.id}` }), ...provided(given), ...(t.input.newTypeId === null ? {} : { type_id: t.input.newTypeId }) });
    });
  }, { cancel: false })
  .step('clean', async t => {
    if (t.out.copy.moved) return;
    const old = await t.transaction(trx => byId(trx, t.input.targetId));
    if (old) await driverOf(t, old.host).volumes.delete(call(t), volumeRef(old));
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    const row = await byId(trx, t.input.volumeId);
    const moved = row?.host === t.input.to;
    if (how.state === 'done' || !moved) await trx('volumes').where({ id: t.input.targetId, task_id: t.taskId }).delete();
    else await trx('volumes').where({ id: t.input.targetId, task_id: t.taskId }).update({ status: 'error_deleting', task_id: null });   // the old copy could not be removed: kept as what it is
    if (!row || row.migration_task_id !== t.taskId) return;
    await trx('volumes').where({ id: row.id }).update({ migration_status: moved ? 'success' : 'error', migration_task_id: null, ...(row.task_id === t.taskId || row.status === 'maintenance' ? { status: t.input.was, task_id: null, previous_status: null } : {}), updated_at: trx.fn.now() });
    if (how.state === 'failed' && !moved) await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME', id: row.id }, action: t.input.newTypeId === null ? 'migrate' : 'retype', detail: 'unknown', why: how.error?.message });
  });

async function both(t: { input: { volumeId: string; targetId: string }; transaction<T>(work: (trx: import('knex').Knex.Transaction) => Promise<T>): Promise<T> }): Promise<{ source: VolumeRow; target: VolumeRow }> {
  const source = await t.transaction(trx => byId(trx, t.input.volumeId));
  const target = await t.transaction(trx => byId(trx, t.input.targetId));
  if (!source || !target) throw new DriverError('absent', `Volume ${t.input.volumeId} could not be found.`);
  return { source, target };
}
