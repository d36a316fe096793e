import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud } from '../../../test/harness/identity.ts';
import { isUsableUrl } from './catalog.ts';

let cloud: IdentityCloud;
let admin: Call;
let demo: Call;
beforeAll(async () => { cloud = await identityCloud(); admin = cloud.as(cloud.adminToken); demo = cloud.as(await cloud.login('demo', 'demo')); });
afterAll(() => cloud.close());
const message = async (answer: ReturnType<Call>) => { const a = await answer; return [a.status, a.body?.error?.message]; };
const service = async (type: string, more: object = {}) => (await admin('POST', '/v3/services', { service: { type, name: type, ...more } })).body.service as { id: string };
const endpoint = async (service_id: string, more: object = {}) => admin('POST', '/v3/endpoints', { endpoint: { service_id, interface: 'public', url: 'http://x', region_id: 'RegionOne', ...more } });
const catalog = async (call = demo) => (await call('GET', '/v3/auth/catalog')).body.catalog as { type: string; endpoints: { url: string; id: string }[] }[];

test('regions', async () => {
  expect((await admin('POST', '/v3/regions', { region: { id: 'r1', description: 'x', colour: 'red' } })).body.region).toMatchObject({ id: 'r1', description: 'x', parent_region_id: null, colour: 'red' });
  expect((await admin('POST', '/v3/regions', { region: {} })).body.region.id).toMatch(/^[0-9a-f]{32}$/);
  expect(await message(admin('POST', '/v3/regions', { region: { id: 'r1' } }))).toEqual([409, 'Conflict occurred attempting to store region - Duplicate ID, r1.']);
  expect((await admin('PUT', '/v3/regions/r2', { region: { parent_region_id: 'r1' } })).status).toBe(201);
  expect(await message(admin('PUT', '/v3/regions/r3', { region: { id: 'other' } }))).toEqual([400, 'Conflicting region IDs specified: "r3" != "other"']);
  expect((await admin('POST', '/v3/regions', { region: { id: 'r4', parent_region_id: 'none' } })).status).toBe(404);
  expect(await message(admin('PATCH', '/v3/regions/r1', { region: { parent_region_id: 'r2' } }))).toEqual([400, 'The specified parent region r2 would create a circular region hierarchy.']);
  expect((await admin('GET', '/v3/regions?parent_region_id=r1')).body.regions.map((r: { id: string }) => r.id)).toEqual(['r2']);
  const s = await service('in-region');
  const e = (await endpoint(s.id, { region_id: 'r2' })).body.endpoint;
  expect(await message(admin('DELETE', '/v3/regions/r1'))).toEqual([403, 'Unable to delete region r1 because it or its child regions have associated endpoints.']);
  await admin('DELETE', `/v3/endpoints/${e.id}`);
  expect((await admin('DELETE', '/v3/regions/r1')).status).toBe(204);
  expect((await admin('GET', '/v3/regions/r2')).status).toBe(404);
  expect((await demo('GET', '/v3/regions')).status).toBe(200);
  expect((await demo('POST', '/v3/regions', { region: { id: 'x' } })).status).toBe(403);
});

test('the JSON home names what is offered, and only to whom it is wanted by', async () => {
  const got = async (url: string, accept: string) => { const r = await cloud.app.inject({ method: 'GET', url, headers: { accept } }); return [r.statusCode, r.headers['content-type'], r.json()]; };
  const rel = 'https://docs.openstack.org/api/openstack-identity/3';
  const [status, type, { resources }] = await got('/v3', 'application/json-home');
  expect([status, type]).toEqual([200, 'application/json-home']);
  expect(resources[`${rel}/rel/users`]).toEqual({ href: '/users' });
  expect(resources[`${rel}/ext/OS-TRUST/1.0/rel/trust_role`]).toEqual({ 'href-template': '/OS-TRUST/trusts/{trust_id}/roles/{role_id}', 'href-vars': { trust_id: `${rel}/ext/OS-TRUST/1.0/param/trust_id`, role_id: `${rel}/param/role_id` } });
  expect(resources[`${rel}/rel/limits`]).toEqual({ href: '/limits', hints: { status: 'experimental' } });
  expect(Object.keys(resources)).toHaveLength(91);
  expect((await got('/', 'application/json;q=0.5, application/json-home;q=0.8'))[2].resources[`${rel}/rel/user`]['href-template']).toBe('/v3/users/{user_id}');
  expect((await got('/v3', 'application/json-home;q=0.5, application/json'))[2]).toHaveProperty('version');
  expect((await got('/', '*/*'))[0]).toBe(300);
});

