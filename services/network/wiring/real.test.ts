import { transaction } from '@cumulet/db';
import { plainCall } from '@cumulet/drivers';
import { newId } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Guest } from '../../../packages/drivers/network/lab.ts';
import { openLab, type LinuxBridgeLab } from '../../../packages/drivers/network/linuxbridge/lab.ts';
import { as, callers, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { bootstrap, makeApp, networksForCompute, plans } from '../index.ts';
import { reconcileHost, restoreHost } from './host.ts';
import type { NetworkDeps } from './deps.ts';

/*
 * From the API to a guest's packet, on real bridges: what the rows say is what travels.
 */

let t: TestRuntime;
let app: FastifyInstance;
let lab: LinuxBridgeLab;
let deps: NetworkDeps;
let nets: ReturnType<typeof networksForCompute>;
const call = plainCall();
const who = { projectId: callers.demo.projectId as string, userId: 'u', admin: false };
const demo = (method: string, path: string, body?: unknown) => as(app, 'demo')(method, `/v2.0${path}`, body);

beforeAll(async () => {
  lab = await openLab({ prefix: `w${(process.pid % 1296).toString(36).padStart(2, '0')}` });
  t = await testRuntime();
  deps = { db: t.rt.db, driver: lab.driver, host: 'testhost', metadataSocket: lab.metadataSocket, hostAccess: true };
  t.serve({ plans, deps });
  nets = networksForCompute({ db: t.rt.db, tasks: t.rt.tasks, host: deps });
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: 'f'.repeat(32) } });
  app = await makeApp(t.rt);
  await t.drain();
});
afterAll(async () => {
  await app?.close();
  await lab?.driver.stopAll(call, { keepWires: false });
  await lab?.close();
  await t?.close();
});

interface Server { readonly id: string; readonly port: string; readonly ip: string; readonly guest: Guest }
async function boot(networkId: string): Promise<Server> {
  const id = newId();
  const port = await transaction(t.rt.db, async trx => {
    const made = await nets.createPort(trx, { who, serverId: id, networkId, zone: 'nova', hostname: 'vm' });
    await nets.bind(trx, made.id, 'testhost');
    return made;
  });
  const guest = await lab.guest(await nets.plug(call, port.id), port.mac_address);
  return { id, port: port.id, ip: port.fixed_ips[0]?.ip_address ?? '', guest };
}
async function end(server: Server): Promise<void> {
  await server.guest.unplug();
  await nets.unplug(call, server.port);
  await transaction(t.rt.db, trx => nets.deletePort(trx, server.port));
  await t.drain();
}

