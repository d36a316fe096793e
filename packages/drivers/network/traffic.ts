import { expect, test } from 'vitest';
import { plainCall } from '../call.ts';
import type { NetworkSpec, PortSecurity, RouterSpec, SecurityRule } from './contract.ts';
import type { Guest, NetworkLab } from './lab.ts';

const call = plainCall('traffic');

export const anyIPv4 = (direction: SecurityRule['direction'], more: Partial<SecurityRule> = {}): SecurityRule =>
  ({ direction, ethertype: 'IPv4', protocol: null, portMin: null, portMax: null, remote: null, ...more });

/** What the suite has made by then: a network, an external one and a router's spec, and ports by number. */
interface Scene {
  readonly lab: NetworkLab;
  readonly id: Readonly<Record<'net' | 'ext' | 'other' | 'router' | 'subnet' | 'group', string>>;
  port(n: number, rules: readonly SecurityRule[], more?: Partial<PortSecurity>): PortSecurity;
  network(more?: Partial<NetworkSpec>): NetworkSpec;
  external(): NetworkSpec;
  router(more?: Partial<RouterSpec>): RouterSpec;
}

/** What travels and what does not: only where the lab has guests. */
export function trafficConformance(get: () => Scene): void {
  const outward = anyIPv4('egress');
  const icmp = anyIPv4('ingress', { protocol: 1 });
  let set: Scene;
  let a: Guest;
  let b: Guest;

  async function boot(p: PortSecurity, groups: readonly { id: string; members: string[] }[] = []): Promise<Guest | undefined> {
    return set.lab.guest?.(await set.lab.driver.plugPort(call, p, groups), p.mac);
  }
  const traffic = (what: string, run: () => Promise<void>) => test(`${what}`, async () => {
    set = get();
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

  traffic('ports of a floating IP lead where they are told, and no longer', async () => {
    const { driver, host } = set.lab;
    const floating = [{ floatingIp: '172.29.66.100', fixedIp: '10.66.0.12' }];
    await b.serve(82);
    await driver.applySecurity(call, [set.port(12, [outward, icmp, anyIPv4('ingress', { protocol: 6 })])], []);
    const forward = (outside: [number, number], inside: [number, number], protocol = 6) => ({ floatingIp: '172.29.66.101', fixedIp: '10.66.0.12', protocol, outside: { min: outside[0], max: outside[1] }, inside: { min: inside[0], max: inside[1] } });
    const answers = async (...ports: number[]) => Promise.all(ports.map(async p => await host?.get(`http://172.29.66.101:${p}/`) !== undefined));
    await driver.applyRouter(call, set.router({ portForwardings: [forward([8080, 8080], [80, 80])] }));
    expect(await answers(8080, 80, 8081)).toEqual([true, false, false]);
    // A neighbour asks by the floating IP, too.
    expect(await a.get('http://172.29.66.101:8080/')).toBeDefined();
    await driver.applyRouter(call, set.router({ floatingIps: floating, portForwardings: [forward([80, 81], [80, 81]), forward([9000, 9002], [80, 82]), forward([7000, 7010], [81, 81]), forward([80, 80], [80, 80], 17)] }));
    expect(await answers(80, 81, 82, 8080)).toEqual([true, true, false, false]);
    expect(await answers(9000, 9002, 9003, 7000, 7010, 7011)).toEqual([true, true, false, true, true, false]);
    const held = await a.pingThrough('172.29.66.100', () => driver.applyRouter(call, set.router({ floatingIps: floating, portForwardings: [forward([8080, 8080], [80, 80])] })));
    expect(held.after).toBeGreaterThan(2);
    expect(await answers(8080, 80)).toEqual([true, false]);
    await driver.removeRouter(call, set.id.router);
  });
}
