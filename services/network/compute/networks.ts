import type { Db, Trx } from '@cumulet/db';
import type { Call } from '@cumulet/drivers';
import type { Tasks } from '@cumulet/tasks';
import { BadRequest, Conflict, isUuid, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { autoTopology } from '../topology/topology.ts';
import { openTo, sharedWith } from '../rbac/access.ts';
import { deletePort, insertPort, setGroups } from '../ports/service.ts';
import { defaultGroup } from '../security_groups/groups.ts';
import { macOfLinkLocal, parseIp } from '../subnets/addresses.ts';
import { applyNetwork, applyRoutersTo, applySecurity } from '../wiring/enqueue.ts';
import { plugPorts, unplugPorts } from '../wiring/host.ts';
import type { NetworkDeps } from '../wiring/deps.ts';

/** What compute may do with networks, in its own transaction: no token, no HTTP. Who may do it is decided there; what is visible, here. */
export interface Who { readonly projectId: string | undefined; readonly userId: string; readonly admin: boolean }
export interface SubnetFacts { readonly id: string; readonly cidr: string; readonly gateway_ip: string | null; readonly enable_dhcp: boolean; readonly dns_nameservers: readonly string[]; readonly host_routes: readonly { destination: string; nexthop: string }[]; readonly ip_version: 4 | 6; readonly ipv6_address_mode: string | null }
export interface PortFacts {
  readonly id: string; readonly network_id: string; readonly network_name: string; readonly mac_address: string; readonly status: string; readonly project_id: string; readonly device_id: string;
  readonly fixed_ips: readonly { subnet_id: string; ip_address: string }[];
  readonly floating_ips: readonly { fixed_ip_address: string; floating_ip_address: string }[];
  readonly security_groups: readonly { id: string; name: string }[];
  readonly network: { readonly mtu: number; readonly external: boolean; readonly shared: boolean; readonly project_id: string };
  readonly subnets: readonly SubnetFacts[];
}
export interface NetworkFacts { readonly id: string; readonly name: string; readonly project_id: string; readonly shared: boolean; readonly external: boolean; readonly subnets: number; readonly port_security_enabled: boolean }
export interface PortForServer { readonly who: Who; readonly serverId: string; readonly networkId: string; readonly zone: string; readonly fixedIp?: string; readonly securityGroupIds?: readonly string[]; readonly hostname?: string; readonly id?: string }

const factsSql = `select p.id::text, p.network_id::text, n.name as network_name, p.mac_address::text, p.status, p.project_id, p.device_id,
    jsonb_build_object('mtu', n.mtu, 'external', n.external, 'shared', n.shared, 'project_id', n.project_id) as network,
    coalesce((select jsonb_agg(jsonb_build_object('subnet_id', a.subnet_id, 'ip_address', host(a.ip)) order by a.position, a.ip) from ip_allocations a where a.port_id = p.id), '[]') as fixed_ips,
    coalesce((select jsonb_agg(jsonb_build_object('fixed_ip_address', host(f.fixed_ip), 'floating_ip_address', host(f.floating_ip))) from floating_ips f where f.port_id = p.id), '[]') as floating_ips,
    coalesce((select jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name) order by g.name) from port_security_groups pg join security_groups g on g.id = pg.security_group_id where pg.port_id = p.id), '[]') as security_groups,
    coalesce((select jsonb_agg(jsonb_build_object('id', s.id, 'cidr', s.cidr::text, 'gateway_ip', host(s.gateway_ip), 'enable_dhcp', s.enable_dhcp, 'dns_nameservers', to_jsonb(s.dns_nameservers), 'host_routes', s.host_routes, 'ip_version', s.ip_version, 'ipv6_address_mode', s.ipv6_address_mode))
      from subnets s where s.id in (select a.subnet_id from ip_allocations a where a.port_id = p.id)), '[]') as subnets
  from ports p join networks n on n.id = p.network_id`;

/** `shared`: with the project; `open`: it sees the network without owning it. */
const networkColumns = (trx: Trx, project = '') => trx('networks as n').select('n.id', 'n.name', 'n.project_id', trx.raw(`${sharedWith('n.id')} as shared`, [project]), trx.raw(`${openTo('n.id')} as open`, [project]), 'n.external', 'n.port_security_enabled', trx.raw('(select count(*)::int from subnets s where s.network_id = n.id) as subnets'));

/** `host`: only workers that plug have one. */
export function networksForCompute(o: { db: Db; tasks: Tasks; host?: NetworkDeps }) {
  const { tasks } = o;
  const here = (): NetworkDeps => { if (!o.host) throw new Error('ports are plugged by workers only'); return o.host; };
  const facts = async (trx: Trx, ids: readonly string[]): Promise<PortFacts[]> => (await trx.raw(`${factsSql} where p.id = any(?::uuid[])`, [ids.filter(isUuid)])).rows;
  const rowOf = async (trx: Knex.Transaction, portId: string) => await trx('ports').where({ id: portId }).forUpdate().first() as { id: string; network_id: string; project_id: string; device_id: string; device_owner: string; made_by_compute: boolean } | undefined;
  /** Those who filter by the groups of this port, and the routers that carry its floating IPs. */
  const tellOthers = async (trx: Knex.Transaction, portId: string) => {
    const groups: { security_group_id: string }[] = await trx('port_security_groups').where({ port_id: portId }).select('security_group_id');
    await applySecurity(tasks, trx, groups.map(g => g.security_group_id));
    await applyRoutersTo(tasks, trx, portId);
  };

  return {
    /** What a project may put servers on without naming it: its own networks and shared ones. */
    available: async (trx: Trx, who: Who): Promise<NetworkFacts[]> => networkColumns(trx, who.projectId).where(q => q.where('n.project_id', who.projectId ?? '').orWhereRaw(sharedWith('n.id'), [who.projectId ?? ''])).where('n.external', false).where('n.admin_state_up', true).orderBy('n.created_at') as never,
    /** All that a project sees: its own networks, shared and external ones; administrators see every network. */
    visible: async (trx: Trx, who: Who): Promise<NetworkFacts[]> => networkColumns(trx, who.projectId).where(q => { if (!who.admin) q.where('n.project_id', who.projectId ?? '').orWhereRaw(openTo('n.id'), [who.projectId ?? '']); }).orderBy('n.created_at') as never,
    async network(trx: Trx, who: Who, id: string): Promise<NetworkFacts> {
      const row = isUuid(id) ? await networkColumns(trx, who.projectId).where('n.id', id).first() as (NetworkFacts & { open: boolean }) | undefined : undefined;
      if (!row || !(who.admin || row.project_id === who.projectId || row.open)) throw new BadRequest(`Network ${id} could not be found.`);
      return row;
    },
    async autoAllocate(trx: Knex.Transaction, who: Who): Promise<string> {
      if (who.projectId === undefined) throw new BadRequest('A project is needed to allocate a network.');
      return (await autoTopology(tasks, trx, who.projectId)).networkId;
    },
    async port(trx: Trx, who: Who, id: string): Promise<PortFacts> {
      const [port] = await facts(trx, [id]);
      if (!port || !(who.admin || port.project_id === who.projectId || port.network.project_id === who.projectId)) throw new NotFound(`Port ${id} could not be found.`);
      return port;
    },
    async groups(trx: Trx, who: Who, names: readonly string[]): Promise<string[]> {
      const project = who.projectId ?? '';
      if (names.includes('default')) await defaultGroup(trx, project);
      const rows: { id: string; name: string }[] = await trx('security_groups').where({ project_id: project }).where(q => q.whereIn('name', [...names]).orWhereRaw('id::text = any(?::text[])', [[...names]])).select('id', 'name');
      return names.map(n => {
        const byId = rows.find(r => r.id === n);
        const byName = rows.filter(r => r.name === n);
        if (!byId && byName.length > 1) throw new Conflict(`Multiple security groups found matching '${n}'. Use an ID to be more specific.`);
        const found = byId ?? byName[0];
        if (!found) throw new BadRequest(`Security group ${n} not found for project ${project}.`);
        return found.id;
      });
    },
    async createPort(trx: Knex.Transaction, b: PortForServer): Promise<PortFacts> {
      const network: { id: string; project_id: string; port_security_enabled: boolean } | undefined = await trx('networks').where({ id: b.networkId }).first();
      if (!network) throw new BadRequest(`Network ${b.networkId} could not be found.`);
      const id = await insertPort(trx, b.who.projectId ?? '', network, {
        network_id: network.id, device_id: b.serverId, device_owner: `compute:${b.zone}`, fixed_ips: b.fixedIp === undefined ? undefined : [{ ip_address: b.fixedIp }], security_groups: network.port_security_enabled ? b.securityGroupIds ? [...b.securityGroupIds] : undefined : undefined,
        dns_name: b.hostname, madeByCompute: true,
      });
      return (await facts(trx, [id]))[0] as PortFacts;
    },
    async take(trx: Knex.Transaction, portId: string, serverId: string, b: { zone: string; hostname?: string }): Promise<void> {
      const port = await rowOf(trx, portId);
      if (!port) throw new NotFound(`Port ${portId} could not be found.`);
      if (port.device_id !== '' && port.device_id !== serverId) throw new Conflict(`Port ${portId} is still in use.`);
      await trx('ports').where({ id: portId }).update({ device_id: serverId, device_owner: `compute:${b.zone}`, ...(b.hostname === undefined ? {} : { dns_name: b.hostname }), updated_at: trx.fn.now() });
    },
    async bind(trx: Knex.Transaction, portId: string, host: string | undefined): Promise<void> {
      const [before] = await trx('ports').where({ id: portId }).select('network_id', 'binding_host');
      if (!before || before.binding_host === (host ?? '')) return;
      await trx('ports').where({ id: portId }).update({ binding_host: host ?? '', ...(host === undefined ? { status: 'DOWN' } : {}), updated_at: trx.fn.now() });
      if (host === undefined) await applyNetwork(tasks, trx, before.network_id);
      else await tellOthers(trx, portId);
    },
    async release(trx: Knex.Transaction, portId: string): Promise<void> {
      await trx('ports').where({ id: portId }).update({ device_id: '', device_owner: '', binding_host: '', status: 'DOWN', updated_at: trx.fn.now() });
      await tellOthers(trx, portId);
    },
    async deletePort(trx: Knex.Transaction, portId: string): Promise<void> {
      const port = await rowOf(trx, portId);
      if (!port) return;
      await applyNetwork(tasks, trx, port.network_id);
      await tellOthers(trx, portId);
      await deletePort(trx, port);
    },
    async setGroups(trx: Knex.Transaction, portId: string, groupIds: readonly string[]): Promise<void> {
      const port = await rowOf(trx, portId);
      if (!port) throw new NotFound(`Port ${portId} could not be found.`);
      const before: { security_group_id: string }[] = await trx('port_security_groups').where({ port_id: portId }).select('security_group_id');
      await setGroups(trx, portId, groupIds, port.project_id);
      await applySecurity(tasks, trx, [...before.map(b => b.security_group_id), ...groupIds], [portId]);
    },
    ports: async (trx: Trx, ids: readonly string[]): Promise<ReadonlyMap<string, PortFacts>> => new Map((await facts(trx, ids)).map(p => [p.id, p])),
    async plug(call: Call, portId: string): Promise<{ bridge: string; tapName: string; mtu: number }> {
      const place = (await plugPorts(here(), call, [portId])).get(portId);
      if (!place) throw new NotFound(`Port ${portId} could not be found.`);
      return place;
    },
    unplug: (call: Call, portId: string): Promise<void> => unplugPorts(here(), call, [portId]),
    /** Who asks for metadata: by an address of its port, or by the link-local one that it made of its MAC (IPv6). */
    async serverAt(trx: Trx, networkId: string, ip: string): Promise<string | undefined> {
      const address = parseIp(ip);
      if (!isUuid(networkId) || address === undefined) return undefined;
      const mac = macOfLinkLocal(address);
      const { rows } = mac === undefined
        ? await trx.raw(`select p.device_id from ip_allocations a join ports p on p.id = a.port_id where a.network_id = ? and a.ip = ?::inet and p.device_owner like 'compute:%' limit 1`, [networkId, ip])
        : await trx.raw(`select device_id from ports where network_id = ? and mac_address = ?::macaddr and device_owner like 'compute:%'`, [networkId, mac]);
      return rows[0]?.device_id;
    },
  };
}
export type NetworksForCompute = ReturnType<typeof networksForCompute>;
