import type { Tasks } from '@cumulet/tasks';
import { newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import { confirmMovePlan } from '../plans/move.ts';
import { confirmPlan } from '../plans/resize.ts';
import { hostQueue, laneOf, type ServerRow } from './row.ts';

/** A resize or cold migration that waits for a decision: on its own host, or between two. */
export interface Undecided { readonly num: number; readonly source_host: string; readonly dest_host: string }
interface By { readonly projectId: string | undefined; readonly userId: string | undefined; readonly requestId: string }

/** Keeps what it made, at a user's word or because time is up. The row is locked and `resized`. */
export async function confirmResize(c: { readonly tasks: Tasks }, by: By, trx: Knex.Transaction, row: ServerRow, m: Undecided): Promise<void> {
  const id = newId();
  const moved = row.system['moved'] as { shared?: boolean } | undefined;
  const common = { id, lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by, queue: hostQueue(m.source_host) };
  if (m.source_host === m.dest_host) await c.tasks.enqueue(trx, confirmPlan, { serverId: row.id, migration: m.num }, common);
  else await c.tasks.enqueue(trx, confirmMovePlan, { serverId: row.id, migration: m.num, shared: moved?.shared ?? false }, common);
  await trx('server_migrations').where({ num: m.num }).update({ status: 'confirming', updated_at: trx.fn.now() });
  await trx('servers').where({ id: row.id }).update({ task_state: 'resize_confirming', task_id: id, updated_at: trx.fn.now() });
  await trx('server_actions').insert({ server_id: row.id, action: 'confirmResize', request_id: by.requestId, user_id: by.userId ?? null, project_id: by.projectId ?? null, task_id: id });
}
