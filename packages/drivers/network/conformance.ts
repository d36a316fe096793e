import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plainCall } from '../call.ts';
import type { DriverErrorKind } from '../errors.ts';
import type { NetworkDriver, NetworkSpec, PortPlace, PortSecurity, RouterSpec, SecurityRule } from './contract.ts';

/** What a test may do on the host beside the driver. */
export interface NetworkLab {
  readonly driver: NetworkDriver;
  /** Plays the hypervisor: makes the tap device of a port and a guest behind it. Absent: nothing travels in this lab. */
  readonly guest?: (place: PortPlace, mac: string) => Promise<Guest>;
  /** Does what the hypervisor does, where there are no real guests. */
  readonly setPlugged?: (portId: string, plugged: boolean) => void;
  /** A program's traffic from the host itself. */
  readonly host?: Station;
  /** Requests to this socket are answered with their own headers as JSON. */
  readonly metadataSocket: string;
  close(): Promise<void>;
}

export interface Station {
  ping(ip: string): Promise<boolean>;
  /** The body of `http://ip:port/path`, or undefined when there is no connection within a second. */
  get(url: string, headers?: Readonly<Record<string, string>>): Promise<string | undefined>;
}

export interface Guest extends Station {
  /** Name of the network namespace that plays the guest. */
  readonly space: string;
  /** Ask for an address; returns what the DHCP client was told, or undefined. */
  dhcp(): Promise<Record<string, string> | undefined>;
  /** Take an address without asking. */
  take(ip: string, gateway?: string): Promise<void>;
  setMac(mac: string): Promise<void>;
  /** Answer HTTP on this port. */
  serve(port: number): Promise<void>;
  /** Echo requests, ten a second, while `during` runs after the first second; how many were answered after `during` ended. */
  pingThrough(ip: string, during: () => Promise<void>): Promise<{ before: number; after: number }>;
  unplug(): Promise<void>;
}

const call = plainCall('conformance');
const kind = (k: DriverErrorKind) => expect.objectContaining({ kind: k });

export const anyIPv4 = (direction: SecurityRule['direction'], more: Partial<SecurityRule> = {}): SecurityRule =>
  ({ direction, ethertype: 'IPv4', protocol: null, portMin: null, portMax: null, remote: null, ...more });

/** The behaviour that every network driver has. @param open a lab whose host holds nothing of the driver's yet */
export function networkConformance(open: () => Promise<NetworkLab>): void {
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

    test('IPv6 subnets are unsupported, IPv6 rules are not', async () => {
      await expect(driver.applyNetwork(call, network({ subnets: [{ id: id.subnet, cidr: '2001:db8::/64', gatewayIp: null, dhcpIp: null, dnsNameservers: [], hostRoutes: [] }] }))).rejects.toEqual(kind('unsupported'));
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

    trafficConformance(() => ({ lab, id, port, network, external, router }));
  });
}

/** A port to spoil. */
const network0 = () => ({ id: 'aa', mac: 'fa:16:3e:00:00:01', fixedIps: [], hostname: null, dhcpOptions: [] });

interface Scene {
  readonly lab: NetworkLab;
  readonly id: Readonly<Record<'net' | 'ext' | 'other' | 'router' | 'subnet' | 'group', string>>;
  port(n: number, rules: readonly SecurityRule[], more?: Partial<PortSecurity>): PortSecurity;
  network(more?: Partial<NetworkSpec>): NetworkSpec;
  external(): NetworkSpec;
  router(more?: Partial<RouterSpec>): RouterSpec;
}

