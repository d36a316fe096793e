import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { bool, id, text, type Collection } from '../rest/collection.ts';
import { flag, uuid } from '../rest/shapes.ts';

/** What neutron has agents for, a worker does on its host: it is shown as the agents that clients look for. */
export interface AgentRow { id: string; agent_type: string; binary: string; topic: string; host: string; started_at: Date; seen_at: Date; alive: boolean; networks: number; routers: number; description: string | null; admin_state_up: boolean }

/** Seconds without a sign of life after which an agent counts as down (neutron: agent_down_time). */
const downSeconds = 75;
const kinds = `(values ('Linux bridge agent', 'neutron-linuxbridge-agent', 'N/A'), ('DHCP agent', 'neutron-dhcp-agent', 'dhcp_agent'), ('L3 agent', 'neutron-l3-agent', 'l3_agent'), ('Metadata agent', 'neutron-metadata-agent', 'N/A'))`;

export const Agents: Collection<AgentRow> = {
  name: 'agent', plural: 'agents', fault: 'Agent',
  select: trx => trx.from(trx.raw(`(select md5(w.host || k.agent_type)::uuid as id, k.*, w.*, w.seen_at > now() - interval '${downSeconds} seconds' as alive,
      (select count(distinct p.network_id)::int from ports p where p.binding_host = w.host) as networks, (select count(*)::int from routers r where r.host = w.host) as routers
    from (select host, min(started_at) as started_at, max(seen_at) as seen_at from workers where 'host/' || host = any(queues) group by host) w cross join ${kinds} k (agent_type, "binary", topic)) as t`)).leftJoin('network_agent_descriptions as d', 'd.agent_id', 't.id').select('t.*', 'd.description', trx.raw('coalesce(d.admin_state_up, true) as admin_state_up')),
  columns: { id: id('t.id'), agent_type: text('t.agent_type'), binary: text('t."binary"'), topic: text('t.topic'), host: text('t.host'), alive: bool('t.alive'), admin_state_up: bool('coalesce(d.admin_state_up, true)'), availability_zone: text(`'nova'`), description: text('d.description') },
  visible: query => void query.whereRaw('false'),
  target: () => ({}),
  view: row => ({
    id: row.id, agent_type: row.agent_type, binary: row.binary, topic: row.topic, host: row.host, admin_state_up: row.admin_state_up, alive: row.alive, description: row.description,
    availability_zone: row.topic === 'N/A' ? null : 'nova', created_at: seconds(row.started_at).replace('T', ' ').replace('Z', ''), started_at: seconds(row.started_at).replace('T', ' ').replace('Z', ''),
    heartbeat_timestamp: seconds(row.seen_at).replace('T', ' ').replace('Z', ''), resources_synced: null, resource_versions: {},
    configurations: row.topic === 'dhcp_agent' ? { networks: row.networks } : row.topic === 'l3_agent' ? { routers: row.routers, agent_mode: 'legacy' } : {},
  }),
};

export const UpdateAgent = shape('AgentUpdate', z.strictObject({ agent: z.strictObject({ description: z.string().max(255).nullable().optional(), admin_state_up: flag.optional() }) }));
export const RouterOfAgent = shape('AgentRouter', z.strictObject({ router_id: uuid }));
export const NetworkOfAgent = shape('AgentNetwork', z.strictObject({ network_id: uuid }));
