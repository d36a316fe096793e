import type { Trx } from '@cumulet/db';
import { BadRequest, isUuid, NotFound } from '@cumulet/wire';
import { cidr4, ipv4 } from '../rest/shapes.ts';
import { protocolNumber } from '../wiring/specs.ts';
import type { RuleCreate } from './groups.ts';

const bad = (message: string, kind: string) => new BadRequest(message, { kind });
/** Extension headers and messages of IPv6. */
const ipv6Only = new Set([41, 43, 44, 58, 59, 60]);
const withPorts = new Set([6, 17, 33, 132, 136]);

/** Columns of a rule, checked as neutron checks them. `see` answers whether the group or address group is one that the caller sees. */
export async function checkedRule(trx: Trx, b: RuleCreate, see: { group(id: string): Promise<boolean>; addressGroup(id: string): Promise<boolean> }): Promise<Record<string, unknown>> {
  const protocol = b.protocol === undefined || b.protocol === null || b.protocol === 'any' || b.protocol === '' ? null : b.protocol;
  const number = protocolNumber(protocol);
  if (number !== null && (!Number.isInteger(number) || number < 0 || number > 255)) throw bad(`Security group rule protocol ${b.protocol} not supported. Only protocol values [None, 'ah', 'dccp', 'egp', 'esp', 'gre', 'icmp', 'icmpv6', 'igmp', 'ipip', 'ipv6-encap', 'ipv6-frag', 'ipv6-icmp', 'ipv6-nonxt', 'ipv6-opts', 'ipv6-route', 'ospf', 'pgm', 'rsvp', 'sctp', 'tcp', 'udp', 'udplite', 'vrrp'] and integer representations [0 to 255] are supported.`, 'SecurityGroupRuleInvalidProtocol');
  const [min, max] = [b.port_range_min ?? null, b.port_range_max ?? null];
  if (min !== null || max !== null) {
    if (number === null) throw bad('Must also specify protocol if port range is given.', 'SecurityGroupProtocolRequiredWithPorts');
    if (number === 1 || number === 58) {
      for (const [field, value] of [['type', min], ['code', max]] as const) if (value !== null && (value < 0 || value > 255)) throw bad(`Invalid value for ICMP ${field} (${field === 'type' ? 'port-range-min' : 'port-range-max'}) ${value}. It must be 0 to 255.`, 'SecurityGroupInvalidIcmpValue');
      if (min === null && max !== null) throw bad(`ICMP code (port-range-max) ${max} is provided but ICMP type (port-range-min) is missing.`, 'SecurityGroupMissingIcmpType');
    } else if (withPorts.has(number)) {
      if (min === null || max === null || min > max || min < 1 || max > 65535) {
        if ([min, max].some(p => p !== null && (p < 1 || p > 65535))) throw bad(`Invalid value for port ${[min, max].find(p => p !== null && (p < 1 || p > 65535))}`, 'SecurityGroupInvalidPortValue');
        throw bad('For TCP/UDP protocols, port_range_min must be <= port_range_max', 'SecurityGroupInvalidPortRange');
      }
    } else throw bad(`Invalid port range specified for protocol ${b.protocol}.`, 'SecurityGroupInvalidProtocolForPort');
  }
  if ([b.remote_ip_prefix, b.remote_group_id, b.remote_address_group_id].filter(Boolean).length > 1) throw bad('Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.', 'SecurityGroupMultipleRemoteEntites');
  let ethertype = b.ethertype;
  let prefix: string | null = null;
  let given: string | null = null;
  if (b.remote_ip_prefix) {
    const six = b.remote_ip_prefix.includes(':');
    const cidr = b.remote_ip_prefix.includes('/') ? b.remote_ip_prefix : `${b.remote_ip_prefix}/${six ? 128 : 32}`;
    if (six ? !/^[0-9a-f:.]+\/(\d|[1-9]\d|1[01]\d|12[0-8])$/i.test(cidr) : !cidr4.safeParse(cidr).success && !ipv4.safeParse(cidr).success) throw bad(`Invalid input for remote_ip_prefix. Reason: '${b.remote_ip_prefix}' is not a valid IP subnet.`, 'InvalidInput');
    try { prefix = (await trx.transaction(inner => inner.raw('select network(?::inet)::text as prefix', [cidr]))).rows[0].prefix as string; } catch { throw bad(`Invalid input for remote_ip_prefix. Reason: '${b.remote_ip_prefix}' is not a valid IP subnet.`, 'InvalidInput'); }
    given = cidr.toLowerCase() === prefix ? null : cidr;
    if (ethertype !== undefined && (ethertype === 'IPv6') !== six) throw bad(`Conflicting value ethertype ${ethertype} for CIDR ${b.remote_ip_prefix}`, 'SecurityGroupRuleParameterConflict');
    ethertype ??= six ? 'IPv6' : 'IPv4';
  }
  if (b.remote_group_id && !(isUuid(b.remote_group_id) && await see.group(b.remote_group_id))) throw new NotFound(`Security group ${b.remote_group_id} does not exist`, { kind: 'SecurityGroupNotFound' });
  if (b.remote_address_group_id && !(isUuid(b.remote_address_group_id) && await see.addressGroup(b.remote_address_group_id))) throw new NotFound(`Address group ${b.remote_address_group_id} could not be found.`, { kind: 'AddressGroupNotFound' });
  if ((ethertype ?? 'IPv4') === 'IPv4' && number !== null && ipv6Only.has(number)) throw bad(`Invalid ethertype IPv4 for protocol ${b.protocol}.`, 'SecurityGroupEthertypeConflictWithProtocol');
  return { direction: b.direction, ethertype: ethertype ?? 'IPv4', protocol, port_range_min: min, port_range_max: max, remote_ip_prefix: prefix, given_prefix: given, remote_group_id: b.remote_group_id ?? null, remote_address_group_id: b.remote_address_group_id ?? null, description: b.description ?? '' };
}
