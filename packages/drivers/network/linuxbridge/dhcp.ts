import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import ipaddr from 'ipaddr.js';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { DhcpPort, NetworkSpec, SubnetSpec } from '../contract.ts';
import { familyOf, givesAddresses, hasDhcp } from '../specs.ts';
import { endDaemon, pidOf, writeIfNew } from './daemons.ts';
import type { Host } from './host.ts';
import type { Names } from './names.ts';
import type { LinuxBridgeSettings } from './settings.ts';

/** The device in a network's namespace. */
export const LEG = 'eth0';
export const METADATA_IP = '169.254.169.254';
/** The same for guests that have IPv6 (neutron since Victoria); its lower half are the same four bytes. */
export const METADATA_IP6 = 'fe80::a9fe:a9fe';
/** Link-local addresses are there where IPv6 is: a network without it has none of its own. */
export const servesMetadata6 = (spec: NetworkSpec): boolean => spec.metadata !== null && spec.subnets.some(s => familyOf(s.cidr) === 6);

interface UserOption {
  readonly line: string;
  readonly portId: string;
}

/**
 * One dnsmasq for a network, in the network's namespace. It knows every port and gives out nothing else, and it keeps
 * no leases: a port's address is always its fixed address. That is why a changed configuration is a new process (some
 * 10 ms), and why an address can go to another port at once.
 */
export class Dhcp {
  readonly #host: Host;
  readonly #names: Names;
  readonly #settings: LinuxBridgeSettings;
  constructor(host: Host, names: Names, settings: LinuxBridgeSettings) {
    this.#host = host;
    this.#names = names;
    this.#settings = settings;
  }

