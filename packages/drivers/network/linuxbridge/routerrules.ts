import { createHash } from 'node:crypto';
import type { PortForwarding, PortRange, RouterSpec } from '../contract.ts';
import { familyOf } from '../specs.ts';

/**
 * The whole rule set of a router's namespace; loading it replaces the one before in one step.
 *
 * A connection that was translated for a floating IP is let through only as long as that floating IP still belongs to the
 * fixed address: taking it away cuts running connections, and the next owner never gets a packet of theirs. The same is true of each port
 * that a floating IP forwards.
 *
 * @param gateway name of the external device, if there is a gateway
 * @param leg name of the device of an interface's port
 * @param hostIps the host's addresses on the external network
 */
export function routerRules(spec: RouterSpec, gateway: string | undefined, leg: (portId: string) => string, hostIps: readonly string[]): string {
  const floating = gateway === undefined ? [] : spec.floatingIps;
  const forwarded = gateway === undefined ? [] : spec.portForwardings ?? [];
  const own = spec.gateway?.fixedIps ?? [];
  const legs = [...new Set(spec.interfaces.map(i => leg(i.portId)))];
  const open = [...new Set(spec.interfaces.filter(i => i.hostAccess).map(i => leg(i.portId)))];
  const snat = own.find(f => !f.ip.includes(':'))?.ip;
  const scopes = scopesOf(spec, leg);
  const table = 'table inet router';
  const outward = gateway === undefined ? [] : [
    `oifname "${gateway}" snat ip to ip saddr map @to_floating`,
    // Addresses of the external network's own plan go out as they are.
    ...(scopes.plain4.length > 0 ? [`iifname ${set(scopes.plain4.map(quoted))} oifname "${gateway}" meta nfproto ipv4 accept`] : []),
    ...(snat !== undefined && spec.gateway?.enableSnat ? [`oifname "${gateway}" meta nfproto ipv4 snat ip to ${snat}`] : []),
    // A guest that asks another one of this router by its floating IP: the answer has to come back through the router.
    'oifname @legs iifname @legs ct status dnat snat ip to ip saddr map @to_floating',
    ...(snat !== undefined ? [`oifname @legs iifname @legs ct status dnat meta nfproto ipv4 snat ip to ${snat}`] : []),
  ];
  const inward = gateway === undefined ? [] : [
    // IPv6 is never translated: what is of the external network's plan passes both ways, the rest stays inside.
    ...(scopes.plain6.length > 0 ? [`meta nfproto ipv6 iifname ${set(scopes.plain6.map(quoted))} oifname "${gateway}" accept`, `meta nfproto ipv6 iifname "${gateway}" oifname ${set(scopes.plain6.map(quoted))} accept`] : []),
    `meta nfproto ipv6 oifname "${gateway}" drop`,
    ...(scopes.plain4.length > 0 ? [`meta nfproto ipv4 iifname "${gateway}" oifname ${set(scopes.plain4.map(quoted))} accept`] : []),
    `iifname @legs oifname "${gateway}" accept`,
    `iifname "${gateway}" ct status dnat accept`,
    ...(open.length > 0 && hostIps.length > 0 ? [`iifname "${gateway}" oifname ${set(open.map(quoted))} ip saddr ${set(hostIps)} accept`] : []),
    // Without SNAT the router is a plain router: its networks are meant to be reached from outside.
    ...(spec.gateway?.enableSnat === false ? [`meta nfproto ipv4 iifname "${gateway}" oifname @legs accept`] : []),
  ];
  return [
    'flush ruleset',
    `add ${table}`,
    ...named('set', 'legs', 'ifname', legs.map(quoted)),
    ...named('map', 'to_fixed', 'ipv4_addr : ipv4_addr', floating.map(f => `${f.floatingIp} : ${f.fixedIp}`)),
    ...named('map', 'to_floating', 'ipv4_addr : ipv4_addr', floating.map(f => `${f.fixedIp} : ${f.floatingIp}`)),
    ...named('set', 'pairs', 'ipv4_addr . ipv4_addr', floating.map(f => `${f.floatingIp} . ${f.fixedIp}`)),
    ...named('set', 'forwarded', 'mark', forwarded.map(f => markOf(f))),
    ...named('set', 'own', 'ipv4_addr', own.map(f => f.ip).filter(ip => !ip.includes(':'))),
    ...chain('arriving', 'type nat hook prerouting priority -100; policy accept;', [...(floating.length > 0 ? ['dnat ip to ip daddr map @to_fixed'] : []), ...forwarded.map(translation)]),
    ...chain('leaving', 'type nat hook postrouting priority 100; policy accept;', outward),
    ...chain('forwarded', 'type filter hook forward priority 0; policy drop;', [
      'ct status dnat ct original ip daddr . ct reply ip saddr != @pairs ct mark != @forwarded drop',
      'ct status snat ct reply ip daddr != @own ct reply ip daddr . ct original ip saddr != @pairs drop',
      ...scopes.apart.map(({ family, from, to }) => `meta nfproto ${family} iifname "${from}" oifname "${to}" ct status & dnat == 0 drop`),
      'ct state established,related accept',
      'iifname @legs oifname @legs accept',
      ...inward,
    ]),
  ].join('\n') + '\n';

  function named(kind: 'set' | 'map', name: string, type: string, elements: readonly string[]): string[] {
    const head = `add ${kind} inet router ${name} { type ${type}; }`;
    return elements.length === 0 ? [head] : [head, `add element inet router ${name} ${set([...new Set(elements)])}`];
  }
  function chain(name: string, hook: string, rules: readonly string[]): string[] {
    return [`add chain inet router ${name} { ${hook} }`, ...rules.map(r => `add rule inet router ${name} ${r}`)];
  }
}

