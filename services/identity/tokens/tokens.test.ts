import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud, inProject } from '../../../test/harness/identity.ts';
import { passcode } from './totp.ts';

let cloud: IdentityCloud;
let admin: Call;
let demo: string;
beforeAll(async () => { cloud = await identityCloud(); admin = cloud.as(cloud.adminToken); });
beforeEach(async () => { demo = await cloud.login('demo', 'demo'); });
afterAll(() => cloud.close());
const validate = (by: string, subject: string, method = 'GET', query = '', headers: Record<string, string> = {}) => cloud.call(method, `/v3/auth/tokens${query}`, undefined, { 'x-auth-token': by, 'x-subject-token': subject, ...headers });
const roleNames = (body: { token: { roles: { name: string }[] } }) => body.token.roles.map(r => r.name);
const newUser = async (name: string, more: object = {}) => (await admin('POST', '/v3/users', { user: { name, password: 'pw', ...more } })).body.user as { id: string };
const roleId = async (name: string) => (await admin('GET', `/v3/roles?name=${name}`)).body.roles[0].id as string;

test('each scope says where one may act', async () => {
  const project = await cloud.tryLogin('admin', 'admin');
  expect(project.status).toBe(201);
  expect(project.headers['vary']).toBe('X-Auth-Token');
  expect(project.body.token).toMatchObject({ methods: ['password'], project: { name: 'admin', domain: { id: 'default', name: 'Default' } }, is_domain: false, user: { name: 'admin', password_expires_at: null } });
  expect(roleNames(project.body)).toEqual(['admin', 'manager', 'member', 'reader']);
  expect(project.body.token.catalog.map((c: { type: string }) => c.type).toSorted()).toEqual(['backup-catalogue', 'block-storage', 'compute', 'identity', 'image', 'network', 'operations', 'placement', 'volumev3']);
  const system = await cloud.tryLogin('admin', 'admin', { system: { all: true } });
  expect(system.body.token).toMatchObject({ system: { all: true } });
  expect(system.body.token.project).toBeUndefined();
  for (const unscoped of [{ unscoped: {} }, 'unscoped']) {
    const r = await cloud.tryLogin('admin', 'admin', unscoped);
    expect(r.status).toBe(201);
    expect(Object.keys(r.body.token).toSorted()).toEqual(['audit_ids', 'expires_at', 'issued_at', 'methods', 'user']);
  }
  expect((await cloud.tryLogin('admin', 'admin', { domain: { id: 'default' } })).status).toBe(401);
  await admin('PUT', `/v3/domains/default/users/${cloud.users.admin}/roles/${await roleId('admin')}`);
  const domain = await cloud.tryLogin('admin', 'admin', { domain: { name: 'Default' } });
  expect(domain.body.token).toMatchObject({ domain: { id: 'default', name: 'Default' } });
  await admin('DELETE', `/v3/domains/default/users/${cloud.users.admin}/roles/${await roleId('admin')}`);
  const bare = await cloud.call('POST', '/v3/auth/tokens?nocatalog', { auth: { identity: { methods: ['password'], password: { user: { id: cloud.users.admin, password: 'admin' } } }, scope: { project: { id: cloud.projects.admin } } } });
  expect(bare.body.token.catalog).toBeUndefined();
});

