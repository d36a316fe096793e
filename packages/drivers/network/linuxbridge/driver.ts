import { mkdir } from 'node:fs/promises';
import type { Runner } from '@cumulet/exec';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { GroupMembers, HostNetworking, NetworkDriver, NetworkPlace, NetworkSpec, PortPlace, PortSecurity, RouterSpec } from '../contract.ts';
import { checkGroups, checkId, checkNetwork, checkPort, checkRouter } from '../specs.ts';
import { Advertising } from './advertising.ts';
import { Bridges } from './bridges.ts';
import { checkHost } from './check.ts';
import { Dhcp } from './dhcp.ts';
import { firewallBase, groupLines, groupRemovalLines, portLines, portRemovalLines } from './firewall.ts';
import { addressesOf, Host } from './host.ts';
import { HostRoutes } from './hostroutes.ts';
import { takeInventory } from './inventory.ts';
import { Metadata } from './metadata.ts';
import { namesOf, type Names } from './names.ts';
import { nftJson, takeBackPassage } from './passage.ts';
import { Routers } from './router.ts';
import { linuxBridgeDefaults, type LinuxBridgeSettings } from './settings.ts';
import { Turns } from './turns.ts';

type Given = Partial<LinuxBridgeSettings> & Pick<LinuxBridgeSettings, 'stateDir' | 'runDir'>;

/** Bridges, namespaces, nftables, dnsmasq and haproxy on this host. Needs root or the like: `check` says what is missing. */
export function linuxBridge(runner: Runner, given: Given): NetworkDriver {
  return new LinuxBridge(new Host(runner), { ...linuxBridgeDefaults, ...given });
}

class LinuxBridge implements NetworkDriver {
  readonly name = 'linuxbridge';
  readonly #host: Host;
  readonly #settings: LinuxBridgeSettings;
  readonly #names: Names;
  readonly #turns = new Turns();
  /** What each network's wires were last made from, by network id. */
  readonly #wired = new Map<string, string>();
  readonly #advertising: Advertising;
  readonly #dhcp: Dhcp;
  readonly #metadata: Metadata;
  readonly #bridges: Bridges;
  readonly #routers: Routers;

  constructor(host: Host, settings: LinuxBridgeSettings) {
    this.#host = host;
    this.#settings = settings;
    this.#names = namesOf(settings.prefix);
    const routes = new HostRoutes(host, settings);
    this.#advertising = new Advertising(host, settings);
    this.#dhcp = new Dhcp(host, this.#names, settings);
    this.#metadata = new Metadata(host, this.#names, settings, this.#turns);
    this.#bridges = new Bridges(host, this.#names, settings, routes);
    this.#routers = new Routers(host, this.#names, routes, this.#advertising);
  }

  async check(call: Call): Promise<void> {
    await checkHost(this.#host, call, this.#names, this.#settings);
  }

  async applyNetwork(call: Call, spec: NetworkSpec): Promise<NetworkPlace> {
    checkNetwork(spec);
    return this.#turns.take(`network ${spec.id}`, call.signal, async () => {
      const served = spec.metadata !== null || spec.subnets.some(s => s.dhcpIp !== null);
      const wires = JSON.stringify({ ...spec, ports: [] });
      // Most often only a port has come or gone: then a look at the wires is enough, and DHCP is told.
      const stands = this.#wired.get(spec.id) === wires && await this.#bridges.stands(call, spec, served);
      let fresh = false;
      if (!stands) {
        this.#wired.delete(spec.id);
        await this.#folders();
        await this.#bridges.apply(call, spec);
        fresh = served && await this.#bridges.applySpace(call, spec);
      }
      await this.#dhcp.apply(call, spec, fresh);
      await this.#metadata.apply(call, spec);
      if (!served) await this.#bridges.removeSpace(call, spec.id);
      this.#wired.set(spec.id, wires);
      return { bridge: this.#names.bridge(spec.id) };
    });
  }

