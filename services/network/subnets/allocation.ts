import { duplicateOf, type Trx } from '@cumulet/db';
import { BadRequest, Conflict, newId, NotFound } from '@cumulet/wire';
import { eui64, formatIp, holds, parseIp, parsePrefix, type Ip, type Prefix } from './addresses.ts';
import { invalid, isAutomatic, usable } from './rules.ts';

export interface FixedIpRequest { readonly subnet_id?: string | undefined; readonly ip_address?: string | undefined }
export interface PortPlaced { readonly id: string; readonly network_id: string; readonly mac: string; readonly device_owner: string }
interface Subnet { readonly id: string; readonly network_id: string; readonly ip_version: number; readonly cidr: string; readonly ipv6_ra_mode: string | null; readonly ipv6_address_mode: string | null; readonly service_types: readonly string[] }

/** These speak for a subnet: they have the address that they are given, never one made of their MAC. */
export const isRouterPort = (owner: string): boolean => owner.startsWith('network:router_interface') || owner === 'network:ha_router_replicated_interface';
const subnetsOf = async (trx: Trx, networkId: string): Promise<Subnet[]> => trx('subnets').where({ network_id: networkId }).orderBy('created_at').orderBy('id').select('id', 'network_id', 'ip_version', trx.raw('cidr::text as cidr'), 'ipv6_ra_mode', 'ipv6_address_mode', 'service_types');
/** Service types keep a subnet for ports of such owners; DHCP serves all. */
const serves = (s: Subnet, owner: string) => s.service_types.length === 0 || s.service_types.includes(owner) || owner === 'network:dhcp';

/** The lowest free address of a subnet's pools, or the wanted one. One winner for each address: the subnet's row is locked, and the table's key decides. */
export async function allocate(trx: Trx, subnetId: string, portId: string, position: number, wanted?: string): Promise<string> {
  const subnet: { id: string; network_id: string } | undefined = await trx('subnets').where({ id: subnetId }).forUpdate().first('id', 'network_id');
  if (!subnet) throw new NotFound(`Subnet ${subnetId} could not be found.`, { kind: 'SubnetNotFound' });
  if (wanted !== undefined) {
    try { await trx.transaction(inner => inner('ip_allocations').insert({ subnet_id: subnetId, ip: wanted, network_id: subnet.network_id, port_id: portId, position })); } catch (error) {
      if (duplicateOf(error)) throw new Conflict(`IP address ${wanted} already allocated in subnet ${subnetId}`, { kind: 'IpAddressAlreadyAllocated' });
      throw error;
    }
    return wanted;
  }
  const { rows: [free] } = await trx.raw(`with pools as (select (p ->> 'start')::inet as first, (p ->> 'end')::inet as last from subnets s cross join jsonb_array_elements(s.allocation_pools) p where s.id = ?),
      candidates as (
        select first as ip, last from pools
        union all select a.ip + 1, p.last from pools p join ip_allocations a on a.subnet_id = ? and a.ip >= p.first and a.ip < p.last)
    select host(min(c.ip)) as ip from candidates c where c.ip <= c.last and not exists (select 1 from ip_allocations a where a.subnet_id = ? and a.ip = c.ip)`, [subnetId, subnetId, subnetId]);
  if (!free?.ip) throw new Conflict(`No more IP addresses available on network ${subnet.network_id}.`, { kind: 'IpAddressGenerationFailure' });
  await trx('ip_allocations').insert({ subnet_id: subnetId, ip: free.ip, network_id: subnet.network_id, port_id: portId, position });
  return free.ip;
}

