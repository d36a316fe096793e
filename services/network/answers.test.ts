import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import { bootstrap, makeApp } from './index.ts';

let t: TestRuntime;
let app: FastifyInstance;
let network: string;
const demo = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'demo')(...args);
const admin = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'admin')(...args);
beforeAll(async () => {
  t = await testRuntime();
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: callers.demo.projectId as string } });
  app = await makeApp(t.rt);
  network = (await demo('POST', '/v2.0/networks', { network: { name: 'mine' } })).body.network.id;
  await demo('POST', '/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.20.0.0/24' } });
});
afterAll(async () => { await app.close(); await t.close(); });
const message = (answer: { status: number; body: { NeutronError?: { message: string } } }) => [answer.status, answer.body.NeutronError?.message];

test('who is no administrator does not read on which host a port is, nor how networks are built', async () => {
  const port = (await demo('POST', '/v2.0/ports', { port: { network_id: network, name: 'p' } })).body.port;
  const hidden = ['binding:host_id', 'binding:profile', 'binding:vif_type', 'binding:vif_details', 'resource_request'];
  for (const body of [port, (await demo('GET', `/v2.0/ports/${port.id}`)).body.port, (await demo('GET', '/v2.0/ports?name=p')).body.ports[0], (await demo('PUT', `/v2.0/ports/${port.id}`, { port: { description: 'd' } })).body.port]) {
    expect(Object.keys(body).filter(k => hidden.includes(k))).toEqual([]);
    expect(body).toHaveProperty(['binding:vnic_type'], 'normal');
  }
  expect(Object.keys((await admin('GET', `/v2.0/ports/${port.id}`)).body.port)).toEqual(expect.arrayContaining(hidden));
  expect((await demo('GET', `/v2.0/ports/${port.id}?fields=binding:host_id&fields=id`)).body.port).toEqual({ id: port.id });
  expect((await demo('GET', `/v2.0/networks/${network}`)).body.network).not.toHaveProperty(['provider:network_type']);
  expect((await admin('GET', `/v2.0/networks/${network}`)).body.network).toHaveProperty(['provider:network_type'], 'local');
  const router = (await demo('POST', '/v2.0/routers', { router: { name: 'r' } })).body.router;
  expect([router['ha'], router['distributed']]).toEqual([undefined, undefined]);
  expect((await admin('GET', `/v2.0/routers/${router.id}`)).body.router).toMatchObject({ ha: false, distributed: false });
  for (const odd of [{ distributed: true }, { ha: true }]) {
    expect((await admin('POST', '/v2.0/routers', { router: { name: 'odd', ...odd } })).status).toBe(400);
    expect((await admin('PUT', `/v2.0/routers/${router.id}`, { router: odd })).status).toBe(400);
  }
  expect((await admin('PUT', `/v2.0/routers/${router.id}`, { router: { distributed: false, ha: false } })).status).toBe(200);
});
test('subnets of an external network are its owner\'s', async () => {
  const external = (await demo('GET', '/v2.0/networks?router:external=true')).body.networks[0];
  expect(external).toMatchObject({ 'router:external': true });
  expect((await demo('GET', `/v2.0/subnets?network_id=${external.id}`)).body.subnets).toEqual([]);
  expect((await admin('GET', `/v2.0/subnets?network_id=${external.id}`)).body.subnets).toHaveLength(1);
});
test('anybody reads where floating IPs come from', async () => {
  const external = (await demo('GET', '/v2.0/networks?router:external=true')).body.networks[0];
  await admin('POST', '/v2.0/subnets', { subnet: { network_id: external.id, ip_version: 6, cidr: 'fd00:5::/64' } });
  const { floatingip_pools: pools } = (await demo('GET', '/v2.0/floatingip_pools')).body;
  expect(pools).toEqual([{ network_id: external.id, subnet_id: expect.any(String), subnet_name: expect.any(String), cidr: expect.stringMatching(/^[\d.]+\/\d+$/), project_id: callers.demo.projectId, tenant_id: callers.demo.projectId }]);
  expect((await demo('GET', '/v2.0/floatingip-pools')).body.floatingip_pools).toEqual(pools);
  expect((await demo('GET', `/v2.0/floatingip_pools?subnet_id=${pools[0].subnet_id}&fields=cidr`)).body.floatingip_pools).toEqual([{ cidr: pools[0].cidr }]);
  expect((await demo('POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external.id, subnet_id: pools[0].subnet_id } })).status).toBe(201);
});
test('an administrator gives a port another MAC address by null, with the addresses that follow from it', async () => {
  const lan = (await admin('POST', '/v2.0/networks', { network: {} })).body.network.id;
  await admin('POST', '/v2.0/subnets', { subnet: { network_id: lan, ip_version: 6, cidr: 'fd00:6::/64', ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' } });
  const before = (await admin('POST', '/v2.0/ports', { port: { network_id: lan, tags: ['b', 'a'] } })).body.port;
  expect(before.tags).toEqual(['b', 'a']);
  const after = (await admin('PUT', `/v2.0/ports/${before.id}`, { port: { mac_address: null } })).body.port;
  expect(after.mac_address).toMatch(/^fa:16:3e(:[\da-f]{2}){3}$/);
  expect([after.mac_address, after.fixed_ips[0].ip_address]).not.toEqual([before.mac_address, before.fixed_ips[0].ip_address]);
  expect(after.fixed_ips[0].ip_address).toMatch(/ff:fe/);
  const mine = (await demo('POST', '/v2.0/ports', { port: { network_id: network } })).body.port.id;
  expect((await demo('PUT', `/v2.0/ports/${mine}`, { port: { mac_address: null } })).status).toBe(403);
  const [one, other] = [(await admin('POST', '/v2.0/ports', { port: { network_id: lan } })).body.port, after];
  expect(message(await admin('PUT', `/v2.0/ports/${one.id}`, { port: { mac_address: other.mac_address } }))).toEqual([409, `Unable to complete operation for network ${lan}. The mac address ${other.mac_address} is in use.`]);
});
test('what cannot be done is refused, not left out', async () => {
  const port = (more: object) => demo('POST', '/v2.0/ports', { port: { network_id: network, ...more } });
  expect(message(await port({ bogus: 'example.org.' }))).toEqual([400, "Unrecognized attribute(s) 'bogus'"]);
  expect(message(await port({ bogus: 1, more: 2 }))[1]).toMatch(/^Unrecognized attribute\(s\) /);
  expect((await port({ dns_name: 'has blanks' })).status).toBe(400);
  expect((await port({ dns_name: 'fine' })).body.port).toMatchObject({ dns_name: 'fine', dns_assignment: [{ hostname: 'fine' }] });
  expect((await port({ extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: 'a\nb' }] })).status).toBe(400);
  expect((await port({ extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1400', ip_version: 5 }] })).status).toBe(400);
  expect((await port({ extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: 'pxelinux.0' }] })).body.port.extra_dhcp_opts).toEqual([{ opt_name: 'bootfile-name', opt_value: 'pxelinux.0', ip_version: 4 }]);
  expect((await port({ mac_address: '01:00:5e:00:00:01' })).status).toBe(201);   // as neutron: a group's address, which no guest speaks with
  expect((await port({ mac_address: 'fa:16:3e:00:00:01' })).body.port.mac_address).toBe('fa:16:3e:00:00:01');
  expect(message(await port({ mac_address: 'fa:16:3e:00:00:01' }))).toEqual([409, `Unable to complete operation for network ${network}. The mac address fa:16:3e:00:00:01 is in use.`]);
  for (const path of ['trunks']) {
    expect([path, (await demo('GET', `/v2.0/${path}`)).status]).toEqual([path, 200]);
    expect(message(await demo('POST', `/v2.0/${path}`, {}))).toEqual([400, `Invalid input for operation: ${path} are not available in this cloud.`]);
  }
});
test('routes of a router are taken away by null', async () => {
  const { id } = (await demo('POST', '/v2.0/routers', { router: {} })).body.router;
  const subnet = (await demo('GET', `/v2.0/subnets?network_id=${network}`)).body.subnets[0].id as string;
  await demo('PUT', `/v2.0/routers/${id}/add_router_interface`, { subnet_id: subnet });
  expect((await demo('PUT', `/v2.0/routers/${id}`, { router: { routes: [{ destination: '10.9.0.0/24', nexthop: '10.20.0.5' }] } })).body.router.routes).toHaveLength(1);
  expect((await demo('PUT', `/v2.0/routers/${id}`, { router: { routes: null } })).body.router.routes).toEqual([]);
});
test('an external network goes with its unused floating IPs, and not with used ones', async () => {
  const { id } = (await admin('POST', '/v2.0/networks', { network: { 'router:external': true } })).body.network;
  await admin('POST', '/v2.0/subnets', { subnet: { network_id: id, ip_version: 4, cidr: '198.51.100.0/24', enable_dhcp: false } });
  expect((await admin('POST', '/v2.0/floatingips', { floatingip: { floating_network_id: id } })).status).toBe(201);
  expect((await admin('DELETE', `/v2.0/networks/${id}`)).status).toBe(204);
});
test('there are no agents, which everybody may hear', async () => {
  expect((await demo('GET', '/v2.0/agents')).body).toEqual({ agents: [] });
  expect(message(await admin('GET', '/v2.0/agents/x'))).toEqual([404, 'Agent x could not be found.']);
});
test('what agents carry, and which agents carry it', async () => {
  const router = (await demo('POST', '/v2.0/routers', { router: { name: 'carried' } })).body.router.id as string;
  const host = 'here';
  await t.rt.db('routers').where({ id: router }).update({ host });
  const port = (await demo('POST', '/v2.0/ports', { port: { network_id: network } })).body.port.id as string;
  await t.rt.db('ports').where({ id: port }).update({ binding_host: host });
  await t.rt.db('workers').insert({ id: 'carrier', host, pid: 1, queues: [`host/${host}`] });
  const agents = (await admin('GET', '/v2.0/agents')).body.agents as { id: string; agent_type: string }[];
  const agent = (type: string) => agents.find((a) => a.agent_type === type)?.id as string;
  const names = (list: { name: string }[]) => list.map((one) => one.name);
  expect(names((await admin('GET', `/v2.0/agents/${agent('L3 agent')}/l3-routers`)).body.routers)).toContain('carried');
  expect((await admin('GET', `/v2.0/agents/${agent('DHCP agent')}/l3-routers`)).body.routers).toEqual([]);
  expect(names((await admin('GET', `/v2.0/agents/${agent('DHCP agent')}/dhcp-networks`)).body.networks)).toContain('mine');
  expect((await admin('GET', `/v2.0/routers/${router}/l3-agents`)).body.agents).toMatchObject([{ agent_type: 'L3 agent', host }]);
  expect((await admin('GET', `/v2.0/networks/${network}/dhcp-agents`)).body.agents).toMatchObject([{ agent_type: 'DHCP agent', host }]);
  expect((await demo('GET', `/v2.0/routers/${router}/l3-agents`)).status).toBe(403);
  const [l3, dhcp] = [agent('L3 agent'), agent('DHCP agent')];
  expect(message(await admin('POST', `/v2.0/agents/${dhcp}/dhcp-networks`, { network_id: network }))).toEqual([409, `The network ${network} has been already hosted by the DHCP Agent ${dhcp}.`]);
  expect((await admin('DELETE', `/v2.0/agents/${dhcp}/dhcp-networks/${network}`)).status).toBe(409);
  expect(message(await admin('DELETE', `/v2.0/agents/${dhcp}/dhcp-networks/none`))).toEqual([409, `The network none is not hosted by the DHCP agent ${dhcp}.`]);
  expect((await admin('PUT', `/v2.0/agents/${dhcp}`, { agent: { admin_state_up: false } })).status).toBe(400);
  // From one host to another.
  await t.rt.db('workers').insert({ id: 'other', host: 'elsewhere', pid: 2, queues: ['host/elsewhere'] });
  const there = ((await admin('GET', '/v2.0/agents?host=elsewhere&agent_type=L3%20agent')).body.agents as { id: string }[])[0]?.id as string;
  const add = (to: string, body: object = { router_id: router }) => admin('POST', `/v2.0/agents/${to}/l3-routers`, body);
  expect(await add(l3)).toMatchObject({ status: 201, body: null });
  expect(message(await add(there))).toEqual([409, `The router ${router} has been already hosted by the L3 Agent ${l3}.`]);
  expect((await add(dhcp)).status).toBe(409);
  expect((await add(there, { router_id: network })).status).toBe(404);
  expect((await admin('DELETE', `/v2.0/agents/${there}/l3-routers/${router}`)).status).toBe(204);
  expect((await admin('GET', `/v2.0/routers/${router}/l3-agents`)).body.agents).toHaveLength(1);
  expect((await admin('DELETE', `/v2.0/agents/${l3}/l3-routers/${router}`)).status).toBe(204);
  expect((await admin('GET', `/v2.0/routers/${router}/l3-agents`)).body.agents).toEqual([]);
  expect((await admin('PUT', `/v2.0/agents/${there}`, { agent: { admin_state_up: false } })).body.agent).toMatchObject({ admin_state_up: false, description: null });
  expect((await add(there)).status).toBe(409);
  expect((await admin('PUT', `/v2.0/agents/${there}`, { agent: { admin_state_up: true, description: 'd' } })).body.agent).toMatchObject({ admin_state_up: true, description: 'd' });
  expect((await admin('PUT', `/v2.0/agents/${there}`, { agent: { description: null } })).body.agent).toMatchObject({ admin_state_up: true, description: null });
  expect((await add(there)).status).toBe(201);
  expect((await admin('GET', `/v2.0/routers/${router}/l3-agents`)).body.agents).toMatchObject([{ id: there }]);
  expect((await demo('DELETE', `/v2.0/agents/${there}/l3-routers/${router}`)).status).toBe(403);
  await t.rt.db('workers').where({ id: 'other' }).delete();
  await t.rt.db('workers').where({ id: 'carrier' }).delete();
});
test('pages and filters of every list', async () => {
  for (const n of ['a', 'b', 'c']) {
    await demo('POST', '/v2.0/routers', { router: { name: `page-${n}` } });
    await demo('POST', '/v2.0/networks', { network: { name: `page-${n}` } });
  }
  for (const plural of ['networks', 'subnets', 'ports', 'routers', 'floatingips', 'security-groups', 'security-group-rules']) {
    const key = plural.replaceAll('-', '_');
    const all = (await demo('GET', `/v2.0/${plural}?sort_key=id&sort_dir=asc`)).body[key] as { id: string }[];
    const walked: string[] = [];
    let url: string | undefined = `/v2.0/${plural}?limit=2&sort_key=id&sort_dir=asc`;
    for (let i = 0; url !== undefined && i < 50; i++) {
      const { body }: { body: Record<string, unknown> } = await demo('GET', url);
      walked.push(...(body[key] as { id: string }[]).map(x => x.id));
      const next = (body[`${key}_links`] as { rel: string; href: string }[] | undefined)?.find(l => l.rel === 'next');
      url = next && new URL(next.href).pathname + new URL(next.href).search;
    }
    expect([plural, walked]).toEqual([plural, all.map(x => x.id)]);
    const [first] = all;
    if (first) expect((await demo('GET', `/v2.0/${plural}?id=${first.id}&fields=id`)).body[key]).toEqual([{ id: first.id }]);
    expect([plural, (await demo('GET', `/v2.0/${plural}?bogus=1`)).status]).toEqual([plural, 400]);
    expect([plural, (await demo('GET', `/v2.0/${plural}?limit=x`)).status]).toEqual([plural, 400]);
    expect([plural, (await demo('GET', `/v2.0/${plural}?marker=x`)).status]).toEqual([plural, 400]);
    expect([plural, (await demo('GET', `/v2.0/${plural}?sort_key=bogus`)).status]).toEqual([plural, 400]);
    if (plural !== 'security-group-rules') expect([plural, (await demo('GET', `/v2.0/${plural}?tags=x&name=y`)).body[key]]).toEqual([plural, []]);
  }
});
test('several at once, each wrapped or not; a group once', async () => {
  const made = await demo('POST', '/v2.0/security-groups', { security_groups: [{ security_group: { name: 'one' } }, { name: 'two' }] });
  expect(made.body.security_groups.map((g: { name: string }) => g.name)).toEqual(['one', 'two']);
  const id = made.body.security_groups[0].id;
  expect((await demo('POST', '/v2.0/ports', { port: { network_id: network, security_groups: [id, id] } })).status).toBe(400);
});