test('two servers on `private`: addresses, metadata, the host, rules, a floating IP, and nothing left of them', async () => {
  const network = (await demo('GET', '/networks?name=private')).body.networks[0].id as string;
  const external = (await demo('GET', '/networks?name=public')).body.networks[0].id as string;
  const [one, two] = [await boot(network), await boot(network)];
  expect(await one.guest.dhcp()).toMatchObject({ ip: one.ip, hostname: 'vm', mtu: '1450' });
  expect(await two.guest.dhcp()).toMatchObject({ ip: two.ip });
  expect(JSON.parse(await one.guest.get('http://169.254.169.254/') ?? '{}')).toMatchObject({ 'x-forwarded-for': one.ip, 'x-neutron-network-id': network });
  expect(await nets.serverAt(t.rt.db, network, one.ip)).toBe(one.id);

  // Members of `default` may talk to each other; others only by a rule.
  expect(await one.guest.ping(two.ip)).toBe(true);
  expect(await lab.host.ping(one.ip)).toBe(false);
  const group = (await demo('GET', '/security-groups?name=default')).body.security_groups[0].id as string;
  const rule = await demo('POST', '/security-group-rules', { security_group_rule: { security_group_id: group, direction: 'ingress', protocol: 'icmp', remote_ip_prefix: '0.0.0.0/0' } });
  await t.drain();
  expect(await lab.host.ping(one.ip)).toBe(true);

  const fip = (await demo('POST', '/floatingips', { floatingip: { floating_network_id: external, port_id: one.port } })).body.floatingip;
  await t.drain();
  expect(await lab.host.ping(fip.floating_ip_address)).toBe(true);
  await demo('PUT', `/floatingips/${fip.id}`, { floatingip: { port_id: two.port } });
  await t.drain();
  await two.guest.serve(80);
  expect(await lab.host.get(`http://${fip.floating_ip_address}/`)).toBeUndefined();
  await demo('POST', '/security-group-rules', { security_group_rule: { security_group_id: group, direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80 } });
  await t.drain();
  expect(await lab.host.get(`http://${fip.floating_ip_address}/`)).toContain('served');
  await demo('DELETE', `/security-group-rules/${rule.body.security_group_rule.id}`);
  await t.drain();
  expect(await lab.host.ping(one.ip)).toBe(false);

  // Some ports of another floating IP, for whoever an address group names.
  const shared = (await demo('POST', '/floatingips', { floatingip: { floating_network_id: external } })).body.floatingip;
  const forwarding = (await demo('POST', `/floatingips/${shared.id}/port_forwardings`, { port_forwarding: { internal_port_id: one.port, internal_port: 81, external_port: 8081, protocol: 'tcp' } })).body.port_forwarding;
  const hostIp = await lab.driver.hostAddressOf(call, external);
  const listed = (await demo('POST', '/address-groups', { address_group: { name: 'the host' } })).body.address_group.id as string;
  const ruled = await demo('POST', '/security-group-rules', { security_group_rule: { security_group_id: group, direction: 'ingress', protocol: 'tcp', port_range_min: 81, port_range_max: 81, remote_address_group_id: listed } });
  await one.guest.serve(81);
  await t.drain();
  const asked = () => lab.host.get(`http://${shared.floating_ip_address}:8081/`);
  expect(await asked()).toBeUndefined();
  await demo('PUT', `/address-groups/${listed}/add_addresses`, { addresses: [`${hostIp}/32`, '2001:db8::/32'] });
  await t.drain();
  expect(await asked()).toContain('served');
  await demo('PUT', `/address-groups/${listed}/remove_addresses`, { addresses: [`${hostIp}/32`] });
  await t.drain();
  expect(await asked()).toBeUndefined();
  await demo('PUT', `/address-groups/${listed}/add_addresses`, { addresses: [`${hostIp}/32`] });
  await demo('DELETE', `/floatingips/${shared.id}/port_forwardings/${forwarding.id}`);
  await t.drain();
  expect(await asked()).toBeUndefined();
  expect((await demo('DELETE', `/floatingips/${shared.id}`)).status).toBe(204);
  expect((await demo('DELETE', `/security-group-rules/${ruled.body.security_group_rule.id}`)).status).toBe(204);

  // Groups of a port change under a running server.
  const closed = (await demo('POST', '/security-groups', { security_group: { name: 'closed' } })).body.security_group.id as string;
  await demo('PUT', `/ports/${two.port}`, { port: { security_groups: [closed] } });
  await t.drain();
  expect(await one.guest.ping(two.ip)).toBe(false);
  expect(await lab.host.get(`http://${fip.floating_ip_address}/`)).toBeUndefined();

  // A worker that starts again says everything again, and what runs stays connected.
  await demo('PUT', `/ports/${two.port}`, { port: { security_groups: [group] } });
  await lab.driver.stopAll(call, { keepWires: true });
  await restoreHost(deps, call);
  await t.drain();
  expect(await one.guest.ping(two.ip)).toBe(true);
  expect(await one.guest.dhcp()).toMatchObject({ ip: one.ip });

  // Somebody flushes the host's firewall: filters and tracking come back with the next look.
  await lab.runner.run('nft', ['flush', 'ruleset']);
  await reconcileHost(deps, call);
  expect((await lab.driver.list(call)).ports).toHaveLength(2);
  expect(await lab.host.ping(one.ip)).toBe(false);
  expect(await one.guest.ping(two.ip)).toBe(true);

  await end(one);
  await end(two);
  expect((await lab.driver.list(call)).ports).toEqual([]);
  expect((await demo('GET', `/floatingips/${fip.id}`)).body.floatingip).toMatchObject({ port_id: null, status: 'DOWN' });
  expect(await lab.host.ping(fip.floating_ip_address)).toBe(false);
}, 60_000);

