import type { Trx } from '@cumulet/db';
import type { Tasks } from '@cumulet/tasks';
import { BadRequest, Conflict, newId, NotFound } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { insertPort } from '../ports/service.ts';
import { allocate } from '../subnets/allocation.ts';
import { applyRouter } from '../wiring/enqueue.ts';
import type { Gateway, RouterRow } from './routers.ts';

interface NetworkFacts { id: string; project_id: string; external: boolean; port_security_enabled: boolean }

/** Sets, changes or clears a router's gateway: a port of the router on the external network. */
export async function setGateway(trx: Trx, router: Pick<RouterRow, 'id' | 'gateway_port_id' | 'external_network_id' | 'host'>, wanted: Gateway): Promise<void> {
  const info = wanted && 'network_id' in wanted ? wanted : undefined;
  if (router.gateway_port_id !== null && (info === undefined || info.network_id !== router.external_network_id || info.external_fixed_ips !== undefined)) {
    if (info === undefined || info.network_id !== router.external_network_id) {
      const held = await trx('floating_ips').where({ router_id: router.id }).first('id');
      if (held) throw new Conflict(`Gateway cannot be updated for router ${router.id}, since a gateway to external network ${router.external_network_id} is required by one or more floating IPs.`, { kind: 'RouterExternalGatewayInUseByFloatingIp' });
    }
    await trx('routers').where({ id: router.id }).update({ gateway_port_id: null, external_network_id: null });
    await trx('ports').where({ id: router.gateway_port_id }).delete();
  } else if (info !== undefined && router.gateway_port_id !== null) {
    if (info.enable_snat !== undefined) await trx('routers').where({ id: router.id }).update({ enable_snat: info.enable_snat });
    return;
  }
  if (info === undefined) return;
  const network: NetworkFacts | undefined = await trx('networks').where({ id: info.network_id }).first();
  if (!network?.external) throw new BadRequest(`Bad router request: Network ${info.network_id} is not an external network.`, { kind: 'BadRequest' });
  const portId = await insertPort(trx, '', network, { network_id: network.id, device_id: router.id, device_owner: 'network:router_gateway', fixed_ips: info.external_fixed_ips, port_security_enabled: false, host: router.host });
  await trx('routers').where({ id: router.id }).update({ gateway_port_id: portId, external_network_id: network.id, enable_snat: info.enable_snat ?? true });
}

/** `subnets`: those that the call has connected or disconnected, the one that the caller named last. */
export interface Plugged { portId: string; subnets: string[]; networkId: string }

