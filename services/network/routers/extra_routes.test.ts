import { fakeNetwork } from '@cumulet/drivers/network';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { makeApp, plans } from '../index.ts';

let t: TestRuntime;
let app: FastifyInstance;
beforeAll(async () => {
  t = await testRuntime();
  t.serve({ plans, deps: { db: t.rt.db, driver: fakeNetwork(), host: 'testhost', metadataSocket: '/run/md.sock', hostAccess: true } });
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });

test('routes are added and removed one by one, and lead to neighbours only', async () => {
  const demo = as(app, 'demo');
  const { body: { network } } = await demo('POST', '/v2.0/networks', { network: {} });
  const { body: { subnet } } = await demo('POST', '/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.9.0.0/24' } });
  // A gateway outside the subnet is allowed, its edges are not.
  for (const [gateway_ip, status] of [['10.10.11.1', 201], ['10.7.0.0', 400], ['10.7.0.255', 400]] as const) expect((await demo('POST', '/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr: '10.7.0.0/24', gateway_ip } })).status).toBe(status);
  const { body: { router } } = await demo('POST', '/v2.0/routers', { router: {} });
  await demo('PUT', `/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
  const change = (action: string, ...routes: object[]) => demo('PUT', `/v2.0/routers/${router.id}/${action}_extraroutes`, { router: { routes } });
  const [a, b] = [{ destination: '10.20.0.0/24', nexthop: '10.9.0.7' }, { destination: '10.21.0.0/24', nexthop: '10.9.0.8' }];
  expect((await change('add', a, a)).body.router.routes).toEqual([a]);
  expect((await Promise.all([change('add', b), change('add', a)])).map(r => r.status)).toEqual([200, 200]);
  expect((await demo('GET', `/v2.0/routers/${router.id}`)).body.router.routes).toEqual([a, b]);
  for (const nexthop of ['10.8.0.7', '10.9.0.1']) expect(await change('add', { destination: '10.22.0.0/24', nexthop })).toMatchObject({ status: 400, body: { NeutronError: { type: 'InvalidRoutes' } } });
  expect((await demo('PUT', `/v2.0/routers/${router.id}`, { router: { routes: [{ ...a, nexthop: '10.8.0.1' }] } })).status).toBe(400);
  expect(await demo('PUT', `/v2.0/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id })).toMatchObject({ status: 409, body: { NeutronError: { type: 'RouterInterfaceInUseByRoute' } } });
  expect((await as(app, 'other')('PUT', `/v2.0/routers/${router.id}/add_extraroutes`, { router: { routes: [] } })).status).toBe(404);
  expect((await change('remove', b, { destination: '10.99.0.0/24', nexthop: '10.9.0.7' })).body.router.routes).toEqual([a]);
  expect((await change('remove', a)).body.router.routes).toEqual([]);
  expect((await demo('PUT', `/v2.0/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id })).status).toBe(200);
});
