import { passesFilter } from '@cumulet/fetch';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { TaskRow } from '@cumulet/tasks';
import { BadRequest, bare, isUuidLike, lastOf, MethodNotAllowed, micros, newId, NotFound, python, seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { links, pageSize } from '../images/list.ts';
import type { ImageDeps } from '../opened.ts';
import { permit, seen } from '../permission.ts';
import { listTasks, statusOf, taskById, tasksOfImage, taskSortKeys, typeOf, type TaskFilter } from './store.ts';
import { taskImportPlan } from './tasks.ts';

const Query = shape('tasks', z.record(z.string(), z.union([z.string(), z.array(z.string())])));

export const routes = (d: ImageDeps): Operation[] => {
  const { taskHours, pageSize: page } = d.rt.settings.image;
  const expires = (row: TaskRow) => (row.ended_at ? new Date(row.ended_at.getTime() + taskHours * 3_600_000) : undefined);
  const stub = (row: TaskRow) => {
    const ends = expires(row);
    return {
      id: row.id, type: typeOf(row), status: statusOf(row), owner: row.project_id, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), self: `/v2/tasks/${row.id}`, schema: '/v2/schemas/task',
      ...(ends ? { expires_at: seconds(ends) } : {}),
    };
  };
  const input = (row: TaskRow) => (typeOf(row) === 'import' ? row.input['task'] : row.input['shown']) ?? null;
  const result = (row: TaskRow) => (row.state === 'done' ? { image_id: row.resource_id } : null);
  const message = (row: TaskRow) => (row.error ? row.error.message : row.state === 'done' && typeOf(row) === 'api_image_import' ? `Copied ${Math.floor(row.progress_done / 1_048_576)} MiB` : '');
  // The image of a legacy task is known before it is there; users see it once it is.
  const about = (row: TaskRow) => ({
    ...(typeOf(row) === 'api_image_import' ? { image_id: row.resource_id } : {}), ...(row.request_id ? { request_id: row.request_id } : {}), ...(row.user_id ? { user_id: row.user_id } : {}),
  });
  const whole = (row: TaskRow) => ({ ...stub(row), input: input(row), message: message(row), result: result(row), ...about(row) });
  const access = (ctx: Context, rule: string) => { ctx.permit(); ctx.require(rule); };

  return [
    operation({
      id: 'tasks.create', summary: 'Create a task (deprecated upstream)', method: 'POST', path: '/tasks', policy: 'tasks_api_access', status: 201,
      handler: async ctx => {
        access(ctx, 'add_task');
        const { type, input: given } = readBody(ctx.body);
        const from = given['import_from'];
        if (from !== undefined && (typeof from !== 'string' || !passesFilter(from, d.rt.settings.image.fetch))) throw new BadRequest(`URI for legacy import task does not pass filtering: ${bare(from)}`);
        if (type !== 'import') throw new BadRequest(`Provided object does not match schema 'task': tasks of type ${type} are made by an import.`);
        const imageId = newId();
        const owner = ctx.caller.projectId ?? null;
        const id = await d.rt.tasks.enqueue(d.rt.db, taskImportPlan, { imageId, owner, publicize: ctx.allows('publicize_image', { project_id: owner }), task: given }, {
          queue: 'image', lane: `image-task/${imageId}`, resource: { type: 'image', id: imageId }, by: { projectId: owner ?? undefined, userId: ctx.caller.userId, requestId: ctx.requestId },
        });
        const row = await taskById(d.rt.db, taskHours, id) as TaskRow;
        return new Reply(201, whole(row), { location: `/v2/tasks/${id}` });
      },
    }),
    operation({
      id: 'tasks.list', summary: 'List tasks (deprecated upstream)', method: 'GET', path: '/tasks', policy: 'tasks_api_access', query: Query,
      handler: async ctx => {
        access(ctx, 'get_tasks');
        const { filter, key, dir, marker } = readQuery(ctx.query);
        const limit = pageSize(ctx.query['limit'], page, d.rt.settings.http.maxLimit);
        const rows = await listTasks(d.rt.db, taskHours, { filter, key, dir, limit, ...(marker === undefined ? {} : { marker }) });
        if (!rows) throw new BadRequest(`No task found with ID ${marker}`);
        return { tasks: rows.map(stub), ...links('/v2/tasks', ctx.search, rows.length === limit ? rows.at(-1)?.id : undefined), schema: '/v2/schemas/tasks' };
      },
    }),
    operation({
      id: 'tasks.show', summary: 'Show a task (deprecated upstream)', method: 'GET', path: '/tasks/:task_id', policy: 'tasks_api_access',
      handler: async ctx => {
        access(ctx, 'get_task');
        const id = ctx.params['task_id'] as string;
        const row = await taskById(d.rt.db, taskHours, id);
        if (!row) throw new NotFound(`No task found with ID ${id}`);
        return whole(row);
      },
    }),
    operation({
      id: 'tasks.delete', summary: 'Refused: tasks are forgotten by themselves', method: 'DELETE', path: '/tasks/:task_id', policy: 'tasks_api_access',
      handler: () => { throw new MethodNotAllowed('This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based on their expires_at property.', { headers: { allow: 'GET' } }); },
    }),
    operation({
      id: 'images.tasks', summary: 'The tasks of an image', method: 'GET', path: '/images/:image_id/tasks', policy: 'get_image', permit: 'object',
      handler: async ctx => {
        const image = await seen(d.rt.db, ctx, ctx.params['image_id'] as string);
        permit(ctx, image);
        const rows = await tasksOfImage(d.rt.db, taskHours, image.id);
        return { tasks: rows.map(row => {
          const ends = expires(row);
          return {
            id: row.id, type: typeOf(row), status: statusOf(row), owner: row.project_id, expires_at: ends ? micros(ends) : null, created_at: micros(row.created_at), updated_at: micros(row.updated_at), deleted_at: null, deleted: false,
            image_id: image.id, request_id: row.request_id, user_id: row.user_id, input: input(row), result: result(row), message: message(row),
          };
        }) };
      },
    }),
  ];
};