  async removeNetwork(call: Call, networkId: string): Promise<void> {
    checkId(networkId);
    await this.#turns.take(`network ${networkId}`, call.signal, async () => {
      this.#wired.delete(networkId);
      const members = await this.#bridges.members(call, networkId);
      if (members.length > 0) throw new DriverError('busy', 'The network is still in use on the host.', { detail: members.join(' ') });
      await this.#dhcp.remove(networkId);
      await this.#metadata.remove(call, networkId);
      await this.#bridges.removeSpace(call, networkId);
      await this.#bridges.remove(call, networkId);
    });
  }

  async applyRouter(call: Call, spec: RouterSpec): Promise<void> {
    checkRouter(spec);
    await this.#turns.take(`router ${spec.id}`, call.signal, () => this.#routers.apply(call, spec));
  }

  async removeRouter(call: Call, routerId: string): Promise<void> {
    checkId(routerId);
    await this.#turns.take(`router ${routerId}`, call.signal, () => this.#routers.remove(call, routerId));
  }

  async plugPort(call: Call, port: PortSecurity, groups: readonly GroupMembers[]): Promise<PortPlace> {
    const bridge = this.#names.bridge(checkId(port.networkId));
    const link = (await this.#host.links(call)).get(bridge);
    if (!link) throw new DriverError('absent', "The port's network is not on this host.", { detail: port.networkId });
    await this.applySecurity(call, [port], groups);
    return { bridge, tapName: this.#names.tap(port.portId), mtu: link.mtu };
  }

  async unplugPort(call: Call, portId: string): Promise<void> {
    const tap = this.#names.tap(checkId(portId));
    await this.#host.removeLinks(call, [tap]);
    await this.#nft(call, portRemovalLines(this.#names, portId));
  }

  async applySecurity(call: Call, ports: readonly PortSecurity[], groups: readonly GroupMembers[]): Promise<void> {
    ports.forEach(checkPort);
    checkGroups(groups);
    await this.#nft(call, [...groupLines(this.#names, groups), ...portLines(this.#names, ports)]);
  }

  async removeGroups(call: Call, groupIds: readonly string[]): Promise<void> {
    groupIds.forEach(id => checkId(id));
    for (const id of groupIds) {
      try {
        await this.#nft(call, groupRemovalLines(this.#names, id));
      } catch (error) {
        // The kernel refuses to remove a set that a rule names.
        if (!(error instanceof DriverError) || !error.detail?.includes('Device or resource busy')) throw error;
        await this.#nft(call, groupLines(this.#names, [{ id, members: [] }]));
      }
    }
  }

  async list(call: Call): Promise<HostNetworking> {
    return takeInventory(this.#host, call, this.#names, this.#dhcp, this.#metadata, this.#advertising);
  }

  async hostAddressOf(call: Call, networkId: string): Promise<string | null> {
    const bridge = this.#names.bridge(checkId(networkId));
    if (!(await this.#host.links(call)).has(bridge)) return null;
    const [first] = await addressesOf(this.#host, call, bridge);
    return first?.split('/')[0] ?? null;
  }

  async stopAll(call: Call, { keepWires }: { keepWires: boolean }): Promise<void> {
    const all = await this.list(call);
    await this.#metadata.end(call);
    for (const network of all.networks) await this.#dhcp.end(network.id);
    for (const router of all.routers) await this.#advertising.end(router.id);
    if (keepWires) return;
    for (const router of all.routers) await this.removeRouter(call, router.id);
    await this.#host.removeLinks(call, all.ports.map(p => p.tapName));
    for (const network of all.networks) {
      await this.#host.removeLinks(call, await this.#bridges.members(call, network.id));
      await this.removeNetwork(call, network.id);
    }
    for (const stray of all.strays) {
      if (this.#names.ofSpace(stray)) await this.#host.removeSpace(call, stray);
    }
    await this.#host.removeLinks(call, all.strays.filter(s => this.#names.isDevice(s)));
    await takeBackPassage(this.#host, call, this.#names);
    const tables = await nftJson<{ table?: { family: string; name: string } }>(this.#host, call, ['list', 'tables']);
    const ours = tables.flatMap(({ table: t }) => t?.name === this.#names.table ? [`delete table ${t.family} ${t.name}\n`] : []);
    if (ours.length > 0) await this.#host.nft(call, ours.join(''));
  }

  async #nft(call: Call, lines: readonly string[]): Promise<void> {
    await this.#host.nft(call, `${[...firewallBase(this.#names), ...lines].join('\n')}\n`);
  }

  async #folders(): Promise<void> {
    await mkdir(this.#settings.stateDir, { recursive: true, mode: 0o755 });
    await mkdir(this.#settings.runDir, { recursive: true, mode: 0o755 });
  }
}
