import type { Call } from '../../call.ts';
import type { NetworkSpec } from '../contract.ts';
import { familyOf } from '../specs.ts';
import { LEG, METADATA_IP, METADATA_IP6, servesMetadata6 } from './dhcp.ts';
import { firewallBase } from './firewall.ts';
import { addressesOf, addressLines, quietIpv6, type Host } from './host.ts';
import type { HostRoutes } from './hostroutes.ts';
import { macOf, type Names } from './names.ts';
import { letBridgedPass, nftJson } from './passage.ts';
import type { LinuxBridgeSettings } from './settings.ts';
import { trackedLines, trackingBase, untrackedLines } from './tracking.ts';

/** A network's bridge in the host's namespace, and the namespace in which its DHCP and metadata live. */
export class Bridges {
  readonly #host: Host;
  readonly #names: Names;
  readonly #settings: LinuxBridgeSettings;
  readonly #routes: HostRoutes;
  constructor(host: Host, names: Names, settings: LinuxBridgeSettings, routes: HostRoutes) {
    this.#host = host;
    this.#names = names;
    this.#settings = settings;
    this.#routes = routes;
  }

  async apply(call: Call, spec: NetworkSpec): Promise<void> {
    const bridge = this.#names.bridge(spec.id);
    let link = (await this.#host.links(call)).get(bridge);
    if (!link) {
      await this.#host.ip(call, [`link add ${bridge} address ${macOf(spec.id)} type bridge`]);
      link = (await this.#host.links(call)).get(bridge);
    }
    // The host has no part in a project's network: no IPv6 address of its own, no answer to a guest's ARP. Setting all
    // of it each time repairs what a crash left half done.
    const addresses = await this.#hostAddresses(call, spec, bridge);
    await this.#host.sysctl(call, [
      `net.ipv6.conf.${bridge}.disable_ipv6=${addresses.some(a => a.includes(':')) ? 0 : 1}`, `net.ipv6.conf.${bridge}.accept_ra=0`, `net.ipv4.conf.${bridge}.arp_ignore=${spec.external ? 1 : 8}`,
    ]);
    await this.#host.ip(call, [
      `link set ${bridge} alias ${this.#names.alias('network', spec.id)}`,
      `link set ${bridge} type bridge forward_delay 0 stp_state 0 mcast_snooping 0 nf_call_iptables 1 nf_call_ip6tables 1 nf_call_arptables 0`,
      `link set ${bridge} mtu ${spec.mtu}`,
    ]);
    // The rules stand before the bridge comes up.
    await this.#rules(call, trackedLines(this.#names, spec.id, link?.ifindex ?? 0, spec.external));
    await letBridgedPass(this.#host, call, this.#names);
    if (spec.external && this.#settings.forward !== 'none') await this.#host.sysctl(call, ['net.ipv4.ip_forward=1']);
    await this.#host.ip(call, [
      `link set ${bridge} up`,
      ...addressLines(bridge, await addressesOf(this.#host, call, bridge), addresses),
    ]);
  }

  /** Whether what `apply` and `applySpace` made is still there: someone may have flushed the host's rules, or removed a device. */
  async stands(call: Call, spec: NetworkSpec, served: boolean): Promise<boolean> {
    const [links, spaces, tables] = await Promise.all([
      this.#host.links(call), this.#host.spaces(call), nftJson<{ table?: { family: string; name: string } }>(this.#host, call, ['list', 'tables']),
    ]);
    const bridge = links.get(this.#names.bridge(spec.id));
    const families = tables.flatMap(({ table: t }) => t?.name === this.#names.table ? [t.family] : []);
    const leg = links.get(this.#names.dhcpLeg(spec.id));
    return bridge?.flags.includes('UP') === true && bridge.mtu === spec.mtu && ['bridge', 'inet'].every(f => families.includes(f))
      && (!served || (leg?.master === bridge.ifname && spaces.has(this.#names.networkSpace(spec.id))));
  }

  /** The gateway addresses of an external network's subnets, where the host is the gateway. */
  async #hostAddresses(call: Call, spec: NetworkSpec, bridge: string): Promise<string[]> {
    if (!spec.external || !this.#settings.hostAccess) return [];
    const mine: string[] = [];
    for (const s of spec.subnets) {
      // A link-local gateway is somebody else's: the host has none that it could choose.
      if (s.gatewayIp === null || /^fe[89ab]/i.test(s.gatewayIp)) continue;
      if (await this.#routes.uses(call, s.cidr, bridge)) {
        call.log.warn({ networkId: spec.id, cidr: s.cidr }, 'The host gets no address in an external network: its addresses are in use elsewhere');
      } else mine.push(`${s.gatewayIp}/${s.cidr.split('/')[1]}`);
    }
    return mine;
  }

  /** Returns whether the namespace or its leg was made anew. */
  async applySpace(call: Call, spec: NetworkSpec): Promise<boolean> {
    const [space, leg, bridge] = [this.#names.networkSpace(spec.id), this.#names.dhcpLeg(spec.id), this.#names.bridge(spec.id)];
    const inside = await this.#host.ensureSpace(call, space);
    const outside = (await this.#host.links(call)).get(leg);
    const fresh = !outside || !inside.has(LEG);
    if (fresh) {
      await this.#host.ip(call, [
        ...(outside ? [`link del ${leg}`] : []),
        `link add ${leg} type veth peer name ${LEG} address ${macOf(`leg ${spec.id}`)} netns ${space}`,
      ]);
    }
    await this.#host.ip(call, [`link set ${leg} mtu ${spec.mtu} alias ${this.#names.alias('network', spec.id)}`, `link set ${leg} master ${bridge} up`]);
    await this.#host.sysctl(call, ['net.ipv4.ip_forward=0', 'net.ipv4.conf.all.promote_secondaries=1', ...quietIpv6(servesMetadata6(spec) || spec.subnets.some(s => s.dhcpIp?.includes(':')), LEG)], space);
    const wanted = spec.subnets.flatMap(s => s.dhcpIp === null ? [] : [`${s.dhcpIp}/${s.cidr.split('/')[1]}`]);
    if (spec.metadata) wanted.push(`${METADATA_IP}/32`);
    await this.#host.ip(call, [
      `link set ${LEG} mtu ${spec.mtu} up`,
      ...addressLines(LEG, await addressesOf(this.#host, call, LEG, space), wanted),
      ...(servesMetadata6(spec) ? [`addr replace ${METADATA_IP6}/64 dev ${LEG} nodad`] : []),
      // Guests of a subnet without DHCP find metadata by their own link-local route; the answer needs a way back.
      ...spec.subnets.filter(s => s.dhcpIp === null && familyOf(s.cidr) === 4).map(s => `route replace ${s.cidr} dev ${LEG} scope link`),
    ], space);
    return fresh;
  }

  async removeSpace(call: Call, networkId: string): Promise<void> {
    await this.#host.removeLinks(call, [this.#names.dhcpLeg(networkId)]);
    await this.#host.removeSpace(call, this.#names.networkSpace(networkId));
  }

  /** What is on the bridge besides our own leg: taps of guests, legs of routers. */
  async members(call: Call, networkId: string): Promise<string[]> {
    const bridge = this.#names.bridge(networkId);
    const own = this.#names.dhcpLeg(networkId);
    return [...(await this.#host.links(call)).values()].filter(l => l.master === bridge && l.ifname !== own).map(l => l.ifname);
  }

  async remove(call: Call, networkId: string): Promise<void> {
    await this.#host.removeLinks(call, [this.#names.bridge(networkId)]);
    await this.#rules(call, untrackedLines(this.#names, networkId));
  }

  async #rules(call: Call, lines: readonly string[]): Promise<void> {
    const denied = [...this.#settings.forwardDeny, ...await this.#routes.connected(call, device => this.#names.isDevice(device))];
    await this.#host.nft(call, `${[...firewallBase(this.#names), ...trackingBase(this.#names, this.#settings, denied), ...lines].join('\n')}\n`);
  }
}
