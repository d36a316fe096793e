import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { RouterSpec } from '../contract.ts';
import { familyOf } from '../specs.ts';
import type { Advertising } from './advertising.ts';
import { addressesOf, addressLines, quietIpv6, shortest, type Host, type Link } from './host.ts';
import type { HostRoutes } from './hostroutes.ts';
import { shortHash, type Names } from './names.ts';
import { routerRules } from './routerrules.ts';

interface Leg {
  readonly portId: string;
  readonly networkId: string;
  readonly mac: string;
  readonly outer: string;
  readonly inner: string;
  readonly addresses: readonly string[];
}

/** A router is a namespace with a leg in each of its networks; forwarding, NAT and its filter are the kernel's. */
export class Routers {
  readonly #host: Host;
  readonly #names: Names;
  readonly #routes: HostRoutes;
  readonly #advertising: Advertising;
  constructor(host: Host, names: Names, routes: HostRoutes, advertising: Advertising) {
    this.#host = host;
    this.#names = names;
    this.#routes = routes;
    this.#advertising = advertising;
  }

  async apply(call: Call, spec: RouterSpec): Promise<void> {
    const space = this.#names.routerSpace(spec.id);
    const legs = this.#legs(spec);
    const outside = await this.#host.links(call);
    for (const leg of legs) {
      if (!outside.has(this.#names.bridge(leg.networkId))) throw new DriverError('absent', 'A network of the router is not on this host.', { detail: leg.networkId });
    }
    const inside = await this.#host.ensureSpace(call, space);
    const six = legs.some(l => l.addresses.some(a => a.includes(':')));
    await this.#host.sysctl(call, ['net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.all.send_redirects=0', 'net.ipv4.conf.all.promote_secondaries=1', ...quietIpv6(six), ...(six ? ['net.ipv6.conf.all.forwarding=1', 'net.ipv6.conf.default.ndisc_notify=1'] : [])], space);
    // The rules come before the legs: a router never forwards unfiltered.
    const gatewayBridge = spec.gateway ? this.#names.bridge(spec.gateway.networkId) : undefined;
    const hostIps = gatewayBridge === undefined ? [] : (await addressesOf(this.#host, call, gatewayBridge)).map(a => a.split('/')[0] as string).filter(a => !a.includes(':'));
    await this.#host.nft(call, routerRules(spec, innerGateway(spec), p => innerName('qr', p), hostIps), space);
    await this.#plug(call, space, legs, outside, inside);
    const added = await this.#addresses(call, space, legs);
    for (const version of [4, 6] as const) if (version === 4 || six) await this.#gatewayRoutes(call, space, spec, version);
    await this.#announce(call, space, spec, added, gatewayBridge);
    await this.#routes.apply(call, spec, gatewayBridge);
    await this.#advertising.apply(call, spec, space, p => innerName('qr', p));
  }

  async remove(call: Call, routerId: string): Promise<void> {
    await this.#routes.remove(call, routerId);
    await this.#advertising.remove(routerId);
    const space = this.#names.routerSpace(routerId);
    if (!(await this.#host.spaces(call)).has(space)) return;
    // The kernel removes a namespace's devices some time later; the outer ends must not stay on their bridges until then.
    const inside = await this.#host.links(call, space).catch(() => new Map<string, Link>());
    const legs = [...inside.keys()].filter(name => /^q[rg]-/.test(name));
    await this.#host.ip(call, legs.map(name => `link del ${name}`), space);
    await this.#host.removeSpace(call, space);
  }

  #legs(spec: RouterSpec): Leg[] {
    const legs: Leg[] = spec.interfaces.map(i => ({
      portId: i.portId, networkId: i.networkId, mac: i.mac, outer: this.#names.routerLeg(i.portId), inner: innerName('qr', i.portId),
      addresses: [`${i.ip}/${lengthOf(i.cidr)}`],
    }));
    // A port may have addresses in several subnets; it is one leg.
    const merged = [...Map.groupBy(legs, l => l.portId).values()].map(same => ({ ...same[0] as Leg, addresses: same.flatMap(l => l.addresses) }));
    if (spec.gateway) {
      const g = spec.gateway;
      merged.push({
        portId: g.portId, networkId: g.networkId, mac: g.mac, outer: this.#names.gatewayLeg(g.portId), inner: innerName('qg', g.portId),
        addresses: [...g.fixedIps.map(f => `${f.ip}/${lengthOf(f.cidr)}`), ...new Set([...spec.floatingIps, ...spec.portForwardings ?? []].map(f => `${f.floatingIp}/32`))],
      });
    }
    return merged;
  }

  async #plug(call: Call, space: string, legs: readonly Leg[], outside: ReadonlyMap<string, Link>, inside: ReadonlyMap<string, Link>): Promise<void> {
    const outer: string[] = [];
    const inner: string[] = [];
    const wanted = new Set(legs.map(l => l.inner));
    for (const name of inside.keys()) {
      if (/^q[rg]-/.test(name) && !wanted.has(name)) inner.push(`link del ${name}`);
    }
    for (const leg of legs) {
      const bridge = outside.get(this.#names.bridge(leg.networkId)) as Link;
      const [o, i] = [outside.get(leg.outer), inside.get(leg.inner)];
      if (!o || !i) {
        if (o) outer.push(`link del ${leg.outer}`);
        outer.push(`link add ${leg.outer} mtu ${bridge.mtu} type veth peer name ${leg.inner} mtu ${bridge.mtu} address ${leg.mac} netns ${space}`);
        outer.push(`link set ${leg.outer} alias ${this.#names.alias('port', leg.portId)}`, `link set ${leg.outer} master ${bridge.ifname} up`);
      } else {
        if (o.mtu !== bridge.mtu || o.master !== bridge.ifname) outer.push(`link set ${leg.outer} mtu ${bridge.mtu} master ${bridge.ifname} up`);
        if (i.mtu !== bridge.mtu) inner.push(`link set ${leg.inner} mtu ${bridge.mtu}`);
        if (i.address !== leg.mac.toLowerCase()) inner.push(`link set ${leg.inner} address ${leg.mac}`);
      }
      inner.push(`link set ${leg.inner} up`);
    }
    await this.#host.ip(call, outer);
    await this.#host.ip(call, inner, space);
  }

  /** Returns the addresses that were not there before, by leg. */
  async #addresses(call: Call, space: string, legs: readonly Leg[]): Promise<Map<Leg, string[]>> {
    const added = new Map<Leg, string[]>();
    const lines: string[] = [];
    for (const leg of legs) {
      const now = await addressesOf(this.#host, call, leg.inner, space);
      added.set(leg, leg.addresses.filter(a => !now.includes(a)));
      lines.push(...addressLines(leg.inner, now, leg.addresses));
    }
    await this.#host.ip(call, lines, space);
    return added;
  }

  async #gatewayRoutes(call: Call, space: string, spec: RouterSpec, version: 4 | 6): Promise<void> {
    const device = innerGateway(spec);
    const first = spec.gateway?.fixedIps.find(f => f.gatewayIp !== null && familyOf(f.cidr) === version);
    const wanted = new Map(spec.routes.filter(r => familyOf(r.destination) === version).map(r => [plain(r.destination), shortest(r.nexthop)]));
    // A static default route of the project takes the place of the gateway's.
    if (device && first?.gatewayIp && !wanted.has('default')) wanted.set('default', shortest(first.gatewayIp));
    const now = await this.#host.ask<{ dst: string; gateway?: string; protocol?: string }>(call, [`-${version}`, 'route', 'show', 'proto', 'static'], space);
    const stale = now.filter(r => wanted.get(plain(r.dst)) !== r.gateway).map(r => `${version === 6 ? '-6 ' : ''}route del ${r.dst} proto static`);
    await this.#host.ip(call, stale, space);
    for (const [destination, nexthop] of wanted) {
      if (now.some(r => plain(r.dst) === destination && r.gateway === nexthop)) continue;
      const isGateway = destination === 'default' && first?.gatewayIp && nexthop === shortest(first.gatewayIp);
      // A link-local gateway is one of a device.
      const source = isGateway ? ` dev ${device} src ${first.ip}` : '';
      try {
        await this.#host.ip(call, [`${version === 6 ? '-6 ' : ''}route replace ${destination} via ${nexthop}${source} proto static`], space);
      } catch (error) {
        // A next hop that is in no network of the router is the project's affair and harms nobody else.
        if (!(error instanceof DriverError) || error.kind !== 'broken') throw error;
        call.log.warn({ routerId: spec.id, destination, nexthop, detail: error.detail }, 'A route of a router has no reachable next hop; it is left out');
      }
    }
  }

  /** A floating IP that came from another router: tell the neighbours, who may remember the other MAC address. */
  async #announce(call: Call, space: string, spec: RouterSpec, added: ReadonlyMap<Leg, string[]>, gatewayBridge: string | undefined): Promise<void> {
    const device = innerGateway(spec);
    if (device === undefined || gatewayBridge === undefined) return;
    const fresh = [...added].filter(([leg]) => leg.inner === device).flatMap(([, ips]) => ips.map(ip => ip.split('/')[0] as string)).filter(ip => !ip.includes(':'));
    await this.#host.ip(call, fresh.map(ip => `neigh flush to ${ip} dev ${gatewayBridge}`));
    for (const ip of fresh) await this.#host.leave(call, 'ip', ['netns', 'exec', space, 'arping', '-U', '-q', '-c', '1', '-I', device, '-s', ip, ip]);
  }
}

const lengthOf = (cidr: string) => cidr.split('/')[1] as string;
/** Device names inside a router's namespace, as in Neutron. */
const innerName = (kind: 'qr' | 'qg', portId: string) => `${kind}-${shortHash(portId, 10)}`;
const innerGateway = (spec: RouterSpec) => spec.gateway ? innerName('qg', spec.gateway.portId) : undefined;
/** `ip` writes 0.0.0.0/0 and ::/0 as default and leaves out /32 and /128. */
function plain(destination: string): string {
  if (!destination.includes(':')) return destination === '0.0.0.0/0' ? 'default' : destination.replace(/\/32$/, '');
  return shortest(destination) === '::/0' ? 'default' : shortest(destination).replace(/\/128$/, '');
}
