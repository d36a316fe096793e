import { duplicateOf, type Trx } from '@cumulet/db';
import { BadRequest, Conflict, newId } from '@cumulet/wire';

export interface FixedIpRequest { readonly subnet_id?: string | undefined; readonly ip_address?: string | undefined }

/** The lowest free address of a subnet's pools, or the wanted one. One winner for each address: the subnet's row is locked, and the table's key decides. */
export async function allocate(trx: Trx, subnetId: string, portId: string, position: number, wanted?: string): Promise<string> {
  const subnet: { id: string; network_id: string; cidr: string; gateway_ip: string | null } | undefined = await trx('subnets').where({ id: subnetId }).forUpdate().first('id', 'network_id', trx.raw('cidr::text'), trx.raw('host(gateway_ip) as gateway_ip'));
  if (!subnet) throw new BadRequest(`Invalid input for operation: subnet ${subnetId} could not be found.`, { kind: 'SubnetNotFound' });
  if (wanted !== undefined) {
    const { rows: [fits] } = await trx.raw(`select ?::inet << cidr and ?::inet <> network(cidr)::inet and host(?::inet) <> host(broadcast(cidr)) as inside from subnets where id = ?`, [wanted, wanted, wanted, subnetId]);
    if (!fits.inside) throw new BadRequest(`IP address ${wanted} is not a valid IP for the specified subnet.`, { kind: 'InvalidIpForSubnet' });
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

/** The addresses of a port: as asked, or one of the first subnet that has one. A network without subnets gives none. */
export async function allocateFor(trx: Trx, networkId: string, portId: string, requests: readonly FixedIpRequest[] | undefined): Promise<void> {
  const subnets: { id: string; cidr: string }[] = await trx('subnets').where({ network_id: networkId }).orderBy('created_at').orderBy('id').select('id', trx.raw('cidr::text'));
  if (requests === undefined) {
    let full: unknown;
    for (const s of subnets) {
      try { await allocate(trx, s.id, portId, 0); return; } catch (error) { if (!(error instanceof Conflict)) throw error; full = error; }
    }
    if (full) throw full;
    return;
  }
  for (const [position, r] of requests.entries()) {
    let subnetId = r.subnet_id;
    if (subnetId !== undefined && !subnets.some(s => s.id === subnetId)) throw new BadRequest(`Invalid input for operation: Failed to create port on network ${networkId}, because fixed_ips included invalid subnet ${subnetId}.`, { kind: 'InvalidInput' });
    if (subnetId === undefined) {
      if (r.ip_address === undefined) throw new BadRequest('Invalid input for operation: IP allocation requires subnet_id or ip_address.', { kind: 'InvalidInput' });
      const { rows: [of] } = await trx.raw('select id from subnets where network_id = ? and ?::inet << cidr limit 1', [networkId, r.ip_address]);
      if (!of) throw new BadRequest(`IP address ${r.ip_address} is not a valid IP for any of the subnets on the specified network.`, { kind: 'InvalidIpForNetwork' });
      subnetId = of.id as string;
    }
    await allocate(trx, subnetId, portId, position, r.ip_address);
  }
}

/** The port that answers DHCP in a network; made with the first subnet that wants DHCP, gone with the last. */
export async function keepDhcpPort(trx: Trx, networkId: string): Promise<void> {
  const subnets: { id: string }[] = await trx('subnets').where({ network_id: networkId, enable_dhcp: true, ip_version: 4 }).orderBy('created_at').select('id');
  let port: { id: string } | undefined = await trx('ports').where({ network_id: networkId, device_owner: 'network:dhcp' }).first('id');
  if (subnets.length === 0) { if (port) await trx('ports').where({ id: port.id }).delete(); return; }
  if (!port) {
    const network: { project_id: string } = await trx('networks').where({ id: networkId }).first('project_id');
    port = { id: newId() };
    await trx('ports').insert({ id: port.id, project_id: network.project_id, network_id: networkId, mac_address: newMac(), device_owner: 'network:dhcp', device_id: `dhcp-${networkId}`, port_security_enabled: false, status: 'ACTIVE' });
  }
  const held: { subnet_id: string }[] = await trx('ip_allocations').where({ port_id: port.id }).select('subnet_id');
  for (const gone of held) if (!subnets.some(s => s.id === gone.subnet_id)) await trx('ip_allocations').where({ port_id: port.id, subnet_id: gone.subnet_id }).delete();
  for (const s of subnets) if (!held.some(h => h.subnet_id === s.id)) await allocate(trx, s.id, port.id, 0).catch((error: unknown) => { if (!(error instanceof Conflict)) throw error; });
}

/** Neutron's own prefix. */
export const newMac = (): string => `fa:16:3e:${[0, 0, 0].map(() => Math.floor(Math.random() * 256).toString(16).padStart(2, '0')).join(':')}`;
