import { brokenReference, duplicateOf, type Trx } from '@cumulet/db';
import { BadRequest, Conflict, newId, NotFound } from '@cumulet/wire';
import { insertPort } from '../ports/service.ts';
import { checkQuota } from '../quotas/quota.ts';

/** A floating IP of a project: an address of the external network, held by a port of its own. */
export async function insertFloatingIp(trx: Trx, project: string, b: { floating_network_id: string; floating_ip_address?: string | undefined; subnet_id?: string | undefined; description?: string | undefined; tags?: string[] | undefined; dns_name?: string | undefined; dns_domain?: string | undefined }): Promise<string> {
  const network: { id: string; project_id: string; external: boolean; port_security_enabled: boolean } | undefined = await trx('networks').where({ id: b.floating_network_id }).first();
  if (!network) throw new NotFound(`Network ${b.floating_network_id} could not be found.`, { kind: 'NetworkNotFound' });
  if (!network.external) throw new BadRequest(`Bad floatingip request: Network ${network.id} is not a valid external network.`, { kind: 'BadRequest' });
  const id = newId();
  const wanted = b.floating_ip_address !== undefined || b.subnet_id !== undefined ? [{ ip_address: b.floating_ip_address, subnet_id: b.subnet_id }] : undefined;
  const portId = await insertPort(trx, '', network, { network_id: network.id, device_id: id, device_owner: 'network:floatingip', fixed_ips: wanted, port_security_enabled: false });
  const ip: { ip: string } | undefined = await trx('ip_allocations').where({ port_id: portId }).whereRaw('family(ip) = 4').first(trx.raw('host(ip) as ip'));
  if (!ip) throw new Conflict(`No more IP addresses available on network ${network.id}.`, { kind: 'ExternalIpAddressExhausted' });
  await trx('floating_ips').insert({ id, project_id: project, description: b.description ?? '', floating_network_id: network.id, floating_port_id: portId, floating_ip: ip.ip, tags: b.tags ?? [], dns_name: b.dns_name ?? '', dns_domain: b.dns_domain ?? '' });
  await checkQuota(trx, project, ['floatingip']);
  return id;
}

/** Points a floating IP at an address of a port, or at nothing. Returns the routers whose hosts have to act. */
export async function associate(trx: Trx, fip: { id: string; project_id: string; address: string; floating_network_id: string; router_id: string | null; port_id: string | null }, to: { portId: string; fixedIp?: string | undefined } | null): Promise<{ id: string; host: string }[]> {
  const routers = async (ids: (string | null)[]) => trx('routers').whereIn('id', ids.filter(i => i !== null)).select('id', 'host') as Promise<{ id: string; host: string }[]>;
  if (to === null && fip.port_id === null) return [];
  if (to === null) {
    await trx('floating_ips').where({ id: fip.id }).update({ port_id: null, fixed_ip: null, router_id: null, status: 'DOWN', updated_at: trx.fn.now(), revision_number: trx.raw('revision_number + 1') });
    return routers([fip.router_id]);
  }
  const port: { id: string; project_id: string; network_id: string } | undefined = await trx('ports').where({ id: to.portId }).first();
  if (!port) throw new NotFound(`Port ${to.portId} could not be found.`, { kind: 'PortNotFound' });
  const ips: { subnet_id: string; ip: string }[] = await trx('ip_allocations').where({ port_id: port.id }).orderBy('position').select('subnet_id', trx.raw('host(ip) as ip'));
  if (to.fixedIp?.includes(':')) throw new BadRequest(`Bad floatingip request: Cannot process floating IP association with ${to.fixedIp}, since that is not an IPv4 address.`, { kind: 'BadRequest' });
  const fixed = to.fixedIp === undefined ? ips.find(i => !i.ip.includes(':')) : ips.find(i => i.ip === to.fixedIp);
  if (!fixed) throw new BadRequest(to.fixedIp === undefined ? `Bad floatingip request: Cannot add floating IP to port ${port.id} that has no fixed IPv4 addresses.` : `Bad floatingip request: Port ${port.id} does not have fixed ip ${to.fixedIp}.`, { kind: 'BadRequest' });
  if (await trx('port_forwardings').where({ floatingip_id: fip.id }).first('id')) throw forwards(fip.id);
  const via = await routerBetween(trx, fixed.subnet_id, fip.floating_network_id);
  if (!via) throw new NotFound(`External network ${fip.floating_network_id} is not reachable from subnet ${fixed.subnet_id}.  Therefore, cannot associate Port ${port.id} with a Floating IP.`, { kind: 'ExternalGatewayForFloatingIPNotFound' });
  await trx('floating_ips').where({ id: fip.id }).update({ port_id: port.id, fixed_ip: fixed.ip, router_id: via.id, status: 'DOWN', updated_at: trx.fn.now(), revision_number: trx.raw('revision_number + 1') }).catch((error: unknown) => {
    throw duplicateOf(error) === 'floating_ips_fixed' ? alreadyAssociated(fip, port.id, fixed.ip) : error;
  });
  return routers([...new Set([fip.router_id, via.id])]);
}

/** The router that has a leg in the subnet and its gateway on the external network. */
export async function routerBetween(trx: Trx, subnetId: string, externalNetworkId: string): Promise<{ id: string; host: string } | undefined> {
  const { rows } = await trx.raw(`select r.id, r.host from routers r join ports p on p.device_id = r.id::text and p.device_owner = 'network:router_interface' join ip_allocations a on a.port_id = p.id where a.subnet_id = ? and r.external_network_id = ? limit 1`, [subnetId, externalNetworkId]);
  return rows[0] as { id: string; host: string } | undefined;
}

/** Gives a floating IP back. Returns the router that carried it. */
export async function releaseFloatingIp(trx: Trx, fip: { id: string; floating_port_id: string; router_id: string | null }): Promise<{ id: string; host: string } | undefined> {
  await trx('floating_ips').where({ id: fip.id }).delete().catch((error: unknown) => { throw brokenReference(error) === 'port_forwardings_floating_ip' ? forwards(fip.id) : error; });
  await trx('ports').where({ id: fip.floating_port_id }).delete();
  return fip.router_id === null ? undefined : await trx('routers').where({ id: fip.router_id }).first('id', 'host') as { id: string; host: string } | undefined;
}

export const alreadyAssociated = (fip: { id: string; address: string; floating_network_id: string }, portId: string, fixedIp: string) =>
  new Conflict(`Cannot associate floating IP ${fip.address} (${fip.id}) with port ${portId} using fixed IP ${fixedIp}, as that fixed IP already has a floating IP on external network ${fip.floating_network_id}.`, { kind: 'FloatingIPPortAlreadyAssociated' });
const forwards = (id: string) => new Conflict(`Floating IP ${id} in use by Port Forwarding resources.`, { kind: 'FipInUseByPortForwarding' });
