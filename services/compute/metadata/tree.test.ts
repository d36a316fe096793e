import type { PortFacts } from '@cumulet/network';
import { expect, test } from 'vitest';
import { networkData } from './tree.ts';

type Subnet = PortFacts['subnets'][number];
const port = (ip: string, subnet: Partial<Subnet>): PortFacts => ({
  id: 'abcdefgh-ijkl', network_id: 'n', mac_address: 'fa:16:3e:00:00:01', network: { mtu: 1450 }, fixed_ips: [{ subnet_id: 's', ip_address: ip }],
  subnets: [{ id: 's', cidr: '', gateway_ip: null, enable_dhcp: true, dns_nameservers: [], host_routes: [], ip_version: 4, ipv6_address_mode: null, ...subnet }],
} as never);
const networks = (ip: string, subnet: Partial<Subnet>) => (JSON.parse(networkData([port(ip, subnet)])) as { networks: unknown[] }).networks;

test('network_data.json says how a guest comes by its addresses', () => {
  const common = { id: 'network0', link: 'tapabcdefgh-ij', network_id: 'n' };
  expect(networks('10.0.0.3', { cidr: '10.0.0.0/24' })).toEqual([{ ...common, type: 'ipv4_dhcp' }]);
  expect(networks('10.0.0.3', { cidr: '10.0.0.0/20', enable_dhcp: false, gateway_ip: '10.0.0.1', dns_nameservers: ['10.0.0.2'], host_routes: [{ destination: '10.1.0.0/16', nexthop: '10.0.0.9' }] })).toEqual([{
    ...common, type: 'ipv4', ip_address: '10.0.0.3', netmask: '255.255.240.0', services: [{ type: 'dns', address: '10.0.0.2' }],
    routes: [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway: '10.0.0.1' }, { network: '10.1.0.0', netmask: '255.255.0.0', gateway: '10.0.0.9' }],
  }]);
  expect(networks('fd00::3', { cidr: 'fd00::/64' })).toEqual([{ ...common, type: 'ipv6_dhcp' }]);
  // Announced, and told all the same, as upstream does.
  expect(networks('fd00::3', { cidr: 'fd00::/64', ipv6_address_mode: 'slaac', gateway_ip: 'fd00::1' })).toEqual([{ ...common, type: 'ipv6_slaac', ip_address: 'fd00::3', netmask: 'ffff:ffff:ffff:ffff::', routes: [{ network: '::', netmask: '::', gateway: 'fd00::1' }], services: [] }]);
  for (const [bits, mask] of [['60', 'ffff:ffff:ffff:fff0::'], ['128', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'], ['0', '::']] as const) expect(networks('fd00::3', { cidr: `fd00::/${bits}`, enable_dhcp: false })).toMatchObject([{ type: 'ipv6', netmask: mask }]);
});