/** A leg of the router in a subnet, at the subnet's gateway address, or by a port that is there already. */
export async function addInterface(trx: Trx, router: RouterRow, b: { subnet_id?: string | undefined; port_id?: string | undefined }, project: string): Promise<Plugged> {
  if ((b.subnet_id === undefined) === (b.port_id === undefined)) throw new BadRequest(b.subnet_id === undefined ? 'Bad router request: Either subnet_id or port_id must be specified.' : 'Bad router request: Cannot specify both subnet-id and port-id.', { kind: 'BadRequest' });
  const overlaps = async (subnetId: string) => {
    const { rows } = await trx.raw(`select s.id, s.cidr::text as cidr from ports p join ip_allocations a on a.port_id = p.id join subnets s on s.id = a.subnet_id join subnets w on w.id = ? where p.device_id = ? and p.device_owner = 'network:router_interface' and (s.id = w.id or s.cidr && w.cidr)`, [subnetId, router.id]);
    if (rows.length > 0) throw new BadRequest(rows[0].id === subnetId ? `Bad router request: Router already has a port on subnet ${subnetId}.` : `Bad router request: Cidr of subnet ${subnetId} overlaps with cidr ${rows[0].cidr} of subnet ${rows[0].id}.`, { kind: 'BadRequest' });
  };
  if (b.port_id !== undefined) {
    const port: { id: string; device_id: string; device_owner: string; network_id: string } | undefined = await trx('ports').where({ id: b.port_id }).forUpdate().first();
    if (!port) throw new NotFound(`Port ${b.port_id} could not be found.`, { kind: 'PortNotFound' });
    if (port.device_id !== '') throw new Conflict(`Unable to complete operation on port ${port.id} for network ${port.network_id}. Port already has an attached device ${port.device_id}.`, { kind: 'PortInUse' });
    const ips: { subnet_id: string; six: boolean }[] = await trx('ip_allocations').where({ port_id: port.id }).orderBy('position').select('subnet_id', trx.raw('family(ip) = 6 as six'));
    if (ips.length === 0) throw bad('Router port must have at least one fixed IP');
    if (ips.filter(i => !i.six).length > 1) throw bad('Cannot have multiple IPv4 subnets on router port');
    for (const i of ips) await overlaps(i.subnet_id);
    for (const s of await trx('subnets').whereIn('id', ips.map(i => i.subnet_id)).select('id', 'ipv6_ra_mode', 'ipv6_address_mode') as Announced[]) checkAnnounced(s);
    const other = ips.some(i => i.six) ? await ipv6Leg(trx, router.id, port.network_id) : undefined;
    if (other) throw bad(`Router already contains IPv6 port ${other} belonging to network id ${port.network_id}. Only one IPv6 port from the same network subnet can be connected to a router`);
    await trx('ports').where({ id: port.id }).update({ device_id: router.id, device_owner: 'network:router_interface', binding_host: router.host, ...touched(trx) });
    await trx('port_security_groups').where({ port_id: port.id }).delete();
    return { portId: port.id, subnets: ips.map(i => i.subnet_id), networkId: port.network_id };
  }
  const subnet: { id: string; network_id: string; gateway: string | null; ip_version: number; ipv6_ra_mode: string | null; ipv6_address_mode: string | null } | undefined = await trx('subnets').where({ id: b.subnet_id }).first('id', 'network_id', trx.raw('host(gateway_ip) as gateway'), 'ip_version', 'ipv6_ra_mode', 'ipv6_address_mode');
  if (!subnet) throw new NotFound(`Subnet ${b.subnet_id} could not be found.`, { kind: 'SubnetNotFound' });
  if (subnet.gateway === null) throw new BadRequest('Bad router request: Subnet for router interface must have a gateway IP.', { kind: 'BadRequest' });
  checkAnnounced(subnet);
  await overlaps(subnet.id);
  // The IPv6 subnets of a network share one leg.
  const leg = subnet.ip_version === 6 ? await ipv6Leg(trx, router.id, subnet.network_id) : undefined;
  if (leg !== undefined) {
    await allocate(trx, subnet.id, leg, 100, subnet.gateway);
    await trx('ports').where({ id: leg }).update(touched(trx));
    return { portId: leg, subnets: [subnet.id], networkId: subnet.network_id };
  }
  const network: NetworkFacts = await trx('networks').where({ id: subnet.network_id }).first();
  const portId = await insertPort(trx, project, network, { network_id: network.id, device_id: router.id, device_owner: 'network:router_interface', fixed_ips: [{ subnet_id: subnet.id, ip_address: subnet.gateway }], port_security_enabled: false, host: router.host });
  return { portId, subnets: [subnet.id], networkId: network.id };
}

interface Announced { readonly id: string; readonly ipv6_ra_mode: string | null; readonly ipv6_address_mode: string | null }
/** Routers there announce themselves, by somebody else's hand: one of ours would be a second. */
function checkAnnounced(subnet: Announced): void {
  if (subnet.ipv6_address_mode && !subnet.ipv6_ra_mode) throw bad(`IPv6 subnet ${subnet.id} configured to receive RAs from an external router cannot be added to Neutron Router`);
}
const bad = (reason: string) => new BadRequest(`Bad router request: ${reason}.`, { kind: 'BadRequest' });
/** The router's port on a network that has IPv6 addresses. */
async function ipv6Leg(trx: Trx, routerId: string, networkId: string): Promise<string | undefined> {
  const leg: { id: string } | undefined = await trx('ports as p').where({ 'p.device_id': routerId, 'p.device_owner': 'network:router_interface', 'p.network_id': networkId }).whereRaw('exists (select 1 from ip_allocations a where a.port_id = p.id and family(a.ip) = 6)').first('p.id');
  return leg?.id;
}