/** The subnet and address that one member of `fixed_ips` means. */
function meant(r: FixedIpRequest, subnets: readonly Subnet[], port: PortPlaced): { subnet: Subnet; ip?: string } {
  const address = r.ip_address === undefined ? undefined : parseIp(r.ip_address) as Ip;
  const fits = (s: Subnet) => address !== undefined && (isRouterPort(port.device_owner) && address.version === 6 ? holds(prefix(s), address) : usable(prefix(s), address));
  if (subnets.length === 0) throw invalid('IP allocation requires subnets for network');
  let subnet: Subnet | undefined;
  if (r.subnet_id !== undefined) {
    subnet = subnets.find(s => s.id === r.subnet_id?.toLowerCase());
    if (!subnet) throw invalid(`Failed to create port on network ${port.network_id}, because fixed_ips included invalid subnet ${r.subnet_id}`);
    if (address && !fits(subnet)) throw new BadRequest(`IP address ${r.ip_address} is not a valid IP for the specified subnet.`, { kind: 'InvalidIpForSubnet' });
  } else {
    if (!address) throw invalid('IP allocation requires subnet_id or ip_address');
    subnet = subnets.find(fits);
    if (!subnet) throw new BadRequest(`IP address ${r.ip_address} is not a valid IP for any of the subnets on the specified network.`, { kind: 'InvalidIpForNetwork' });
  }
  const ip = address && formatIp(address);
  if (ip !== undefined && isAutomatic(subnet) && !isRouterPort(port.device_owner) && ip !== eui64(prefix(subnet), port.mac)) {
    throw new BadRequest(`Invalid input for operation: IPv6 address ${ip} cannot be directly assigned to a port on subnet ${subnet.id} as the subnet is configured for automatic addresses.`, { kind: 'AllocationOnAutoAddressSubnet' });
  }
  return { subnet, ...(ip === undefined ? {} : { ip }) };
}
const prefix = (s: { cidr: string }) => parsePrefix(s.cidr) as Prefix;

/**
 * The addresses of a port: as asked, or one of the first subnet of each family that has one; and of every subnet where guests make their own,
 * that one, whether it is asked for or not. A network without subnets gives none.
 * @param held addresses that the port has already
 */
export async function allocateFor(trx: Trx, port: PortPlaced, requests: readonly FixedIpRequest[] | undefined, held: readonly { subnet_id: string }[] = []): Promise<void> {
  const all = await subnetsOf(trx, port.network_id);
  let position = held.length;
  const automatic = isRouterPort(port.device_owner) ? [] : all.filter(s => isAutomatic(s) && serves(s, port.device_owner) && !held.some(h => h.subnet_id === s.id));
  if (requests === undefined) {
    const eligible = all.filter(s => serves(s, port.device_owner) && (!isAutomatic(s) || isRouterPort(port.device_owner)));
    if (all.length > 0 && !all.some(s => serves(s, port.device_owner))) throw new Conflict(`No valid service subnet for the given device owner, network ${port.network_id}, service type ${port.device_owner}.`, { kind: 'IpAddressGenerationFailureNoMatchingSubnet' });
    for (const version of [4, 6]) if (await allocateFirst(trx, eligible.filter(s => s.ip_version === version), port.id, position)) position++;
  }
  for (const r of requests ?? []) {
    const { subnet, ip } = meant(r, all, port);
    // One of a subnet where guests make their own comes below.
    if (isAutomatic(subnet) && !isRouterPort(port.device_owner)) continue;
    await allocate(trx, subnet.id, port.id, position++, ip);
  }
  for (const s of automatic) await allocate(trx, s.id, port.id, position++, eui64(prefix(s), port.mac));
}

