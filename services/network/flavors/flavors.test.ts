import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { makeApp } from '../index.ts';

let t: TestRuntime;
let app: FastifyInstance;
beforeAll(async () => { t = await testRuntime(); app = await makeApp(t.rt); });
afterAll(async () => { await app.close(); await t.close(); });
const admin = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'admin')(...args);
const demo = (...args: Parameters<ReturnType<typeof as>>) => as(app, 'demo')(...args);
const fault = (answer: { status: number; body: { NeutronError?: { type: string } } }) => [answer.status, answer.body.NeutronError?.type];
const absent = '00000000-0000-4000-8000-000000000000';

test('an administrator makes flavors, others read them', async () => {
  const made = await admin('POST', '/v2.0/flavors', { flavor: { name: 'gold', service_type: 'L3_ROUTER_NAT', enabled: 'false' } });
  expect(made).toMatchObject({ status: 201, body: { flavor: { name: 'gold', description: '', service_type: 'L3_ROUTER_NAT', enabled: false, service_profiles: [] } } });
  const url = `/v2.0/flavors/${made.body.flavor.id}`;
  expect((await admin('PUT', url, { flavor: { enabled: true, description: null } })).body.flavor).toMatchObject({ name: 'gold', enabled: true, description: null });
  expect((await admin('PUT', url, { flavor: {} })).status).toBe(200);
  expect((await demo('GET', '/v2.0/flavors?name=gold')).body.flavors).toHaveLength(1);
  expect((await demo('GET', url)).body.flavor.enabled).toBe(true);
  expect((await demo('GET', '/v2.0/flavors?id=33')).body.flavors).toEqual([]);
  for (const [method, path, body] of [['POST', '/v2.0/flavors', { flavor: { service_type: 'FLAVORS' } }], ['PUT', url, { flavor: { name: 'x' } }], ['DELETE', url, undefined], ['POST', '/v2.0/service_profiles', { service_profile: { metainfo: 'm' } }]] as const) expect((await demo(method, path, body)).status, path).toBe(403);
  for (const bad of [{}, { service_type: 'NONE' }, { service_type: 'FLAVORS', more: 1 }, { service_type: 'FLAVORS', name: 'n'.repeat(256) }]) expect((await admin('POST', '/v2.0/flavors', { flavor: bad })).status).toBe(400);
  expect((await admin('PUT', url, { flavor: { service_type: 'FLAVORS' } })).status).toBe(400);
  expect((await admin('DELETE', url)).status).toBe(204);
  expect(fault(await admin('GET', url))).toEqual([404, 'FlavorNotFound']);
});
test('profiles are offered by flavors, and stay while one offers them', async () => {
  const flavor = (await admin('POST', '/v2.0/flavors', { flavor: { name: 'f', service_type: 'FLAVORS' } })).body.flavor.id as string;
  const made = await admin('POST', '/v2.0/service_profiles', { service_profile: { metainfo: '{"data": "value"}', driver: '' } });
  expect(made).toMatchObject({ status: 201, body: { service_profile: { metainfo: '{"data": "value"}', driver: '', description: '', enabled: true, flavors: [] } } });
  const profile = made.body.service_profile.id as string;
  expect((await demo('GET', '/v2.0/service_profiles')).body.service_profiles).toEqual([]);
  expect((await demo('GET', `/v2.0/service_profiles/${profile}`)).status).toBe(403);
  expect(fault(await admin('POST', '/v2.0/service_profiles', { service_profile: {} }))).toEqual([400, 'ServiceProfileEmpty']);
  expect(fault(await admin('POST', '/v2.0/service_profiles', { service_profile: { driver: 'some.Driver' } }))).toEqual([404, 'ServiceProfileDriverNotFound']);
  const bind = (id: string) => admin('POST', `/v2.0/flavors/${flavor}/service_profiles`, { service_profile: { id } });
  expect(fault(await admin('GET', `/v2.0/flavors/${flavor}/next_providers`))).toEqual([404, 'FlavorServiceProfileBindingNotFound']);
  expect(await bind(profile)).toMatchObject({ status: 201, body: { service_profile: { id: flavor, service_profiles: [profile] } } });
  expect(fault(await bind(profile))).toEqual([409, 'FlavorServiceProfileBindingExists']);
  expect(fault(await bind(absent))).toEqual([404, 'ServiceProfileNotFound']);
  expect((await admin('GET', `/v2.0/service_profiles/${profile}?fields=flavors`)).body.service_profile).toEqual({ flavors: [flavor] });
  expect(fault(await admin('GET', `/v2.0/flavors/${flavor}/next_providers`))).toEqual([404, 'ServiceProfileDriverNotFound']);
  expect(fault(await admin('PUT', `/v2.0/service_profiles/${profile}`, { service_profile: { enabled: false } }))).toEqual([409, 'ServiceProfileInUse']);
  expect(fault(await admin('DELETE', `/v2.0/service_profiles/${profile}`))).toEqual([409, 'ServiceProfileInUse']);
  expect((await admin('DELETE', `/v2.0/flavors/${flavor}/service_profiles/${profile}`)).status).toBe(204);
  expect(fault(await admin('DELETE', `/v2.0/flavors/${flavor}/service_profiles/${profile}`))).toEqual([404, 'FlavorServiceProfileBindingNotFound']);
  expect((await admin('PUT', `/v2.0/service_profiles/${profile}`, { service_profile: { enabled: false } })).body.service_profile.enabled).toBe(false);
  await bind(profile);
  expect(fault(await admin('GET', `/v2.0/flavors/${flavor}/next_providers`))).toEqual([503, 'ServiceProfileDisabled']);
  // A flavor takes its offers along.
  expect((await admin('DELETE', `/v2.0/flavors/${flavor}`)).status).toBe(204);
  expect((await admin('DELETE', `/v2.0/service_profiles/${profile}`)).status).toBe(204);
});
