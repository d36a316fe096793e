import type { Provided } from '@cumulet/drivers/block';
import type { Tasks } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { dropKey } from '../encryption/keys.ts';
import { provided } from '../refs.ts';
import { deletePlan } from '../volumes/plans.ts';
import { byId, laneOfVolume, patch, queueOf, type VolumeRow } from '../volumes/store.ts';

/** `inPlace`: the new copy is in the pool of the old one (its encryption changes). */
export interface Places { readonly volumeId: string; readonly targetId: string; readonly to: string; readonly inPlace: boolean; readonly newTypeId: string | null }
export interface Switch extends Places { readonly provided: Provided; /** The backend moved it itself: there is no second copy. */ readonly moved: boolean }

/** Whether the volume's row has the new place already. */
export const hasSwitched = (row: Pick<VolumeRow, 'host' | 'backend_name'> | undefined, o: Pick<Places, 'to' | 'inPlace' | 'targetId'>): boolean => row?.host === o.to && (!o.inPlace || row.backend_name === `volume-${o.targetId}`);

/** The moment of a migration: the volume's row takes the new place, the hidden row stands for the old copy from now on. Done already is success. */
export async function switchPlaces(trx: Knex.Transaction, o: Switch): Promise<void> {
  const source = await byId(trx, o.volumeId);
  const target = await byId(trx, o.targetId);
  if (!source || !target || hasSwitched(source, o)) return;
  await patch(trx, target.id, { host: source.host, backend_name: source.backend_name ?? `volume-${source.id}`, provider_id: source.provider_id, provider_meta: source.provider_meta, encryption_key_id: source.encryption_key_id });
  await patch(trx, source.id, { host: o.to, ...(o.moved ? {} : { backend_name: target.backend_name ?? `volume-${target.id}` }), ...provided(o.provided), encryption_key_id: target.encryption_key_id, ...(o.newTypeId === null ? {} : { type_id: o.newTypeId }) });
}

/** In the settling transaction: what the hidden row stands for goes. After the switch that is the old copy, which a task of its own removes from its backend. */
export async function dropTarget(trx: Knex.Transaction, tasks: Tasks, o: { targetId: string; taskId: string; oldCopy: boolean; attached: boolean }): Promise<void> {
  const row = await byId(trx, o.targetId);
  if (!row || row.task_id !== o.taskId) return;
  if (!o.oldCopy) {
    await trx('volumes').where({ id: row.id }).delete();
    await dropKey(trx, row.encryption_key_id);
    return;
  }
  const task = await tasks.enqueue(trx, deletePlan, { volumeId: row.id, snapshotIds: [], disconnect: o.attached }, { queue: queueOf(row.host), lane: laneOfVolume(row.id), resource: { type: 'volume', id: row.id }, by: { projectId: row.project_id, userId: row.user_id } });
  await trx('volumes').where({ id: row.id }).update({ status: 'deleting', task_id: task });
}
