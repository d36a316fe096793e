import { fakeNetwork } from '@cumulet/drivers/network';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime, type Who } from '../../../test/harness/service.ts';
import { bootstrap, makeApp, plans } from '../index.ts';

let t: TestRuntime;
let app: FastifyInstance;
let external: string;
let network: string;
let router: string;
let subnet: string;
const driver = fakeNetwork();
const call = (who: Who) => as(app, who);
const demo = (method: string, path: string, body?: unknown) => call('demo')(method, `/v2.0${path}`, body);
const fault = (answer: { status: number; body: { NeutronError?: { type: string } } }) => [answer.status, answer.body.NeutronError?.type];
beforeAll(async () => {
  t = await testRuntime();
  t.serve({ plans, deps: { db: t.rt.db, driver, host: 'testhost', metadataSocket: null, hostAccess: true } });
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: callers.demo.projectId as string } });
  app = await makeApp(t.rt);
  external = (await demo('GET', '/networks?name=public')).body.networks[0].id;
  network = (await demo('POST', '/networks', { network: {} })).body.network.id;
  subnet = (await demo('POST', '/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.70.0.0/24' } })).body.subnet.id;
  router = (await demo('POST', '/routers', { router: { external_gateway_info: { network_id: external } } })).body.router.id;
  await t.rt.db('routers').update({ host: 'testhost' });
  await demo('PUT', `/routers/${router}/add_router_interface`, { subnet_id: subnet });
});
afterAll(async () => { await app.close(); await t.close(); });

const floatingIp = async (more: object = {}) => (await demo('POST', '/floatingips', { floatingip: { floating_network_id: external, ...more } })).body.floatingip as { id: string; floating_ip_address: string };
const newPort = async () => (await demo('POST', '/ports', { port: { network_id: network } })).body.port as { id: string; fixed_ips: { subnet_id: string; ip_address: string }[] };
const forward = (fip: { id: string }, port: { id: string }, more: object = {}) => demo('POST', `/floatingips/${fip.id}/port_forwardings`, { port_forwarding: { internal_port_id: port.id, internal_port: 80, external_port: 8080, protocol: 'tcp', ...more } });

