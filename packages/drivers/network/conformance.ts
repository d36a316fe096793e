import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plainCall } from '../call.ts';
import type { DriverErrorKind } from '../errors.ts';
import type { NetworkDriver, NetworkSpec, PortSecurity, RouterSpec, SecurityRule } from './contract.ts';
import type { NetworkLab } from './lab.ts';
import { anyIPv4, trafficConformance } from './traffic.ts';
import { ipv6Conformance } from './traffic6.ts';

const call = plainCall('conformance');
const kind = (k: DriverErrorKind) => expect.objectContaining({ kind: k });

/** The behaviour that every network driver has. @param open a lab whose host holds nothing of the driver's yet, with guests unless it is without traffic */
export function networkConformance(open: () => Promise<NetworkLab>, options: { readonly without?: 'traffic' } = {}): void {
  describe('network driver', () => {
    let lab: NetworkLab;
    let driver: NetworkDriver;
    const id = { net: randomUUID(), ext: randomUUID(), other: randomUUID(), router: randomUUID(), subnet: randomUUID(), group: randomUUID(), dead: randomUUID() };
    const mac = (n: number) => `fa:16:3e:00:00:${n.toString(16).padStart(2, '0')}`;

    const port = (n: number, rules: readonly SecurityRule[], more: Partial<PortSecurity> = {}): PortSecurity => ({
      portId: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`, networkId: id.net, mac: mac(n), fixedIps: [`10.66.0.${n}`],
      allowedAddressPairs: [], portSecurity: true, adminStateUp: true, rules, ...more,
    });
    const network = (more: Partial<NetworkSpec> = {}): NetworkSpec => ({
      id: id.net, mtu: 1442, external: false, metadata: { socketPath: lab.metadataSocket, headers: { 'X-Secret': 's3' } },
      subnets: [{ id: id.subnet, cidr: '10.66.0.0/24', gatewayIp: '10.66.0.1', dhcpIp: '10.66.0.2', dnsNameservers: ['10.66.0.53'], hostRoutes: [{ destination: '10.99.0.0/16', nexthop: '10.66.0.7' }] }],
      ports: [11, 12, 13].map(n => ({ id: port(n, []).portId, mac: mac(n), fixedIps: [{ subnetId: id.subnet, ip: `10.66.0.${n}` }], hostname: `host-${n}`, dhcpOptions: n === 12 ? [{ name: 'bootfile-name', value: 'pxelinux.0' }] : [] })),
      ...more,
    });
    const external = (): NetworkSpec => ({
      id: id.ext, mtu: 1500, external: true, metadata: null, ports: [],
      subnets: [{ id: randomUUID(), cidr: '172.29.66.0/24', gatewayIp: '172.29.66.1', dhcpIp: null, dnsNameservers: [], hostRoutes: [] }],
    });
    const router = (more: Partial<RouterSpec> = {}): RouterSpec => ({
      id: id.router, routes: [], floatingIps: [],
      gateway: { portId: randomUUID(), mac: mac(201), networkId: id.ext, fixedIps: [{ ip: '172.29.66.10', cidr: '172.29.66.0/24', gatewayIp: '172.29.66.1' }], enableSnat: true },
      interfaces: [{ portId: id.router, mac: mac(200), networkId: id.net, ip: '10.66.0.1', cidr: '10.66.0.0/24', hostAccess: true }],
      ...more,
    });

    beforeAll(async () => {
      lab = await open();
      driver = lab.driver;
      await driver.check(call);
    });
    afterAll(async () => {
      await driver?.stopAll(call, { keepWires: false });
      expect(await driver?.list(call)).toEqual({ networks: [], routers: [], ports: [], groups: [], strays: [] });
      await lab?.close();
    });

    test('what is gone is removed with success, and nothing is there before anything was applied', async () => {
      await driver.removeRouter(call, id.router);
      await driver.unplugPort(call, port(11, []).portId);
      await driver.removeGroups(call, [id.group]);
      await driver.removeNetwork(call, id.net);
      expect(await driver.list(call)).toEqual({ networks: [], routers: [], ports: [], groups: [], strays: [] });
      expect(await driver.hostAddressOf(call, id.ext)).toBeNull();
    });

    test('what needs a network that was not applied fails as absent', async () => {
      await expect(driver.plugPort(call, port(11, []), [])).rejects.toEqual(kind('absent'));
      await expect(driver.applyRouter(call, router())).rejects.toEqual(kind('absent'));
    });

    test('a network is there after the first and after every further apply', async () => {
      const first = await driver.applyNetwork(call, network());
      expect(first.bridge.length).toBeLessThanOrEqual(15);
      expect(await driver.applyNetwork(call, network())).toEqual(first);
      await driver.applyNetwork(call, external());
      const listed = await driver.list(call);
      expect(listed.networks).toEqual(expect.arrayContaining([{ id: id.net, bridge: first.bridge, dhcp: true, metadata: true }, expect.objectContaining({ id: id.ext, dhcp: false, metadata: false })]));
      expect(listed.strays).toEqual([]);
      expect(await driver.hostAddressOf(call, id.ext)).toBe('172.29.66.1');
      expect(await driver.hostAddressOf(call, id.net)).toBeNull();
    });

    test.each<[string, Partial<NetworkSpec>]>([
      ['a line break in a DHCP option', { ports: [{ ...network0(), dhcpOptions: [{ name: 'bootfile-name', value: 'x\ndhcp-script=/bin/sh' }] }] }],
      ['a quote in a DHCP option', { ports: [{ ...network0(), dhcpOptions: [{ name: 'bootfile-name', value: '"' }] }] }],
      ['an option name with a comma', { ports: [{ ...network0(), dhcpOptions: [{ name: '6,1.1.1.1', value: 'x' }] }] }],
      ['a host name with a comma', { ports: [{ ...network0(), hostname: 'a,set:b' }] }],
      ['a MAC with more behind it', { ports: [{ ...network0(), mac: 'fa:16:3e:00:00:01,ignore' }] }],
      ['an octal address', { ports: [{ ...network0(), fixedIps: [{ subnetId: 'aa', ip: '010.0.0.1' }] }] }],
      ['a CIDR without a length', { subnets: [{ id: 'aa', cidr: '10.0.0.0', gatewayIp: null, dhcpIp: null, dnsNameservers: [], hostRoutes: [] }] }],
      ['an MTU of zero', { mtu: 0 }],
      ['a gateway of the other family', { subnets: [{ id: 'aa', cidr: '2001:db8::/64', gatewayIp: '10.0.0.1', dhcpIp: null, dnsNameservers: [], hostRoutes: [] }] }],
      ['IPv6 modes of an IPv4 subnet', { subnets: [{ id: 'aa', cidr: '10.0.0.0/24', gatewayIp: null, dhcpIp: null, dnsNameservers: [], hostRoutes: [], ipv6: { raMode: 'slaac', addressMode: 'slaac' } }] }],
      ['a zone in an address', { subnets: [{ id: 'aa', cidr: 'fe80::%eth0/64', gatewayIp: null, dhcpIp: null, dnsNameservers: [], hostRoutes: [] }] }],
      ['an id that is a path', { id: '../../etc' }],
      ['a metadata URL with a path', { metadata: { url: 'http://127.0.0.1:8775/x' } }],
    ])('refuses %s', async (_what, more) => {
      await expect(driver.applyNetwork(call, network(more))).rejects.toEqual(kind('invalid'));
    });

    test.each<[string, Partial<SecurityRule>]>([
      ['a remote prefix that is a rule', { remote: { cidr: '0.0.0.0/0 accept' } }],
      ['a remote prefix of the other family', { remote: { cidr: '::/0' } }],
      ['a group id that is a rule', { remote: { groupId: 'x accept' } }],
      ['a protocol beyond 255', { protocol: 256 }],
      ['a fraction of a port', { protocol: 6, portMin: 1.5 }],
    ])('refuses %s', async (_what, more) => {
      await expect(driver.applySecurity(call, [port(11, [anyIPv4('ingress', more)])], [])).rejects.toEqual(kind('invalid'));
    });

    test.each<[string, object]>([
      ['a port that is a rule', { outside: { min: '80 accept', max: 80 } }],
      ['a range that runs backwards', { outside: { min: 90, max: 80 } }],
      ['ranges of different length', { outside: { min: 80, max: 90 }, inside: { min: 80, max: 81 } }],
      ['a protocol without ports', { protocol: 1 }],
      ['an address of the other family', { fixedIp: '2001:db8::1' }],
    ])('refuses to forward %s', async (_what, more) => {
      const forwarding = { floatingIp: '172.29.66.101', fixedIp: '10.66.0.12', protocol: 6, outside: { min: 80, max: 80 }, inside: { min: 80, max: 80 }, ...more };
      await expect(driver.applyRouter(call, router({ portForwardings: [forwarding] }))).rejects.toEqual(kind('invalid'));
    });

    test.each<[string, object]>([
      ['a limit that is a rule', { egress: { kbps: '1 accept', burstKb: 0 } }],
      ['a limit of nothing', { ingress: { kbps: 0, burstKb: 0 } }],
      ['a burst that runs backwards', { ingress: { kbps: 1, burstKb: -1 } }],
      ['a mark of seven bits', { dscp: 64 }],
    ])('refuses %s', async (_what, qos) => {
      await expect(driver.applySecurity(call, [port(11, [], { qos })], [])).rejects.toEqual(kind('invalid'));
    });

    test('limits and marks of every size', async () => {
      const sizes = [{ kbps: 1, burstKb: 0 }, { kbps: 1000, burstKb: 800 }, { kbps: 5_000_000, burstKb: 2_147_483_647 }, { kbps: 80_000_000, burstKb: 2_147_483_647 }, { kbps: 2_147_483_647, burstKb: 2_147_483_647 }];
      for (const limit of sizes) await driver.plugPort(call, port(19, [], { qos: { egress: limit, ingress: limit, dscp: 46 } }), []);
      await driver.applySecurity(call, [port(19, [], { portSecurity: false, qos: { dscp: 0 } })], []);
      await driver.unplugPort(call, port(19, []).portId);
    });

    test('IPv6 rules', async () => {
      await driver.plugPort(call, port(19, [anyIPv4('egress', { ethertype: 'IPv6' }), anyIPv4('ingress', { ethertype: 'IPv6', protocol: 58, portMin: 128, remote: { cidr: '2001:db8::/32' } })]), []);
      await driver.unplugPort(call, port(19, []).portId);
    });

    test('a port is plugged again with the same answer and unplugged twice', async () => {
      const place = await driver.plugPort(call, port(18, []), []);
      expect(place.tapName.length).toBeLessThanOrEqual(15);
      expect(place.mtu).toBe(1442);
      expect(await driver.plugPort(call, port(18, [anyIPv4('egress')]), [])).toEqual(place);
      expect((await driver.list(call)).ports).toEqual([{ id: port(18, []).portId, tapName: place.tapName, plugged: false }]);
      await driver.unplugPort(call, port(18, []).portId);
      await driver.unplugPort(call, port(18, []).portId);
      expect((await driver.list(call)).ports).toEqual([]);
    });

    test('a group that a filter names outlives its removal, and goes after the filter', async () => {
      const p = port(17, [anyIPv4('ingress', { remote: { groupId: id.dead } })]);
      await driver.applySecurity(call, [p], [{ id: id.dead, members: ['10.66.0.11', '10.66.0.0/28', '2001:db8::1'] }]);
      await driver.removeGroups(call, [id.dead]);
      expect((await driver.list(call)).groups).toContain(id.dead);
      await driver.unplugPort(call, p.portId);
      await driver.removeGroups(call, [id.dead]);
      expect((await driver.list(call)).groups).not.toContain(id.dead);
    });

    test('a call whose signal is aborted throws the reason and is no obstacle to the next', async () => {
      const reason = new Error('cancelled');
      await expect(driver.applyNetwork(plainCall('x', AbortSignal.abort(reason)), network())).rejects.toBe(reason);
      await driver.applyNetwork(call, network());
    });

    test('the same said by several callers at once is said once', async () => {
      await Promise.all([1, 2, 3].flatMap(() => [driver.applyNetwork(call, network()), driver.applyNetwork(call, external())]));
      await driver.applyRouter(call, router());
      await Promise.all([driver.applyRouter(call, router()), driver.applyRouter(call, router()), driver.plugPort(call, port(11, []), []), driver.plugPort(call, port(12, []), [])]);
      const listed = await driver.list(call);
      expect(listed.routers).toEqual([{ id: id.router }]);
      expect(listed.ports).toHaveLength(2);
      expect(listed.strays).toEqual([]);
      await driver.unplugPort(call, port(11, []).portId);
      await driver.unplugPort(call, port(12, []).portId);
    });

    test('a network with a guest or a router on it is busy', async () => {
      await expect(driver.removeNetwork(call, id.net)).rejects.toEqual(kind('busy'));
      await driver.removeRouter(call, id.router);
      const p = port(16, [anyIPv4('egress')]);
      const place = await driver.plugPort(call, p, []);
      const guest = await lab.guest?.(place, p.mac);
      lab.setPlugged?.(p.portId, true);
      expect((await driver.list(call)).ports).toEqual([{ id: p.portId, tapName: place.tapName, plugged: true }]);
      await expect(driver.removeNetwork(call, id.net)).rejects.toEqual(kind('busy'));
      // The hypervisor died and left the tap.
      await driver.unplugPort(call, p.portId);
      await guest?.unplug();
      await driver.removeNetwork(call, id.net);
      expect((await driver.list(call)).networks.map(n => n.id)).toEqual([id.ext]);
    });

    test('helpers end and come back, wires stay', async () => {
      await driver.applyNetwork(call, network());
      await driver.stopAll(call, { keepWires: true });
      await driver.stopAll(call, { keepWires: true });
      expect((await driver.list(call)).networks).toEqual(expect.arrayContaining([expect.objectContaining({ id: id.net, dhcp: false, metadata: false })]));
      await driver.applyNetwork(call, network());
      expect((await driver.list(call)).networks).toEqual(expect.arrayContaining([expect.objectContaining({ id: id.net, dhcp: true, metadata: true })]));
    });

    if (!options.without) trafficConformance(() => ({ lab, id, port, network, external, router }));
    ipv6Conformance(() => lab, options);
  });
}

/** A port to spoil. */
const network0 = () => ({ id: 'aa', mac: 'fa:16:3e:00:00:01', fixedIps: [], hostname: null, dhcpOptions: [] });