function readBody(body: unknown): { type: string; input: Record<string, unknown> } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new BadRequest('Body expected in request.');
  for (const name of ['type', 'input']) if (!(name in body)) throw new BadRequest(`Task '${name}' is required`);
  const { type, input } = body as Record<string, unknown>;
  if (type !== 'import' && type !== 'api_image_import') throw new BadRequest(`Provided object does not match schema 'task': ${python(type)} is not one of ['import', 'api_image_import']`);
  if (typeof input !== 'object' || Array.isArray(input)) throw new BadRequest(`Provided object does not match schema 'task': ${python(input)} is not of type 'null', 'object'`);
  return { type, input: (input ?? {}) as Record<string, unknown> };
}

function readQuery(query: Readonly<Record<string, string | string[]>>): { filter: TaskFilter; key: string; dir: 'asc' | 'desc'; marker: string | undefined } {
  const text = (name: string) => (query[name] === undefined ? undefined : String(lastOf(query[name])));
  const dir = text('sort_dir') ?? 'desc';
  if (dir !== 'asc' && dir !== 'desc') throw new BadRequest(`Invalid sort direction: ${dir}`);
  const key = text('sort_key') ?? 'created_at';
  if (!(taskSortKeys as readonly string[]).includes(key)) throw new BadRequest(`Invalid sort key: ${key}. It must be one of the following: ${taskSortKeys.join(', ')}.`);
  const status = text('status');
  if (status !== undefined && status !== '' && !['pending', 'processing', 'success', 'failure'].includes(status)) throw new BadRequest(`Invalid status value: ${status}`);
  const type = text('type');
  if (type !== undefined && type !== '' && type !== 'import' && type !== 'api_image_import') throw new BadRequest(`Invalid type value: ${type}`);
  const marker = text('marker');
  if (marker !== undefined && !isUuidLike(marker)) throw new BadRequest('Invalid marker format');
  const owner = text('owner');
  return { filter: { ...(status ? { status: status as never } : {}), ...(type ? { type: type as never } : {}), ...(owner === undefined ? {} : { owner }) }, key, dir, marker };
}
