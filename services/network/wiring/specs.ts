import type { Trx } from '@cumulet/db';
import { spellable, type GroupMembers, type NetworkSpec, type PortQos, type PortSecurity, type RouterSpec, type SecurityRule } from '@cumulet/drivers/network';
import { inForce } from '../qos/binding.ts';
import type { RuleRow } from '../qos/rules.ts';

/** What the driver needs, read from the rows in one query each. */
export async function networkSpec(trx: Trx, networkId: string, metadataSocket: string | null): Promise<NetworkSpec | undefined> {
  const { rows } = await trx.raw(`select n.id, n.mtu, n.external,
      coalesce((select jsonb_agg(jsonb_build_object('id', s.id, 'cidr', s.cidr::text, 'gatewayIp', host(s.gateway_ip), 'dnsNameservers', to_jsonb(s.dns_nameservers), 'hostRoutes', s.host_routes,
        'ipv6', case when s.ip_version = 6 then jsonb_build_object('raMode', s.ipv6_ra_mode, 'addressMode', s.ipv6_address_mode) end,
        'dhcpIp', case when s.enable_dhcp then (select host(a.ip) from ip_allocations a join ports d on d.id = a.port_id where a.subnet_id = s.id and d.device_owner = 'network:dhcp' limit 1) end) order by s.created_at) from subnets s where s.network_id = n.id), '[]') as subnets,
      coalesce((select jsonb_agg(jsonb_build_object('id', p.id, 'mac', p.mac_address::text, 'hostname', nullif(p.dns_name, ''), 'dhcpOptions', p.extra_dhcp_opts, 'fixedIps', f.ips)) from ports p
        join lateral (select jsonb_agg(jsonb_build_object('subnetId', a.subnet_id, 'ip', host(a.ip)) order by a.position) as ips from ip_allocations a where a.port_id = p.id) f on f.ips is not null
        where p.network_id = n.id and p.device_owner not like 'network:%'), '[]') as ports
    from networks n where n.id = ?`, [networkId]);
  const row = rows[0] as { id: string; mtu: number; external: boolean; subnets: NetworkSpec['subnets']; ports: { id: string; mac: string; hostname: string | null; fixedIps: { subnetId: string; ip: string }[]; dhcpOptions: { opt_name: string; opt_value: string; ip_version?: number }[] }[] } | undefined;
  if (!row) return undefined;
  return {
    id: row.id, mtu: row.mtu, external: row.external, subnets: row.subnets.map(({ ipv6, ...s }) => ({ ...s, ...(ipv6 ? { ipv6 } : {}), hostRoutes: (s.hostRoutes as unknown as { destination: string; nexthop: string }[]).map(r => ({ destination: r.destination, nexthop: r.nexthop })) })),
    // Neutron takes names and options that a DHCP server's configuration cannot hold. The driver would refuse the whole network for one of
    // them, and on a shared network that is everybody's: such a name or option is left out.
    ports: row.ports.filter(p => spellable.mac(p.mac)).map(p => ({
      ...p, hostname: p.hostname !== null && spellable.hostname(p.hostname) ? p.hostname : null,
      dhcpOptions: p.dhcpOptions.filter(o => spellable.dhcpOption(o.opt_name, o.opt_value)).map(o => ({ name: o.opt_name, value: o.opt_value, ...(o.ip_version === 6 ? { version: 6 as const } : {}) })),
    })),
    metadata: metadataSocket === null || row.external ? null : { socketPath: metadataSocket },
  };
}

