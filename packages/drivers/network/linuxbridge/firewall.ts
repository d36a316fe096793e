import ipaddr from 'ipaddr.js';
import type { GroupMembers, PortSecurity, SecurityRule } from '../contract.ts';
import type { Names } from './names.ts';
import { limitRules, markRules } from './qos.ts';

/*
 * The filter in front of each guest port: a table of family `bridge`, written as scripts that take effect as a whole.
 *
 * Three places look at a frame. `guards` sees what a tap sends, before the kernel's connection tracking does: a forged frame
 * leaves no trace there. A port's bandwidth limits stand first in `guards` and `incoming`: all that the guest sends or would be sent counts. `outgoing` holds the egress rules and `incoming` the ingress rules. Both come after connection
 * tracking, which bridges get through br_netfilter: rules in family `bridge` cannot ask it themselves on every kernel, so
 * the inet table (tracking.ts) leaves its answer in one bit of the packet's mark.
 *
 * Only replies pass by that bit. Packets in the direction in which a connection was opened meet the rules each time, so
 * that removing a rule or a group member ends running connections at once, without a search for their entries.
 */

/** Set in a packet's mark: it answers a connection that the rules let through, or is an ICMP error about one. */
export const REPLY_MARK = 0x2000_0000;

const WITH_PORTS = new Set([6, 17, 33, 132, 136]);

export function firewallBase(n: Names): string[] {
  const t = `bridge ${n.table}`;
  return [
    `add table ${t}`,
    ...['port_guard', 'port_out', 'port_in'].map(m => `add map ${t} ${m} { type ifname : verdict; }`),
    // -200: before br_netfilter (0) hands the packet to connection tracking. 100: after it.
    `add chain ${t} guards { type filter hook prerouting priority -200; policy accept; }`,
    `add chain ${t} outgoing { type filter hook prerouting priority 100; policy accept; }`,
    `add chain ${t} incoming { type filter hook postrouting priority 100; policy accept; }`,
    ...['guards iifname vmap @port_guard', 'outgoing iifname vmap @port_out', 'incoming oifname vmap @port_in'].flatMap(rule => {
      const chain = rule.split(' ', 1)[0] as string;
      const tap = `${chain} ${chain === 'incoming' ? 'oifname' : 'iifname'} "${n.tapWildcard}" drop`;
      return [`flush chain ${t} ${chain}`, `add rule ${t} ${rule}`, `add rule ${t} ${tap}`];
    }),
  ];
}

/** Replaces the filters of these ports. The sets of the groups that their rules name are made where missing. */
export function portLines(n: Names, ports: readonly PortSecurity[]): string[] {
  const t = `bridge ${n.table}`;
  const named = new Set(ports.flatMap(p => p.rules.flatMap(r => r.remote && 'groupId' in r.remote ? [r.remote.groupId] : [])));
  return [
    ...[...named].flatMap(id => groupSets(n, id)),
    ...ports.flatMap(p => {
      const tap = n.tap(p.portId);
      const part = (kind: 'guard' | 'out' | 'in', rules: string[]) => [
        `add chain ${t} ${kind}_${p.portId}`,
        `flush chain ${t} ${kind}_${p.portId}`,
        ...rules.map(r => `add rule ${t} ${kind}_${p.portId} ${r}`),
        `add element ${t} port_${kind} { "${tap}" : jump ${kind}_${p.portId} }`,
      ];
      return [...part('guard', [...limitRules(p.qos?.egress), ...markRules(p.qos?.dscp), ...guardRules(p)]), ...part('out', passRules(p, 'egress')), ...part('in', [...limitRules(p.qos?.ingress), ...passRules(p, 'ingress')])];
    }),
  ];
}

/** Adding before deleting makes the removal of what is not there a success. */
export function portRemovalLines(n: Names, portId: string): string[] {
  const t = `bridge ${n.table}`;
  return (['guard', 'out', 'in'] as const).flatMap(kind => {
    const chain = `${kind}_${portId}`;
    const element = `port_${kind} { "${n.tap(portId)}" : jump ${chain} }`;
    return [`add chain ${t} ${chain}`, `add element ${t} ${element}`, `delete element ${t} ${element}`, `flush chain ${t} ${chain}`, `delete chain ${t} ${chain}`];
  });
}

export function groupLines(n: Names, groups: readonly GroupMembers[]): string[] {
  return groups.flatMap(g => [...groupSets(n, g.id), ...([4, 6] as const).flatMap(family => {
    const set = `bridge ${n.table} g${family}_${g.id}`;
    const members = [...new Set(g.members)].filter(m => m.includes(':') === (family === 6));
    return [`flush set ${set}`, ...(members.length > 0 ? [`add element ${set} { ${members.join(', ')} }`] : [])];
  })]);
}

function groupSets(n: Names, id: string): string[] {
  const set = (family: 4 | 6) => `add set bridge ${n.table} g${family}_${id} { type ipv${family}_addr; flags interval; auto-merge; }`;
  return [set(4), set(6)];
}

export function groupRemovalLines(n: Names, id: string): string[] {
  return [...groupSets(n, id), ...[4, 6].map(family => `delete set bridge ${n.table} g${family}_${id}`)];
}