test('a region goes though a limit names it', async () => {
  const s = await service('limited');
  await admin('PUT', '/v3/regions/limited', { region: {} });
  const [limit] = (await admin('POST', '/v3/registered_limits', { registered_limits: [{ service_id: s.id, region_id: 'limited', resource_name: 'things', default_limit: 1 }] })).body.registered_limits;
  expect((await admin('DELETE', '/v3/regions/limited')).status).toBe(204);
  expect((await admin('GET', `/v3/registered_limits/${limit.id}`)).body.registered_limit.region_id).toBe('limited');
  expect((await admin('DELETE', `/v3/registered_limits/${limit.id}`)).status).toBe(204);
});

test('services and endpoints come and go in the catalogue', async () => {
  const s = await service('thing', { description: 'd', extra_word: 1 });
  expect(s).toMatchObject({ type: 'thing', name: 'thing', enabled: true, description: 'd', extra_word: 1 });
  expect((await admin('GET', '/v3/services?type=thing')).body.services).toHaveLength(1);
  expect((await admin('GET', '/v3/services?name=thing')).body.services).toHaveLength(1);
  const e = (await endpoint(s.id, { url: 'http://x/$(tenant_id)s/%(user_id)s', region: 'fresh', region_id: undefined })).body.endpoint;
  expect(e).toMatchObject({ region: 'fresh', region_id: 'fresh', enabled: true });
  expect((await admin('GET', '/v3/regions/fresh')).status).toBe(200);
  expect((await catalog()).find(c => c.type === 'thing')?.endpoints[0]?.url).toBe(`http://x/${cloud.projects.demo}/${cloud.users.demo}`);
  for (const url of ['http://x/$(magic)s', 'http://x/%(tenant_id)', 'no scheme', '']) expect((await endpoint(s.id, { url })).status, url).toBe(400);
  for (const bad of [{ interface: 'x' }, { service_id: 'none' }, { region_id: 'none' }]) expect((await endpoint(s.id, bad)).status).toBe(400);
  await admin('PATCH', `/v3/endpoints/${e.id}`, { endpoint: { enabled: false } });
  expect((await catalog()).find(c => c.type === 'thing')?.endpoints).toEqual([]);
  await admin('PATCH', `/v3/services/${s.id}`, { service: { enabled: false } });
  expect((await catalog()).some(c => c.type === 'thing')).toBe(false);
  expect((await admin('DELETE', `/v3/services/${s.id}`)).status).toBe(204);
  expect((await admin('GET', `/v3/endpoints/${e.id}`)).status).toBe(404);
  expect(isUsableUrl('http://x/$(project_id)s')).toBe(true);
});

test('endpoint filters narrow a project\'s catalogue', async () => {
  const [a, b] = [await service('fa'), await service('fb')];
  const [ea, eb] = [(await endpoint(a.id)).body.endpoint.id, (await endpoint(b.id)).body.endpoint.id];
  const root = '/v3/OS-EP-FILTER';
  const pair = `${root}/projects/${cloud.projects.demo}/endpoints/${ea}`;
  expect((await admin('PUT', pair)).status).toBe(204);
  expect((await admin('HEAD', pair)).status).toBe(204);
  expect((await catalog()).map(c => c.type)).toEqual(['fa']);
  expect((await catalog(admin)).length).toBeGreaterThan(5);
  const group = (await admin('POST', `${root}/endpoint_groups`, { endpoint_group: { name: 'g', filters: { service_id: b.id, interface: 'public' } } })).body.endpoint_group;
  const mine = `${root}/endpoint_groups/${group.id}/projects/${cloud.projects.demo}`;
  expect((await admin('PUT', mine)).status).toBe(204);
  expect((await admin('GET', mine)).body.project_endpoint_group).toMatchObject({ endpoint_group_id: group.id, project_id: cloud.projects.demo });
  expect((await catalog()).map(c => c.type)).toEqual(['fa', 'fb']);
  expect((await admin('GET', `${root}/projects/${cloud.projects.demo}/endpoints`)).body.endpoints.map((e: { id: string }) => e.id).toSorted()).toEqual([ea, eb].toSorted());
  expect((await admin('GET', `${root}/endpoint_groups/${group.id}/endpoints`)).body.endpoints.map((e: { id: string }) => e.id)).toEqual([eb]);
  expect((await admin('GET', `${root}/endpoint_groups/${group.id}/projects`)).body.projects).toHaveLength(1);
  expect((await admin('GET', `${root}/projects/${cloud.projects.demo}/endpoint_groups`)).body.endpoint_groups).toHaveLength(1);
  expect((await admin('GET', `${root}/endpoints/${ea}/projects`)).body.projects).toHaveLength(1);
  expect((await admin('PATCH', `${root}/endpoint_groups/${group.id}`, { endpoint_group: { name: 'h' } })).body.endpoint_group).toMatchObject({ name: 'h', filters: { interface: 'public' } });
  expect((await admin('POST', `${root}/endpoint_groups`, { endpoint_group: { name: 'g', filters: { colour: 'x' } } })).status).toBe(400);
  expect((await admin('POST', `${root}/endpoint_groups`, { endpoint_group: { name: 'g', filters: {} } })).status).toBe(400);
  for (const path of [pair, mine]) { expect((await admin('DELETE', path)).status).toBe(204); expect((await admin('DELETE', path)).status).toBe(404); }
  expect((await admin('DELETE', `${root}/endpoint_groups/${group.id}`)).status).toBe(204);
  expect((await catalog()).length).toBeGreaterThan(5);
});