export async function routerSpec(trx: Trx, routerId: string, hostAccess: boolean): Promise<RouterSpec | undefined> {
  const { rows } = await trx.raw(`select r.id, r.routes, r.enable_snat, r.admin_state_up, r.gateway_port_id,
      coalesce((select jsonb_agg(jsonb_build_object('portId', p.id, 'mac', p.mac_address::text, 'networkId', p.network_id, 'ip', host(a.ip), 'cidr', s.cidr::text, 'hostAccess', n.shared, 'addressScope', pool.address_scope_id,
        'advertise', case when s.ipv6_ra_mode is not null then jsonb_build_object('mode', s.ipv6_ra_mode, 'mtu', n.mtu, 'dnsNameservers', to_jsonb(s.dns_nameservers)) end) order by p.created_at, p.id, a.position, a.ip)
        from ports p join ip_allocations a on a.port_id = p.id join subnets s on s.id = a.subnet_id left join subnetpools pool on pool.id = s.subnetpool_id join networks n on n.id = p.network_id where p.device_id = r.id::text and p.device_owner = 'network:router_interface'), '[]') as interfaces,
      (select jsonb_build_object('portId', p.id, 'mac', p.mac_address::text, 'networkId', p.network_id, 'fixedIps', (select jsonb_agg(jsonb_build_object('ip', host(a.ip), 'cidr', s.cidr::text, 'gatewayIp', host(s.gateway_ip), 'addressScope', pool.address_scope_id) order by a.position)
        from ip_allocations a join subnets s on s.id = a.subnet_id left join subnetpools pool on pool.id = s.subnetpool_id where a.port_id = p.id)) from ports p where p.id = r.gateway_port_id) as gateway,
      coalesce((select jsonb_agg(jsonb_build_object('floatingIp', host(f.floating_ip), 'fixedIp', host(f.fixed_ip))) from floating_ips f where f.router_id = r.id and f.fixed_ip is not null), '[]') as fips,
      coalesce((select jsonb_agg(jsonb_build_object('floatingIp', host(f.floating_ip), 'fixedIp', host(w.internal_ip), 'protocol', w.protocol, 'outside', jsonb_build_object('min', w.external_min, 'max', w.external_max), 'inside', jsonb_build_object('min', w.internal_min, 'max', w.internal_max)) order by w.created_at, w.id)
        from port_forwardings w join floating_ips f on f.id = w.floatingip_id where f.router_id = r.id), '[]') as forwardings
    from routers r where r.id = ?`, [routerId]);
  const row = rows[0];
  if (!row?.admin_state_up) return undefined;
  return {
    id: row.id, routes: row.routes, floatingIps: row.fips, portForwardings: row.forwardings.map((f: { protocol: string }) => ({ ...f, protocol: protocolNumber(f.protocol) })),
    // A project's own choice of addresses must not draw the host's traffic: the host gets a way only into networks that an administrator shares.
    interfaces: row.interfaces.map(({ advertise, ...i }: RouterSpec['interfaces'][number]) => ({ ...i, ...(advertise ? { advertise } : {}), hostAccess: hostAccess && i.hostAccess })),
    gateway: row.gateway ? { ...row.gateway, fixedIps: row.gateway.fixedIps ?? [], enableSnat: row.enable_snat } : null,
  };
}

const protocols: Readonly<Record<string, number>> = { icmp: 1, igmp: 2, ipip: 4, tcp: 6, egp: 8, udp: 17, dccp: 33, 'ipv6-encap': 41, 'ipv6-route': 43, 'ipv6-frag': 44, rsvp: 46, gre: 47, esp: 50, ah: 51, icmpv6: 58, 'ipv6-icmp': 58, 'ipv6-nonxt': 59, 'ipv6-opts': 60, ospf: 89, pim: 103, vrrp: 112, pgm: 113, sctp: 132, udplite: 136 };
export const protocolNumber = (protocol: string | null): number | null => (protocol === null || protocol === 'any' || protocol === '0' ? null : protocols[protocol] ?? Number(protocol));

