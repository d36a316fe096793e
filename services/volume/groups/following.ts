import { move, type Trx } from '@cumulet/db';
import type { Knex } from 'knex';
import { Group } from './states.ts';

/**
 * A group that is made of a source is `creating` until the last of its volumes is made, and is held by one of their tasks. When that one ends another one holds
 * it; with the last the group is available, or in error when a volume failed. Called in the transaction in which a volume's creation ends.
 */
export async function followMembers(trx: Trx, groupId: string): Promise<void> {
  // Looked at before it is locked: a group that rests may be locked by somebody who waits for this volume.
  const creating = () => trx('volume_groups').where({ id: groupId, status: 'creating' });
  if (!await creating().first('id') || !await creating().forUpdate().first('id')) return;
  const rows: { status: string; task_id: string | null }[] = await trx('volumes').where({ group_id: groupId }).select('status', 'task_id').orderBy('id');
  const busy = rows.find(r => r.status === 'creating' && r.task_id !== null);
  if (busy) await trx('volume_groups').where({ id: groupId }).update({ task_id: busy.task_id });
  else await move(trx as Knex.Transaction, Group, groupId, { from: ['creating'], to: rows.length > 0 && rows.every(r => r.status === 'available') ? 'available' : 'error' });
}