test('limits, registered and for projects', async () => {
  const s = await service('limited');
  const made = await admin('POST', '/v3/registered_limits', { registered_limits: [{ service_id: s.id, region_id: 'RegionOne', resource_name: 'snapshot', default_limit: 5 }, { service_id: s.id, resource_name: 'volume', default_limit: 10, description: 'd' }] });
  expect(made.status).toBe(201);
  expect(made.body.links).toBeUndefined();
  const [snapshot, volume] = made.body.registered_limits;
  expect(volume).toMatchObject({ region_id: null, resource_name: 'volume', default_limit: 10, description: 'd' });
  expect((await admin('POST', '/v3/registered_limits', { registered_limits: [{ service_id: s.id, resource_name: 'volume', default_limit: 1 }] })).status).toBe(409);
  expect((await admin('POST', '/v3/registered_limits', { registered_limits: [{ service_id: '0'.repeat(32), resource_name: 'x', default_limit: 1 }] })).status).toBe(400);
  const project_id = cloud.projects.demo;
  const limit = (await admin('POST', '/v3/limits', { limits: [{ project_id, service_id: s.id, resource_name: 'volume', resource_limit: 7 }, { domain_id: 'default', service_id: s.id, region_id: 'RegionOne', resource_name: 'snapshot', resource_limit: 2 }] })).body.limits.find((l: { project_id: unknown }) => l.project_id);
  expect(limit).toMatchObject({ project_id, domain_id: null, service_id: s.id, region_id: null, resource_name: 'volume', resource_limit: 7 });
  expect(await message(admin('POST', '/v3/limits', { limits: [{ project_id, service_id: s.id, resource_name: 'nothing', resource_limit: 7 }] }))).toEqual([403, 'Unable to create a limit that has no corresponding registered limit.']);
  expect((await admin('POST', '/v3/limits', { limits: [{ project_id, domain_id: 'default', service_id: s.id, resource_name: 'volume', resource_limit: 7 }] })).status).toBe(400);
  expect((await admin('POST', '/v3/limits', { limits: [{ project_id, service_id: s.id, resource_name: 'volume', resource_limit: 7 }] })).status).toBe(409);
  expect((await demo('GET', '/v3/limits')).body.limits.map((l: { id: string }) => l.id)).toEqual([limit.id]);
  expect((await demo('GET', `/v3/limits/${limit.id}`)).status).toBe(200);
  expect((await admin('PATCH', `/v3/limits/${limit.id}`, { limit: { resource_limit: 9 } })).body.limit.resource_limit).toBe(9);
  expect((await admin('GET', `/v3/limits?service_id=${s.id}`)).body.limits).toHaveLength(2);
  expect((await admin('PATCH', `/v3/registered_limits/${volume.id}`, { registered_limit: { default_limit: 11 } })).body.registered_limit.default_limit).toBe(11);
  expect((await admin('PATCH', `/v3/registered_limits/${volume.id}`, { registered_limit: { resource_name: 'y' } })).status).toBe(403);
  expect(await message(admin('DELETE', `/v3/registered_limits/${volume.id}`))).toEqual([403, `Unable to update or delete registered limit ${volume.id} because there are project limits associated with it.`]);
  expect((await admin('DELETE', `/v3/limits/${limit.id}`)).status).toBe(204);
  expect(await message(admin('GET', `/v3/limits/${limit.id}`))).toEqual([404, `Could not find limit for ${limit.id}.`]);
  expect((await admin('DELETE', `/v3/registered_limits/${volume.id}`)).status).toBe(204);
  expect((await demo('GET', '/v3/registered_limits')).body.registered_limits.map((r: { id: string }) => r.id)).toEqual([snapshot.id]);
  expect((await demo('GET', '/v3/limits/model')).body.model.name).toBe('flat');
});