test("a project's own network comes to the host with its first server and goes with its last", async () => {
  const network = (await demo('POST', '/networks', { network: { name: 'own' } })).body.network.id as string;
  const subnet = (await demo('POST', '/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.5.0.0/24' } })).body.subnet.id as string;
  const here = async () => (await lab.driver.list(call)).networks.some(n => n.id === network);
  await t.drain();
  expect(await here()).toBe(false);
  const server = await boot(network);
  expect(await server.guest.dhcp()).toMatchObject({ ip: server.ip });
  // What its owner writes into a port must not end DHCP for the others.
  expect((await demo('PUT', `/ports/${server.port}`, { port: { extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: 'a"b\\#' }] } })).status).toBeLessThan(500);
  await t.drain();
  expect(await server.guest.dhcp()).toMatchObject({ ip: server.ip });
  await end(server);
  await reconcileHost(deps, call);
  expect(await here()).toBe(false);
  expect((await demo('DELETE', `/subnets/${subnet}`)).status).toBe(204);
  expect((await demo('DELETE', `/networks/${network}`)).status).toBe(204);
  await t.drain();
  expect((await lab.driver.list(call)).strays).toEqual([]);
}, 30_000);

test('a limit of the network\'s policy, then of the port\'s own, is in the filter of the tap, and comes back with it', async () => {
  const admin = (method: string, path: string, body?: unknown) => as(app, 'admin')(method, `/v2.0${path}`, body);
  const policy = async (max_kbps: number) => {
    const { id } = (await admin('POST', '/qos/policies', { policy: { project_id: who.projectId } })).body.policy as { id: string };
    expect((await admin('POST', `/qos/policies/${id}/bandwidth_limit_rules`, { bandwidth_limit_rule: { max_kbps } })).status).toBe(201);
    return id;
  };
  const [ofNetwork, own] = [await policy(8000), await policy(16_000)];
  const network = (await demo('POST', '/networks', { network: { qos_policy_id: ofNetwork } })).body.network.id as string;
  await demo('POST', '/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.6.0.0/24' } });
  const server = await boot(network);
  const limit = async () => {
    await t.drain();
    const { stdout } = await lab.runner.run('nft', ['list', 'ruleset', 'bridge']);
    return [...stdout.matchAll(/limit rate over (\S+ \S+)\/second/g)].map(m => m[1]);
  };
  expect(await limit()).toEqual(['1000000 bytes']);
  await demo('PUT', `/ports/${server.port}`, { port: { qos_policy_id: own } });
  expect(await limit()).toEqual(['2000000 bytes']);
  await lab.runner.run('nft', ['flush', 'ruleset']);
  await reconcileHost(deps, call);
  expect(await limit()).toEqual(['2000000 bytes']);
  expect(await server.guest.dhcp()).toMatchObject({ ip: server.ip });
  await demo('PUT', `/ports/${server.port}`, { port: { qos_policy_id: null } });
  await demo('PUT', `/networks/${network}`, { network: { qos_policy_id: null } });
  expect(await limit()).toEqual([]);
  await end(server);
  for (const id of [ofNetwork, own]) expect((await admin('DELETE', `/qos/policies/${id}`)).status).toBe(204);
  expect((await demo('DELETE', `/networks/${network}`)).status).toBe(204);
  await t.drain();
}, 60_000);
