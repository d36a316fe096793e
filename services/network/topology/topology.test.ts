import type { FastifyInstance } from 'fastify';
import { fakeNetwork } from '@cumulet/drivers/network';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { bootstrap, makeApp, plans } from '../index.ts';

let t: TestRuntime;
let app: FastifyInstance;
const project = callers.demo.projectId as string;
beforeAll(async () => {
  t = await testRuntime();
  t.serve({ plans, deps: { db: t.rt.db, driver: fakeNetwork(), host: 'testhost', metadataSocket: '/run/md.sock', hostAccess: true } });
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: project } });
  await t.drain();
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });

test('a project\'s own topology is made once, and goes as one', async () => {
  const demo = as(app, 'demo');
  const { body } = await demo('GET', `/v2.0/auto-allocated-topology/${project}`);
  const { id } = body.auto_allocated_topology;
  for (const named of [project, 'None', 'null']) expect((await demo('GET', `/v2.0/auto-allocated-topology/${named}`)).body.auto_allocated_topology.id).toBe(id);
  const routers = async () => (await demo('GET', '/v2.0/routers')).body.routers;
  expect(await routers()).toHaveLength(1);
  const { body: { port } } = await demo('POST', '/v2.0/ports', { port: { network_id: id } });
  expect(await demo('DELETE', `/v2.0/auto-allocated-topology/${project}`)).toMatchObject({ status: 409, body: { NeutronError: { type: 'AutoAllocationFailure' } } });
  expect(await routers()).toHaveLength(1);
  await demo('DELETE', `/v2.0/ports/${port.id}`);
  for (const _ of ['there', 'gone']) expect(await demo('DELETE', `/v2.0/auto-allocated-topology/${project}`)).toMatchObject({ status: 204 });
  expect(await routers()).toEqual([]);
  expect((await demo('GET', `/v2.0/networks/${id}`)).status).toBe(404);
});

test('addresses of networks are counted, and asked for by network', async () => {
  const admin = as(app, 'admin');
  const { body } = await admin('GET', '/v2.0/network-ip-availabilities?network_name=private');
  expect(body.network_ip_availabilities).toMatchObject([{ network_name: 'private', total_ips: 253, subnet_ip_availability: [{ ip_version: 4, total_ips: 253 }] }]);
  const [{ network_id: id }] = body.network_ip_availabilities;
  expect((await admin('GET', `/v2.0/network-ip-availabilities/${id}`)).body.network_ip_availability).toEqual(body.network_ip_availabilities[0]);
  expect((await admin('GET', '/v2.0/network-ip-availabilities?ip_version=6')).body.network_ip_availabilities).toEqual([]);
  expect((await as(app, 'demo')('GET', '/v2.0/network-ip-availabilities')).status).toBe(403);
});

test('a worker is shown as its host\'s agents', async () => {
  await t.rt.db('workers').insert({ id: 'w1', host: 'node1', pid: 1, queues: ['any', 'host/node1'] });
  const admin = as(app, 'admin');
  const { body: { agents } } = await admin('GET', '/v2.0/agents?host=node1&sort_key=agent_type');
  expect(agents.map((a: { agent_type: string }) => a.agent_type)).toEqual(['DHCP agent', 'L3 agent', 'Linux bridge agent', 'Metadata agent']);
  expect(agents[0]).toMatchObject({ alive: true, admin_state_up: true, binary: 'neutron-dhcp-agent', configurations: { networks: 0 } });
  expect((await admin('GET', `/v2.0/agents/${agents[1].id}`)).body.agent).toEqual(agents[1]);
  await t.rt.db('workers').where({ id: 'w1' }).update({ seen_at: new Date(t.rt.clock() - 600_000) });
  expect((await admin('GET', '/v2.0/agents?host=node1&alive=true')).body.agents).toEqual([]);
  expect(await as(app, 'demo')('GET', '/v2.0/agents')).toMatchObject({ status: 200, body: { agents: [] } });
});

test('whatever somebody takes for an id is not found, however long', async () => {
  for (const id of ['x'.repeat(4_000), `openstack.network.v2.network.Network(id=${'%20'.repeat(900)})`, '%F0%9F%92%A9']) {
    expect((await as(app, 'demo')('GET', `/v2.0/networks/${id}`)).status).toBe(404);
  }
});
