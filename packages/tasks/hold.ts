import { transaction, type Db, type Listener } from '@cumulet/db';
import { newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Logger } from 'pino';
import type { Bell } from './bell.ts';
import { wakened } from './claim.ts';
import { Cancelled, LostLease, ShuttingDown } from './errors.ts';
import type { Startable } from './plan.ts';
import { cancelChannel, laneOf, type EnqueueOptions, type TaskRow } from './tasks.ts';

export interface HolderOptions {
  readonly db: Db;
  readonly bell: Bell;
  readonly listener?: Listener;
  readonly log: Logger;
  /** Unique for this process. */
  readonly owner: string;
  readonly leaseSeconds: number;
}

/** A task that this process works on by itself. */
export interface Held {
  readonly taskId: string;
  /** Aborted when somebody cancels the task, or when this process was too slow to keep it. */
  readonly signal: AbortSignal;
  progress(done: number, total: number): void;
  /** Ends the task and settles its resource in one transaction. Throws LostLease when a worker took it over: then settle nothing. */
  end<T>(how: { readonly state: 'done' } | { readonly state: 'failed' | 'cancelled'; readonly message: string }, settle: (trx: Knex.Transaction) => Promise<T>): Promise<T>;
  /** Lets go without an end: the next worker runs the plan at once. */
  abandon(): Promise<void>;
}

/**
 * For work that must happen in the process that has the connection, such as an upload: the resource is held by a task that this process keeps alive.
 * The task's plan is what has to be done when the process dies: its steps clean up and its settling puts the resource to rest.
 */
export class Holder {
  readonly #o: HolderOptions;
  readonly #held = new Map<string, (why: Error) => void>();
  #listening: Promise<void> | undefined;
  constructor(options: HolderOptions) { this.#o = options; }

  /** Inserts the task as ours, and in the same transaction makes what it holds transitional. */
  async hold<I, T>(plan: Startable<I>, input: I, o: EnqueueOptions, begin: (trx: Knex.Transaction, taskId: string) => Promise<T>): Promise<{ held: Held; value: T }> {
    const { db, owner, leaseSeconds } = this.#o;
    this.#listening ??= this.#o.listener?.listen(cancelChannel, id => this.#held.get(id)?.(new Cancelled())) ?? Promise.resolve();
    await this.#listening;
    const taskId = o.id ?? newId();
    const checked = plan.parts.input.parse(input);
    const value = await transaction(db, async trx => {
      await trx('tasks').insert({
        id: taskId, plan: plan.kind, revision: plan.parts.revision, queue: o.queue ?? 'any', lane: o.lane ?? laneOf(o.resource), input: JSON.stringify(checked),
        project_id: o.by?.projectId ?? null, user_id: o.by?.userId ?? null, request_id: o.by?.requestId ?? null, resource_type: o.resource.type, resource_id: o.resource.id,
        state: 'running', owner, fence: 1, started_at: trx.fn.now(), lease_until: trx.raw('now() + make_interval(secs => ?)', [leaseSeconds]),
      });
      return begin(trx, taskId);
    });
    return { held: this.#keep(taskId), value };
  }

  #keep(taskId: string): Held {
    const { db, bell, log, leaseSeconds } = this.#o;
    const mine = { id: taskId, fence: 1 };
    const stop = new AbortController();
    let progress: { progress_done: number; progress_total: number } | undefined;
    const beat = async () => {
      const [row]: TaskRow[] = await db('tasks').where({ ...mine, live: true })
        .update({ ...progress, updated_at: db.fn.now(), lease_until: db.raw('now() + make_interval(secs => ?)', [leaseSeconds]) }).returning('*');
      progress = undefined;
      if (!row) stop.abort(new LostLease(taskId)); else if (row.cancel_requested) stop.abort(new Cancelled());
    };
    const clock = setInterval(() => void beat().catch(error => log.warn({ err: error, task: taskId }, 'heartbeat failed')), Math.max(200, leaseSeconds * 1000 / 4));
    this.#held.set(taskId, why => stop.abort(why));
    const release = () => { clearInterval(clock); this.#held.delete(taskId); };
    return {
      taskId, signal: stop.signal,
      progress: (done, total) => { progress = { progress_done: done, progress_total: total }; },
      end: async (how, settle) => {
        release();
        const { due, value } = await transaction(db, async trx => {
          const error = how.state === 'done' ? {} : { error: JSON.stringify({ step: '', message: how.message, ...(how.state === 'cancelled' ? { cancelled: true } : {}) }) };
          const [row]: TaskRow[] = await trx('tasks').where({ ...mine, live: true })
            .update({ ...progress, ...error, state: how.state, ended_at: trx.fn.now(), updated_at: trx.fn.now(), lease_until: null, owner: null }).returning('*');
          if (!row) throw new LostLease(taskId);
          return { value: await settle(trx), due: await wakened(trx, row) };
        });
        for (const next of due) void bell.ring(next.queue, next.id, next.fence);
        return value;
      },
      abandon: async () => {
        release();
        const [row]: TaskRow[] = await db('tasks').where({ ...mine, live: true }).update({ lease_until: null, owner: null, run_after: db.fn.now() }).returning('*');
        if (row) await bell.ring(row.queue, taskId, 1);
      },
    };
  }

  /** Ends what is under way: holders abort, and whatever they do not settle themselves is taken over by a worker. */
  close(): void { for (const stop of this.#held.values()) stop(new ShuttingDown()); }
}
