import { afterCommit, notify, type Trx } from '@cumulet/db';
import { Conflict, newId, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Bell } from './bell.ts';
import type { AnyPlan, Startable, TaskError } from './plan.ts';

export type TaskState = 'queued' | 'running' | 'parked' | 'undoing' | 'done' | 'failed' | 'cancelled';
export interface StepRecord { step: string; phase: 'run' | 'undo'; attempt: number; host: string; started_at: string; ended_at: string | null; error: string | null }

/** A row of `tasks`. */
export interface TaskRow {
  id: string; plan: string; revision: number; queue: string; lane: string; seq: number;
  project_id: string | null; user_id: string | null; request_id: string | null; resource_type: string; resource_id: string;
  state: TaskState; live: boolean; input: Record<string, unknown>; out: Record<string, unknown>; steps: StepRecord[]; step: string | null; undone: string[];
  attempt: number; fence: number; owner: string | null; lease_until: Date | null; run_after: Date; cancel_requested: boolean; error: TaskError | null;
  progress_done: number; progress_total: number; parent_id: string | null; parent_step: string | null;
  created_at: Date; started_at: Date | null; updated_at: Date; ended_at: Date | null;
}

export interface EnqueueOptions {
  /** Which workers may run it: `any` (default), `host/NAME`, `backend/HOST@BACKEND`. */
  readonly queue?: string;
  /** Tasks of one lane run one after the other. Default: the resource. */
  readonly lane?: string;
  readonly resource: { readonly type: string; readonly id: string };
  /** Whose it is, and which request made it. Absent: the system's own. */
  readonly by?: { readonly projectId?: string | undefined; readonly userId?: string | undefined; readonly requestId?: string | undefined };
  /** While a task with this key lives, a second enqueue is that task. */
  readonly dedupe?: string;
  /** Known beforehand, for rows that name their task before it is inserted. */
  readonly id?: string;
  readonly runAfter?: Date;
}

export const laneOf = (resource: { type: string; id: string }): string => `${resource.type}/${resource.id}`;
const cancelChannel = 'cumulet_cancel';
export { cancelChannel };

/** The face of the engine to services: everything happens in the caller's transaction, and the bell rings after its commit. */
export class Tasks {
  readonly #bell: Bell;
  readonly #plans = new Map<string, AnyPlan>();
  constructor(bell: Bell, known: readonly AnyPlan[] = []) {
    this.#bell = bell;
    for (const p of known) this.#plans.set(p.kind, p);
  }

  /** Inserts the task: it is the outbox, it runs if and only if `trx` commits. Returns its id. */
  async enqueue<I>(trx: Trx, plan: Startable<I>, input: I, o: EnqueueOptions): Promise<string> {
    const checked = plan.parts.input.parse(input);
    const id = o.id ?? newId();
    const queue = o.queue ?? 'any';
    const row = {
      id, plan: plan.kind, revision: plan.parts.revision, queue, lane: o.lane ?? laneOf(o.resource), dedupe: o.dedupe ?? null, input: JSON.stringify(checked),
      project_id: o.by?.projectId ?? null, user_id: o.by?.userId ?? null, request_id: o.by?.requestId ?? null, resource_type: o.resource.type, resource_id: o.resource.id,
      ...(o.runAfter ? { run_after: o.runAfter } : {}),
    };
    if (o.dedupe !== undefined) {
      const [made] = await trx('tasks').insert(row).onConflict(trx.raw('(dedupe) where live and dedupe is not null') as never).ignore().returning('id');
      if (!made) return (await trx('tasks').where({ dedupe: o.dedupe, live: true }).first('id') as { id: string } | undefined)?.id ?? this.enqueue(trx, plan, input, o);
    } else await trx('tasks').insert(row);
    if (!o.runAfter || o.runAfter <= new Date()) afterCommit(trx, () => this.#bell.ring(queue, id, 0));
    return id;
  }

  /** Asks a task to stop and undo what it did. False when it is over already. */
  async cancel(trx: Trx, id: string): Promise<boolean> {
    const [row] = await trx('tasks').where({ id, live: true }).update({ cancel_requested: true, updated_at: trx.fn.now(), run_after: trx.raw(`case when state = 'undoing' or exists (select 1 from tasks c where c.parent_id = tasks.id and c.live) then run_after else now() end`) }).returning(['queue', 'fence']);
    if (!row) return false;
    // A parent that waits is woken by its child's end, not before: it must not undo what the child still does.
    const children: { id: string }[] = await trx('tasks').where({ parent_id: id, live: true }).select('id');
    for (const child of children) await this.cancel(trx, child.id);
    await notify(trx, cancelChannel, id);
    afterCommit(trx, () => this.#bell.ring(row.queue, id, row.fence));
    return true;
  }

  /** Cancels whatever is at work on a resource, for a delete that does not wait. The delete's own task, in the same lane, starts when they are over. */
  async supersede(trx: Trx, lane: string): Promise<void> {
    const rows: { id: string }[] = await trx('tasks').where({ lane, live: true }).select('id');
    for (const { id } of rows) await this.cancel(trx, id);
  }

  /** Cancel at a user's word: refused for plans that cannot be cancelled. */
  async cancelByUser(trx: Trx, row: Pick<TaskRow, 'id' | 'plan' | 'live'>): Promise<void> {
    if (!row.live) throw new Conflict(`Operation ${row.id} is over.`);
    if (this.#plans.get(row.plan)?.parts.cancellable === false) throw new Conflict(`Operation ${row.id} (${row.plan}) cannot be cancelled.`);
    if (!await this.cancel(trx, row.id)) throw new Conflict(`Operation ${row.id} is over.`);
  }

  /** Starts a failed task again, from its first step: its undo has left nothing behind. */
  async resume(trx: Knex.Transaction, id: string): Promise<void> {
    const row: TaskRow | undefined = await trx('tasks').where({ id }).forUpdate().first();
    if (!row) throw new NotFound(`Operation ${id} could not be found.`);
    const resume = this.#plans.get(row.plan)?.parts.resume;
    if (row.state !== 'failed') throw new Conflict(`Operation ${id} is ${row.state}; only a failed one can be resumed.`);
    if (!resume) throw new Conflict(`Operation ${id} (${row.plan}) cannot be resumed; start a new one.`);
    await trx('tasks').where({ id }).update({
      state: 'queued', out: '{}', undone: [], attempt: 0, step: null, error: null, cancel_requested: false, ended_at: null, owner: null, lease_until: null, run_after: trx.fn.now(), progress_done: 0, progress_total: 0, updated_at: trx.fn.now(),
    });
    await resume(trx, { ...factsOf(row), input: row.input as never });
    afterCommit(trx, () => this.#bell.ring(row.queue, id, row.fence));
  }
  /** Whether users may cancel or resume tasks of a plan, for views. */
  abilities(kind: string): { cancellable: boolean; resumable: boolean } {
    const parts = this.#plans.get(kind)?.parts;
    return { cancellable: parts?.cancellable ?? false, resumable: parts?.resume !== undefined };
  }
}

export const factsOf = (row: TaskRow) => ({ taskId: row.id, resourceId: row.resource_id, projectId: row.project_id, userId: row.user_id, requestId: row.request_id });
