import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict } from '@cumulet/wire';
import { Networks } from '../networks/networks.ts';
import { AnyQuery, fieldsOf, find, list, pick, writtenView, type Collection } from '../rest/collection.ts';
import { Routers } from '../routers/routers.ts';
import { Agents, UpdateAgent } from './agents.ts';

/** The same collection, of what lies on one host; for agents of `topic` only. */
const onHost = <R extends { id: string }>(of: Collection<R>, sql: string, bindings: readonly string[]): Collection<R> => ({ ...of, select: (trx, project) => of.select(trx, project).whereRaw(sql, bindings) });
/** A host that carries a network has a port of it. */
const carries = 'exists (select 1 from ports p where p.network_id = t.id and p.binding_host = ?)';

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
  // What agents carry is read here, and decided by where routers and servers are: there is no schedule to change.
  operation({
    id: 'agents.routers', summary: 'Routers of an L3 agent', method: 'GET', path: '/agents/:id/l3-routers', policy: 'get_l3-routers', query: AnyQuery,
    handler: async ctx => {
      const agent = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Routers, `t.host = ? and ? = 'l3_agent'`, [agent.host, agent.topic]), rt.settings.http.maxLimit);
    },
  }),
  operation({
    id: 'agents.networks', summary: 'Networks of a DHCP agent', method: 'GET', path: '/agents/:id/dhcp-networks', policy: 'get_dhcp-networks', query: AnyQuery,
    handler: async ctx => {
      const agent = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Networks, `${carries} and ? = 'dhcp_agent'`, [agent.host, agent.topic]), rt.settings.http.maxLimit);
    },
  }),
  operation({
    id: 'routers.agents', summary: 'L3 agents of a router', method: 'GET', path: '/routers/:id/l3-agents', policy: 'get_l3-agents', query: AnyQuery,
    handler: async ctx => {
      const router = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Agents, `t.topic = 'l3_agent' and t.host = ?`, [router.host]), rt.settings.http.maxLimit);
    },
  }),
  operation({
    id: 'networks.agents', summary: 'DHCP agents of a network', method: 'GET', path: '/networks/:id/dhcp-agents', policy: 'get_dhcp-agents', query: AnyQuery,
    handler: async ctx => {
      const network = await find(rt.db, ctx as Context, Networks, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Agents, `t.topic = 'dhcp_agent' and exists (select 1 from ports p where p.network_id = ? and p.binding_host = t.host)`, [network.id]), rt.settings.http.maxLimit);
    },
  }),
];
