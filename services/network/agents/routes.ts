import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict } from '@cumulet/wire';
import { AnyQuery, fieldsOf, find, list, pick, writtenView } from '../rest/collection.ts';
import { Agents, UpdateAgent } from './agents.ts';

export const agentRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'agents.list', summary: 'Agents: what workers do, host by host', method: 'GET', path: '/agents', policy: { anyone: 'as upstream a list is filtered by get_agent, not refused' }, query: AnyQuery,
    handler: ctx => (ctx.allows('get_agent') ? list(rt.db, ctx, Agents, rt.settings.http.maxLimit) : { agents: [] }),
  }),
  operation({
    id: 'agents.show', summary: 'Show an agent', method: 'GET', path: '/agents/:id', policy: 'get_agent', query: AnyQuery,
    handler: async ctx => ({ agent: pick(Agents.view(await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '')), fieldsOf(ctx.query)) }),
  }),
  operation({
    id: 'agents.update', summary: 'Describe an agent', method: 'PUT', path: '/agents/:id', policy: 'update_agent', body: UpdateAgent,
    handler: async ctx => {
      const { id } = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      const { description, admin_state_up } = ctx.body.agent;
      if (admin_state_up === false) throw new BadRequest('Invalid input for operation: a host is taken out of use by its compute service; its agents cannot be.', { kind: 'InvalidInput' });
      if (typeof description === 'string') await rt.db('network_agent_descriptions').insert({ agent_id: id, description }).onConflict('agent_id').merge();
      if (description === null) await rt.db('network_agent_descriptions').where({ agent_id: id }).delete();
      return { agent: await writtenView(rt.db, ctx, Agents, id) };
    },
  }),
  operation({
    id: 'agents.delete', summary: 'Forget an agent: refused, for each is a part of a worker', method: 'DELETE', path: '/agents/:id', policy: 'delete_agent',
    handler: async ctx => {
      const { id } = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      throw new Conflict(`Agent ${id} is a part of its host's worker and goes with it.`, { kind: 'AgentInUse' });
    },
  }),
];
