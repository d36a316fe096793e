import type { Trx } from '@cumulet/db';
import type { Tasks } from '@cumulet/tasks';
import { portsUnder } from '../qos/binding.ts';
import { networkApplyPlan, routerApplyPlan, securityApplyPlan } from './tasks.ts';

/** Hosts on which something of a network is plugged: guests, routers. */
export async function hostsOf(trx: Trx, networkId: string): Promise<string[]> {
  const rows: { binding_host: string }[] = await trx('ports').where({ network_id: networkId }).whereNot({ binding_host: '' }).distinct('binding_host');
  return rows.map(r => r.binding_host);
}

/** Asks each host that has the network to make its bridge, DHCP and metadata as the rows now say. */
export async function applyNetwork(tasks: Tasks, trx: Trx, networkId: string): Promise<void> {
  for (const host of await hostsOf(trx, networkId)) await tasks.enqueue(trx, networkApplyPlan, { networkId }, { queue: `host/${host}`, lane: `network/${networkId}@${host}`, resource: { type: 'network', id: networkId } });
}
export async function applyRouter(tasks: Tasks, trx: Trx, routerId: string, host: string): Promise<void> {
  if (host !== '') await tasks.enqueue(trx, routerApplyPlan, { routerId }, { queue: `host/${host}`, lane: `router/${routerId}`, resource: { type: 'router', id: routerId } });
}
/** The routers that lead from floating IPs, whole or by some ports, to a port. */
export async function applyRoutersTo(tasks: Tasks, trx: Trx, portId: string): Promise<void> {
  const { rows } = await trx.raw(`select distinct r.id, r.host from routers r join floating_ips f on f.router_id = r.id where f.port_id = ? or exists (select 1 from port_forwardings w where w.floatingip_id = f.id and w.internal_port_id = ?)`, [portId, portId]);
  for (const router of rows as { id: string; host: string }[]) await applyRouter(tasks, trx, router.id, router.host);
}
/** The routers that have a leg in a subnet, in the subnets of a pool or of a network: they announce them, and know their address scopes. */
export async function applyRoutersOf(tasks: Tasks, trx: Trx, of: 'id' | 'subnetpool_id' | 'network_id', value: string): Promise<void> {
  const { rows } = await trx.raw(`select distinct r.id, r.host from routers r join ports p on p.device_id = r.id::text and p.device_owner like 'network:router_%' join ip_allocations a on a.port_id = p.id join subnets s on s.id = a.subnet_id where s.${of} = ?`, [value]);
  for (const router of rows as { id: string; host: string }[]) await applyRouter(tasks, trx, router.id, router.host);
}
/** The filters of every bound port that is in one of the groups, or that has a rule which names one as its remote group. */
export async function applySecurity(tasks: Tasks, trx: Trx, groupIds: readonly string[], portIds: readonly string[] = []): Promise<void> {
  const { rows } = await trx.raw(`select p.binding_host as host, array_agg(distinct p.id::text) as ports from ports p where p.binding_host <> '' and (p.id = any(?::uuid[]) or exists (
      select 1 from port_security_groups g left join security_group_rules r on r.security_group_id = g.security_group_id
      where g.port_id = p.id and (g.security_group_id = any(?::uuid[]) or r.remote_group_id = any(?::uuid[])))) group by 1`, [[...portIds], [...groupIds], [...groupIds]]);
  for (const { host, ports } of rows as { host: string; ports: string[] }[]) {
    await tasks.enqueue(trx, securityApplyPlan, { portIds: ports }, { queue: `host/${host}`, lane: `security@${host}`, resource: { type: 'security_group', id: groupIds[0] ?? ports[0] ?? host } });
  }
}
/** The limits, which are part of the filters, of every bound port that a policy or a network's policy is in force on. */
export async function applyQos(tasks: Tasks, trx: Trx, of: { policy: string } | { network: string }): Promise<void> {
  const found = 'policy' in of ? portsUnder(trx, of.policy) : trx('ports as p').where({ 'p.network_id': of.network }).whereNull('p.qos_policy_id');
  await applySecurity(tasks, trx, [], (await found.whereNot('p.binding_host', '').select('p.id') as { id: string }[]).map(r => r.id));
}
/** The filters of every bound port that has a rule which names the address group. */
export async function applyAddressGroup(tasks: Tasks, trx: Trx, addressGroupId: string): Promise<void> {
  const rules: { security_group_id: string }[] = await trx('security_group_rules').where({ remote_address_group_id: addressGroupId }).distinct('security_group_id');
  await applySecurity(tasks, trx, rules.map(r => r.security_group_id));
}
/** The host that carries a new router: the least laden worker with the network role, one whose L3 agent is disabled last; '' while there is none. */
export async function routerHost(trx: Trx): Promise<string> {
  const { rows } = await trx.raw(`select w.host from workers w where w.seen_at > now() - interval '60 seconds' and jsonb_exists(w.facts, 'network')
    order by (select d.admin_state_up from network_agent_descriptions d where d.agent_id = md5(w.host || 'L3 agent')::uuid) is not distinct from false, (select count(*) from routers r where r.host = w.host), w.host limit 1`);
  return (rows[0] as { host: string } | undefined)?.host ?? '';
}