  #files(networkId: string) {
    const conf = join(this.#settings.stateDir, 'dhcp', `${networkId}.conf`);
    return { conf, pid: join(this.#settings.runDir, `dnsmasq-${networkId}.pid`), mark: `--conf-file=${conf}` };
  }

  /** @param fresh the namespace is new: a process of the old one serves nobody */
  async apply(call: Call, spec: NetworkSpec, fresh: boolean): Promise<void> {
    const { conf, pid, mark } = this.#files(spec.id);
    if (!spec.subnets.some(hasDhcp)) return this.remove(spec.id);
    const options = userOptions(spec.ports);
    const base = [...confLines(spec, this.#settings.dhcpLeaseSeconds), `pid-file=${pid}`];
    const changed = await writeIfNew(conf, text([...base, ...options.map(o => o.line)]));
    if (!changed && !fresh && await pidOf(pid, mark) !== undefined) return;
    await endDaemon(pid, mark);
    const start = () => this.#host.run(call, 'ip', ['netns', 'exec', this.#names.networkSpace(spec.id), 'dnsmasq', mark]);
    try {
      await start();
    } catch (error) {
      if (!(error instanceof DriverError) || error.kind !== 'broken' || options.length === 0) throw error;
      // One port's odd option must not take DHCP from the whole network: leave out what dnsmasq does not understand.
      const good = await this.#understood(call, spec.id, options);
      await writeIfNew(conf, text([...base, ...good.map(o => o.line)]));
      await start();
    }
  }

  async #understood(call: Call, networkId: string, options: readonly UserOption[]): Promise<UserOption[]> {
    const trial = join(this.#settings.stateDir, 'dhcp', `${networkId}.trial`);
    const good: UserOption[] = [];
    for (const option of options) {
      await writeIfNew(trial, text([option.line]));
      try {
        await this.#host.run(call, 'dnsmasq', ['--test', `--conf-file=${trial}`]);
        good.push(option);
      } catch (error) {
        if (!(error instanceof DriverError) || error.kind !== 'broken') throw error;
        call.log.warn({ networkId, portId: option.portId, option: option.line }, 'The DHCP server does not know an option of a port; it is left out');
      }
    }
    await rm(trial, { force: true });
    return good;
  }

  async remove(networkId: string): Promise<void> {
    await this.end(networkId);
    await rm(this.#files(networkId).conf, { force: true });
  }

  async end(networkId: string): Promise<void> {
    const { pid, mark } = this.#files(networkId);
    await endDaemon(pid, mark);
  }

  async running(networkId: string): Promise<boolean> {
    const { pid, mark } = this.#files(networkId);
    return await pidOf(pid, mark) !== undefined;
  }
}

const text = (lines: readonly string[]) => `${lines.join('\n')}\n`;

function confLines(spec: NetworkSpec, leaseSeconds: number): string[] {
  const served = spec.subnets.filter(hasDhcp);
  return [
    // No DNS, no files of the host, no leases, answers on the network's leg only.
    'port=0', 'no-hosts', 'no-resolv', 'no-poll', 'leasefile-ro', 'quiet-dhcp', `interface=${LEG}`, 'bind-interfaces', 'except-interface=lo',
    // Guests may remember an address from before; nobody else answers for this network.
    'dhcp-authoritative',
    'user=nobody', 'group=nogroup',
    // A guest cannot take more than its share of a broadcast's work.
    'dhcp-lease-max=65536',
    ...served.flatMap((s, i) => (familyOf(s.cidr) === 4 ? subnetLines(s, `s${i}`, spec, leaseSeconds) : subnetLines6(s, `s${i}`, leaseSeconds))),
    ...spec.ports.flatMap(p => p.fixedIps
      .filter(f => served.some(s => s.id === f.subnetId && givesAddresses(s)))
      .map(f => `dhcp-host=${[p.mac, `set:${portTag(p)}`, f.ip.includes(':') ? `[${f.ip}]` : f.ip, ...(p.hostname === null ? [] : [p.hostname]), `${leaseSeconds}s`].join(',')}`)),
  ];
}

function subnetLines(s: SubnetSpec, tag: string, spec: NetworkSpec, leaseSeconds: number): string[] {
  const net = ipaddr.IPv4.networkAddressFromCIDR(s.cidr).toString();
  const mask = ipaddr.IPv4.subnetMaskFromPrefixLength(Number(s.cidr.split('/')[1])).toString();
  // Clients that take classless routes ignore the router option, so the default route is among them (RFC 3442).
  const routes = [
    ...(spec.metadata ? [[`${METADATA_IP}/32`, s.dhcpIp]] : []),
    ...s.hostRoutes.map(r => [r.destination, r.nexthop]),
    ...(s.gatewayIp === null || s.hostRoutes.some(r => r.destination === '0.0.0.0/0') ? [] : [['0.0.0.0/0', s.gatewayIp]]),
  ].flat().join(',');
  const option = (name: string, value: string | null) => `dhcp-option=tag:${tag},${name}${value ? `,${value}` : ''}`;
  return [
    `dhcp-range=set:${tag},${net},static,${mask},${leaseSeconds}s`,
    // Without a value the option is not sent; otherwise dnsmasq would name itself as the router.
    option('option:router', s.gatewayIp),
    ...(s.dnsNameservers.length > 0 ? [option('option:dns-server', s.dnsNameservers.join(','))] : []),
    option('option:mtu', String(spec.mtu)),
    // 249 is what Windows asks for instead of 121.
    ...(routes === '' ? [] : [option('121', routes), option('249', routes)]),
  ];
}

function subnetLines6(s: SubnetSpec, tag: string, leaseSeconds: number): string[] {
  return [
    // Static also where guests make their own addresses: then it answers questions about everything else.
    `dhcp-range=set:${tag},${net6(s.cidr)},static,${s.cidr.split('/')[1]},${leaseSeconds}s`,
    ...dnsLines6(tag, s.dnsNameservers),
  ];
}
export const net6 = (cidr: string): string => ipaddr.IPv6.networkAddressFromCIDR(cidr).toString();
export const dnsLines6 = (tag: string, servers: readonly string[]): string[] => (servers.length > 0 ? [`dhcp-option=tag:${tag},option6:dns-server,${servers.map(ns => `[${ns}]`).join(',')}`] : []);

const portTag = (p: DhcpPort) => `p${p.id.replaceAll('-', '')}`;

const optionName = (o: DhcpPort['dhcpOptions'][number]) => (o.version === 6 ? `option6:${o.name}` : /^\d+$/.test(o.name) ? o.name : `option:${o.name}`);

function userOptions(ports: readonly DhcpPort[]): UserOption[] {
  return ports.flatMap(p => p.dhcpOptions.map(o => ({
    portId: p.id,
    line: `dhcp-option-force=tag:${portTag(p)},${optionName(o)},${o.value}`,
  })));
}
