import { fakeNetwork } from '@cumulet/drivers/network';
import { plainCall } from '@cumulet/drivers';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { bootstrap, makeApp, plans } from '../index.ts';
import { networkSpec, routerSpec } from '../wiring/specs.ts';

let t: TestRuntime;
let app: FastifyInstance;
const driver = fakeNetwork();
const demo = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'demo')(...args);
const admin = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'admin')(...args);
beforeAll(async () => {
  t = await testRuntime();
  t.serve({ plans, deps: { db: t.rt.db, driver, host: 'testhost', metadataSocket: null, hostAccess: true } });
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: callers.demo.projectId as string } });
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });
const fault = (answer: { status: number; body: { NeutronError?: { type: string } } }) => [answer.status, answer.body.NeutronError?.type];
const network = async () => (await demo('POST', '/v2.0/networks', { network: {} })).body.network.id as string;
const subnet = (network_id: string, more: object) => demo('POST', '/v2.0/subnets', { subnet: { network_id, ip_version: 6, ...more } });
const port = (network_id: string, more: object = {}) => demo('POST', '/v2.0/ports', { port: { network_id, ...more } });
const ips = (answer: { body: { port: { fixed_ips: { ip_address: string }[] } } }) => answer.body.port.fixed_ips.map(f => f.ip_address);
const automatic = { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' };

test('defaults: the first address is the gateway, all the others are for ports', async () => {
  expect((await subnet(await network(), { cidr: 'FD00:1::/64' })).body.subnet).toMatchObject({ cidr: 'fd00:1::/64', gateway_ip: 'fd00:1::1', ip_version: 6, ipv6_ra_mode: null, ipv6_address_mode: null, allocation_pools: [{ start: 'fd00:1::2', end: 'fd00:1::ffff:ffff:ffff:ffff' }] });
});
test.each<[string, object]>([
  ['a family that is not the prefix\'s', { ip_version: 4, cidr: 'fd00::/64' }], ['the prefix ::', { cidr: '::/64' }], ['a prefix too long for DHCP', { cidr: 'fd00::/127' }], ['two modes', { cidr: 'fd00::/64', ipv6_ra_mode: 'slaac', ipv6_address_mode: 'dhcpv6-stateful' }],
  ['a mode without DHCP', { cidr: 'fd00::/64', enable_dhcp: false, ipv6_ra_mode: 'slaac' }], ['addresses of a MAC in less than a /64', { cidr: 'fd00::/65', ...automatic }], ['a mode of IPv4', { ip_version: 4, cidr: '10.1.0.0/24', ipv6_ra_mode: 'slaac' }],
  ['a server of the other family', { cidr: 'fd00::/64', dns_nameservers: ['10.0.0.1'] }], ['a route of the other family', { cidr: 'fd00::/64', host_routes: [{ destination: '10.0.0.0/8', nexthop: '10.0.0.1' }] }], ['multicast', { cidr: 'ff02::/64' }], ['a gateway of the other family', { cidr: 'fd00::/64', gateway_ip: '10.0.0.1' }],
])('a subnet with %s is refused', async (_what, more) => {
  expect(fault(await subnet(await network(), more))).toEqual([400, 'InvalidInput']);
});
test('a port has an address of each family, and one for each subnet where guests make their own', async () => {
  const on = await network();
  const before = await port(on, { mac_address: 'fa:16:3e:00:00:0a' });
  await subnet(on, { ip_version: 4, cidr: '10.31.0.0/24' });
  await subnet(on, { cidr: 'fd00:31::/64', ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' });
  const slaac = (await subnet(on, { cidr: 'fd00:32::/64', ...automatic })).body.subnet;
  expect(ips(await demo('GET', `/v2.0/ports/${before.body.port.id}`))).toEqual(['fd00:32::f816:3eff:fe00:a']);
  const made = await port(on, { mac_address: 'fa:16:3e:00:00:01' });
  expect(ips(made)).toEqual(['10.31.0.3', 'fd00:31::3', 'fd00:32::f816:3eff:fe00:1']);
  const url = `/v2.0/ports/${made.body.port.id}`;
  expect(ips(await demo('PUT', url, { port: { fixed_ips: [{ ip_address: '10.31.0.9' }] } }))).toEqual(['10.31.0.9', 'fd00:32::f816:3eff:fe00:1']);
  const [fixed] = (await demo('GET', url)).body.port.fixed_ips;
  expect(ips(await demo('PUT', url, { port: { fixed_ips: [{ subnet_id: fixed.subnet_id }, { ip_address: '10.31.0.9' }] } }))).toEqual(expect.arrayContaining(['10.31.0.9', '10.31.0.3']));
  expect(ips(await admin('PUT', url, { port: { mac_address: 'fa:16:3e:00:00:02' } }))).toContain('fd00:32::f816:3eff:fe00:2');
  expect(fault(await port(on, { fixed_ips: [{ subnet_id: slaac.id, ip_address: 'fd00:32::5' }] }))).toEqual([400, 'AllocationOnAutoAddressSubnet']);
  expect(fault(await port(on, { fixed_ips: [{ ip_address: 'fd00:31::' }] }))).toEqual([400, 'InvalidIpForNetwork']);
  expect((await demo('GET', `/v2.0/ports?fixed_ips=ip_address=fd00:32::f816:3eff:fe00:2`)).body.ports).toHaveLength(1);
  expect(fault(await demo('PUT', `/v2.0/subnets/${slaac.id}`, { subnet: { enable_dhcp: false } }))).toEqual([400, 'InvalidInput']);
  expect((await demo('DELETE', `/v2.0/subnets/${slaac.id}`)).status).toBe(204);
  expect(ips(await demo('GET', `/v2.0/ports/${before.body.port.id}`))).toEqual([]);
});
test('the IPv6 subnets of a network share a leg of a router, which announces them', async () => {
  const on = await network();
  const [a, b, v4] = await Promise.all([subnet(on, { cidr: 'fd00:41::/64', ...automatic, dns_nameservers: ['fd00::53'] }), subnet(on, { cidr: 'fd00:42::/64', ...automatic }), subnet(on, { ip_version: 4, cidr: '10.41.0.0/24' })]).then(all => all.map(s => s.body.subnet));
  const router = (await demo('POST', '/v2.0/routers', { router: {} })).body.router.id;
  const connect = (what: string, body: object) => demo('PUT', `/v2.0/routers/${router}/${what}_router_interface`, body);
  const first = await connect('add', { subnet_id: a.id });
  const second = await connect('add', { subnet_id: b.id });
  const third = await connect('add', { subnet_id: v4.id });
  expect(second.body).toMatchObject({ port_id: first.body.port_id, subnet_id: b.id, subnet_ids: [b.id] });
  expect(third.body.port_id).not.toBe(first.body.port_id);
  const spec = await routerSpec(t.rt.db, router, false);
  expect(spec?.interfaces.map(i => [i.ip, i.advertise?.mode])).toEqual([['fd00:41::1', 'slaac'], ['fd00:42::1', 'slaac'], ['10.41.0.1', undefined]]);
  expect(spec?.interfaces[0]?.advertise).toEqual({ mode: 'slaac', mtu: 1450, dnsNameservers: ['fd00::53'] });
  expect((await networkSpec(t.rt.db, on, null))?.subnets.map(s => s.ipv6)).toContainEqual({ raMode: 'slaac', addressMode: 'slaac' });
  expect((await connect('remove', { subnet_id: a.id })).status).toBe(200);
  expect((await demo('GET', `/v2.0/ports/${first.body.port_id}`)).body.port.fixed_ips).toEqual([{ subnet_id: b.id, ip_address: 'fd00:42::1' }]);
  expect(fault(await demo('DELETE', `/v2.0/subnets/${b.id}`))).toEqual([409, 'SubnetInUse']);
  expect((await connect('remove', { subnet_id: b.id })).status).toBe(200);
  expect((await demo('GET', `/v2.0/ports/${first.body.port_id}`)).status).toBe(404);
  const foreign = (await subnet(on, { cidr: 'fd00:43::/64', ipv6_address_mode: 'slaac' })).body.subnet;
  expect(fault(await connect('add', { subnet_id: foreign.id }))).toEqual([400, 'BadRequest']);
  expect(fault(await connect('add', { port_id: (await port(on)).body.port.id }))).toEqual([400, 'BadRequest']);
  await t.drain();
});
test('floating IPs are for IPv4 addresses', async () => {
  const on = await network();
  await subnet(on, { cidr: 'fd00:51::/64' });
  const lone = await port(on);
  const external = (await demo('GET', '/v2.0/networks?router:external=true')).body.networks[0].id;
  expect(fault(await demo('POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external, port_id: lone.body.port.id } }))).toEqual([400, 'BadRequest']);
  expect(fault(await demo('POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external, port_id: lone.body.port.id, fixed_ip_address: ips(lone)[0] } }))).toEqual([400, 'BadRequest']);
});
test('pools of IPv6 prefixes, counted in /64; addresses are counted to the last digit', async () => {
  const pool = (await demo('POST', '/v2.0/subnetpools', { subnetpool: { name: 'six', prefixes: ['fd00:60::/62'], default_quota: 3 } })).body.subnetpool;
  expect(pool).toMatchObject({ ip_version: 6, min_prefixlen: '64', max_prefixlen: '128', default_prefixlen: '64' });
  const on = await network();
  expect((await subnet(on, { subnetpool_id: pool.id, ...automatic })).body.subnet).toMatchObject({ cidr: 'fd00:60::/64', subnetpool_id: pool.id });
  expect((await subnet(on, { subnetpool_id: pool.id })).body.subnet.cidr).toBe('fd00:60:0:1::/64');
  expect((await subnet(await network(), { subnetpool_id: pool.id })).status).toBe(201);
  expect(fault(await subnet(await network(), { subnetpool_id: pool.id }))).toEqual([409, 'SubnetPoolQuotaExceeded']);
  const raw = await app.inject({ method: 'GET', url: `/v2.0/network-ip-availabilities/${on}`, headers: { 'x-auth-token': 'admin' } });
  expect(raw.body).toContain('"total_ips":36893488147419103228');
});
test('the first networks are wired as before', async () => { await t.drain(); expect((await driver.list(plainCall())).routers).toHaveLength(1); });
