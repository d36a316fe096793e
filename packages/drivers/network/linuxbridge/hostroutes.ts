import { createHash } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import type { Call } from '../../call.ts';
import type { RouterSpec } from '../contract.ts';
import type { Host } from './host.ts';
import type { LinuxBridgeSettings } from './settings.ts';

interface Route {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly protocol?: string;
  readonly metric?: number;
}

/** A number of `ip route`'s protocol field that marks the host's routes as ours; the metric says of which router. */
const PROTOCOL = '87';

/** Routes of the host to guests' fixed addresses, and the rule that they never lead the host's own traffic astray. */
export class HostRoutes {
  readonly #host: Host;
  readonly #settings: LinuxBridgeSettings;
  constructor(host: Host, settings: LinuxBridgeSettings) {
    this.#host = host;
    this.#settings = settings;
  }

  async apply(call: Call, spec: RouterSpec, bridge: string | undefined): Promise<void> {
    const via = spec.gateway?.fixedIps.find(f => !f.ip.includes(':'))?.ip;
    const wanted = this.#settings.hostAccess && bridge !== undefined && via !== undefined
      ? spec.interfaces.filter(i => i.hostAccess && !i.ip.includes(':')).map(i => ipaddr.IPv4.networkAddressFromCIDR(i.cidr).toString() + i.cidr.slice(i.cidr.indexOf('/')))
      : [];
    const metric = metricOf(spec.id);
    const mine = (await this.#ours(call)).filter(r => r.metric === metric);
    const kept = mine.filter(r => wanted.includes(r.dst) && r.gateway === via && r.dev === bridge);
    await this.#delete(call, mine.filter(r => !kept.includes(r)));
    const all = await this.#all(call);
    for (const cidr of new Set(wanted)) {
      if (kept.some(r => r.dst === cidr)) continue;
      const reason = isPrivate(cidr) ? all.find(r => overlap(r.dst, cidr))?.dst : 'not a private range';
      if (reason !== undefined) call.log.warn({ routerId: spec.id, cidr, reason }, 'The host gets no route to a subnet: its addresses are in use elsewhere');
      else await this.#host.ip(call, [`route replace ${cidr} via ${via} dev ${bridge} proto ${PROTOCOL} metric ${metric}`]);
    }
  }

  async remove(call: Call, routerId: string): Promise<void> {
    const metric = metricOf(routerId);
    await this.#delete(call, (await this.#ours(call)).filter(r => r.metric === metric));
  }

  /** Whether the host uses these addresses by itself, apart from `device`. */
  async uses(call: Call, cidr: string, device: string): Promise<boolean> {
    return (await this.#all(call)).some(r => r.dev !== device && overlap(r.dst, cidr));
  }

  /** The IPv4 networks that the host has devices in, apart from `ours`. */
  async connected(call: Call, ours: (device: string) => boolean): Promise<string[]> {
    return (await this.#all(call)).filter(r => r.gateway === undefined && r.dev !== undefined && !r.dst.includes(':') && !ours(r.dev)).map(r => r.dst);
  }

  async #delete(call: Call, routes: readonly Route[]): Promise<void> {
    await this.#host.ip(call, routes.map(r => `route del ${r.dst} dev ${r.dev} proto ${PROTOCOL} metric ${r.metric}`));
  }

  async #ours(call: Call): Promise<Route[]> {
    return this.#host.ask<Route>(call, ['-4', 'route', 'show', 'proto', PROTOCOL]);
  }

  async #all(call: Call): Promise<Route[]> {
    const both = await Promise.all(['-4', '-6'].map(family => this.#host.ask<Route>(call, [family, 'route', 'show'])));
    return both.flat().filter(r => r.dst !== 'default' && !r.dst.startsWith('fe80:') && !r.dst.startsWith('multicast'));
  }
}

/** Above what administrators and DHCP clients use, so that a route of theirs always wins. */
function metricOf(routerId: string): number {
  return 1_000_000 + createHash('sha256').update(routerId.toLowerCase()).digest().readUInt32BE() % 1_000_000_000;
}

function overlap(a: string, b: string): boolean {
  const [x, y] = [a, b].map(c => ipaddr.parseCIDR(c.includes('/') ? c : `${c}/${c.includes(':') ? 128 : 32}`)) as [[ipaddr.IPv4 | ipaddr.IPv6, number], [ipaddr.IPv4 | ipaddr.IPv6, number]];
  return x[0].kind() === y[0].kind() && x[0].match([y[0], Math.min(x[1], y[1])] as never);
}

function isPrivate(cidr: string): boolean {
  const ends = [ipaddr.IPv4.networkAddressFromCIDR(cidr), ipaddr.IPv4.broadcastAddressFromCIDR(cidr)].map(ip => ip.range());
  return ends[0] === ends[1] && (ends[0] === 'private' || ends[0] === 'carrierGradeNat');
}
