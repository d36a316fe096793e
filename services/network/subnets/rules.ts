import { BadRequest, Conflict } from '@cumulet/wire';
import { bitsOf, formatIp, formatPrefix, holds, lastOf, overlap, parseIp, parsePrefix, type Ip, type Prefix, type Version } from './addresses.ts';

/** What neutron asks of a subnet's parts (db_base_plugin_v2, ipam_backend_mixin), in its words. */
export const invalid = (reason: string, kind = 'InvalidInput') => new BadRequest(`Invalid input for operation: ${reason}.`, { kind });
export const badSubnets = (reason: string) => new BadRequest(`Bad subnets request: ${reason}.`, { kind: 'BadRequest' });

export interface Pool { readonly start: string; readonly end: string }
export interface Modes { readonly ipv6_ra_mode?: string | null | undefined; readonly ipv6_address_mode?: string | null | undefined }
/** Guests make their addresses themselves, of the prefix and their MAC: such a subnet hands out no others. */
export const isAutomatic = (s: Modes): boolean => [s.ipv6_ra_mode, s.ipv6_address_mode].some(m => m === 'slaac' || m === 'dhcpv6-stateless');

function sameVersion(version: Version, text: string, name: string): void {
  if ((text.includes(':') ? 6 : 4) !== version) throw invalid(`${name} '${text}' does not match the ip_version '${version}'`);
}

/** The prefix of a subnet. `dhcp`: it is to have a DHCP server. */
export function checkedCidr(text: string, version: Version, dhcp: boolean): Prefix {
  const cidr = parsePrefix(text);
  if (!cidr || !text.includes('/')) throw new BadRequest(`Invalid input for cidr. Reason: '${text}' is not a valid IP subnet.`);
  sameVersion(version, text, 'cidr');
  if (cidr.length === 0) throw invalid('0 is not allowed as CIDR prefix length');
  if (version === 6 && cidr.first === 0n) throw invalid(`IPv6 subnet '::' is not supported`);
  if (dhcp) checkDhcp(cidr);
  return cidr;
}
export function checkDhcp(cidr: Prefix): void {
  if (cidr.length > (cidr.version === 4 ? 30 : 126)) throw invalid('Subnet has a prefix length that is incompatible with DHCP service enabled');
  const top = cidr.first >> (cidr.version === 4 ? 24n : 120n);
  if (cidr.version === 4 ? top >= 224n && top < 240n : top === 255n) throw invalid('Multicast IP subnet is not supported if enable_dhcp is True');
  if (cidr.version === 4 ? top === 127n : cidr.first === 1n) throw invalid('Loopback IP subnet is not supported if enable_dhcp is True');
  if (cidr.version === 4 && cidr.first === 0n) throw invalid(`First IP '0.0.0.0' of network is not supported if enable_dhcp is True`);
}

/** Whether a port may have the address: in IPv4 neither the network's nor the broadcast address, in IPv6 not the network's. */
export function usable(cidr: Prefix, ip: Ip): boolean {
  if (!holds(cidr, ip)) return false;
  if (cidr.version === 6) return ip.value !== cidr.first || cidr.length === 128;
  return cidr.length > 30 || (ip.value !== cidr.first && ip.value !== lastOf(cidr));
}

/** Outside the subnet is allowed, as in neutron, but for external networks: a router reaches the world by their gateway (in IPv6 a link-local one will do). */
export function checkGateway(gateway: string, cidr: Prefix, external: boolean): void {
  sameVersion(cidr.version, gateway, 'gateway_ip');
  const ip = parseIp(gateway) as Ip;
  const inside = holds(cidr, ip);
  const linkLocal = ip.version === 6 && ip.value >> 118n === 0x3fan;
  if ((inside && ip.version === 4 && !usable(cidr, ip)) || (external && !inside && !linkLocal)) throw new BadRequest('Invalid input for operation: Gateway is not valid on subnet.', { kind: 'InvalidInput' });
}

/** First and last address that ports may get. */
function span(cidr: Prefix): [bigint, bigint] {
  if (cidr.version === 6) return [cidr.first + (cidr.length === 128 ? 0n : 1n), lastOf(cidr)];
  return cidr.length > 30 ? [cidr.first, lastOf(cidr)] : [cidr.first + 1n, lastOf(cidr) - 1n];
}
/** The gateway where none is given. */
export const firstHost = (cidr: Prefix): string => formatIp({ version: cidr.version, value: cidr.length === bitsOf(cidr.version) ? cidr.first : cidr.first + 1n });

