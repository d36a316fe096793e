import type { Db } from '@cumulet/db';
import type { Knex } from 'knex';
import type { TaskRow } from './tasks.ts';

/** True of a task that may be taken: alive, due, owned by nobody who still shows signs of life, first in its lane. `t` is the tasks row. */
const due = `t.live and t.run_after <= now() and (t.lease_until is null or t.lease_until < now())
  and not exists (select 1 from tasks e where e.lane = t.lane and e.live and e.seq < t.seq)`;

/** Takes a task: the new fence shuts out whoever had it before. Undefined when it is over, not due, or somebody else's. */
export async function claim(db: Db, id: string, owner: string, leaseSeconds: number): Promise<TaskRow | undefined> {
  const { rows } = await db.raw(`update tasks t set owner = ?, fence = fence + 1, lease_until = now() + make_interval(secs => ?), started_at = coalesce(started_at, now()), updated_at = now(),
      state = case when state in ('queued', 'parked') then 'running' else state end
    where t.id = ? and ${due} returning t.*`, [owner, leaseSeconds, id]);
  return rows[0];
}

/** Ids of tasks that are due in these queues, oldest first: what a sweep finds when no bell rang. */
export async function dueTasks(db: Db, queues: readonly string[], limit: number): Promise<string[]> {
  const { rows } = await db.raw(`select t.id from tasks t where t.queue = any(?) and ${due} order by t.run_after limit ?`, [[...queues], limit]);
  return rows.map((r: { id: string }) => r.id);
}

/** After a task's end: the parent that waited for it, others that did, and the next one in its lane. */
export async function wakened(trx: Knex.Transaction, row: TaskRow): Promise<{ queue: string; id: string; fence: number }[]> {
  const parents = row.parent_id === null ? [] : await trx('tasks').where({ id: row.parent_id, state: 'parked' }).update({ state: 'queued', run_after: trx.fn.now() }).returning(['id', 'queue', 'fence']);
  const next = await trx('tasks').where({ lane: row.lane, live: true }).whereNot({ id: row.id }).orderBy('seq').first('id', 'queue', 'fence');
  const others = await trx('tasks').where({ live: true, state: 'parked' }).whereRaw('waits_for @> array[?]::uuid[]', [row.id]).update({ state: 'queued', run_after: trx.fn.now(), waits_for: null }).returning(['id', 'queue', 'fence']);
  return [...parents, ...others, ...(next ? [next] : [])];
}