export async function removeInterface(trx: Trx, router: RouterRow, b: { subnet_id?: string | undefined; port_id?: string | undefined }): Promise<Plugged> {
  if (b.subnet_id === undefined && b.port_id === undefined) throw new BadRequest('Either subnet_id or port_id must be specified', { kind: 'BadRequest' });
  const { rows } = await trx.raw(`select p.id, p.network_id, a.subnet_id from ports p join ip_allocations a on a.port_id = p.id where p.device_id = ? and p.device_owner = 'network:router_interface' and ${b.port_id === undefined ? 'a.subnet_id = ?' : 'p.id = ?'}`, [router.id, b.port_id ?? b.subnet_id ?? '']);
  const port = rows[0] as { id: string; network_id: string; subnet_id: string } | undefined;
  if (!port) throw new NotFound(b.port_id === undefined ? `Router ${router.id} has no interface on subnet ${b.subnet_id}.` : `Router ${router.id} does not have an interface with id ${b.port_id}`, { kind: b.port_id === undefined ? 'RouterInterfaceNotFoundForSubnet' : 'RouterInterfaceNotFound' });
  if (b.port_id !== undefined && b.subnet_id !== undefined && port.subnet_id !== b.subnet_id) throw new Conflict(`Subnet ${b.subnet_id} on port ${b.port_id} does not match requested.`, { kind: 'SubnetMismatchForPort' });
  const { rows: used } = await trx.raw(`select 1 from floating_ips f join ip_allocations a on a.port_id = f.port_id and a.ip = f.fixed_ip where f.router_id = ? and a.subnet_id = ? limit 1`, [router.id, port.subnet_id]);
  const { rows: forwarded } = await trx.raw(`select 1 from port_forwardings w join floating_ips f on f.id = w.floatingip_id join ip_allocations a on a.port_id = w.internal_port_id and a.ip = w.internal_ip where f.router_id = ? and a.subnet_id = ? limit 1`, [router.id, port.subnet_id]);
  if (used.length + forwarded.length > 0) throw new Conflict(`Router interface for subnet ${port.subnet_id} on router ${router.id} cannot be deleted, as it is required by one or more floating IPs.`, { kind: 'RouterInterfaceInUseByFloatingIP' });
  const { rows: led } = await trx.raw(`select 1 from routers r, jsonb_array_elements(r.routes) w, subnets s where r.id = ? and s.id = ? and (w ->> 'nexthop')::inet <<= s.cidr limit 1`, [router.id, port.subnet_id]);
  if (led.length > 0) throw new Conflict(`Router interface for subnet ${port.subnet_id} on router ${router.id} cannot be deleted, as it is required by one or more routes.`, { kind: 'RouterInterfaceInUseByRoute' });
  const others = b.subnet_id === undefined ? rows.slice(1) as { subnet_id: string }[] : [];
  // One of several IPv6 subnets of a leg goes alone; the leg goes with the last, or when it is named itself.
  const stays = b.port_id === undefined && await trx('ip_allocations').where({ port_id: port.id }).whereNot({ subnet_id: port.subnet_id }).first('ip') !== undefined;
  if (stays) await trx('ip_allocations').where({ port_id: port.id, subnet_id: port.subnet_id }).delete();
  else await trx('ports').where({ id: port.id }).delete();
  return { portId: port.id, subnets: [...others.map(o => o.subnet_id), port.subnet_id], networkId: port.network_id };
}

/** A router without interfaces goes, with its gateway. */
export async function deleteRouter(tasks: Tasks, trx: Trx, router: RouterRow): Promise<void> {
  await setGateway(trx, router, null);
  await trx('routers').where({ id: router.id }).delete();
  await applyRouter(tasks, trx, router.id, router.host);
}

/** For the service itself. */
export async function insertRouter(trx: Trx, project: string, b: { name?: string | undefined; description?: string | undefined; admin_state_up?: boolean | undefined; routes?: object[] | null | undefined; tags?: string[] | undefined }, host: string): Promise<string> {
  const id = newId();
  await trx('routers').insert({ id, project_id: project, name: b.name ?? '', description: b.description ?? '', admin_state_up: b.admin_state_up ?? true, routes: JSON.stringify(b.routes ?? []), tags: b.tags ?? [], host });
  return id;
}
