import { operation, Reply, type Operation } from '@cumulet/http';
import type { Diagnostics } from '@cumulet/drivers/hypervisor';
import type { Trx } from '@cumulet/db';
import type { GroupFacts, RuleFacts } from '@cumulet/network';
import { Conflict, shape, type Change } from '@cumulet/wire';
import { z } from 'zod';
import { askHost } from '../actions/console.ts';
import type { Compute } from '../compute.ts';
import { refuseNowhere, serverFor } from '../servers/act.ts';
import { portsOf } from '../servers/store.ts';

const View = shape('Diagnostics', z.any());
export const changes: Change[] = [
  { at: '2.48', shape: 'Diagnostics', why: 'diagnostics have one form for every hypervisor', down: (d: ReturnType<typeof view>) => older(d) },
];
/** `driver` is one of upstream's few names; nova's own fake says libvirt too. The uptime is counted from the launch, as there: hypervisors do not know it. */
const view = (d: Diagnostics, launched: Date | null, now: number) => ({
  state: d.state, driver: 'libvirt', hypervisor: d.hypervisor, hypervisor_os: 'linux', uptime: d.uptimeSeconds ?? (launched === null ? null : Math.max(0, Math.floor((now - launched.getTime()) / 1000))), config_drive: d.configDrive, num_cpus: d.cpus.length, num_nics: d.nics.length, num_disks: d.disks.length,
  cpu_details: d.cpus.map(x => ({ id: x.id, time: x.timeNanoseconds, utilisation: x.utilisation })),
  nic_details: d.nics.map(n => ({ mac_address: n.mac, rx_octets: n.rxBytes, rx_packets: n.rxPackets, rx_errors: n.rxErrors, rx_drop: n.rxDrop, rx_rate: null, tx_octets: n.txBytes, tx_packets: n.txPackets, tx_errors: n.txErrors, tx_drop: n.txDrop, tx_rate: null })),
  disk_details: d.disks.map(x => ({ read_bytes: x.readBytes, read_requests: x.readRequests, write_bytes: x.writeBytes, write_requests: x.writeRequests, errors_count: x.errors })),
  memory_details: { maximum: d.memory.maximumMiB, used: d.memory.usedMiB },
});
/** The libvirt driver's own words, flat, as before 2.48. */
function older(d: ReturnType<typeof view>): Record<string, number> {
  const flat: Record<string, number> = { memory: d.memory_details.maximum * 1024, 'memory-actual': d.memory_details.maximum * 1024, 'memory-rss': d.memory_details.used * 1024 };
  for (const cpu of d.cpu_details) flat[`cpu${cpu.id}_time`] = cpu.time;
  d.disk_details.forEach((x, i) => { const n = `vd${String.fromCharCode(97 + i)}`; Object.assign(flat, { [`${n}_read_req`]: x.read_requests, [`${n}_read`]: x.read_bytes, [`${n}_write_req`]: x.write_requests, [`${n}_write`]: x.write_bytes, [`${n}_errors`]: x.errors_count }); });
  d.nic_details.forEach((n, i) => Object.assign(flat, { [`vnet${i}_rx`]: n.rx_octets, [`vnet${i}_rx_errors`]: n.rx_errors, [`vnet${i}_rx_drop`]: n.rx_drop, [`vnet${i}_rx_packets`]: n.rx_packets, [`vnet${i}_tx`]: n.tx_octets, [`vnet${i}_tx_errors`]: n.tx_errors, [`vnet${i}_tx_drop`]: n.tx_drop, [`vnet${i}_tx_packets`]: n.tx_packets }));
  return flat;
}

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  return [
    operation({
      id: 'servers.diagnostics', summary: 'Counters of a running guest', method: 'GET', path: '/servers/:server_id/diagnostics', policy: 'os_compute_api:os-server-diagnostics', permit: 'object', reply: View,
      handler: async ctx => {
        const row = await serverFor(ctx as never, db);
        refuseNowhere(row);
        if (row.power_state !== 'running') throw new Conflict(`Cannot 'get_diagnostics' instance ${row.id} while it is in power state ${row.power_state === 'nostate' ? 'pending' : row.power_state}`);
        return view(await askHost<Diagnostics>(c, ctx, row.host, row.id, { serverId: row.id, what: 'diagnostics' }), row.launched_at, c.rt.clock());
      },
    }),
    operation({
      id: 'servers.topology', summary: 'NUMA topology', method: 'GET', path: '/servers/:server_id/topology', since: '2.78', policy: 'compute:server:topology:index', permit: 'object',
      handler: async ctx => { await serverFor(ctx as never, db); return { nodes: [], pagesize_kb: null }; },
    }),
    operation({ id: 'server_password.show', summary: 'The password that a guest reported, encrypted', method: 'GET', path: '/servers/:server_id/os-server-password', policy: 'os_compute_api:os-server-password:show', permit: 'object', handler: async ctx => ({ password: (await serverFor(ctx as never, db)).password ?? '' }) }),
    operation({ id: 'server_password.clear', summary: 'Forget the reported password', method: 'DELETE', path: '/servers/:server_id/os-server-password', policy: 'os_compute_api:os-server-password:clear', permit: 'object', handler: async ctx => { const { id } = await serverFor(ctx as never, db); await db('servers').where({ id }).update({ password: null }); return new Reply(204); } }),
    operation({
      id: 'server_security_groups.list', summary: 'Security groups of a server', method: 'GET', path: '/servers/:server_id/os-security-groups', policy: 'os_compute_api:os-security-groups:list', permit: 'object',
      handler: async ctx => {
        const row = await serverFor(ctx as never, db);
        const ports = await c.n.networks.ports(db, (await portsOf(db, row.id)).map(p => p.port_id));
        const groups = await c.n.groups.groups(db, { ids: [...ports.values()].flatMap(p => p.security_groups.map(g => g.id)) });
        return { security_groups: await groupViews(c, db, groups) };
      },
    }),
  ];
};
/** nova-network had no rule without ports: all of them are 1 to 65535 or, where a protocol has none, -1. */
function portsOfRule({ protocol, port_range_min: from_port, port_range_max: to_port }: RuleFacts): { from_port: number | null; to_port: number | null } {
  if (protocol === null || from_port !== null || to_port !== null) return { from_port, to_port };
  return ['tcp', 'udp'].includes(protocol.toLowerCase()) ? { from_port: 1, to_port: 65_535 } : { from_port: -1, to_port: -1 };
}
/** A rule as nova-network had it: only what comes in. */
export const ruleView = (r: RuleFacts) => ({
  id: r.id, parent_group_id: r.security_group_id, ip_protocol: r.protocol === null ? null : r.protocol.toLowerCase(), ...portsOfRule(r),
  group: r.remote_group_id === null ? {} : { name: r.remote_name ?? '', tenant_id: r.remote_project ?? '' }, ip_range: r.remote_ip_prefix === null ? {} : { cidr: r.remote_ip_prefix },
});
/** Groups with their rules, from one further query. */
export async function groupViews(c: Compute, trx: Trx, groups: readonly GroupFacts[]) {
  const rules = await c.n.groups.rules(trx, groups.map(g => g.id));
  return groups.map(g => ({ id: g.id, description: g.description, name: g.name, tenant_id: g.project_id, rules: rules.filter(r => r.security_group_id === g.id).map(ruleView) }));
}
