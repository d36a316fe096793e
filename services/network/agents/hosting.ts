import type { Trx } from '@cumulet/db';
import type { Tasks } from '@cumulet/tasks';
import { Conflict } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { applyRouter } from '../wiring/enqueue.ts';
import type { AgentRow } from './agents.ts';

/** A router and its legs come to the agent's host; one that is there already stays. */
export async function hostRouter(tasks: Tasks, trx: Trx, routerId: string, agent: AgentRow): Promise<void> {
  if (agent.topic !== 'l3_agent' || !agent.admin_state_up) throw new Conflict(`Agent ${agent.id} is not a L3 Agent or has been disabled`, { kind: 'InvalidL3Agent' });
  const host = await hostOf(trx, routerId);
  if (host === agent.host) return;
  if (host !== undefined && host !== '') throw new Conflict(`The router ${routerId} has been already hosted by the L3 Agent ${await agentOn(trx, host)}.`, { kind: 'RouterHostedByL3Agent' });
  await place(trx, routerId, agent.host);
  await applyRouter(tasks, trx, routerId, agent.host);
}

/** It leaves the agent's host, and carries nothing until another takes it. One that is not there stays where it is (as upstream). */
export async function unhostRouter(tasks: Tasks, trx: Trx, routerId: string, agent: AgentRow): Promise<void> {
  if (agent.topic !== 'l3_agent' || await hostOf(trx, routerId) !== agent.host) return;
  await place(trx, routerId, '');
  await applyRouter(tasks, trx, routerId, agent.host);
}

const hostOf = async (trx: Trx, routerId: string): Promise<string | undefined> => (await trx('routers').where({ id: routerId }).forUpdate().first('host') as { host: string } | undefined)?.host;
const agentOn = async (trx: Trx, host: string): Promise<string> => (await trx.raw(`select md5(? || 'L3 agent')::uuid::text as id`, [host])).rows[0].id;
async function place(trx: Trx, routerId: string, host: string): Promise<void> {
  await trx('routers').where({ id: routerId }).update({ host, ...touched(trx) });
  await trx('ports').where({ device_id: routerId }).whereLike('device_owner', 'network:router%').update({ binding_host: host, ...(host === '' ? { status: 'DOWN' } : {}), ...touched(trx) });
}
