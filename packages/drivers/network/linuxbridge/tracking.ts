import type { Names } from './names.ts';
import type { LinuxBridgeSettings } from './settings.ts';
import { REPLY_MARK } from './firewall.ts';

/*
 * The table of family `inet`: connection tracking for the bridges, and the wall between guests and the host.
 *
 * Each project network is a zone of its own for connection tracking, for two networks may use the same addresses.
 * External networks share zone 0 with the host, which has a leg in them.
 *
 * Bridged packets also pass the host's own NAT rules (Docker's, libvirt's) and could be redirected by them; mapping each
 * connection to itself first makes those rules pass it over.
 */

/** Set in the mark of a packet that the host forwards for a guest. */
const OUTWARD_MARK = 0x1000_0000;

/** @param denied where guests may not connect to through the host */
export function trackingBase(n: Names, settings: LinuxBridgeSettings, denied: readonly string[]): string[] {
  const t = `inet ${n.table}`;
  const base: Record<string, { hook: string; rules: string[] }> = {
    // Before connection tracking (-200).
    zones_in: { hook: 'type filter hook prerouting priority -300', rules: ['iifname vmap @zones'] },
    // After connection tracking.
    marks_in: { hook: 'type filter hook prerouting priority -150', rules: marks('iifname @bridges') },
    marks_out: { hook: 'type filter hook output priority -150', rules: marks('oifname @externals') },
    // Just before the customary priorities of destination NAT (-100) and source NAT (100).
    keep_destination: { hook: 'type nat hook prerouting priority -101', rules: ['iifname @bridges meta nfproto ipv4 dnat ip to ip daddr'] },
    keep_source: { hook: 'type nat hook postrouting priority 99', rules: ['oifname @bridges meta nfproto ipv4 snat ip to ip saddr'] },
    to_host: {
      hook: 'type filter hook input priority -10',
      rules: [
        'iifname @projects drop',
        'iifname @externals ct state established,related accept',
        'iifname @externals icmp type echo-request accept',
        'iifname @externals icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept',
        'iifname @externals drop',
      ],
    },
    through_host: {
      hook: 'type filter hook forward priority -10',
      rules: ['iifname . oifname @bridged accept', 'iifname @projects drop', 'oifname @projects drop', ...forwardRules(settings.forward)],
    },
    leave_host: {
      hook: 'type nat hook postrouting priority 100',
      rules: settings.forward === 'none' ? [] : [`oifname != @bridges meta mark & ${OUTWARD_MARK} == ${OUTWARD_MARK} masquerade`],
    },
  };
  return [
    `add table ${t}`,
    ...['bridges', 'projects', 'externals'].map(s => `add set ${t} ${s} { type ifname; }`),
    `add set ${t} bridged { type ifname . ifname; }`,
    `add set ${t} denied { type ipv4_addr; flags interval; auto-merge; }`,
    `flush set ${t} denied`,
    ...(denied.length > 0 ? [`add element ${t} denied { ${[...new Set(denied)].join(', ')} }`] : []),
    `add map ${t} zones { type ifname : verdict; }`,
    ...Object.entries(base).flatMap(([chain, { hook, rules }]) => [
      `add chain ${t} ${chain} { ${hook}; policy accept; }`,
      `flush chain ${t} ${chain}`,
      ...rules.map(r => `add rule ${t} ${chain} ${r}`),
    ]),
  ];
}

const marks = (match: string) => [
  `${match} meta mark set meta mark & ${~REPLY_MARK >>> 0}`,
  `${match} ct state established ct direction reply meta mark set meta mark | ${REPLY_MARK}`,
  `${match} ct state related meta mark set meta mark | ${REPLY_MARK}`,
];

function forwardRules(forward: LinuxBridgeSettings['forward']): string[] {
  if (forward === 'none') return ['iifname @externals drop', 'oifname @externals drop'];
  return [
    'iifname @externals ct state established,related accept',
    'iifname @externals ip daddr @denied drop',
    `iifname @externals meta nfproto ipv4 meta mark set meta mark | ${OUTWARD_MARK} accept`,
    'oifname @externals ct state established,related accept',
    ...(forward === 'both' ? ['oifname @externals meta nfproto ipv4 accept'] : []),
    'iifname @externals drop', 'oifname @externals drop',
  ];
}

/** @param ifindex of the bridge: a number that no other device of the host has, which serves as the network's zone */
export function trackedLines(n: Names, networkId: string, ifindex: number, external: boolean): string[] {
  const t = `inet ${n.table}`;
  const bridge = n.bridge(networkId);
  const [is, isNot] = external ? ['externals', 'projects'] : ['projects', 'externals'];
  const zone = `zone_${networkId}`;
  return [
    `add element ${t} bridges { "${bridge}" }`,
    `add element ${t} bridged { "${bridge}" . "${bridge}" }`,
    `add element ${t} ${is} { "${bridge}" }`,
    `add element ${t} ${isNot} { "${bridge}" }`,
    `delete element ${t} ${isNot} { "${bridge}" }`,
    `add chain ${t} ${zone}`,
    `flush chain ${t} ${zone}`,
    ...(external ? [] : [`add rule ${t} ${zone} ct zone set ${(ifindex & 0xffff) || 1}`]),
    `add element ${t} zones { "${bridge}" : jump ${zone} }`,
  ];
}

export function untrackedLines(n: Names, networkId: string): string[] {
  const t = `inet ${n.table}`;
  const bridge = n.bridge(networkId);
  const zone = `zone_${networkId}`;
  const sets = [`bridges { "${bridge}" }`, `projects { "${bridge}" }`, `externals { "${bridge}" }`, `bridged { "${bridge}" . "${bridge}" }`, `zones { "${bridge}" : jump ${zone} }`];
  return [`add chain ${t} ${zone}`, ...sets.flatMap(s => [`add element ${t} ${s}`, `delete element ${t} ${s}`]), `flush chain ${t} ${zone}`, `delete chain ${t} ${zone}`];
}
