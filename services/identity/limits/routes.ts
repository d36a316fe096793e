import { operation, type Context, type Operation } from '@cumulet/http';
import { about } from '../asking.ts';
import { absentLimit } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list } from '../listing.ts';
import { find as findProject } from '../projects/store.ts';
import { Filters } from '../shapes.ts';
import { LimitsCreate, LimitUpdate, RegisteredCreate, RegisteredUpdate } from './schemas.ts';
import * as service from './service.ts';
import { find, findRegistered, limits, type LimitRow, type RegisteredRow } from './store.ts';
import { limitView, registeredView } from './view.ts';

const models = {
  flat: 'Limit enforcement and validation does not take project hierarchy into consideration.',
  strict_two_level: 'This model requires project hierarchy never exceeds a depth of two, and no project may have more than its domain.',
} as const;

export function limitRoutes(identity: Identity): Operation[] {
  const { db, settings } = identity;
  const permitted = async (ctx: Context): Promise<LimitRow> => {
    const id = ctx.params['limit_id'] as string;
    const limit = await find(db, id);
    const place = limit && await findProject(db, limit.project_id ?? limit.domain_id as string);
    ctx.permit(about(ctx, limit ? { limit: { ...limit, ...(limit.project_id === null ? { domain: place } : { project: place }) } } : {}));
    if (!limit) throw absentLimit('limit', id);
    return limit;
  };
  return [
    operation({
      id: 'registered_limits.list', summary: 'List registered limits', method: 'GET', path: '/registered_limits', policy: 'identity:list_registered_limits', query: Filters,
      async handler(ctx) {
        const page = await list<RegisteredRow>(ctx, db('registered_limits').select('registered_limits.*'), { filters: { service_id: 'registered_limits.service_id', region_id: 'registered_limits.region_id', resource_name: 'registered_limits.resource_name' }, order: 'registered_limits.id' }, settings.http.maxLimit);
        return { registered_limits: page.rows.map(r => registeredView(ctx, r)), links: page.links };
      },
    }),
    operation({ id: 'registered_limits.create', summary: 'Create registered limits', method: 'POST', path: '/registered_limits', policy: 'identity:create_registered_limits', status: 201, body: RegisteredCreate, handler: async ctx => ({ registered_limits: (await service.register(identity, ctx.body.registered_limits)).map(r => registeredView(ctx, r)) }) }),
    operation({
      id: 'registered_limits.show', summary: 'Show a registered limit', method: 'GET', path: '/registered_limits/:registered_limit_id', policy: 'identity:get_registered_limit',
      async handler(ctx) {
        const id = ctx.params['registered_limit_id'] as string;
        const row = await findRegistered(db, id);
        if (!row) throw absentLimit('registered limit', id);
        return { registered_limit: registeredView(ctx, row) };
      },
    }),
    operation({ id: 'registered_limits.update', summary: 'Update a registered limit', method: 'PATCH', path: '/registered_limits/:registered_limit_id', policy: 'identity:update_registered_limit', body: RegisteredUpdate, handler: async ctx => ({ registered_limit: registeredView(ctx, await service.updateRegistered(identity, ctx.params['registered_limit_id'] as string, ctx.body.registered_limit as Partial<RegisteredRow>)) }) }),
    operation({ id: 'registered_limits.delete', summary: 'Delete a registered limit', method: 'DELETE', path: '/registered_limits/:registered_limit_id', policy: 'identity:delete_registered_limit', async handler(ctx) { await service.removeRegistered(identity, ctx.params['registered_limit_id'] as string); } }),
    operation({ id: 'limits.model', summary: 'Show how limits are enforced', method: 'GET', path: '/limits/model', policy: 'identity:get_limit_model', handler: () => ({ model: { name: settings.identity.limitModel, description: models[settings.identity.limitModel] } }) }),
    operation({
      id: 'limits.list', summary: 'List limits', method: 'GET', path: '/limits', policy: 'identity:list_limits', query: Filters,
      async handler(ctx) {
        const query = limits(db);
        const { caller } = ctx;
        // Who runs the cloud sees all; others what is theirs.
        if (!caller.systemScope && !caller.roles.some(r => r === 'admin' || r === 'service')) {
          if (caller.domainId) query.where(q => q.where('limits.domain_id', caller.domainId as string).orWhereIn('limits.project_id', db('projects').where({ domain_id: caller.domainId }).select('id')));
          else query.where('limits.project_id', caller.projectId ?? '');
        }
        const page = await list<LimitRow>(ctx, query, { filters: { service_id: 'g.service_id', region_id: 'g.region_id', resource_name: 'g.resource_name', project_id: 'limits.project_id', domain_id: 'limits.domain_id' }, order: 'limits.id' }, settings.http.maxLimit);
        return { limits: page.rows.map(l => limitView(ctx, l)), links: page.links };
      },
    }),
    operation({ id: 'limits.create', summary: 'Create limits', method: 'POST', path: '/limits', policy: 'identity:create_limits', status: 201, body: LimitsCreate, handler: async ctx => ({ limits: (await service.create(identity, ctx.body.limits)).map(l => limitView(ctx, l)) }) }),
    operation({ id: 'limits.show', summary: 'Show a limit', method: 'GET', path: '/limits/:limit_id', policy: 'identity:get_limit', permit: 'object', handler: async ctx => ({ limit: limitView(ctx, await permitted(ctx)) }) }),
    operation({ id: 'limits.update', summary: 'Update a limit', method: 'PATCH', path: '/limits/:limit_id', policy: 'identity:update_limit', body: LimitUpdate, handler: async ctx => ({ limit: limitView(ctx, await service.update(identity, ctx.params['limit_id'] as string, ctx.body.limit)) }) }),
    operation({
      id: 'limits.delete', summary: 'Delete a limit', method: 'DELETE', path: '/limits/:limit_id', policy: 'identity:delete_limit',
      async handler(ctx) { const id = ctx.params['limit_id'] as string; if (await db('limits').where({ id }).delete() === 0) throw absentLimit('limit', id); },
    }),
  ];
}