test('policies of old and where they belong', async () => {
  const p = (await admin('POST', '/v3/policies', { policy: { blob: { a: 1 }, type: 'application/json', note: 'x' } })).body.policy;
  expect(p).toMatchObject({ blob: { a: 1 }, type: 'application/json', note: 'x' });
  expect((await admin('PATCH', `/v3/policies/${p.id}`, { policy: { blob: 'text' } })).body.policy).toMatchObject({ blob: 'text', note: 'x' });
  const s = await service('with-policy');
  const e = (await endpoint(s.id)).body.endpoint.id;
  const root = `/v3/policies/${p.id}/OS-ENDPOINT-POLICY`;
  for (const path of [`${root}/endpoints/${e}`, `${root}/services/${s.id}`, `${root}/services/${s.id}/regions/RegionOne`]) {
    expect((await admin('GET', path)).status).toBe(404);
    expect((await admin('GET', `/v3/endpoints/${e}/OS-ENDPOINT-POLICY/policy`)).status).toBe(404);
    expect((await admin('PUT', path)).status).toBe(204);
    expect((await admin('HEAD', path)).status).toBe(204);
    expect((await admin('GET', `/v3/endpoints/${e}/OS-ENDPOINT-POLICY/policy`)).body.policy.id).toBe(p.id);
    expect((await admin('GET', `${root}/endpoints`)).body.endpoints.map((x: { id: string }) => x.id)).toEqual([e]);
    expect((await admin('DELETE', path)).status).toBe(204);
  }
  expect((await admin('DELETE', `/v3/policies/${p.id}`)).status).toBe(204);
});

test('credentials are sealed, and only their parts are changed', async () => {
  const me = cloud.users.demo;
  const made = (await demo('POST', '/v3/credentials', { credential: { user_id: me, type: 'cert', blob: 'pem', colour: 'red' } })).body.credential;
  expect(made).toMatchObject({ type: 'cert', blob: 'pem', project_id: null, colour: 'red' });
  expect((await demo('PATCH', `/v3/credentials/${made.id}`, { credential: { blob: 'new' } })).body.credential).toMatchObject({ blob: 'new', colour: 'red' });
  for (const bad of [{ type: 'ec2', user_id: me, blob: 'x' }, { type: 'ec2', user_id: me, blob: 'no json', project_id: cloud.projects.demo }, { type: 'ec2', user_id: me, blob: '{"secret":"x"}', project_id: cloud.projects.demo }, { type: 'x', user_id: me }, { type: 'x', blob: 'x' }, { user_id: me, blob: 'x' }]) expect((await demo('POST', '/v3/credentials', { credential: bad })).status, JSON.stringify(bad)).toBe(400);
  const keys = { credential: { type: 'ec2', user_id: me, blob: '{"access":"A","secret":"S"}', project_id: cloud.projects.demo } };
  expect((await demo('POST', '/v3/credentials', keys)).body.credential.id).toHaveLength(64);
  expect((await demo('POST', '/v3/credentials', keys)).status).toBe(409);
  expect((await demo('PATCH', `/v3/credentials/${made.id}`, { credential: { type: 'ec2' } })).status).toBe(400);
  expect((await demo('GET', '/v3/credentials?type=ec2')).body.credentials).toHaveLength(1);
  expect((await demo('DELETE', `/v3/credentials/${made.id}`)).status).toBe(204);
  expect(await message(admin('GET', `/v3/credentials/${made.id}`))).toEqual([404, `Could not find credential: ${made.id}.`]);
});