test('a port of a floating IP leads to a port of a server, from the row to the router', async () => {
  const [fip, port] = [await floatingIp(), await newPort()];
  const made = await forward(fip, port, { description: 'web' });
  const shown = { protocol: 'tcp', internal_port: 80, external_port: 8080, internal_port_range: '80:80', external_port_range: '8080:8080', internal_port_id: port.id, internal_ip_address: port.fixed_ips[0]?.ip_address, description: 'web' };
  expect(made).toMatchObject({ status: 201, body: { port_forwarding: shown } });
  const url = `/floatingips/${fip.id}/port_forwardings/${made.body.port_forwarding.id}`;
  await t.drain();
  const specOf = () => driver.routers.get(router)?.portForwardings;
  expect(specOf()).toEqual([{ floatingIp: fip.floating_ip_address, fixedIp: port.fixed_ips[0]?.ip_address, protocol: 6, outside: { min: 8080, max: 8080 }, inside: { min: 80, max: 80 } }]);
  expect((await demo('GET', `/floatingips/${fip.id}`)).body.floatingip).toMatchObject({ router_id: router, port_id: null, status: 'ACTIVE', port_forwardings: [{ id: made.body.port_forwarding.id, external_port: 8080, internal_port: 80, protocol: 'tcp' }] });
  expect((await demo('GET', `/floatingips/${fip.id}/port_forwardings?external_port=8080`)).body.port_forwardings).toEqual([made.body.port_forwarding]);
  expect((await demo('GET', `/floatingips/${fip.id}/port_forwardings?protocol=udp`)).body.port_forwardings).toEqual([]);
  expect((await demo('PUT', url, { port_forwarding: { internal_port: 8000, protocol: 'UDP' } })).body.port_forwarding).toMatchObject({ internal_port: 8000, external_port: 8080, protocol: 'udp', description: 'web' });
  await t.drain();
  expect(specOf()).toMatchObject([{ protocol: 17, inside: { min: 8000, max: 8000 } }]);

  // What holds it, and what it holds.
  expect(fault(await demo('DELETE', `/floatingips/${fip.id}`))).toEqual([409, 'FipInUseByPortForwarding']);
  expect(fault(await demo('PUT', `/floatingips/${fip.id}`, { floatingip: { port_id: port.id } }))).toEqual([409, 'FipInUseByPortForwarding']);
  expect((await demo('PUT', `/floatingips/${fip.id}`, { floatingip: { port_id: null } })).body.floatingip.router_id).toBe(router);
  expect(fault(await demo('PUT', `/routers/${router}/remove_router_interface`, { subnet_id: subnet }))).toEqual([409, 'RouterInterfaceInUseByFloatingIP']);
  expect(fault(await demo('PUT', `/routers/${router}`, { router: { external_gateway_info: null } }))).toEqual([409, 'RouterExternalGatewayInUseByFloatingIp']);
  expect((await call('other')('GET', `/v2.0${url}`)).status).toBe(404);
  expect((await call('admin')('GET', `/v2.0${url}`)).status).toBe(200);

  expect((await demo('DELETE', url)).status).toBe(204);
  expect(fault(await demo('GET', url))).toEqual([404, 'PortForwardingNotFound']);
  await t.drain();
  expect(specOf()).toEqual([]);
  expect((await demo('GET', `/floatingips/${fip.id}`)).body.floatingip).toMatchObject({ router_id: null, status: 'DOWN', port_forwardings: [] });
  expect((await demo('DELETE', `/floatingips/${fip.id}`)).status).toBe(204);
});
test('ranges', async () => {
  const [fip, port] = [await floatingIp(), await newPort()];
  const range = (external_port_range: string | number, internal_port_range: string | number, more: object = {}) => forward(fip, port, { internal_port: undefined, external_port: undefined, external_port_range, internal_port_range, ...more });
  expect((await range('2000:2010', '2000:2010')).body.port_forwarding).toMatchObject({ external_port: null, internal_port: null, external_port_range: '2000:2010', internal_port_range: '2000:2010' });
  expect((await range('3000:3010', 22)).body.port_forwarding).toMatchObject({ external_port: null, internal_port: 22, internal_port_range: '22:22' });
  expect((await range('4000:5023', '10000:11023')).status).toBe(201);
  expect((await demo('GET', `/floatingips/${fip.id}`)).body.floatingip.port_forwardings[0]).toEqual(expect.objectContaining({ external_port_range: '2000:2010' }));
  for (const [outside, inside] of [['100:101', '100:110'], ['100:99', '1'], ['0:10', '1'], ['65536', '1'], ['x', '1'], ['1:2:3', '1'], ['1000:2500', '1001:2501'], ['6000:6001', '6001:6002']] as const) expect((await range(outside, inside)).status, outside).toBe(400);
  // Neither outside nor inside may two meet; another protocol is another world.
  expect((await range('2010:2020', '5000:5010')).body.NeutronError.message).toContain('There is a port collision with the external_port_range');
  expect((await range('9000', '2005')).body.NeutronError.message).toContain('There is a port collision with the internal_port_range');
  expect((await range('2000:2010', '2000:2010', { protocol: 'udp' })).status).toBe(201);
});
test('what is refused', async () => {
  const [fip, port] = [await floatingIp(), await newPort()];
  for (const more of [{ external_port: 333333 }, { internal_port: 0 }, { protocol: 'icmp' }, { internal_ip_address: '10.70.0.250' }, { internal_ip_address: 'x' }, { external_port: undefined }, { external_port_range: '81:82' }, { internal_port_id: 'x' }, { nonsense: 1 }]) expect((await forward(fip, port, more)).status, JSON.stringify(more)).toBe(400);
  expect((await forward(fip, { id: network })).status).toBe(404);
  expect((await forward({ id: network }, port)).status).toBe(404);
  expect(fault(await demo('GET', `/floatingips/${fip.id}/port_forwardings/${network}`))).toEqual([404, 'PortForwardingNotFound']);
  const taken = await newPort();
  const whole = await floatingIp({ port_id: taken.id });
  expect(fault(await forward(fip, taken))).toEqual([409, 'PortHasBindingFloatingIP']);
  expect(fault(await forward(whole, port))).toEqual([409, 'FloatingIPPortAlreadyAssociated']);
  const lonely = (await demo('POST', '/networks', { network: {} })).body.network.id;
  await demo('POST', '/subnets', { subnet: { network_id: lonely, ip_version: 4, cidr: '10.71.0.0/24' } });
  const unreachable = (await demo('POST', '/ports', { port: { network_id: lonely } })).body.port;
  expect((await forward(fip, unreachable)).body.NeutronError.message).toContain('is not reachable from subnet');
});
test('forwardings go with the port, or with the address that it loses', async () => {
  const [fip, port] = [await floatingIp(), await newPort()];
  const [first] = port.fixed_ips;
  const both = (await demo('PUT', `/ports/${port.id}`, { port: { fixed_ips: [{ subnet_id: subnet, ip_address: first?.ip_address }, { subnet_id: subnet }] } })).body.port;
  for (const [i, f] of both.fixed_ips.entries()) expect((await forward(fip, port, { internal_ip_address: f.ip_address, external_port: 7000 + i })).status).toBe(201);
  await demo('PUT', `/ports/${port.id}`, { port: { fixed_ips: [{ subnet_id: subnet, ip_address: first?.ip_address }] } });
  expect((await demo('GET', `/floatingips/${fip.id}/port_forwardings`)).body.port_forwardings).toMatchObject([{ internal_ip_address: first?.ip_address }]);
  expect((await demo('DELETE', `/ports/${port.id}`)).status).toBe(204);
  await t.drain();
  expect((await demo('GET', `/floatingips/${fip.id}`)).body.floatingip).toMatchObject({ router_id: null, port_forwardings: [] });
  expect(driver.routers.get(router)?.portForwardings?.some(f => f.floatingIp === fip.floating_ip_address)).toBe(false);
});
test('of twenty that want one port at once, one gets it', async () => {
  const fip = await floatingIp();
  const ports = await Promise.all(Array.from({ length: 20 }, newPort));
  const answers = await Promise.all(ports.map(port => forward(fip, port)));
  expect(answers.map(a => a.status).toSorted()).toEqual([201, ...Array.from({ length: 19 }, () => 400)]);
});
