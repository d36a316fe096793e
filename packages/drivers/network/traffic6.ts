import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { plainCall } from '../call.ts';
import type { Ipv6Mode, NetworkSpec, PortSecurity, RouterInterface, RouterSpec, SecurityRule } from './contract.ts';
import type { Guest, NetworkLab } from './lab.ts';

const call = plainCall('ipv6');
const any = (direction: SecurityRule['direction'], more: Partial<SecurityRule> = {}): SecurityRule => ({ direction, ethertype: 'IPv6', protocol: null, portMin: null, portMax: null, remote: null, ...more });
const [outward, icmp] = [any('egress'), any('ingress', { protocol: 58 })];

/** Two networks with both families and a router between them: how guests come to their addresses, and what passes. */
export function ipv6Conformance(get: () => NetworkLab, options: { readonly without?: 'traffic' }): void {
  const id = { blue: randomUUID(), green: randomUUID(), router: randomUUID(), scope: randomUUID() };
  const mac = (n: number) => `fa:16:3e:66:00:${n.toString(16).padStart(2, '0')}`;
  /** What neutron gives a port of an automatic subnet. */
  const made = (n: number) => `fd66:1::f816:3eff:fe66:${n.toString(16)}`;
  const port = (n: number, networkId: string, ip: string, rules: readonly SecurityRule[], more: Partial<PortSecurity> = {}): PortSecurity => ({
    portId: `00000000-0000-4000-8006-${String(n).padStart(12, '0')}`, networkId, mac: mac(n), fixedIps: [ip], allowedAddressPairs: [], portSecurity: true, adminStateUp: true, rules, ...more,
  });
  /** @param n the network's number; guests 11 and 12 are on it */
  const network = (networkId: string, n: 1 | 2, mode: Ipv6Mode): NetworkSpec => ({
    id: networkId, mtu: 1442, external: false, metadata: null,
    subnets: [
      { id: randomUUID(), cidr: `10.6${n}.0.0/24`, gatewayIp: `10.6${n}.0.1`, dhcpIp: `10.6${n}.0.2`, dnsNameservers: [], hostRoutes: [] },
      { id: networkId, cidr: `fd66:${n}::/64`, gatewayIp: `fd66:${n}::1`, dhcpIp: `fd66:${n}::2`, dnsNameservers: ['fd66::53'], hostRoutes: [], ipv6: { raMode: mode, addressMode: mode } },
    ],
    ports: [11, 12].map(p => ({ id: port(n * 20 + p, networkId, '', []).portId, mac: mac(n * 20 + p), fixedIps: [{ subnetId: networkId, ip: mode === 'dhcpv6-stateful' ? `fd66:${n}::${p}` : made(n * 20 + p) }], hostname: `six-${p}`, dhcpOptions: [{ name: 'ntp-server', value: '[fd66::7b]', version: 6 }] })),
  });
  const leg = (networkId: string, n: 1 | 2, mode: Ipv6Mode, more: Partial<RouterInterface> = {}): RouterInterface => ({
    portId: networkId, networkId, mac: mac(100 + n), ip: `fd66:${n}::1`, cidr: `fd66:${n}::/64`, hostAccess: false, advertise: { mode, mtu: 1442, dnsNameservers: ['fd66::53'] }, ...more,
  });
  const ours: readonly string[] = [id.blue, id.green];
  const router = (...interfaces: RouterInterface[]): RouterSpec => ({ id: id.router, gateway: null, routes: [], floatingIps: [], interfaces });
  const legs = (mode: Ipv6Mode, more: Partial<RouterInterface> = {}) => router(leg(id.blue, 1, mode), leg(id.green, 2, 'dhcpv6-stateful', more));
  const ipv6 = (what: string, run: (lab: NetworkLab) => Promise<void>) => test(`${what}`, () => run(get()), 30_000);

  describe('IPv6', () => {
    ipv6('networks of both families and their router are there, and announced', async ({ driver }) => {
      await driver.applyNetwork(call, network(id.blue, 1, 'slaac'));
      await driver.applyNetwork(call, network(id.green, 2, 'dhcpv6-stateful'));
      await driver.applyRouter(call, legs('slaac'));
      await driver.applyRouter(call, legs('slaac'));
      const listed = await driver.list(call);
      expect(listed.routers).toEqual([{ id: id.router }]);
      expect(listed.networks.filter(n => ours.includes(n.id)).map(n => n.dhcp)).toEqual([true, true]);
    });

    if (!options.without) {
      let a: Guest;
      let c: Guest;
      const boot = async (lab: NetworkLab, p: PortSecurity): Promise<Guest> => await lab.guest?.(await lab.driver.plugPort(call, p, []), p.mac) as Guest;

      ipv6('guests make their addresses of what the router announces', async lab => {
        a = await boot(lab, port(31, id.blue, made(31), [outward]));
        expect(await a.autoconfigured()).toBe(made(31));
        expect(await a.ping('fd66:1::1')).toBe(true);
      });

      ipv6('metadata is there over IPv6 too, and knows a guest by what it makes of its MAC address', async lab => {
        const asked = async () => JSON.parse(await a.get('http://[fe80::a9fe:a9fe%25eth0]/openstack', { 'X-Forwarded-For': 'fe80::1' }) ?? '{}') as Record<string, string>;
        expect(await asked()).toEqual({});
        await lab.driver.applyNetwork(call, { ...network(id.blue, 1, 'slaac'), metadata: { socketPath: lab.metadataSocket } });
        expect(await asked()).toMatchObject({ 'x-forwarded-for': 'fe80::f816:3eff:fe66:1f', 'x-neutron-network-id': id.blue, url: '/openstack' });
        await lab.driver.applyNetwork(call, network(id.blue, 1, 'slaac'));
        expect(await asked()).toEqual({});
      });

      ipv6('DHCPv6 gives a port its address and nobody else one, and the router the way out', async lab => {
        c = await boot(lab, port(51, id.green, 'fd66:2::11', [outward]));
        expect(await c.dhcp6()).toEqual({ address: 'fd66:2:0:0:0:0:0:11', dns: 'fd66:0:0:0:0:0:0:53' });
        const stranger = await boot(lab, port(60, id.green, 'fd66:2::60', [outward]));
        expect(await stranger.dhcp6()).toBeUndefined();
        await stranger.unplug();
        await lab.driver.unplugPort(call, port(60, id.green, '', []).portId);
      });

      ipv6('the router forwards; nothing comes in that no rule lets in', async lab => {
        expect(await c.ping(made(31))).toBe(false);
        await lab.driver.applySecurity(call, [port(31, id.blue, made(31), [outward, icmp])], []);
        expect(await c.ping(made(31))).toBe(true);
        const neighbour = await boot(lab, port(32, id.blue, made(32), [outward]));
        expect(await neighbour.autoconfigured()).toBe(made(32));
        expect(await neighbour.ping(made(31))).toBe(true);
        expect(await a.ping(made(32))).toBe(false);
        await lab.driver.applySecurity(call, [port(31, id.blue, made(31), [outward, any('ingress', { protocol: 58, remote: { cidr: 'fd66:2::/64' } })])], []);
        expect([await neighbour.ping(made(31)), await c.ping(made(31))]).toEqual([false, true]);
        await neighbour.unplug();
        await lab.driver.unplugPort(call, port(32, id.blue, '', []).portId);
      });

      ipv6('a guest cannot speak as another', async lab => {
        await a.take6('fd66:1::77', 'fd66:1::1');
        expect(await a.ping('fd66:1::1')).toBe(false);
        await lab.driver.applySecurity(call, [port(31, id.blue, made(31), [outward], { allowedAddressPairs: [{ cidr: 'fd66:1::40/122', mac: mac(31) }] })], []);
        expect(await a.ping('fd66:1::1')).toBe(true);
        await a.take6(made(31), 'fd66:1::1');
        await lab.driver.applySecurity(call, [port(31, id.blue, made(31), [outward, icmp])], []);
        expect(await c.ping(made(31))).toBe(true);
      });

      ipv6('address scopes keep networks apart', async lab => {
        await lab.driver.applyRouter(call, legs('slaac', { addressScope: id.scope }));
        expect(await c.ping(made(31))).toBe(false);
        expect(await c.ping('fd66:2::1')).toBe(true);
        await lab.driver.applyRouter(call, legs('slaac'));
        expect(await c.ping(made(31))).toBe(true);
      });

      ipv6('with stateless DHCPv6 guests make addresses and are told the rest', async lab => {
        await lab.driver.applyNetwork(call, network(id.blue, 1, 'dhcpv6-stateless'));
        await lab.driver.applyRouter(call, legs('dhcpv6-stateless'));
        expect(await a.dhcp6(true)).toEqual({ dns: 'fd66:0:0:0:0:0:0:53' });
        const late = await boot(lab, port(32, id.blue, made(32), [outward]));
        expect(await late.autoconfigured()).toBe(made(32));
        for (const [guest, n] of [[late, 32], [a, 31]] as const) { await guest.unplug(); await lab.driver.unplugPort(call, port(n, id.blue, '', []).portId); }
        await c.unplug();
        await lab.driver.unplugPort(call, port(51, id.green, '', []).portId);
      });
    }

    ipv6('a router whose announcements ended says so, and all goes', async ({ driver }) => {
      await driver.stopAll(call, { keepWires: true });
      expect((await driver.list(call)).routers[0]?.id).toBe(id.router);
      await driver.applyRouter(call, legs('slaac'));
      expect((await driver.list(call)).routers).toEqual([{ id: id.router }]);
      await driver.removeRouter(call, id.router);
      await driver.removeNetwork(call, id.blue);
      await driver.removeNetwork(call, id.green);
    });
  });
}
