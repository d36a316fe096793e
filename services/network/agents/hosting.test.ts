import { fakeNetwork } from '@cumulet/drivers/network';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { makeApp, plans } from '../index.ts';

let t: TestRuntime;
let app: FastifyInstance;
const [here, there] = [fakeNetwork(), fakeNetwork()];
const admin = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'admin')(...args);
beforeAll(async () => {
  t = await testRuntime();
  const depsOf = (host: string, driver: typeof here) => ({ db: t.rt.db, driver, host, metadataSocket: null, hostAccess: true });
  t.serve({ plans, deps: depsOf('testhost', here) });
  t.serveOn('there', { plans, deps: depsOf('there', there) });
  await t.rt.db('workers').insert([['w1', 'testhost'], ['w2', 'there']].map(([id, host]) => ({ id, host, pid: 1, queues: [`host/${host}`], facts: JSON.stringify({ network: true }) })));
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });

test('a router moves from host to host with its legs; a disabled agent gets no new ones', async () => {
  const agent = async (host: string) => (await admin('GET', `/v2.0/agents?host=${host}&agent_type=L3%20agent`)).body.agents[0].id as string;
  const [from, to] = [await agent('testhost'), await agent('there')];
  await admin('PUT', `/v2.0/agents/${to}`, { agent: { admin_state_up: false } });
  const network = (await admin('POST', '/v2.0/networks', { network: {} })).body.network.id as string;
  const subnet = (await admin('POST', '/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.3.0.0/24' } })).body.subnet.id as string;
  const router = (await admin('POST', '/v2.0/routers', { router: {} })).body.router.id as string;
  await admin('POST', '/v2.0/routers', { router: {} });
  const leg = (await admin('PUT', `/v2.0/routers/${router}/add_router_interface`, { subnet_id: subnet })).body.port_id as string;
  await t.drain();
  expect([here.routers.size, there.routers.size]).toEqual([2, 0]);
  await admin('PUT', `/v2.0/agents/${to}`, { agent: { admin_state_up: true } });
  expect((await admin('DELETE', `/v2.0/agents/${from}/l3-routers/${router}`)).status).toBe(204);
  await t.drain();
  expect([here.routers.has(router), there.routers.has(router)]).toEqual([false, false]);
  expect((await admin('GET', `/v2.0/ports/${leg}`)).body.port).toMatchObject({ 'binding:host_id': '', status: 'DOWN' });
  expect((await admin('POST', `/v2.0/agents/${to}/l3-routers`, { router_id: router })).status).toBe(201);
  await t.drain();
  expect([here.routers.has(router), there.routers.get(router)?.interfaces.length]).toEqual([false, 1]);
  expect((await admin('GET', `/v2.0/ports/${leg}`)).body.port).toMatchObject({ 'binding:host_id': 'there', status: 'ACTIVE' });
  // Not bound is not lost: it goes like any other.
  await admin('DELETE', `/v2.0/agents/${to}/l3-routers/${router}`);
  await admin('PUT', `/v2.0/routers/${router}/remove_router_interface`, { subnet_id: subnet });
  expect((await admin('DELETE', `/v2.0/routers/${router}`)).status).toBe(204);
  await t.drain();
  expect([here.routers.size, there.routers.size]).toEqual([1, 0]);
});