/** What travels and what does not: only where the lab has guests. */
function trafficConformance(get: () => Scene): void {
  const outward = anyIPv4('egress');
  const icmp = anyIPv4('ingress', { protocol: 1 });
  let set: Scene;
  let a: Guest;
  let b: Guest;

  async function boot(p: PortSecurity, groups: readonly { id: string; members: string[] }[] = []): Promise<Guest | undefined> {
    return set.lab.guest?.(await set.lab.driver.plugPort(call, p, groups), p.mac);
  }
  const traffic = (what: string, run: () => Promise<void>) => test(`${what}`, async context => {
    set = get();
    if (!set.lab.guest) context.skip();
    await run();
  });

  traffic('a guest gets its own address, routes, name and MTU by DHCP, and what its port asks for', async () => {
    a = await boot(set.port(11, [outward])) as Guest;
    b = await boot(set.port(12, [outward])) as Guest;
    const [told, toldB] = [await a.dhcp(), await b.dhcp()];
    expect(told).toMatchObject({ ip: '10.66.0.11', mask: '24', router: '10.66.0.1', dns: '10.66.0.53', mtu: '1442', hostname: 'host-11' });
    expect(told?.['staticroutes']).toBe('169.254.169.254/32 10.66.0.2 10.99.0.0/16 10.66.0.7 0.0.0.0/0 10.66.0.1');
    expect(toldB).toMatchObject({ ip: '10.66.0.12', bootfile: 'pxelinux.0' });
  });

  traffic('a port that the network does not know gets no address', async () => {
    const stranger = await boot(set.port(40, [outward])) as Guest;
    expect(await stranger.dhcp()).toBeUndefined();
    await stranger.unplug();
    await set.lab.driver.unplugPort(call, set.port(40, []).portId);
  });

  traffic('an address is free for another port at once, and an option that DHCP does not know harms nobody', async () => {
    const { driver } = set.lab;
    const base = set.network();
    const moved = { ...base, ports: [...base.ports.filter(p => !p.fixedIps.some(f => f.ip === '10.66.0.13')), { id: set.port(41, []).portId, mac: set.port(41, []).mac, fixedIps: [{ subnetId: set.id.subnet, ip: '10.66.0.13' }], hostname: null, dhcpOptions: [{ name: 'no-such-option', value: 'x' }] }] };
    const p13 = await boot(set.port(13, [outward])) as Guest;
    expect(await p13.dhcp()).toMatchObject({ ip: '10.66.0.13' });
    await p13.unplug();
    await driver.unplugPort(call, set.port(13, []).portId);
    await driver.applyNetwork(call, moved);
    const p41 = await boot(set.port(41, [outward], { fixedIps: ['10.66.0.13'] })) as Guest;
    expect(await p41.dhcp()).toMatchObject({ ip: '10.66.0.13' });
    await p41.unplug();
    await driver.unplugPort(call, set.port(41, []).portId);
    await driver.applyNetwork(call, base);
  });

  traffic('metadata knows who asks, whatever the guest claims', async () => {
    const answer = await a.get('http://169.254.169.254/openstack/latest/meta_data.json', { 'X-Forwarded-For': '10.66.0.12', 'X-Neutron-Network-ID': 'x', 'X-Instance-ID': 'x', 'X-Tenant-ID': 'x', 'X-Secret': 'x', 'X-Instance-ID-Signature': 'x' });
    const headers = JSON.parse(answer ?? '{}') as Record<string, string>;
    expect(headers).toMatchObject({ 'x-forwarded-for': '10.66.0.11', 'x-neutron-network-id': set.id.net, 'x-secret': 's3', url: '/openstack/latest/meta_data.json' });
    expect(Object.keys(headers).filter(h => /instance|tenant/.test(h))).toEqual([]);
  });

  traffic('nothing comes in that no rule lets in; answers do', async () => {
    const { driver } = set.lab;
    expect(await a.ping('10.66.0.12')).toBe(false);
    await driver.applySecurity(call, [set.port(12, [outward, icmp])], []);
    expect(await a.ping('10.66.0.12')).toBe(true);
    expect(await b.ping('10.66.0.11')).toBe(false);
    await driver.applySecurity(call, [set.port(11, []), set.port(12, [outward, icmp])], []);
    expect(await a.ping('10.66.0.12')).toBe(false);
    await driver.applySecurity(call, [set.port(11, [outward])], []);
  });

  traffic('ports, prefixes and groups are held to', async () => {
    const { driver } = set.lab;
    await b.serve(80);
    await b.serve(81);
    const tcp = (more: Partial<SecurityRule>) => driver.applySecurity(call, [set.port(12, [outward, anyIPv4('ingress', { protocol: 6, ...more })])], []);
    const open = async (p: number) => await a.get(`http://10.66.0.12:${p}/`) !== undefined;
    await tcp({ portMin: 80, portMax: 80 });
    expect([await open(80), await open(81)]).toEqual([true, false]);
    await tcp({ portMin: 81, portMax: 90, remote: { cidr: '10.66.0.11/32' } });
    expect([await open(80), await open(81)]).toEqual([false, true]);
    await tcp({ remote: { cidr: '10.66.0.128/25' } });
    expect(await open(80)).toBe(false);
    await tcp({ remote: { groupId: set.id.group } });
    expect(await open(80)).toBe(false);
    await driver.applySecurity(call, [], [{ id: set.id.group, members: ['10.66.0.11'] }]);
    expect(await open(80)).toBe(true);
    await driver.applySecurity(call, [], [{ id: set.id.group, members: ['10.66.0.12'] }]);
    expect(await open(80)).toBe(false);
  });

  traffic('taking a rule away ends what it let in', async () => {
    const { driver } = set.lab;
    await driver.applySecurity(call, [set.port(12, [outward, icmp])], []);
    const seen = await a.pingThrough('10.66.0.12', () => driver.applySecurity(call, [set.port(12, [outward])], []));
    expect(seen.before).toBeGreaterThan(3);
    expect(seen.after).toBe(0);
    await driver.applySecurity(call, [set.port(12, [outward, icmp])], []);
  });

  traffic('a guest cannot speak as another', async () => {
    const { driver } = set.lab;
    await a.take('10.66.0.77');
    expect(await a.ping('10.66.0.12')).toBe(false);
    const pair = set.port(11, [outward], { allowedAddressPairs: [{ cidr: '10.66.0.64/26', mac: set.port(11, []).mac }] });
    await driver.applySecurity(call, [pair], []);
    expect(await a.ping('10.66.0.12')).toBe(true);
    await a.take('10.66.0.11', '10.66.0.1');
    await a.setMac('fa:16:3e:ee:ee:ee');
    expect(await a.ping('10.66.0.12')).toBe(false);
    await driver.applySecurity(call, [set.port(11, [outward], { portSecurity: false })], []);
    expect(await a.ping('10.66.0.12')).toBe(true);
    await driver.applySecurity(call, [set.port(11, [outward], { portSecurity: false, adminStateUp: false })], []);
    expect(await a.ping('10.66.0.12')).toBe(false);
    await a.setMac(set.port(11, []).mac);
    await a.take('10.66.0.11', '10.66.0.1');
    await driver.applySecurity(call, [set.port(11, [outward])], []);
    expect(await a.ping('10.66.0.12')).toBe(true);
  });

  traffic('two networks with the same addresses know nothing of each other', async () => {
    const { driver } = set.lab;
    const twin = { ...set.network(), id: set.id.other };
    await driver.applyNetwork(call, twin);
    const c = await boot(set.port(51, [outward], { networkId: set.id.other, fixedIps: ['10.66.0.11'] })) as Guest;
    await c.take('10.66.0.11', '10.66.0.1');
    expect(await a.ping('10.66.0.12')).toBe(true);
    expect(await c.ping('10.66.0.12')).toBe(false);
    expect(JSON.parse(await c.get('http://169.254.169.254/') ?? '{}')).toMatchObject({ 'x-neutron-network-id': set.id.other });
    await c.unplug();
    await driver.unplugPort(call, set.port(51, []).portId);
    await driver.removeNetwork(call, set.id.other);
  });

  traffic('through a router: out with SNAT, in by floating IP, from the host by fixed address', async () => {
    const { driver, host } = set.lab;
    const floating = [{ floatingIp: '172.29.66.100', fixedIp: '10.66.0.12' }];
    await driver.applyRouter(call, set.router());
    expect(await a.ping('172.29.66.1')).toBe(true);
    expect(await host?.ping('172.29.66.100')).toBe(false);
    await driver.applyRouter(call, set.router({ floatingIps: floating }));
    expect(await host?.ping('172.29.66.100')).toBe(true);
    expect(await host?.ping('10.66.0.12')).toBe(true);
    expect(await host?.ping('10.66.0.11')).toBe(false);
    // A neighbour's floating IP, and the answer comes back the same way.
    expect(await a.ping('172.29.66.100')).toBe(true);
    const seen = await a.pingThrough('172.29.66.100', () => driver.applyRouter(call, set.router()));
    expect(seen.before).toBeGreaterThan(3);
    expect(seen.after).toBe(0);
    expect(await host?.ping('172.29.66.100')).toBe(false);
    const closed = set.router();
    await driver.applyRouter(call, { ...closed, interfaces: closed.interfaces.map(i => ({ ...i, hostAccess: false })) });
    expect(await host?.ping('10.66.0.12')).toBe(false);
    await driver.applyRouter(call, { ...closed, gateway: null });
    expect(await a.ping('172.29.66.1')).toBe(false);
    expect(await a.ping('10.66.0.1')).toBe(true);
    await driver.removeRouter(call, set.id.router);
    expect(await a.ping('10.66.0.1')).toBe(false);
  });
}