test('a domain\'s own config', async () => {
  const path = '/v3/domains/default/config';
  expect(await message(admin('GET', path))).toEqual([404, 'Could not find any options in domain configuration for domain default.']);
  const config = { identity: { driver: 'ldap' }, ldap: { url: 'ldap://x', password: 'secret' } };
  const made = await admin('PUT', path, { config });
  expect([made.status, made.body.config]).toEqual([201, { identity: { driver: 'ldap' }, ldap: { url: 'ldap://x' } }]);
  expect((await admin('PUT', path, { config })).status).toBe(200);
  expect(JSON.stringify(await cloud.rt.db('domain_configs').select('value'))).not.toContain('secret');
  expect((await admin('GET', `${path}/ldap`)).body.config).toEqual({ ldap: { url: 'ldap://x' } });
  expect((await admin('GET', `${path}/ldap/url`)).body.config).toEqual({ url: 'ldap://x' });
  expect((await admin('PATCH', `${path}/ldap/url`, { config: { url: 'ldap://y' } })).body.config.ldap.url).toBe('ldap://y');
  expect((await admin('PATCH', `${path}/ldap`, { config: { ldap: { suffix: 's' } } })).body.config.ldap).toEqual({ url: 'ldap://y', suffix: 's' });
  expect((await admin('PATCH', `${path}/ldap`, { config: { identity: { driver: 'x' } } })).status).toBe(403);
  for (const bad of [{ magic: { a: 1 } }, { ldap: { magic: 1 } }, { ldap: {} }, {}]) expect((await admin('PUT', path, { config: bad })).status, JSON.stringify(bad)).toBe(403);
  expect((await admin('DELETE', `${path}/ldap/url`)).status).toBe(204);
  expect((await admin('GET', `${path}/ldap/url`)).status).toBe(404);
  expect((await admin('DELETE', `${path}/ldap/url`)).status).toBe(404);
  expect((await admin('DELETE', path)).status).toBe(204);
  expect((await admin('GET', '/v3/domains/config/default')).body.config.ldap.url).toBe('ldap://localhost');
  expect((await admin('GET', '/v3/domains/config/ldap/default')).body.config.ldap.user_objectclass).toBe('inetOrgPerson');
  expect((await admin('GET', '/v3/domains/config/ldap/url/default')).body.config).toEqual({ url: 'ldap://localhost' });
  expect((await admin('GET', '/v3/domains/config/ldap/password/default')).status).toBe(403);
  expect((await admin('GET', '/v3/domains/nowhere/config')).status).toBe(404);
});

test('what is not offered says so', async () => {
  for (const [method, path, status] of [
    ['GET', '/v3/OS-FEDERATION/identity_providers', 200], ['GET', '/v3/OS-FEDERATION/identity_providers/x', 404], ['PUT', '/v3/OS-FEDERATION/identity_providers/x', 501], ['GET', '/v3/OS-FEDERATION/mappings', 200], ['PUT', '/v3/OS-FEDERATION/mappings/x', 501], ['GET', '/v3/OS-FEDERATION/service_providers', 200],
    ['POST', '/v3/OS-OAUTH1/consumers', 501], ['GET', '/v3/OS-OAUTH1/consumers', 200], ['POST', '/v3/OS-OAUTH1/request_token', 501], ['POST', '/v3/OS-OAUTH2/token', 501], ['GET', '/v3/OS-SIMPLE-CERT/ca', 410], ['GET', '/v3/OS-FEDERATION/saml2/metadata', 501],
  ] as const) expect((await admin(method, path, method === 'GET' ? undefined : {})).status, `${method} ${path}`).toBe(status);
  expect(await message(admin('PUT', '/v3/OS-FEDERATION/identity_providers/x', {}))).toEqual([501, 'Federation is not configured in this cloud.']);
  expect((await demo('PUT', '/v3/OS-FEDERATION/identity_providers/x', {})).status).toBe(403);
});

const surface = fileURLToPath(new URL('../../../../shared/peer/api-surface/keystone.json', import.meta.url));
test.skipIf(!existsSync(surface))('every route of keystone answers', async () => {
  const { routes } = JSON.parse(readFileSync(surface, 'utf8')) as { routes: { method: string[]; path: string; endpoint: string }[] };
  const missing: string[] = [];
  for (const { path, endpoint } of routes) {
    if (path.startsWith('/static') || path.includes('json_home')) continue;
    const url = path.replaceAll(/<(?:string:|path:)?([a-z_]+)>/g, 'x');
    const answers = await Promise.all(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map(m => admin(m, url, m === 'GET' || m === 'DELETE' ? undefined : {})));
    // A path that nobody knows is answered by the router in webob's words.
    if (answers.every(a => a.status === 404 && typeof a.body?.message === 'string')) missing.push(`${url} (${endpoint})`);
    for (const a of answers) if (a.status >= 500 && a.status !== 501) missing.push(`${url}: ${a.status}`);
  }
  expect(missing).toEqual([]);
});
