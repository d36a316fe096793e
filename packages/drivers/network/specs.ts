import ipaddr from 'ipaddr.js';
import { DriverError } from '../errors.ts';
import type { GroupMembers, Ipv6Mode, MetadataTarget, NetworkSpec, PortForwarding, PortQos, PortSecurity, Route, RouterSpec, SecurityRule, SubnetSpec } from './contract.ts';

/*
 * What a spec may hold. Drivers write these values into rule sets, configuration files and command lines, and some of
 * them (host names, DHCP options, routes, address pairs) come from users: everything is checked before anything is written.
 */

const ID = /^[0-9a-fA-F][0-9a-fA-F-]{0,62}[0-9a-fA-F]$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i;
const GROUP_MAC = /^[0-9a-f][13579bdf]/i;
const HOSTNAME = /^[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?$/i;
const DHCP_OPTION = /^([a-z][a-z0-9-]{0,62}|\d{1,3})$/i;
/** Printable ASCII without what quotes, escapes or begins a comment in a configuration file. */
const DHCP_VALUE = /^(?!.*["\\#])[\x20-\x7e]{1,512}$/;
const HEADER_NAME = /^[A-Za-z0-9-]{1,64}$/;
const HEADER_VALUE = /^[A-Za-z0-9._~:/+=-]{1,512}$/;
/** What a socket's address holds, without the quote that ends it in a configuration file. */
const SOCKET_PATH = /^\/(?!.*')[\x20-\x7e]{1,106}$/;

/** The same questions for services, which answer their users before a row is written; a driver refuses the whole spec. */
export const spellable = {
  hostname: (value: string): boolean => HOSTNAME.test(value),
  dhcpOption: (name: string, value: string): boolean => DHCP_OPTION.test(name) && !(Number(name) > 254) && DHCP_VALUE.test(value),
  /** A MAC address of one station, not of a group. */
  mac: (value: string): boolean => MAC.test(value) && !GROUP_MAC.test(value),
  /** An address or CIDR of either family. */
  net: (value: string): boolean => isNet(value),
};

const refuse = (what: string, value: unknown): never => {
  throw new DriverError('invalid', `${what} is not valid.`, { detail: String(value).slice(0, 200) });
};

export function checkId(value: string, what = 'An id'): string {
  return ID.test(value) ? value : refuse(what, value);
}

/** An address of either family, or of one. */
export function checkIp(value: string, what: string, version?: 4 | 6): string {
  const is = ipaddr.IPv4.isValidFourPartDecimal(value) ? 4 : /^[0-9a-f:.]+$/i.test(value) && ipaddr.IPv6.isValid(value) ? 6 : undefined;
  return is !== undefined && (version === undefined || version === is) ? value : refuse(what, value);
}

export function checkCidr(value: string, what: string): string {
  const [ip = '', length = '', ...rest] = value.split('/');
  if (rest.length > 0 || !/^\d{1,3}$/.test(length)) refuse(what, value);
  checkIp(ip, what);
  return Number(length) <= (ip.includes(':') ? 128 : 32) ? value : refuse(what, value);
}

/** An address or CIDR of either family, for rules. */
export function checkNet(value: string, what: string): string {
  return isNet(value) ? value : refuse(what, value);
}

function isNet(value: string): boolean {
  const cidr = value.includes('/') ? value : `${value}/${value.includes(':') ? 128 : 32}`;
  const six = cidr.includes(':');
  return /^[0-9a-fA-F:./]+$/.test(value) && (six ? ipaddr.IPv6.isValidCIDR(cidr) : ipaddr.IPv4.isValidCIDR(cidr) && ipaddr.IPv4.isValidFourPartDecimal(cidr.slice(0, cidr.indexOf('/'))));
}

/** Whether a subnet has a DHCP server: in IPv6 not where guests make their own addresses and are told nothing, or where somebody else tells them. */
export function hasDhcp(s: SubnetSpec): boolean {
  if (s.dhcpIp === null || familyOf(s.cidr) === 4) return s.dhcpIp !== null;
  return s.ipv6?.addressMode ? s.ipv6.addressMode !== 'slaac' : !s.ipv6?.raMode;
}
/** Whether that server gives out addresses. */
export const givesAddresses = (s: SubnetSpec): boolean => hasDhcp(s) && s.ipv6?.addressMode !== 'dhcpv6-stateless';

function checkMac(value: string, what: string): void {
  if (!spellable.mac(value)) refuse(what, value);
}

function checkRoutes(routes: readonly Route[]): void {
  for (const r of routes) {
    checkCidr(r.destination, "A route's destination");
    checkIp(r.nexthop, "A route's next hop", familyOf(r.destination));
  }
}

export function checkNetwork(spec: NetworkSpec): void {
  checkId(spec.id, 'The network id');
  // 68 is the smallest MTU of IPv4, 65535 the largest of a bridge.
  if (!Number.isInteger(spec.mtu) || spec.mtu < 68 || spec.mtu > 65535) refuse('The MTU', spec.mtu);
  for (const s of spec.subnets) {
    checkId(s.id, 'A subnet id');
    checkCidr(s.cidr, "A subnet's CIDR");
    const version = familyOf(s.cidr);
    if (s.gatewayIp !== null) checkIp(s.gatewayIp, "A subnet's gateway", version);
    if (s.dhcpIp !== null) checkIp(s.dhcpIp, "A DHCP server's address", version);
    for (const ns of s.dnsNameservers) checkIp(ns, 'A DNS server', version);
    checkRoutes(s.hostRoutes);
    if (s.ipv6 && version === 4) refuse("A subnet's IPv6 modes", s.cidr);
    for (const mode of s.ipv6 ? [s.ipv6.raMode, s.ipv6.addressMode] : []) if (mode !== null) checkMode(mode);
  }
  for (const p of spec.ports) {
    checkId(p.id, 'A port id');
    checkMac(p.mac, 'A MAC address');
    for (const f of p.fixedIps) {
      checkId(f.subnetId, 'A subnet id');
      checkIp(f.ip, 'A fixed address');
    }
    if (p.hostname !== null && !HOSTNAME.test(p.hostname)) refuse('A host name', p.hostname);
    for (const o of p.dhcpOptions) {
      if (!spellable.dhcpOption(o.name, o.value) || (o.version ?? 4) !== (o.version === 6 ? 6 : 4)) refuse('A DHCP option', `${o.name}=${o.value}`);
    }
  }
  if (spec.metadata) checkMetadata(spec.metadata);
}

const MODES: readonly Ipv6Mode[] = ['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'];
function checkMode(mode: Ipv6Mode): void {
  if (!MODES.includes(mode)) refuse('An IPv6 mode', mode);
}
export const familyOf = (address: string): 4 | 6 => address.includes(':') ? 6 : 4;

function checkMetadata(target: MetadataTarget): void {
  if ('socketPath' in target) {
    if (!SOCKET_PATH.test(target.socketPath)) refuse("The metadata service's socket", target.socketPath);
  } else {
    const url = URL.canParse(target.url) ? new URL(target.url) : refuse("The metadata service's URL", target.url);
    if (url.protocol !== 'http:' || url.username || url.search || url.hash || url.pathname !== '/') refuse("The metadata service's URL", target.url);
  }
  for (const [name, value] of Object.entries(target.headers ?? {})) {
    if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(value)) refuse('A header for the metadata service', name);
  }
}

export function checkRouter(spec: RouterSpec): void {
  checkId(spec.id, 'The router id');
  if (spec.gateway) {
    checkId(spec.gateway.portId, 'A port id');
    checkId(spec.gateway.networkId, 'A network id');
    checkMac(spec.gateway.mac, 'A MAC address');
    for (const f of spec.gateway.fixedIps) {
      checkIp(f.ip, "The router's external address");
      checkCidr(f.cidr, 'An external CIDR');
      if (f.gatewayIp !== null) checkIp(f.gatewayIp, 'An external gateway', familyOf(f.cidr));
      if (f.addressScope) checkId(f.addressScope, 'An address scope');
    }
  }
  for (const i of spec.interfaces) {
    checkId(i.portId, 'A port id');
    checkId(i.networkId, 'A network id');
    checkMac(i.mac, 'A MAC address');
    checkIp(i.ip, "A router interface's address");
    checkCidr(i.cidr, "A router interface's CIDR");
    if (familyOf(i.ip) !== familyOf(i.cidr)) refuse("A router interface's address", i.ip);
    if (i.addressScope) checkId(i.addressScope, 'An address scope');
    if (i.advertise) {
      if (familyOf(i.cidr) === 4 || !Number.isInteger(i.advertise.mtu)) refuse('A router advertisement', i.cidr);
      checkMode(i.advertise.mode);
      for (const ns of i.advertise.dnsNameservers) checkIp(ns, 'A DNS server', 6);
    }
  }
  checkRoutes(spec.routes);
  for (const f of spec.floatingIps) {
    checkIp(f.floatingIp, 'A floating address', 4);
    checkIp(f.fixedIp, 'A fixed address', 4);
  }
  spec.portForwardings?.forEach(checkForwarding);
}

function checkForwarding(f: PortForwarding): void {
  checkIp(f.floatingIp, 'A floating address', 4);
  checkIp(f.fixedIp, 'A fixed address', 4);
  if (![6, 17, 132].includes(f.protocol)) refuse("A port forwarding's protocol", f.protocol);
  for (const r of [f.outside, f.inside]) if (!Number.isInteger(r.min) || !Number.isInteger(r.max) || r.min < 1 || r.max < r.min || r.max > 65_535) refuse("A port forwarding's ports", `${r.min}-${r.max}`);
  if (f.inside.max !== f.inside.min && f.inside.max - f.inside.min !== f.outside.max - f.outside.min) refuse("A port forwarding's ports", `${f.outside.min}-${f.outside.max} to ${f.inside.min}-${f.inside.max}`);
}

export function checkPort(port: PortSecurity): void {
  checkId(port.portId, 'The port id');
  checkId(port.networkId, 'The network id');
  checkMac(port.mac, 'A MAC address');
  for (const ip of port.fixedIps) checkIp(ip, 'A fixed address');
  for (const pair of port.allowedAddressPairs) {
    checkMac(pair.mac, "An address pair's MAC");
    checkNet(pair.cidr, "An address pair's address");
  }
  port.rules.forEach(checkRule);
  if (port.qos) checkQos(port.qos);
}

function checkQos({ egress, ingress, dscp }: PortQos): void {
  for (const b of [egress, ingress]) if (b && (!Number.isSafeInteger(b.kbps) || b.kbps < 1 || !Number.isSafeInteger(b.burstKb) || b.burstKb < 0)) refuse('A bandwidth limit', `${b.kbps} ${b.burstKb}`);
  if (dscp !== undefined && (!Number.isInteger(dscp) || dscp < 0 || dscp > 63)) refuse('A DSCP mark', dscp);
}

function checkRule(rule: SecurityRule): void {
  const within = (n: number | null, max: number) => n === null || (Number.isInteger(n) && n >= 0 && n <= max);
  if (rule.direction !== 'ingress' && rule.direction !== 'egress') refuse("A rule's direction", rule.direction);
  if (rule.ethertype !== 'IPv4' && rule.ethertype !== 'IPv6') refuse("A rule's ethertype", rule.ethertype);
  if (!within(rule.protocol, 255)) refuse("A rule's protocol", rule.protocol);
  if (!within(rule.portMin, 65535) || !within(rule.portMax, 65535)) refuse("A rule's ports", `${rule.portMin}-${rule.portMax}`);
  if (rule.remote === null) return;
  if ('groupId' in rule.remote) checkId(rule.remote.groupId, 'A group id');
  else {
    checkNet(rule.remote.cidr, "A rule's remote prefix");
    if (rule.remote.cidr.includes(':') !== (rule.ethertype === 'IPv6')) refuse("A rule's remote prefix", rule.remote.cidr);
  }
}

export function checkGroups(groups: readonly GroupMembers[]): void {
  for (const g of groups) {
    checkId(g.id, 'A group id');
    for (const m of g.members) checkNet(m, "A group's member");
  }
}
