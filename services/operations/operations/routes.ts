import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import type { TaskRow } from '@cumulet/tasks';
import { BadRequest, isUuid, NotFound, parseBool } from '@cumulet/wire';
import type { Feed } from './feed.ts';
import { ListQuery, OperationList, OperationReply } from './schemas.ts';
import { findTask, listTasks } from './store.ts';
import { operationView } from './views.ts';

export function routes(rt: Runtime, feed: Feed): Operation[] {
  /** The project whose operations are asked for; undefined for all, which only admins may see. */
  const scope = (ctx: Context<unknown, { all_projects?: string | undefined; project_id?: string | undefined }>): string | undefined => {
    const all = ctx.query.all_projects === undefined ? false : parseBool(ctx.query.all_projects);
    if (all === undefined) throw new BadRequest(`Invalid value for all_projects: ${ctx.query.all_projects}`);
    if (!all && (ctx.query.project_id === undefined || ctx.query.project_id === ctx.caller.projectId)) return ctx.caller.projectId ?? '';
    ctx.require('operations:list_all_projects');
    return ctx.query.project_id;
  };
  const find = async (ctx: Context<unknown, unknown>): Promise<TaskRow> => {
    const id = ctx.params['operation_id'] ?? '';
    const row = isUuid(id) ? await findTask(rt.db, id) : undefined;
    if (!row || (row.project_id !== ctx.caller.projectId && !ctx.allows('operations:list_all_projects'))) throw new NotFound(`Operation ${id} could not be found.`);
    ctx.permit({ project_id: row.project_id, user_id: row.user_id });
    return row;
  };
  const act = (id: string, summary: string, run: (trx: Parameters<Parameters<typeof transaction>[1]>[0], row: TaskRow) => Promise<void>) => operation({
    id: `operations.${id}`, summary, method: 'POST', path: `/operations/:operation_id/${id}`, policy: `operations:${id}`, permit: 'object', reply: OperationReply, status: 202,
    handler: async ctx => {
      const row = await find(ctx);
      await transaction(rt.db, trx => run(trx, row));
      return { operation: operationView(rt.tasks, await findTask(rt.db, row.id) as TaskRow, true) };
    },
  });
  return [
    operation({
      id: 'operations.list', summary: 'Running and past operations, newest first', method: 'GET', path: '/operations', policy: 'operations:list', query: ListQuery, reply: OperationList,
      handler: async ctx => {
        const limit = Math.min(ctx.query.limit ?? rt.settings.http.maxLimit, rt.settings.http.maxLimit);
        const projectId = scope(ctx);
        const q = ctx.query;
        if (q.parent_id !== undefined && !isUuid(q.parent_id)) throw new BadRequest(`Invalid parent_id: ${q.parent_id}`);
        const marker = q.marker === undefined ? undefined : isUuid(q.marker) ? await findTask(rt.db, q.marker) : undefined;
        if (q.marker !== undefined && (!marker || (projectId !== undefined && marker.project_id !== projectId))) throw new BadRequest(`marker [${q.marker}] not found`);
        const rows = await listTasks(rt.db, { projectId, states: q.state, kind: q.kind, resourceType: q.resource_type, resourceId: q.resource_id, requestId: q.request_id, parentId: q.parent_id }, limit, marker);
        const next = new URLSearchParams(ctx.search);
        next.set('marker', rows.at(-1)?.id ?? '');
        return {
          operations: rows.map(row => operationView(rt.tasks, row)),
          ...(limit > 0 && rows.length === limit ? { operations_links: [{ rel: 'next', href: `${ctx.baseUrl}${ctx.path}?${next}` }] } : {}),
        };
      },
    }),
    operation({
      id: 'operations.events', summary: 'Server-sent events of every change of state, step and progress', method: 'GET', path: '/operations/events', policy: 'operations:list', query: ListQuery,
      handler: ctx => {
        const projectId = scope(ctx);
        const { resource_id: resource } = ctx.query;
        const stream = feed.subscribe(row => (projectId === undefined || row.project_id === projectId) && (resource === undefined || row.resource_id === resource));
        ctx.request.raw.once('close', () => stream.destroy());
        return new Reply(200, stream, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
      },
    }),
    operation({
      id: 'operations.show', summary: 'One operation with its steps', method: 'GET', path: '/operations/:operation_id', policy: 'operations:show', permit: 'object', reply: OperationReply,
      handler: async ctx => ({ operation: operationView(rt.tasks, await find(ctx), true) }),
    }),
    act('cancel', 'Stop an operation and undo what it did', (trx, row) => rt.tasks.cancelByUser(trx, row)),
    act('resume', 'Start a failed operation again', (trx, row) => rt.tasks.resume(trx, row.id)),
  ];
}
