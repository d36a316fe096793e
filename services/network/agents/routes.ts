import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { AnyQuery, fieldsOf, find, list, pick } from '../rest/collection.ts';
import { Agents } from './agents.ts';

export const agentRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'agents.list', summary: 'Agents: what workers do, host by host', method: 'GET', path: '/agents', policy: { anyone: 'as upstream a list is filtered by get_agent, not refused' }, query: AnyQuery,
    handler: ctx => (ctx.allows('get_agent') ? list(rt.db, ctx, Agents, rt.settings.http.maxLimit) : { agents: [] }),
  }),
  operation({
    id: 'agents.show', summary: 'Show an agent', method: 'GET', path: '/agents/:id', policy: 'get_agent', query: AnyQuery,
    handler: async ctx => ({ agent: pick(Agents.view(await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '')), fieldsOf(ctx.query)) }),
  }),
];