/** The filters of ports; with `host`, only of those that are bound there. */
export async function portSecurity(trx: Trx, portIds: readonly string[], host: string | undefined): Promise<PortSecurity[]> {
  const { rows } = await trx.raw(`select p.id, p.network_id, p.mac_address::text as mac, p.port_security_enabled, p.admin_state_up, p.allowed_address_pairs as pairs,
      array(select host(a.ip) from ip_allocations a where a.port_id = p.id order by a.position) as ips,
      coalesce((select jsonb_agg(jsonb_build_object('direction', r.direction, 'ethertype', r.ethertype, 'protocol', r.protocol, 'portMin', r.port_range_min, 'portMax', r.port_range_max, 'cidr', r.remote_ip_prefix::text, 'groupId', coalesce(r.remote_group_id, r.remote_address_group_id)))
        from port_security_groups g join security_group_rules r on r.security_group_id = g.security_group_id where g.port_id = p.id), '[]') as rules,
      coalesce((select jsonb_agg(to_jsonb(q)) from qos_rules q where q.qos_policy_id = ${inForce}), '[]') as qos
    from ports p join networks n on n.id = p.network_id where p.id = any(?::uuid[]) ${host === undefined ? '' : 'and p.binding_host = ?'} order by p.id`, [[...portIds], ...(host === undefined ? [] : [host])]);
  return (rows as { id: string; network_id: string; mac: string; port_security_enabled: boolean; admin_state_up: boolean; pairs: { ip_address: string; mac_address?: string }[]; ips: string[]; rules: { direction: 'ingress' | 'egress'; ethertype: 'IPv4' | 'IPv6'; protocol: string | null; portMin: number | null; portMax: number | null; cidr: string | null; groupId: string | null }[]; qos: RuleRow[] }[]).filter(p => spellable.mac(p.mac)).map(p => ({
    portId: p.id, networkId: p.network_id, mac: p.mac, fixedIps: p.ips, portSecurity: p.port_security_enabled, adminStateUp: p.admin_state_up,
    allowedAddressPairs: p.pairs.map(a => ({ cidr: a.ip_address, mac: a.mac_address ?? p.mac })).filter(a => spellable.net(a.cidr) && spellable.mac(a.mac)),
    // `icmp` of an IPv6 rule is ICMPv6 (neutron).
    rules: p.rules.map((r): SecurityRule => ({ direction: r.direction, ethertype: r.ethertype, protocol: r.ethertype === 'IPv6' && protocolNumber(r.protocol) === 1 ? 58 : protocolNumber(r.protocol), portMin: r.portMin, portMax: r.portMax, remote: r.cidr !== null ? { cidr: r.cidr } : r.groupId !== null ? { groupId: r.groupId } : null })),
    ...(p.qos.length > 0 ? { qos: qosOf(p.qos) } : {}),
  }));
}

/** A burst of nothing is 80 % of what may pass in a second (neutron's DEFAULT_BURST_RATE), a limit of nothing none (as Open vSwitch reads it). */
function qosOf(rules: readonly RuleRow[]): PortQos {
  const limit = (direction: 'egress' | 'ingress') => {
    const rule = rules.find(r => r.type === 'bandwidth_limit' && r.direction === direction);
    return rule?.max_kbps ? { [direction]: { kbps: rule.max_kbps, burstKb: rule.max_burst_kbps || Math.round(rule.max_kbps * 0.8) } } : {};
  };
  const mark = rules.find(r => r.type === 'dscp_marking')?.dscp_mark;
  return { ...limit('egress'), ...limit('ingress'), ...(mark === undefined || mark === null ? {} : { dscp: mark }) };
}

/** Addresses in the groups and address groups that the ports' rules name, and in the groups of the ports themselves (others' rules may name those). */
export async function groupMembers(trx: Trx, ports: readonly PortSecurity[]): Promise<GroupMembers[]> {
  const { rows } = await trx.raw(`with wanted as (
      select distinct r.remote_group_id as id from port_security_groups g join security_group_rules r on r.security_group_id = g.security_group_id where g.port_id = any(?::uuid[]) and r.remote_group_id is not null
      union select distinct r.remote_group_id from security_group_rules r join port_security_groups g on g.security_group_id = r.remote_group_id where g.port_id = any(?::uuid[]))
    select w.id, array(select host(a.ip) from port_security_groups g join ip_allocations a on a.port_id = g.port_id where g.security_group_id = w.id
      union select pair ->> 'ip_address' from port_security_groups g join ports p on p.id = g.port_id cross join jsonb_array_elements(p.allowed_address_pairs) pair where g.security_group_id = w.id) as members from wanted w
    union all select a.id, a.addresses::text[] from address_groups a where exists (select 1 from port_security_groups g join security_group_rules r on r.security_group_id = g.security_group_id where g.port_id = any(?::uuid[]) and r.remote_address_group_id = a.id)`, Array.from({ length: 3 }, () => ports.map(p => p.portId)));
  return (rows as GroupMembers[]).map(g => ({ id: g.id, members: g.members.filter(spellable.net) }));
}
