import type { Trx } from '@cumulet/db';
import { BadRequest } from '@cumulet/wire';
import { routerBetween } from '../floating_ips/service.ts';
import type { PortForwardingGiven, PortForwardingRow, Ports } from './port_forwardings.ts';

export const bad = (reason: string) => new BadRequest(`Bad port_forwarding request: ${reason}.`, { kind: 'BadRequest' });
/** A range that has other ports inside than outside is kept port by port by the router. */
const maxMoved = 1024;

interface Target { readonly id: string; readonly ips: readonly { subnet_id: string; ip: string }[] }
interface FloatingIp { readonly id: string; readonly floating_network_id: string; readonly router_id: string | null }

/** The ports that a request names, or those that `now` has. */
export function portsOf(b: PortForwardingGiven, now?: Ports): Ports {
  const side = (which: 'external' | 'internal'): [number, number] => {
    const [one, range] = [b[`${which}_port`] ?? undefined, b[`${which}_port_range`] ?? undefined];
    if (one !== undefined && range !== undefined && range !== `${one}` && range !== `${one}:${one}`) throw bad(`${which}_port and ${which}_port_range name different ports`);
    if (one !== undefined) return [one, one];
    if (range !== undefined) return ends(range);
    if (!now) throw new BadRequest(`Failed to parse request. Required attribute '${which}_port' not specified`);
    return [now[`${which}_min`], now[`${which}_max`]];
  };
  const [[external_min, external_max], [internal_min, internal_max]] = [side('external'), side('internal')];
  const [outside, inside] = [external_max - external_min, internal_max - internal_min];
  if (inside > 0 && inside !== outside) throw bad('Invalid ranges of internal and/or external ports. The relation between internal and external ports must be N-N or 1-N');
  if (inside > 0 && internal_min !== external_min && inside >= maxMoved) throw bad(`A range whose ports differ inside and outside has at most ${maxMoved} ports`);
  return { external_min, external_max, internal_min, internal_max };
}

function ends(range: string): [number, number] {
  const [min = 0, max = min] = range.split(':').map(Number);
  if (min < 1 || max > 65_535) throw bad('Invalid port value, the port value must be a value between 1 and 65535.');
  if (max < min) throw bad(`Invalid port range ${range}`);
  return [min, max];
}

/** The address inside: the one that is named, or the port's first of IPv4. */
export function addressOf(port: Target, named: string | undefined): { subnet_id: string; ip: string } {
  const fours = port.ips.filter(i => !i.ip.includes(':'));
  const [first] = fours;
  if (!first) throw bad(`Requested internal port ${port.id} must allocate an IPv4 address at least`);
  const found = named === undefined ? first : fours.find(i => i.ip === named);
  if (!found) throw bad(`Requested internal IP address ${named} is not suitable for internal neutron port ${port.id}, as its fixed_ips are ${fours.map(i => i.ip).join(', ')}`);
  return found;
}

/** The router that leads from the floating IP to the address; all that a floating IP forwards goes through one. */
export async function routerFor(trx: Trx, fip: FloatingIp, portId: string, subnetId: string): Promise<{ id: string; host: string }> {
  const router = await routerBetween(trx, subnetId, fip.floating_network_id);
  if (!router) throw bad(`External network ${fip.floating_network_id} is not reachable from subnet ${subnetId}. Cannot set Port forwarding for port ${portId} with Floating IP ${fip.id}`);
  if (fip.router_id !== null && fip.router_id !== router.id) throw bad(`The Floating IP ${fip.id} had been set on router ${fip.router_id}, the internal Neutron port ${portId} can not reach it`);
  return router;
}

/** Neither outside nor inside may two of one protocol meet. The floating IP and the port are locked by then. */
export async function checkCollisions(trx: Trx, f: Omit<PortForwardingRow, 'description'>): Promise<void> {
  const others: Ports[] = await trx('port_forwardings').where({ floatingip_id: f.floatingip_id, protocol: f.protocol }).whereNot({ id: f.id }).whereRaw('external_min <= ? and external_max >= ?', [f.external_max, f.external_min]).limit(1);
  const inside: Ports[] = await trx('port_forwardings').where({ internal_port_id: f.internal_port_id, protocol: f.protocol }).whereNot({ id: f.id }).whereRaw('internal_ip = ?::inet and internal_min <= ? and internal_max >= ?', [f.internal_ip_address, f.internal_max, f.internal_min]).limit(1);
  const collision = (side: 'external' | 'internal', other: Ports) => bad(`There is a port collision with the ${side}_port_range. The following ranges collides: ${other[`${side}_min`]}:${other[`${side}_max`]} and ${f[`${side}_min`]}:${f[`${side}_max`]}`);
  if (others[0]) throw collision('external', others[0]);
  if (inside[0]) throw collision('internal', inside[0]);
  if (f.internal_max === f.internal_min || f.internal_min === f.external_min) return;
  const { rows: [moved] } = await trx.raw('select coalesce(sum(external_max - external_min + 1), 0)::int as ports from port_forwardings where floatingip_id = ? and id <> ? and internal_max > internal_min and internal_min <> external_min', [f.floatingip_id, f.id]);
  if (moved.ports + f.external_max - f.external_min + 1 > maxMoved) throw bad(`Ranges of one floating IP whose ports differ inside and outside have at most ${maxMoved} ports together`);
}