test('the default project is used when nothing is asked for, if it can be', async () => {
  const user = await newUser('with-default', { default_project_id: cloud.projects.demo });
  const unscoped = await cloud.tryLogin(user, 'pw');
  expect(unscoped.body.token.project).toBeUndefined();
  await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${user.id}/roles/${await roleId('reader')}`);
  expect((await cloud.tryLogin(user, 'pw')).body.token.project.name).toBe('demo');
  expect((await cloud.tryLogin(user, 'pw', { unscoped: {} })).body.token.project).toBeUndefined();
});

test.each([
  ['no identity', { auth: {} }, 400], ['no auth', {}, 400], ['not JSON', '{nope', 400], ['no methods', { auth: { identity: {} } }, 400], ['method without payload', { auth: { identity: { methods: ['password'] } } }, 400],
  ['unknown method', { auth: { identity: { methods: ['magic'], magic: {} } } }, 401], ['no method at all', { auth: { identity: { methods: [] } } }, 401], ['prototype as method', { auth: { identity: { methods: ['constructor'], constructor: {} } } }, 401],
  ['no user', { auth: { identity: { methods: ['password'], password: {} } } }, 400], ['no name or id', { auth: { identity: { methods: ['password'], password: { user: { password: 'x' } } } } }, 400],
  ['name without domain', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', password: 'admin' } } } } }, 400], ['number as password', { auth: { identity: { methods: ['password'], password: { user: { id: 'x', password: 5 } } } } }, 400],
  ['no password', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' } } } } } }, 401], ['unknown domain', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'none' }, password: 'admin' } } } } }, 401],
  ['bad token', { auth: { identity: { methods: ['token'], token: { id: 'x' } } } }, 404], ['token without id', { auth: { identity: { methods: ['token'], token: {} } } }, 400],
  ['two scopes', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: 'admin' } } }, scope: { system: { all: true }, project: { id: 'x' } } } }, 400],
  ['unknown project', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: 'admin' } } }, scope: { project: { name: 'nope', domain: { id: 'default' } } } } }, 401],
  ['project without domain', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: 'admin' } } }, scope: { project: { name: 'admin' } } } }, 400],
  ['domain as project', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: 'admin' } } }, scope: { project: { id: 'default' } } } }, 401],
  ['unknown trust', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: 'admin' } } }, scope: { 'OS-TRUST:trust': { id: 'x' } } } }, 401],
  ['word as scope', { auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: 'admin' } } }, scope: 'everything' } }, 400],
  ['array as body', '[]', 400], ['NUL in a name', { auth: { identity: { methods: ['password'], password: { user: { name: 'a\0', domain: { id: 'default' }, password: 'x' } } } } }, 400],
])('a login with %s is refused', async (_, body, status) => {
  const r = await cloud.call('POST', '/v3/auth/tokens', body);
  expect(r.status, JSON.stringify(r.body)).toBe(status);
  expect(r.body.error).toMatchObject({ code: status, title: { 400: 'Bad Request', 401: 'Unauthorized', 404: 'Not Found' }[status] });
  if (status === 401) expect(r.headers['www-authenticate']).toBe('Keystone uri="http://127.0.0.1:5000/v3"');
});

test('a token is shown, checked and revoked by who may', async () => {
  const shown = await validate(cloud.adminToken, demo);
  expect(shown.status).toBe(200);
  expect(shown.headers['x-subject-token']).toBe(demo);
  expect(shown.body.token).toMatchObject({ user: { name: 'demo' }, project: { name: 'demo' }, methods: ['password'] });
  expect((await validate(demo, demo)).status).toBe(200);
  expect((await validate(demo, cloud.adminToken)).status).toBe(403);
  expect((await validate(await cloud.login('service', 'service'), demo)).status).toBe(200);
  expect((await validate(cloud.adminToken, demo, 'GET', '?nocatalog')).body.token.catalog).toBeUndefined();
  const head = await validate(cloud.adminToken, demo, 'HEAD');
  expect([head.status, head.headers['x-subject-token'], head.body]).toEqual([200, demo, undefined]);
  expect((await validate(cloud.adminToken, 'nonsense')).body).toEqual({ error: { code: 404, message: 'Failed to validate token', title: 'Not Found' } });
  expect((await cloud.as(cloud.adminToken)('GET', '/v3/auth/tokens')).status).toBe(404);
  expect((await validate('nonsense', demo)).status).toBe(401);
  expect((await validate(demo, demo, 'DELETE')).status).toBe(204);
  expect((await validate(cloud.adminToken, demo)).status).toBe(404);
  expect((await cloud.as(demo)('GET', '/v3/auth/projects')).status).toBe(401);
  const again = await cloud.login('demo', 'demo');
  expect((await validate(again, again)).status).toBe(200);
});

test('rescoping keeps the end and the chain', async () => {
  const other = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: demo } }, scope: inProject('demo') } });
  expect(other.status).toBe(201);
  const original = (await validate(demo, demo)).body.token;
  expect(other.body.token.methods).toEqual(['password', 'token']);
  expect(other.body.token.expires_at).toBe(original.expires_at);
  expect(other.body.token.audit_ids).toHaveLength(2);
  expect(other.body.token.audit_ids[1]).toBe(original.audit_ids[0]);
  const third = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: other.headers['x-subject-token'] } }, scope: { unscoped: {} } } });
  expect(third.body.token.expires_at).toBe(original.expires_at);
  expect(third.body.token.audit_ids[1]).toBe(original.audit_ids[0]);
  expect((await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: demo } }, scope: inProject('admin') } })).status).toBe(401);
  const system = await cloud.login('admin', 'admin', { system: { all: true } });
  expect((await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: system } }, scope: inProject('admin') } })).status).toBe(403);
});

test('an expired token is shown only on request and within the window', async () => {
  const past = await identityCloud({ CUMULET_TOKENS_LIFETIME_SECONDS: '2', CUMULET_TOKENS_ALLOW_EXPIRED_WINDOW_SECONDS: '3600' });
  try {
    const token = await past.login('demo', 'demo');
    await new Promise(r => setTimeout(r, 2_100));
    const by = await past.login('service', 'service');
    const headers = { 'x-auth-token': by, 'x-subject-token': token };
    expect((await past.call('GET', '/v3/auth/tokens', undefined, headers)).status).toBe(404);
    expect((await past.call('GET', '/v3/auth/tokens?allow_expired=1', undefined, headers)).status).toBe(200);
    expect((await past.as(token)('GET', '/v3/auth/projects')).status).toBe(401);
    expect((await past.as(token)('GET', '/v3/auth/projects', undefined, { 'x-service-token': by })).status).toBe(200);
  } finally { await past.close(); }
});

test('a changed password, a disabled user, a disabled project end tokens at once', async () => {
  const user = await newUser('ends');
  const project = (await admin('POST', '/v3/projects', { project: { name: 'ends' } })).body.project as { id: string };
  await admin('PUT', `/v3/projects/${project.id}/users/${user.id}/roles/${await roleId('member')}`);
  const scope = { project: { id: project.id } };
  const works = async (token: string) => (await cloud.as(token)('GET', '/v3/auth/projects')).status === 200;
  let token = await cloud.login(user, 'pw', scope);
  expect(await works(token)).toBe(true);
  expect((await cloud.call('POST', `/v3/users/${user.id}/password`, { user: { original_password: 'bad', password: 'new' } })).status).toBe(401);
  expect(await works(token)).toBe(true);
  expect((await cloud.call('POST', `/v3/users/${user.id}/password`, { user: { original_password: 'pw', password: 'new' } })).status).toBe(204);
  expect(await works(token)).toBe(false);
  token = await cloud.login(user, 'new', scope);
  await admin('PATCH', `/v3/users/${user.id}`, { user: { enabled: false } });
  expect(await works(token)).toBe(false);
  expect((await cloud.tryLogin(user, 'new', scope)).status).toBe(401);
  await admin('PATCH', `/v3/users/${user.id}`, { user: { enabled: true } });
  expect(await works(token)).toBe(false);
  token = await cloud.login(user, 'new', scope);
  await admin('PATCH', `/v3/projects/${project.id}`, { project: { enabled: false } });
  expect(await works(token)).toBe(false);
  expect((await cloud.tryLogin(user, 'new', scope)).status).toBe(401);
  await admin('PATCH', `/v3/projects/${project.id}`, { project: { enabled: true } });
  token = await cloud.login(user, 'new', scope);
  await admin('DELETE', `/v3/users/${user.id}`);
  expect(await works(token)).toBe(false);
  const events = (await admin('GET', '/v3/OS-REVOKE/events')).body.events as { user_id?: string }[];
  expect(events.filter(e => e.user_id === user.id).length).toBeGreaterThan(2);
});

test('a role that is taken is gone from living tokens, the others stay; one that is given comes', async () => {
  const user = await newUser('roles');
  const at = `/v3/projects/${cloud.projects.demo}/users/${user.id}/roles`;
  await admin('PUT', `${at}/${await roleId('reader')}`);
  await admin('PUT', `${at}/${await roleId('service')}`);
  const token = await cloud.login(user, 'pw', { project: { id: cloud.projects.demo } });
  const roles = async () => { const r = await validate(token, token); return r.status === 200 ? roleNames(r.body) : r.status; };
  expect(await roles()).toEqual(['reader', 'service']);
  expect((await validate(token, cloud.adminToken)).status).toBe(200);
  await admin('DELETE', `${at}/${await roleId('service')}`);
  expect(await roles()).toEqual(['reader']);
  expect((await validate(token, cloud.adminToken)).status).toBe(403);
  await admin('PUT', `${at}/${await roleId('admin')}`);
  expect((await validate(token, cloud.adminToken)).status).toBe(200);
  await admin('DELETE', `${at}/${await roleId('admin')}`);
  expect((await validate(token, cloud.adminToken)).status).toBe(403);
  await admin('DELETE', `${at}/${await roleId('reader')}`);
  expect(await roles()).toBe(401);
});

test('a second factor: what has been proved is kept in a receipt', async () => {
  const user = await newUser('careful', { options: { multi_factor_auth_enabled: true, multi_factor_auth_rules: [['password', 'totp'], ['unheard-of']] } });
  await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${user.id}/roles/${await roleId('member')}`);
  const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
  const credential = await admin('POST', '/v3/credentials', { credential: { user_id: user.id, type: 'totp', blob: secret } });
  expect(credential.status).toBe(201);
  const first = await cloud.tryLogin(user, 'pw', inProject('demo'));
  expect(first.status).toBe(401);
  expect(first.body).toMatchObject({ receipt: { methods: ['password'], user: { id: user.id, name: 'careful', domain: { id: 'default', name: 'Default' } } }, required_auth_methods: [['password', 'totp']] });
  const receipt = first.headers['openstack-auth-receipt'] as string;
  const code = () => passcode(Buffer.from('12345678901234567890'), Date.now());
  const second = (given: string, headers: Record<string, string> = {}) => cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['totp'], totp: { user: { id: user.id, passcode: given } } }, scope: inProject('demo') } }, headers);
  expect((await second(code())).status).toBe(401);
  expect((await second('000000', { 'openstack-auth-receipt': receipt })).status).toBe(401);
  expect((await second(code(), { 'openstack-auth-receipt': 'forged' })).status).toBe(401);
  expect((await second(code(), { 'openstack-auth-receipt': demo })).status).toBe(401);
  const done = await second(code(), { 'openstack-auth-receipt': receipt });
  expect(done.status).toBe(201);
  expect(done.body.token.methods.toSorted()).toEqual(['password', 'totp']);
  const both = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['password', 'totp'], password: { user: { id: user.id, password: 'pw' } }, totp: { user: { id: user.id, passcode: code() } } }, scope: inProject('demo') } });
  expect(both.status).toBe(201);
  const mixed = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['password', 'totp'], password: { user: { id: cloud.users.demo, password: 'demo' } }, totp: { user: { id: user.id, passcode: code() } } }, scope: inProject('demo') } });
  expect(mixed.status).toBe(401);
  expect((await cloud.as(receipt)('GET', '/v3/auth/projects')).status).toBe(401);
  const stranger = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['password'], password: { user: { id: cloud.users.demo, password: 'demo' } } }, scope: inProject('demo') } }, { 'openstack-auth-receipt': receipt });
  expect(stranger.status).toBe(401);
});

