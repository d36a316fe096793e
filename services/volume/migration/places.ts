import type { Provided } from '@cumulet/drivers/block';
import type { Tasks } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { provided } from '../refs.ts';
import { deletePlan } from '../volumes/plans.ts';
import { byId, laneOfVolume, patch, queueOf } from '../volumes/store.ts';

export interface Switch { readonly volumeId: string; readonly targetId: string; readonly to: string; readonly newTypeId: string | null; readonly provided: Provided; /** The backend moved it itself: there is no second copy. */ readonly moved: boolean }

/** The moment of a migration: the volume's row takes the new place, the hidden row stands for the old copy from now on. Done already is success. */
export async function switchPlaces(trx: Knex.Transaction, o: Switch): Promise<void> {
  const source = await byId(trx, o.volumeId);
  const target = await byId(trx, o.targetId);
  if (!source || !target || source.host === o.to) return;
  await patch(trx, target.id, { host: source.host, backend_name: source.backend_name ?? `volume-${source.id}`, provider_id: source.provider_id, provider_meta: source.provider_meta });
  await patch(trx, source.id, { host: o.to, ...(o.moved ? {} : { backend_name: target.backend_name ?? `volume-${target.id}` }), ...provided(o.provided), ...(o.newTypeId === null ? {} : { type_id: o.newTypeId }) });
}

/** In the settling transaction: what the hidden row stands for goes. After the switch that is the old copy, which a task of its own removes from its backend. */
export async function dropTarget(trx: Knex.Transaction, tasks: Tasks, o: { targetId: string; taskId: string; oldCopy: boolean; attached: boolean }): Promise<void> {
  const row = await byId(trx, o.targetId);
  if (!row || row.task_id !== o.taskId) return;
  if (!o.oldCopy) { await trx('volumes').where({ id: row.id }).delete(); return; }
  const task = await tasks.enqueue(trx, deletePlan, { volumeId: row.id, snapshotIds: [], disconnect: o.attached }, { queue: queueOf(row.host), lane: laneOfVolume(row.id), resource: { type: 'volume', id: row.id }, by: { projectId: row.project_id, userId: row.user_id } });
  await trx('volumes').where({ id: row.id }).update({ status: 'deleting', task_id: task });
}
