import { operation, type Context, type Operation } from '@cumulet/http';
import type { StepRecord, TaskRow } from '@cumulet/tasks';
import { BadRequest, isUuidLike, micros, NotFound, one, parseTime, shape, without, before, type Change } from '@cumulet/wire';
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { isAdmin } from '../servers/act.ts';
import type { ServerRow } from '../servers/row.ts';
import { normal } from '../servers/store.ts';
import { nextLink, pageSize } from '../paging.ts';

const Query = shape('InstanceActionQuery', z.strictObject({ limit: one(z.string().regex(/^[0-9]*$/)).optional(), marker: one(z.string()).optional(), 'changes-since': one(z.string()).optional(), 'changes-before': one(z.string()).optional() }));
const Action = shape('InstanceAction', z.any());
const Listed = shape('InstanceActionList', z.any(), { instanceActions: Action });
const Shown = shape('ShownInstanceAction', z.any(), { instanceAction: shape('InstanceActionDetail', z.any(), { events: shape('InstanceActionEvent', z.any()) }) });
export const changes: Change[] = [
  { at: '2.51', trait: 'events for all', why: 'everyone sees the events, only administrators their tracebacks' },
  { at: '2.21', trait: 'history of deleted servers', why: 'a deleted server\'s history is shown' },
  { at: '2.58', shape: 'InstanceAction', why: 'when an action was last heard of', down: without('updated_at') },
  { at: '2.58', shape: 'InstanceActionDetail', why: 'when an action was last heard of', down: without('updated_at') },
  { at: '2.58', trait: 'history pages', why: 'the history is listed in pages' },
  { at: '2.58', shape: 'InstanceActionQuery', why: 'the history is listed in pages', was: () => z.looseObject({}) },
  { at: '2.62', shape: 'InstanceActionEvent', why: 'where an event was', down: without('host', 'hostId') },
  { at: '2.66', shape: 'InstanceActionQuery', why: 'changes-before', was: newer => (before([], 'changes-before')(newer)) },
  { at: '2.84', shape: 'InstanceActionEvent', why: 'details of a failure', down: without('details') },
];

interface ActionRow { num: number; server_id: string; action: string; request_id: string; user_id: string | null; project_id: string | null; task_id: string | null; message: string | null; started_at: Date; updated_at: Date; earlier_steps: readonly StepRecord[]; task: Pick<TaskRow, 'state' | 'updated_at' | 'steps' | 'plan'> | null }
const failed = (r: ActionRow) => r.message ?? (r.task && (r.task.state === 'failed' || r.task.state === 'cancelled') ? 'Error' : null);
const view = (r: ActionRow) => ({
  action: r.action, instance_uuid: r.server_id, request_id: r.request_id, user_id: r.user_id, project_id: r.project_id, start_time: micros(r.started_at), message: failed(r), updated_at: micros(r.task ? new Date(r.task.updated_at) : r.updated_at),
});

/** A step of a task as an event of nova's: `compute_spawn`. Hosts are for administrators, others read the same digest as hostId. */
const eventView = (r: ActionRow, step: StepRecord, admin: boolean) => ({
  event: `compute_${step.phase === 'undo' ? 'undo_' : ''}${step.step}`, start_time: micros(new Date(step.started_at)), finish_time: step.ended_at === null ? null : micros(new Date(step.ended_at)), result: step.ended_at === null ? null : step.error === null ? 'Success' : 'Error',
  ...(admin ? { traceback: step.error, host: step.host } : {}), hostId: createHash('sha224').update(`${r.project_id}${step.host}`).digest('hex'), details: step.error,
});

