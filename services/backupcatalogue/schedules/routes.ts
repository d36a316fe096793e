import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { backupsOf, type ScheduleRow } from '@cumulet/volume';
import { BadRequest, micros, NotFound, orNull, parseBool } from '@cumulet/wire';
import { ScheduleCreate, ScheduleList, ScheduleQuery, ScheduleReply, ScheduleUpdate } from './schemas.ts';

const at = orNull(micros);
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['schedule_id'] ?? '';
const view = (s: ScheduleRow) => ({
  id: s.id, project_id: s.project_id, volume_id: s.volume_id, name: s.name, enabled: s.enabled, every_seconds: s.every_seconds, keep: s.keep, increments: s.increments, force: s.force, container: s.container, metadata: s.metadata,
  next_at: micros(s.next_at), last_at: at(s.last_at), last_backup_id: s.last_backup_id, last_error: s.last_error, created_at: micros(s.created_at), updated_at: at(s.updated_at),
});

/** Backups that are made by themselves, and how many of them stay. */
export function routes(rt: Runtime): Operation[] {
  const backups = backupsOf(rt);
  const find = async (ctx: Context): Promise<ScheduleRow> => {
    const row = await backups.schedule(id(ctx));
    if (row.project_id !== ctx.caller.projectId && !ctx.allows('backupcatalogue:all_projects')) throw new NotFound(`Schedule ${id(ctx)} could not be found.`);
    ctx.permit({ project_id: row.project_id, user_id: row.user_id });
    return row;
  };
  return [
    operation({
      id: 'schedules.list', summary: 'List schedules, newest first', method: 'GET', path: '/schedules', policy: 'backupcatalogue:schedules:list', query: ScheduleQuery, reply: ScheduleList,
      handler: async ctx => {
        const all = ctx.query.all_projects === undefined ? false : parseBool(ctx.query.all_projects);
        if (all === undefined) throw new BadRequest(`Invalid value for all_projects: ${ctx.query.all_projects}`);
        if (all) ctx.require('backupcatalogue:all_projects');
        return { schedules: (await backups.schedules(all ? undefined : ctx.caller.projectId ?? '', rt.settings.http.maxLimit)).map(view) };
      },
    }),
    operation({
      id: 'schedules.create', summary: 'Create a schedule', method: 'POST', path: '/schedules', policy: 'backupcatalogue:schedules:create', body: ScheduleCreate, reply: ScheduleReply, status: 201,
      handler: async ctx => {
        const { volume_id: volumeId, ...wish } = ctx.body.schedule;
        const projectId = ctx.caller.projectId ?? '';
        return { schedule: view(await backups.addSchedule(volumeId, ctx.allows('backupcatalogue:all_projects') ? undefined : projectId, wish, { projectId, userId: ctx.caller.userId, requestId: ctx.requestId })) };
      },
    }),
    operation({ id: 'schedules.show', summary: 'Show a schedule', method: 'GET', path: '/schedules/:schedule_id', policy: 'backupcatalogue:schedules:show', permit: 'object', reply: ScheduleReply, handler: async ctx => ({ schedule: view(await find(ctx as never)) }) }),
    operation({
      id: 'schedules.update', summary: 'Change a schedule', method: 'PATCH', path: '/schedules/:schedule_id', policy: 'backupcatalogue:schedules:update', permit: 'object', body: ScheduleUpdate, reply: ScheduleReply,
      handler: async ctx => ({ schedule: view(await backups.changeSchedule((await find(ctx as never)).id, ctx.body.schedule)) }),
    }),
    operation({ id: 'schedules.delete', summary: 'Delete a schedule; its backups stay', method: 'DELETE', path: '/schedules/:schedule_id', policy: 'backupcatalogue:schedules:delete', permit: 'object', handler: async ctx => { await backups.removeSchedule((await find(ctx as never)).id); return new Reply(204); } }),
  ];
}