/** Everything but the gateway. */
export function poolsAround(cidr: Prefix, gateway: string | null): Pool[] {
  const [first, last] = span(cidr);
  const at = gateway === null ? undefined : parseIp(gateway)?.value;
  const ranges: [bigint, bigint][] = at === undefined || at < first || at > last ? [[first, last]] : [[first, at - 1n], [at + 1n, last]];
  return ranges.filter(([from, to]) => from <= to).map(([from, to]) => ({ start: formatIp({ version: cidr.version, value: from }), end: formatIp({ version: cidr.version, value: to }) }));
}

/** The pools as they will be shown. */
export function checkedPools(pools: readonly Pool[], cidr: Prefix, gateway: string | null): Pool[] {
  const [first, last] = span(cidr);
  const read = pools.map(p => {
    const [start, end] = [parseIp(p.start), parseIp(p.end)];
    if (!start || !end || start.version !== cidr.version || end.version !== cidr.version || start.value > end.value) throw new BadRequest(`The allocation pool ${p.start}-${p.end} is not valid.`, { kind: 'InvalidAllocationPool' });
    return { start: formatIp(start), end: formatIp(end), from: start.value, to: end.value };
  });
  for (const p of read) {
    if (p.from < first || p.to > last) throw new BadRequest(`The allocation pool ${p.start}-${p.end} spans beyond the subnet cidr ${formatPrefix(cidr)}.`, { kind: 'OutOfBoundsAllocationPool' });
    const at = gateway === null ? undefined : parseIp(gateway)?.value;
    if (at !== undefined && p.from <= at && at <= p.to) throw new Conflict(`Gateway ip ${gateway} conflicts with allocation pool ${p.start}-${p.end}.`, { kind: 'GatewayConflictWithAllocationPools' });
  }
  for (const [i, a] of read.entries()) for (const b of read.slice(i + 1)) {
    if (a.from <= b.to && b.from <= a.to) throw new Conflict(`Found overlapping allocation pools: ${a.start}-${a.end}, ${b.start}-${b.end} for subnet ${formatPrefix(cidr)}.`, { kind: 'OverlappingAllocationPools' });
  }
  return read.map(({ start, end }) => ({ start, end }));
}

interface Extras { readonly dns_nameservers?: readonly string[] | null | undefined; readonly host_routes?: readonly { destination: string; nexthop: string }[] | null | undefined }
/** Servers and routes are of the subnet's family, and no more than neutron takes (max_dns_nameservers, max_subnet_host_routes). */
export function checkExtras(b: Extras, version: Version, subnet = 'new subnet'): void {
  if ((b.dns_nameservers?.length ?? 0) > 5) throw new BadRequest(`Unable to complete operation for ${subnet}. The number of DNS nameservers exceeds the limit 5.`, { kind: 'DNSNameServersExhausted' });
  if ((b.host_routes?.length ?? 0) > 20) throw new BadRequest(`Unable to complete operation for ${subnet}. The number of host routes exceeds the limit 20.`, { kind: 'HostRoutesExhausted' });
  for (const dns of b.dns_nameservers ?? []) {
    if (!parseIp(dns)) throw invalid(`Error parsing dns address ${dns}`);
    sameVersion(version, dns, 'dns_nameserver');
  }
  for (const route of b.host_routes ?? []) {
    sameVersion(version, route.nexthop, 'nexthop');
    sameVersion(version, route.destination, 'destination');
  }
}

/** How guests of an IPv6 subnet come to their addresses. */
export function checkModes(b: Modes, version: Version, dhcp: boolean): void {
  if (version === 4) {
    for (const mode of ['ipv6_ra_mode', 'ipv6_address_mode'] as const) if (b[mode]) throw invalid(`${mode} is not valid when ip_version is 4`);
    return;
  }
  if ((b.ipv6_ra_mode || b.ipv6_address_mode) && !dhcp) throw invalid('ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False');
  if (b.ipv6_ra_mode && b.ipv6_address_mode && b.ipv6_ra_mode !== b.ipv6_address_mode) throw invalid(`ipv6_ra_mode set to '${b.ipv6_ra_mode}' with ipv6_address_mode set to '${b.ipv6_address_mode}' is not valid. If both attributes are set, they must be the same value`);
}
export function checkEui64(b: Modes, cidr: Prefix): void {
  if (isAutomatic(b) && cidr.length !== 64) throw invalid(`Invalid CIDR ${formatPrefix(cidr)} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64`);
}

export function checkApart(cidr: Prefix, networkId: string, others: readonly string[]): void {
  if (others.some(o => overlap(parsePrefix(o) as Prefix, cidr))) throw invalid(`Requested subnet with cidr: ${formatPrefix(cidr)} for network: ${networkId} overlaps with another subnet`);
}
