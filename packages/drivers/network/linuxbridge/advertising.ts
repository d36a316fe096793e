import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call } from '../../call.ts';
import type { RouterInterface, RouterSpec } from '../contract.ts';
import { endDaemon, pidOf, readIfThere, writeIfNew } from './daemons.ts';
import { dnsLines6, net6 } from './dhcp.ts';
import type { Host } from './host.ts';
import type { LinuxBridgeSettings } from './settings.ts';

/**
 * Router advertisements: a dnsmasq in the router's namespace tells the guests of its IPv6 subnets where the way out is, and whether they make
 * their addresses themselves. It knows no guest, so it answers no DHCPv6: that is for the one in the network's own namespace.
 */
export class Advertising {
  readonly #host: Host;
  readonly #settings: LinuxBridgeSettings;
  constructor(host: Host, settings: LinuxBridgeSettings) {
    this.#host = host;
    this.#settings = settings;
  }

  #files(routerId: string) {
    const conf = join(this.#settings.stateDir, 'ra', `${routerId}.conf`);
    return { conf, pid: join(this.#settings.runDir, `ra-${routerId}.pid`), mark: `--conf-file=${conf}` };
  }

  /** @param leg name of the device of an interface's port */
  async apply(call: Call, spec: RouterSpec, space: string, leg: (portId: string) => string): Promise<void> {
    const announced = spec.interfaces.filter(i => i.advertise);
    if (announced.length === 0) return this.remove(spec.id);
    const { conf, pid, mark } = this.#files(spec.id);
    // A namespace made anew has another number: a process of the old one speaks to nobody.
    const { ino } = await stat(join('/run/netns', space));
    const changed = await writeIfNew(conf, `# namespace ${ino}\n${lines(announced, leg, this.#settings.dhcpLeaseSeconds, pid).join('\n')}\n`);
    if (!changed && await pidOf(pid, mark) !== undefined) return;
    await endDaemon(pid, mark);
    await this.#host.run(call, 'ip', ['netns', 'exec', space, 'dnsmasq', mark]);
  }

  async remove(routerId: string): Promise<void> {
    await this.end(routerId);
    await rm(this.#files(routerId).conf, { force: true });
  }

  async end(routerId: string): Promise<void> {
    const { pid, mark } = this.#files(routerId);
    await endDaemon(pid, mark);
  }

  /** Whether it ought to run and does not. */
  async isDown(routerId: string): Promise<boolean> {
    const { conf, pid, mark } = this.#files(routerId);
    return await readIfThere(conf) !== undefined && await pidOf(pid, mark) === undefined;
  }
}

/** Seconds between two unasked advertisements, and for how long guests hold the router for one after the last. */
const INTERVAL = 60;
const LIFETIME = 1800;

function lines(announced: readonly RouterInterface[], leg: (portId: string) => string, leaseSeconds: number, pid: string): string[] {
  const legs = [...Map.groupBy(announced, i => leg(i.portId))];
  return [
    'port=0', 'no-hosts', 'no-resolv', 'no-poll', 'leasefile-ro', 'quiet-dhcp6', 'quiet-ra', 'enable-ra', 'bind-interfaces', 'except-interface=lo', 'user=nobody', 'group=nogroup', `pid-file=${pid}`,
    'dhcp-ignore=tag:!known',
    ...legs.flatMap(([device, of]) => [`interface=${device}`, `ra-param=${device},mtu:${of[0]?.advertise?.mtu ?? 1500},${INTERVAL},${LIFETIME}`]),
    ...announced.flatMap((i, n) => [
      `dhcp-range=set:r${n},${net6(i.cidr)},${modes[i.advertise?.mode ?? 'slaac']},${i.cidr.split('/')[1]},${leaseSeconds}s`,
      ...dnsLines6(`r${n}`, i.advertise?.dnsNameservers ?? []),
    ]),
  ];
}
const modes = { slaac: 'ra-only', 'dhcpv6-stateless': 'ra-stateless', 'dhcpv6-stateful': 'static' } as const;