test('passcodes are those of RFC 6238', () => {
  const secret = Buffer.from('12345678901234567890');
  expect([59, 1111111109, 1234567890, 2000000000].map(s => passcode(secret, s * 1000))).toEqual(['287082', '081804', '005924', '279037']);
});

test('where one can act', async () => {
  const me = cloud.as(demo);
  expect((await me('GET', '/v3/auth/projects')).body.projects.map((p: { name: string }) => p.name)).toEqual(['demo']);
  expect((await me('GET', '/v3/auth/domains')).body).toMatchObject({ domains: [], links: { self: expect.stringContaining('/v3/auth/domains') } });
  expect((await me('GET', '/v3/auth/system')).body.system).toEqual([]);
  expect((await admin('GET', '/v3/auth/system')).body.system).toEqual([{ all: true }]);
  expect((await me('GET', '/v3/auth/catalog')).body.catalog.find((c: { type: string }) => c.type === 'volumev3').endpoints[0].url).toContain(cloud.projects.demo);
  const unscoped = cloud.as(await cloud.login('demo', 'demo', { unscoped: {} }));
  expect((await unscoped('GET', '/v3/auth/projects')).status).toBe(200);
  expect((await unscoped('GET', '/v3/auth/catalog')).status).toBe(403);
  expect((await admin('GET', '/v3/auth/tokens/OS-PKI/revoked')).status).toBe(410);
});