/** What nova calls an action as a whole, where clients wait for that: tempest for an interface that is let go. It has ended when its task has, addresses and all. */
const wholes: Readonly<Record<string, string>> = {
  create: '_do_build_and_run_instance', delete: 'terminate_instance', softDelete: 'soft_delete_instance', restore: 'restore_instance',
  start: 'start_instance', stop: 'stop_instance', reboot: 'reboot_instance', pause: 'pause_instance', unpause: 'unpause_instance', suspend: 'suspend_instance', resume: 'resume_instance',
  rebuild: 'rebuild_instance', evacuate: 'rebuild_instance', rescue: 'rescue_instance', unrescue: 'unrescue_instance', shelve: 'shelve_instance', shelveOffload: 'shelve_offload_instance', unshelve: 'unshelve_instance',
  resize: 'resize_instance', migrate: 'resize_instance', confirmResize: 'confirm_resize', revertResize: 'revert_resize', 'live-migration': 'live_migration', createImage: 'snapshot_instance', createBackup: 'backup_instance', changePassword: 'set_admin_password',
  attach_interface: 'attach_interface', detach_interface: 'detach_interface', attach_volume: 'attach_volume', detach_volume: 'detach_volume', swap_volume: 'swap_volume',
};
function whole(r: ActionRow): StepRecord[] {
  const step = wholes[r.action];
  const last = r.task?.steps.at(-1);
  if (step === undefined || !r.task || !last) return [];
  const over = r.task.state === 'done' || r.task.state === 'failed' || r.task.state === 'cancelled';
  const error = !over || r.task.state === 'done' ? null : r.task.steps.findLast(s => s.error !== null)?.error ?? 'Error';
  return [{ ...last, step, phase: 'run', started_at: r.started_at.toISOString(), ended_at: over ? new Date(r.task.updated_at).toISOString() : null, error }];
}

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const find = async (ctx: Context<never, never>): Promise<ServerRow> => {
    const id = ctx.params['server_id'] ?? '';
    const row: ServerRow | undefined = isUuidLike(id) ? await db('servers').where({ id: normal(id), ...(ctx.dialect.has('history of deleted servers') ? {} : { deleted: false }) }).first() : undefined;
    if (!row || (row.project_id !== ctx.caller.projectId && !isAdmin(ctx))) throw new NotFound(`Instance ${id} could not be found.`);
    ctx.permit({ project_id: row.project_id, user_id: row.user_id });
    return row;
  };
  const rows = () => db('server_actions as a').leftJoin('tasks as t', 't.id', 'a.task_id').select('a.*', db.raw(`case when t.id is null then null else jsonb_build_object('state', t.state, 'updated_at', t.updated_at, 'steps', t.steps, 'plan', t.plan) end as task`));
  const time = (text: string | undefined, name: string) => { if (text === undefined) return undefined; const at = parseTime(text); if (!at) throw new BadRequest(`Invalid input for query parameters ${name}. Value: ${text}. '${text}' is not a 'date-time'`); return at; };
  return [
    operation({
      id: 'instance_actions.list', summary: 'What was done to a server', method: 'GET', path: '/servers/:server_id/os-instance-actions', policy: 'os_compute_api:os-instance-actions:list', permit: 'object', query: Query, reply: Listed,
      handler: async ctx => {
        const server = await find(ctx as never);
        const pages = ctx.dialect.has('history pages');
        const query = rows().where('a.server_id', server.id).orderBy('a.num', 'desc');
        const limit = pages ? pageSize(c.rt, ctx.query.limit) : c.rt.settings.http.maxLimit;
        query.limit(limit);
        const since = pages ? time(ctx.query['changes-since'], 'changes-since') : undefined;
        const until = pages ? time(ctx.query['changes-before'], 'changes-before') : undefined;
        if (since && until && since > until) throw new BadRequest('The value of changes-since must be less than or equal to changes-before.');
        if (since) query.whereRaw('coalesce(t.updated_at, a.updated_at) >= ?', [since]);
        if (until) query.whereRaw('coalesce(t.updated_at, a.updated_at) <= ?', [until]);
        if (pages && ctx.query.marker !== undefined) {
          const marker = await db('server_actions').where({ server_id: server.id, request_id: ctx.query.marker }).first('num') as { num: number } | undefined;
          if (!marker) throw new BadRequest(`marker [${ctx.query.marker}] not found`);
          query.where('a.num', '<', marker.num);
        }
        const found: ActionRow[] = await query;
        return { instanceActions: found.map(view), ...(pages && ctx.query.limit !== undefined && found.length === limit && found.length > 0 ? { links: nextLink(ctx, found.at(-1)?.request_id as string) } : {}) };
      },
    }),
    operation({
      id: 'instance_actions.show', summary: 'One action', method: 'GET', path: '/servers/:server_id/os-instance-actions/:request_id', policy: 'os_compute_api:os-instance-actions:show', permit: 'object', reply: Shown,
      handler: async ctx => {
        const server = await find(ctx as never);
        const row: ActionRow | undefined = await rows().where({ 'a.server_id': server.id, 'a.request_id': ctx.params['request_id'] ?? '' }).orderBy('a.num', 'desc').first();
        if (!row) throw new NotFound(`Action for request_id ${ctx.params['request_id']} on instance ${server.id} not found`);
        const admin = ctx.allows('os_compute_api:os-instance-actions:events', { project_id: server.project_id });
        const withEvents = admin || ctx.dialect.has('events for all');
        return { instanceAction: { ...view(row), ...(withEvents ? { events: [...row.earlier_steps, ...row.task?.steps ?? [], ...whole(row)].map(s => eventView(row, s, admin)) } : {}) } };
      },
    }),
  ];
};