/** An existing port's addresses as asked now: what is asked for again stays as it is, and what guests make of their MAC stays as long as the MAC does. */
export async function readdress(trx: Trx, port: PortPlaced, now: readonly { subnet_id: string; ip_address: string }[], requests: readonly FixedIpRequest[] | undefined): Promise<void> {
  const all = await subnetsOf(trx, port.network_id);
  const made = (f: { subnet_id: string }) => { const s = all.find(one => one.id === f.subnet_id); return s && isAutomatic(s) && !isRouterPort(port.device_owner) ? eui64(prefix(s), port.mac) : undefined; };
  const same = (w: FixedIpRequest, f: { subnet_id: string; ip_address: string }) => (w.ip_address === undefined ? w.subnet_id === f.subnet_id : formatIp(parseIp(w.ip_address) as Ip) === f.ip_address);
  const kept = now.filter(f => made(f) !== undefined && made(f) === f.ip_address);
  const others = now.filter(f => made(f) === undefined);
  const wanted: FixedIpRequest[] = [];
  if (requests === undefined) kept.push(...others);
  // Each address that the port has meets one wish: those that name it first, then those that name only its subnet.
  for (const w of requests?.toSorted((x, y) => Number(x.ip_address === undefined) - Number(y.ip_address === undefined)) ?? []) {
    const found = others.findIndex(f => same(w, f));
    if (found < 0) wanted.push(w); else kept.push(...others.splice(found, 1));
  }
  await trx('ip_allocations').where({ port_id: port.id }).whereNotIn(trx.raw('host(ip)') as never, kept.map(k => k.ip_address)).delete();
  await allocateFor(trx, port, wanted, kept);
}

/** @throws neutron's 409 when all of them are full */
async function allocateFirst(trx: Trx, subnets: readonly Subnet[], portId: string, position: number): Promise<boolean> {
  let full: unknown;
  for (const s of subnets) {
    try { await allocate(trx, s.id, portId, position); return true; } catch (error) { if (!(error instanceof Conflict)) throw error; full = error; }
  }
  if (full) throw full;
  return false;
}

/** A new subnet where guests make their own addresses: the ports that are there get theirs. */
export async function addAutomatic(trx: Trx, subnet: { id: string; network_id: string; cidr: string }): Promise<void> {
  const ports: PortPlaced[] = await trx('ports').where({ network_id: subnet.network_id }).select('id', 'network_id', 'device_owner', trx.raw('mac_address::text as mac'));
  for (const p of ports.filter(one => !isRouterPort(one.device_owner) && one.device_owner !== 'network:dhcp')) await allocate(trx, subnet.id, p.id, 100, eui64(prefix(subnet), p.mac));
}

/** The port that answers DHCP in a network; made with the first subnet that wants DHCP, gone with the last. */
export async function keepDhcpPort(trx: Trx, networkId: string): Promise<void> {
  const subnets: { id: string; cidr: string; ipv6_ra_mode: string | null; ipv6_address_mode: string | null }[] = await trx('subnets').where({ network_id: networkId, enable_dhcp: true }).orderBy('created_at').select('id', trx.raw('cidr::text as cidr'), 'ipv6_ra_mode', 'ipv6_address_mode');
  let port: { id: string; mac: string } | undefined = await trx('ports').where({ network_id: networkId, device_owner: 'network:dhcp' }).first('id', trx.raw('mac_address::text as mac'));
  if (subnets.length === 0) { if (port) await trx('ports').where({ id: port.id }).delete(); return; }
  if (!port) {
    const network: { project_id: string } = await trx('networks').where({ id: networkId }).first('project_id');
    port = { id: newId(), mac: newMac() };
    await trx('ports').insert({ id: port.id, project_id: network.project_id, network_id: networkId, mac_address: port.mac, device_owner: 'network:dhcp', device_id: `dhcp-${networkId}`, port_security_enabled: false, status: 'ACTIVE' });
  }
  const { mac } = port;
  const held: { subnet_id: string }[] = await trx('ip_allocations').where({ port_id: port.id }).select('subnet_id');
  for (const gone of held) if (!subnets.some(s => s.id === gone.subnet_id)) await trx('ip_allocations').where({ port_id: port.id, subnet_id: gone.subnet_id }).delete();
  for (const s of subnets) if (!held.some(h => h.subnet_id === s.id)) await allocate(trx, s.id, port.id, 0, isAutomatic(s) ? eui64(prefix(s), mac) : undefined).catch((error: unknown) => { if (!(error instanceof Conflict)) throw error; });
}

/** Neutron's own prefix. */
export const newMac = (): string => `fa:16:3e:${[0, 0, 0].map(() => Math.floor(Math.random() * 256).toString(16).padStart(2, '0')).join(':')}`;
