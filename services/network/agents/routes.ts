import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, isUuid } from '@cumulet/wire';
import { Networks } from '../networks/networks.ts';
import { AnyQuery, fieldsOf, find, list, pick, writtenView, type Collection } from '../rest/collection.ts';
import { Routers } from '../routers/routers.ts';
import { Agents, NetworkOfAgent, RouterOfAgent, UpdateAgent } from './agents.ts';
import { hostRouter, unhostRouter } from './hosting.ts';

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
    id: 'agents.update', summary: 'Describe an agent, or take it out of use: new routers go to other hosts', method: 'PUT', path: '/agents/:id', policy: 'update_agent', body: UpdateAgent,
    handler: async ctx => {
      const { id, topic } = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      const { description, admin_state_up } = ctx.body.agent;
      if (admin_state_up === false && topic === 'dhcp_agent') throw new BadRequest('Invalid input for operation: every host serves DHCP to the guests that it has; its DHCP agent cannot be disabled.', { kind: 'InvalidInput' });
      const noted = { ...(description === undefined ? {} : { description }), ...(admin_state_up === undefined ? {} : { admin_state_up }) };
      if (Object.keys(noted).length > 0) await rt.db('network_agent_descriptions').insert({ agent_id: id, ...noted }).onConflict('agent_id').merge();
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
  // Networks are where their guests are: that is read here. Routers are on one host, from which an administrator may take them to another. What a query says is not asked, as upstream: Horizon sends `search_opts`.
  operation({
    id: 'agents.routers', summary: 'Routers of an L3 agent', method: 'GET', path: '/agents/:id/l3-routers', policy: 'get_l3-routers',
    handler: async ctx => {
      const agent = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Routers, `t.host = ? and ? = 'l3_agent'`, [agent.host, agent.topic]), rt.settings.http.maxLimit);
    },
  }),
  operation({
    id: 'agents.add_router', summary: 'Give an L3 agent a router that no agent has', method: 'POST', path: '/agents/:id/l3-routers', policy: 'create_l3-router', body: RouterOfAgent, status: 201,
    handler: async ctx => {
      const router = await find(rt.db, ctx as Context, Routers, ctx.body.router_id);
      const agent = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      await transaction(rt.db, trx => hostRouter(rt.tasks, trx, router.id, agent));
      // JSON's null, as upstream: the sdk reads the body.
      return new Reply(201, 'null', { 'content-type': 'application/json' });
    },
  }),
  operation({
    id: 'agents.remove_router', summary: 'Take a router from an L3 agent: no agent has it then', method: 'DELETE', path: '/agents/:id/l3-routers/:router_id', policy: 'delete_l3-router', status: 204,
    handler: async ctx => {
      const agent = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      const router = await find(rt.db, ctx as Context, Routers, ctx.params['router_id'] ?? '');
      await transaction(rt.db, trx => unhostRouter(rt.tasks, trx, router.id, agent));
      return new Reply(204);
    },
  }),
  operation({
    id: 'agents.add_network', summary: 'Give a DHCP agent a network: refused, for every host serves those that it has', method: 'POST', path: '/agents/:id/dhcp-networks', policy: 'create_dhcp-network', body: NetworkOfAgent, status: 201,
    handler: async ctx => {
      const { id: network } = await find(rt.db, ctx as Context, Networks, ctx.body.network_id);
      const { id, topic, host } = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      if (topic !== 'dhcp_agent') throw new Conflict(`Agent ${id} is not a valid DHCP Agent or has been disabled`, { kind: 'InvalidDHCPAgent' });
      if (await rt.db('ports').where({ network_id: network, binding_host: host }).first('id')) throw new Conflict(`The network ${network} has been already hosted by the DHCP Agent ${id}.`, { kind: 'NetworkHostedByDHCPAgent' });
      throw new Conflict(`Unable to complete operation on network ${network}. A host serves DHCP to the networks of its own guests and routers, and to no others.`, { kind: 'InvalidDHCPAgent' });
    },
  }),
  operation({
    id: 'agents.remove_network', summary: 'Take a network from a DHCP agent: refused while the host has it', method: 'DELETE', path: '/agents/:id/dhcp-networks/:network_id', policy: 'delete_dhcp-network', status: 204,
    handler: async ctx => {
      const { id, topic, host } = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      const network = ctx.params['network_id'] ?? '';
      if (topic !== 'dhcp_agent' || !isUuid(network) || !await rt.db('ports').where({ network_id: network, binding_host: host }).first('id')) throw new Conflict(`The network ${network} is not hosted by the DHCP agent ${id}.`, { kind: 'NetworkNotHostedByDhcpAgent' });
      throw new Conflict(`Unable to complete operation on network ${network}. Its guests on the agent's host need it there.`, { kind: 'NetworkInUse' });
    },
  }),
  operation({
    id: 'agents.networks', summary: 'Networks of a DHCP agent', method: 'GET', path: '/agents/:id/dhcp-networks', policy: 'get_dhcp-networks',
    handler: async ctx => {
      const agent = await find(rt.db, ctx as Context, Agents, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Networks, `${carries} and ? = 'dhcp_agent'`, [agent.host, agent.topic]), rt.settings.http.maxLimit);
    },
  }),
  operation({
    id: 'routers.agents', summary: 'L3 agents of a router', method: 'GET', path: '/routers/:id/l3-agents', policy: 'get_l3-agents',
    handler: async ctx => {
      const router = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Agents, `t.topic = 'l3_agent' and t.host = ?`, [router.host]), rt.settings.http.maxLimit);
    },
  }),
  operation({
    id: 'networks.agents', summary: 'DHCP agents of a network', method: 'GET', path: '/networks/:id/dhcp-agents', policy: 'get_dhcp-agents',
    handler: async ctx => {
      const network = await find(rt.db, ctx as Context, Networks, ctx.params['id'] ?? '');
      return list(rt.db, ctx, onHost(Agents, `t.topic = 'dhcp_agent' and exists (select 1 from ports p where p.network_id = ? and p.binding_host = t.host)`, [network.id]), rt.settings.http.maxLimit);
    },
  }),
];