/** A range that is the same inside keeps its ports; one port inside is told; ports that move are told one by one. */
function translation(f: PortForwarding): string {
  const to = (where: string) => `ip daddr ${f.floatingIp} meta l4proto ${f.protocol} th dport ${span(f.outside)} ct mark set ${markOf(f)} dnat ip to ${where}`;
  if (f.inside.min === f.outside.min && f.inside.max === f.outside.max) return to(f.fixedIp);
  if (f.inside.min === f.inside.max) return to(`${f.fixedIp}:${f.inside.min}`);
  return to(`th dport map ${set(portsOf(f.outside).map((port, i) => `${port} : ${f.fixedIp} . ${f.inside.min + i}`))}`);
}
/** What a connection of this forwarding carries: another forwarding, or this one changed, has another. */
const markOf = (f: PortForwarding) => `0x${createHash('sha256').update(`${f.protocol} ${f.floatingIp} ${span(f.outside)} ${f.fixedIp} ${span(f.inside)}`).digest('hex').slice(0, 8)}`;
const span = (r: PortRange) => r.min === r.max ? `${r.min}` : `${r.min}-${r.max}`;
const portsOf = (r: PortRange) => Array.from({ length: r.max - r.min + 1 }, (_, i) => r.min + i);

/**
 * What address scopes mean: pairs of legs that may not reach each other, and the legs whose addresses are of the external network's plan. In
 * IPv4 that takes a scope that is named; in IPv6 having none is a plan as well.
 */
function scopesOf(spec: RouterSpec, leg: (portId: string) => string) {
  const of = (version: 4 | 6) => new Map(spec.interfaces.filter(i => familyOf(i.cidr) === version).map(i => [leg(i.portId), i.addressScope ?? null]));
  const outside = (version: 4 | 6) => spec.gateway?.fixedIps.find(f => familyOf(f.cidr) === version);
  const plain = (version: 4 | 6) => {
    const scope = outside(version)?.addressScope ?? null;
    return outside(version) === undefined || (version === 4 && scope === null) ? [] : [...of(version)].filter(([, s]) => s === scope).map(([device]) => device);
  };
  const apart = ([4, 6] as const).flatMap(version => [...of(version)].flatMap(([from, a]) => [...of(version)].filter(([, b]) => a !== b).map(([to]) => ({ family: version === 4 ? 'ipv4' : 'ipv6', from, to }))));
  return { plain4: plain(4), plain6: plain(6), apart };
}

const set = (elements: readonly string[]) => `{ ${elements.join(', ')} }`;
const quoted = (device: string) => `"${device}"`;