/** What may leave the guest at all: its own MAC and addresses, no answers of a DHCP server or router. */
function guardRules(p: PortSecurity): string[] {
  if (!p.adminStateUp) return ['drop'];
  if (!p.portSecurity) return ['accept'];
  const own = [
    ...p.fixedIps.map(cidr => ({ mac: p.mac, cidr })),
    ...p.allowedAddressPairs,
  ];
  const macs = [...new Set([p.mac, ...own.map(o => o.mac)].map(m => m.toLowerCase()))].join(', ');
  const v4 = own.filter(o => !o.cidr.includes(':'));
  const given6 = own.filter(o => o.cidr.includes(':'));
  // An IPv6 station speaks from its link-local address as well; one without IPv6 addresses is none.
  const v6 = [...given6, ...[...new Set(given6.map(o => o.mac.toLowerCase()))].map(mac => ({ mac, cidr: linkLocalOf(mac) }))];
  return [
    // A VLAN tag or another protocol would carry an address past the rules below.
    'ether type != { ip, ip6, arp } drop',
    `ether saddr != { ${macs} } drop`,
    // Before it has an address a guest asks for one, and probes whether its address is free.
    `ether type arp arp saddr ether { ${macs} } arp saddr ip 0.0.0.0 accept`,
    'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept',
    ...(v6.length > 0 ? ['ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report } accept'] : []),
    'udp sport 67 udp dport 68 drop',
    'udp sport 547 udp dport 546 drop',
    'icmpv6 type { nd-router-advert, nd-redirect } drop',
    ...v4.flatMap(o => [
      `ether type arp ether saddr ${o.mac} arp saddr ether ${o.mac} ${unlessAll('arp saddr ip', o.cidr)}accept`,
      `ether type ip ether saddr ${o.mac} ${unlessAll('ip saddr', o.cidr)}accept`,
    ]),
    // Who answers that an address is its own must have it.
    ...v6.map(o => `icmpv6 type nd-neighbor-advert ether saddr ${o.mac} ${unlessAll('ip6 saddr', o.cidr)}${targetIs(o.cidr)}accept`),
    'icmpv6 type nd-neighbor-advert drop',
    ...v6.map(o => `ether type ip6 ether saddr ${o.mac} ${unlessAll('ip6 saddr', o.cidr)}accept`),
    'drop',
  ];
}

const unlessAll = (what: string, cidr: string) => cidr.endsWith('/0') ? '' : `${what} ${cidr} `;

/** The address that a station makes of its MAC in fe80::/64 (RFC 4291, appendix A). */
function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map(part => Number.parseInt(part, 16));
  const words = [[a ^ 2, b], [c, 0xff], [0xfe, d], [e, f]].map(([high = 0, low = 0]) => (high << 8 | low).toString(16));
  return ipaddr.IPv6.parse(`fe80::${words.join(':')}`).toString();
}
/** The target address of a neighbour advertisement begins 8 bytes behind its head; nft has no name for it before 1.0.8. */
function targetIs(cidr: string): string {
  const [address = '', length = '128'] = cidr.split('/');
  if (length === '0') return '';
  const bits = ipaddr.IPv6.parse(address).toByteArray().reduce((n, byte) => n << 8n | BigInt(byte), 0n) >> BigInt(128 - Number(length));
  return `@th,64,${length} 0x${bits.toString(16)} `;
}

function passRules(p: PortSecurity, direction: SecurityRule['direction']): string[] {
  if (!p.adminStateUp) return ['drop'];
  if (!p.portSecurity) return ['accept'];
  const [sport, dport] = direction === 'egress' ? [68, 67] : [67, 68];
  const [sport6, dport6] = direction === 'egress' ? [546, 547] : [547, 546];
  // As neutron: without these there is no IPv6 at all. Guests' own advertisements and redirects do not get this far.
  const neighbours = direction === 'egress' ? 'nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld-listener-done, mld2-listener-report' : 'mld-listener-query, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert';
  const rules = p.rules.filter(r => r.direction === direction).map(matchOf);
  return [
    'ether type arp accept',
    `meta mark & ${REPLY_MARK} == ${REPLY_MARK} accept`,
    `ether type ip udp sport ${sport} udp dport ${dport} accept`,
    `ether type ip6 udp sport ${sport6} udp dport ${dport6} accept`,
    `icmpv6 type { ${neighbours} } accept`,
    ...[...new Set(rules)].map(match => `${match} accept`),
    'drop',
  ];
}

function matchOf(r: SecurityRule): string {
  const [family, set] = r.ethertype === 'IPv4' ? ['ip', 'g4'] : ['ip6', 'g6'];
  const far = `${family} ${r.direction === 'ingress' ? 'saddr' : 'daddr'}`;
  const parts = [`ether type ${family}`];
  if (r.remote && 'groupId' in r.remote) parts.push(`${far} @${set}_${r.remote.groupId}`);
  else if (r.remote) parts.push(unlessAll(far, r.remote.cidr).trim());
  if (r.protocol !== null) parts.push(`meta l4proto ${r.protocol}`);
  if (r.protocol !== null && WITH_PORTS.has(r.protocol) && (r.portMin !== null || r.portMax !== null)) {
    const [low, high] = [r.portMin ?? 0, r.portMax ?? 65_535];
    if (low !== 0 || high !== 65_535) parts.push(`th dport ${low === high ? low : `${low}-${high}`}`);
  }
  if (r.protocol === 1 || r.protocol === 58) {
    const icmp = r.protocol === 1 ? 'icmp' : 'icmpv6';
    if (r.portMin !== null) parts.push(`${icmp} type ${r.portMin}`);
    if (r.portMax !== null) parts.push(`${icmp} code ${r.portMax}`);
  }
  return parts.filter(x => x !== '').join(' ');
}
