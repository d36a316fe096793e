import { transaction, type Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Startable } from '@cumulet/tasks';
import { Conflict, newId, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Compute } from '../compute.ts';
import { byOf } from '../who.ts';
import { hostQueue, laneOf, type ServerRow } from './row.ts';
import { allowed } from './states.ts';
import { findFull, findServer, hostIsUp, type FullServer } from './store.ts';

type Asked = Pick<Context, 'caller' | 'allows' | 'permit' | 'params' | 'requestId'>;
export const isAdmin = (ctx: Pick<Context, 'allows'>): boolean => ctx.allows('context_is_admin', {});
const seen = <R extends ServerRow>(ctx: Asked, row: R, id: string): R => {
  if (row.project_id !== ctx.caller.projectId && !isAdmin(ctx)) throw new NotFound(`Instance ${id} could not be found.`);
  ctx.permit({ project_id: row.project_id, user_id: row.user_id });
  return row;
};
/** The server that the path names: another project's is not there; one that may be seen but not used is 403. */
export async function serverFor(ctx: Asked, trx: Trx, o: { lock?: boolean } = {}): Promise<ServerRow> {
  const id = ctx.params['server_id'] ?? '';
  return seen(ctx, await findServer(trx, id, o), id);
}
export async function fullServerFor(ctx: Asked, trx: Trx): Promise<FullServer> {
  const id = ctx.params['server_id'] ?? '';
  return seen(ctx, await findFull(trx, id), id);
}

/** Administrators pass every lock, as in Nova. */
export function refuseLocked(ctx: Pick<Context, 'allows'>, row: ServerRow, message = `Instance ${row.id} is locked`): void {
  if (row.locked_by !== null && !isAdmin(ctx)) throw new Conflict(message);
}
/** 409 in upstream's words while a server is on no host. */
export function refuseNowhere(row: ServerRow): asserts row is ServerRow & { host: string } {
  if (row.host === null) throw new Conflict(`Instance ${row.id} is not ready`);
}
/** 409 while the worker of the server's host is away. Upstream names no host here: that is not its user's to know. */
export async function refuseDown(trx: Trx, row: ServerRow): Promise<void> {
  refuseNowhere(row);
  if (!await hostIsUp(trx, row.host)) throw new Conflict('Service is unavailable at this time.');
}
/** 409 in upstream's words unless the server is in a state that takes the action. `as` is the action's name there. */
export function refuseState(row: ServerRow, action: string, as = action.replace(/ hard$/, ''), o: { launched?: boolean } = {}): void {
  const rule = allowed[action];
  if (!rule) throw new Error(`no rule says when ${action} is allowed`);
  if (rule.placed) refuseNowhere(row);
  const no = (attr: string, state: string) => new Conflict(`Cannot '${as}' instance ${row.id} while it is in ${attr} ${state}`);
  if (rule.vm !== 'any' && !rule.vm.includes(row.vm_state)) throw no('vm_state', row.vm_state);
  if (row.task_state !== null && rule.during !== 'any' && !rule.during?.includes(row.task_state)) throw no('task_state', row.task_state);
  if ((o.launched ?? true) && row.launched_at === null && rule.vm !== 'any') throw new Conflict(`Instance ${row.id} is in an invalid state for '${as}'`);
}

/** The line of the server's history that users see. */
export const record = (trx: Trx, ctx: Pick<Context, 'caller' | 'requestId'>, serverId: string, action: string, taskId: string | null): PromiseLike<unknown> =>
  trx('server_actions').insert({ server_id: serverId, action, request_id: ctx.requestId, user_id: ctx.caller.userId, project_id: ctx.caller.projectId ?? null, task_id: taskId });

export interface Act<I, R> {
  /** Key of the table of states, e.g. `reboot hard`; its name in messages unless `as` says otherwise. */
  readonly action: string;
  readonly as?: string;
  /** In the server's history. */
  readonly history: string;
  readonly plan: Startable<I>;
  readonly taskState: string;
  readonly lockedMessage?: (row: ServerRow) => string;
  /** Checks and writes in the same transaction, before the task: its input, further columns, and what the reply needs. */
  prepare(trx: Knex.Transaction, row: ServerRow, taskId: string): Promise<{ input: I; set?: Readonly<Record<string, unknown>>; reply?: R; queue?: string }> | { input: I; set?: Readonly<Record<string, unknown>>; reply?: R; queue?: string };
}

/** An action: find, permit, lock, state, then one transaction that makes the server transitional and enqueues what ends that. */
export async function act<I, R = undefined>(c: Compute, ctx: Asked, o: Act<I, R>): Promise<R> {
  return transaction(c.rt.db, async trx => {
    const row = await serverFor(ctx, trx, { lock: true });
    refuseLocked(ctx, row, o.lockedMessage?.(row));
    refuseState(row, o.action, o.as);
    return start(c, ctx, trx, row, o);
  });
}
/** The second half of `act`, for those that looked at the server themselves. */
export async function start<I, R>(c: Compute, ctx: Pick<Context, 'caller' | 'requestId'>, trx: Knex.Transaction, row: ServerRow, o: Pick<Act<I, R>, 'history' | 'plan' | 'taskState' | 'prepare'>): Promise<R> {
  const id = newId();
  const made = await o.prepare(trx, row, id);
  if (row.task_state !== null) await c.rt.tasks.supersede(trx, laneOf(row.id));
  await c.rt.tasks.enqueue(trx, o.plan, made.input, { id, queue: made.queue ?? (row.host === null ? 'any' : hostQueue(row.host)), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx) });
  await trx('servers').where({ id: row.id }).update({ task_state: o.taskState, task_id: id, updated_at: trx.fn.now(), ...made.set });
  await record(trx, ctx, row.id, o.history, id);
  return made.reply as R;
}
