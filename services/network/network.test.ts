import { transaction } from '@cumulet/db';
import { fakeNetwork } from '@cumulet/drivers/network';
import { plainCall } from '@cumulet/drivers';
import { newId } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import { bootstrap, makeApp, networksForCompute, plans } from './index.ts';
import { eui64 } from './subnets/addresses.ts';
import type { NetworkDeps } from './wiring/deps.ts';

let t: TestRuntime;
let app: FastifyInstance;
let deps: NetworkDeps;
const driver = fakeNetwork();
beforeAll(async () => {
  t = await testRuntime();
  deps = { db: t.rt.db, driver, host: 'testhost', metadataSocket: '/run/md.sock', hostAccess: true };
  t.serve({ plans, deps });
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: callers.demo.projectId as string } });
  await t.drain();
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });

test('the first networks are there, wired', async () => {
  const { body } = await as(app, 'demo')('GET', '/v2.0/networks');
  expect(body.networks.map((n: { name: string }) => n.name).toSorted()).toEqual(['private', 'public']);
  expect((await driver.list(plainCall())).routers).toHaveLength(1);
  expect((await driver.list(plainCall())).networks).toHaveLength(2);
  expect((await as(app, 'demo')('GET', '/v2.0/routers')).body.routers).toEqual([]);
  expect((await as(app, 'admin')('GET', '/v2.0/routers')).body.routers[0].external_gateway_info.external_fixed_ips).toHaveLength(1);
});
test('a project builds a network of its own', async () => {
  const demo = as(app, 'demo');
  const net = (await demo('POST', '/v2.0/networks', { network: { name: 'n', admin_state_up: true } }));
  expect(net).toMatchObject({ status: 201, body: { network: { name: 'n', status: 'ACTIVE', shared: false, subnets: [], mtu: 1450 } } });
  const id = net.body.network.id;
  expect(await demo('POST', '/v2.0/networks', { network: { shared: true } })).toMatchObject({ status: 403, body: { NeutronError: { type: 'HTTPForbidden' } } });
  const subnet = await demo('POST', '/v2.0/subnets', { subnet: { network_id: id, ip_version: 4, cidr: '10.9.0.0/24', name: 's' } });
  expect(subnet).toMatchObject({ status: 201, body: { subnet: { gateway_ip: '10.9.0.1', allocation_pools: [{ start: '10.9.0.2', end: '10.9.0.254' }] } } });
  expect(await demo('POST', '/v2.0/subnets', { subnet: { network_id: id, ip_version: 4, cidr: '10.9.0.128/25' } })).toMatchObject({ status: 400 });
  for (const cidr of ['10.300.0.0/24', 'x', '10.0.0.0/33', '10.9.1.0/31']) expect((await demo('POST', '/v2.0/subnets', { subnet: { network_id: id, ip_version: 4, cidr } })).status, cidr).toBe(400);
  const port = await demo('POST', '/v2.0/ports', { port: { network_id: id, name: 'p' } });
  expect(port).toMatchObject({ status: 201, body: { port: { status: 'DOWN', fixed_ips: [{ ip_address: '10.9.0.3' }] } } });
  expect(port.body.port.security_groups).toHaveLength(1);
  expect(await demo('POST', '/v2.0/ports', { port: { network_id: id, fixed_ips: [{ ip_address: '10.9.0.3' }] } })).toMatchObject({ status: 409, body: { NeutronError: { type: 'IpAddressAlreadyAllocated' } } });
  expect(await demo('POST', '/v2.0/ports', { port: { network_id: id, fixed_ips: [{ ip_address: '10.8.0.3' }] } })).toMatchObject({ status: 400 });
  expect((await as(app, 'other')('GET', `/v2.0/ports/${port.body.port.id}`))).toMatchObject({ status: 404, body: { NeutronError: { type: 'PortNotFound' } } });
  expect((await demo('GET', `/v2.0/ports?fixed_ips=ip_address=10.9.0.3&fields=id`)).body.ports).toEqual([{ id: port.body.port.id }]);
  expect((await demo('GET', '/v2.0/ports?nonsense=1')).status).toBe(400);
  expect(await demo('DELETE', `/v2.0/networks/${id}`)).toMatchObject({ status: 409, body: { NeutronError: { type: 'NetworkInUse' } } });
  expect(await demo('DELETE', `/v2.0/subnets/${subnet.body.subnet.id}`)).toMatchObject({ status: 409, body: { NeutronError: { type: 'SubnetInUse' } } });
  expect((await demo('DELETE', `/v2.0/ports/${port.body.port.id}`)).status).toBe(204);
  expect((await demo('DELETE', `/v2.0/networks/${id}`)).status).toBe(204);
});
test('fifty ports at once get fifty addresses, and a full subnet says so', async () => {
  const admin = as(app, 'admin');
  const { id } = (await admin('POST', '/v2.0/networks', { network: { name: 'small' } })).body.network;
  await admin('POST', '/v2.0/subnets', { subnet: { network_id: id, ip_version: 4, cidr: '10.10.0.0/26', enable_dhcp: false } });
  const ports = await Promise.all(Array.from({ length: 50 }, () => admin('POST', '/v2.0/ports', { port: { network_id: id } })));
  expect(new Set(ports.map(p => p.body.port?.fixed_ips[0].ip_address)).size).toBe(50);
  for (let i = 0; i < 11; i++) expect((await admin('POST', '/v2.0/ports', { port: { network_id: id } })).status).toBe(201);
  expect(await admin('POST', '/v2.0/ports', { port: { network_id: id } })).toMatchObject({ status: 409, body: { NeutronError: { type: 'IpAddressGenerationFailure' } } });
  const first = await admin('GET', `/v2.0/ports?network_id=${id}&limit=40&sort_key=mac_address&sort_dir=asc`);
  const next = new URL(first.body.ports_links[0].href);
  const second = await admin('GET', next.pathname + next.search);
  expect(new Set([...first.body.ports, ...second.body.ports].map(p => p.id)).size).toBe(61);
  expect(second.body.ports_links.map((l: { rel: string }) => l.rel)).toEqual(['previous']);
});
test('security groups', async () => {
  const demo = as(app, 'demo');
  const group = await demo('POST', '/v2.0/security-groups', { security_group: { name: 'web', description: 'x' } });
  expect(group).toMatchObject({ status: 201, body: { security_group: { name: 'web', stateful: true } } });
  expect(group.body.security_group.security_group_rules).toHaveLength(2);
  const rule = { security_group_id: group.body.security_group.id, direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 22, port_range_max: 22, remote_ip_prefix: '0.0.0.0/0' };
  expect(await demo('POST', '/v2.0/security-group-rules', { security_group_rule: rule })).toMatchObject({ status: 201, body: { security_group_rule: { normalized_cidr: '0.0.0.0/0' } } });
  expect(await demo('POST', '/v2.0/security-group-rules', { security_group_rule: rule })).toMatchObject({ status: 409, body: { NeutronError: { type: 'SecurityGroupRuleExists' } } });
  expect(await demo('POST', '/v2.0/security-group-rules', { security_group_rule: { ...rule, port_range_max: 70000 } })).toMatchObject({ status: 400 });
  expect(await demo('POST', '/v2.0/security-group-rules', { security_group_rule: { ...rule, remote_ip_prefix: '1.2.3' } })).toMatchObject({ status: 400 });
  expect((await demo('GET', '/v2.0/security-groups?name=default')).body.security_groups).toHaveLength(1);
  expect((await as(app, 'other')('GET', `/v2.0/security-groups/${group.body.security_group.id}`)).status).toBe(404);
});
test('compute plugs a server, gives it a floating IP and takes it away again', async () => {
  const nets = networksForCompute({ db: t.rt.db, tasks: t.rt.tasks, host: deps });
  const who = { projectId: callers.demo.projectId as string, userId: 'u', admin: false };
  const [network] = await nets.available(t.rt.db, who);
  const server = newId();
  const port = await transaction(t.rt.db, async trx => {
    const made = await nets.createPort(trx, { who, serverId: server, networkId: network?.id ?? '', zone: 'nova', hostname: 'vm' });
    await nets.bind(trx, made.id, 'testhost');
    return made;
  });
  const place = await nets.plug(plainCall(), port.id);
  expect(place.tapName.length).toBeLessThanOrEqual(15);
  expect((await nets.ports(t.rt.db, [port.id])).get(port.id)).toMatchObject({ status: 'ACTIVE', device_id: server });
  expect(await nets.serverAt(t.rt.db, network?.id ?? '', port.fixed_ips[0]?.ip_address ?? '')).toBe(server);
  const linkLocal = eui64({ version: 6, first: 0xfe80n << 112n, length: 64 }, port.mac_address);
  expect(await nets.serverAt(t.rt.db, network?.id ?? '', linkLocal)).toBe(server);
  for (const [where, ip] of [[newId(), linkLocal], [network?.id ?? '', 'fe80::1'], [network?.id ?? '', linkLocal.replace('fe80', 'fd80')], [network?.id ?? '', `${linkLocal}%eth0`], [network?.id ?? '', 'x']] as const) expect(await nets.serverAt(t.rt.db, where, ip)).toBeUndefined();
  const demo = as(app, 'demo');
  const external = (await demo('GET', '/v2.0/networks?router:external=true')).body.networks[0].id;
  const fip = await demo('POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external, port_id: port.id } });
  expect(fip).toMatchObject({ status: 201, body: { floatingip: { fixed_ip_address: port.fixed_ips[0]?.ip_address, status: 'DOWN' } } });
  await t.drain();
  expect((await demo('GET', `/v2.0/floatingips/${fip.body.floatingip.id}`)).body.floatingip.status).toBe('ACTIVE');
  await nets.unplug(plainCall(), port.id);
  await transaction(t.rt.db, trx => nets.deletePort(trx, port.id));
  await t.drain();
  expect((await demo('GET', `/v2.0/floatingips/${fip.body.floatingip.id}`)).body.floatingip).toMatchObject({ status: 'DOWN', port_id: null });
  expect((await driver.list(plainCall())).ports).toEqual([]);
  expect((await demo('DELETE', `/v2.0/floatingips/${fip.body.floatingip.id}`)).status).toBe(204);
});
test('quotas and tags', async () => {
  const admin = as(app, 'admin');
  const project = callers.other.projectId;
  expect((await admin('PUT', `/v2.0/quotas/${project}`, { quota: { network: 1 } })).body.quota.network).toBe(1);
  const other = as(app, 'other');
  const { id } = (await other('POST', '/v2.0/networks', { network: {} })).body.network;
  expect(await other('POST', '/v2.0/networks', { network: {} })).toMatchObject({ status: 409, body: { NeutronError: { type: 'OverQuota', message: "Quota exceeded for resources: ['network']." } } });
  expect((await admin('GET', `/v2.0/quotas/${project}/details.json`)).body.quota.network).toEqual({ limit: 1, used: 1, reserved: 0 });
  // Dashboards show members what their own project has left.
  for (const last of ['', '/details', '/default']) {
    expect((await other('GET', `/v2.0/quotas/${project}${last}`)).status).toBe(200);
    expect((await as(app, 'demo')('GET', `/v2.0/quotas/${project}${last}`)).status).toBe(403);
  }
  expect(await other('PUT', `/v2.0/networks/${id}/tags`, { tags: ['a', 'b'] })).toMatchObject({ status: 200, body: { tags: ['a', 'b'] } });
  expect((await other('GET', '/v2.0/networks?tags=a,b')).body.networks).toHaveLength(1);
  expect((await other('GET', '/v2.0/networks?not-tags=a')).body.networks.map((n: { id: string }) => n.id)).not.toContain(id);
  expect((await other('PUT', `/v2.0/networks/${id}/tags/c`)).status).toBe(201);
  expect((await other('DELETE', `/v2.0/networks/${id}/tags/x`)).status).toBe(404);
});
test('a value that a new resource has anyway asks no rule of its own', async () => {
  const demo = as(app, 'demo');
  const made = await demo('POST', '/v2.0/networks', { network: { name: 'as dashboards ask', shared: false, 'router:external': false } });
  expect(made).toMatchObject({ status: 201, body: { network: { shared: false, 'router:external': false } } });
  expect((await demo('POST', '/v2.0/networks', { network: { shared: true } })).status).toBe(403);
  // A change is asked about whatever it says.
  expect((await demo('PUT', `/v2.0/networks/${made.body.network.id}`, { network: { shared: false } })).status).toBe(403);
});
test('auto allocated topology is made once', async () => {
  const demo = as(app, 'demo');
  const both = await Promise.all([1, 2].map(() => demo('GET', '/v2.0/auto-allocated-topology/null')));
  expect(both[0]?.body).toEqual(both[1]?.body);
  expect(both[0]?.status).toBe(200);
});
