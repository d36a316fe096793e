import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud } from '../../test/harness/identity.ts';
import { ec2Signature } from './ec2/signature.ts';

/** Every advisory on keystone in the contract, tried on us. */
let cloud: IdentityCloud;
let admin: Call;
let service: Call;
const roles: Record<string, string> = {};
let count = 0;
beforeAll(async () => {
  cloud = await identityCloud();
  admin = cloud.as(cloud.adminToken);
  service = cloud.as(await cloud.login('service', 'service'));
  for (const role of (await admin('GET', '/v3/roles')).body.roles) roles[role.name] = role.id;
});
afterAll(() => cloud.close());

interface Person { readonly id: string; readonly call: Call; readonly token: string }
async function person(...names: string[]): Promise<Person> {
  const { id } = (await admin('POST', '/v3/users', { user: { name: `p${++count}`, password: 'pw' } })).body.user;
  for (const name of names) await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${id}/roles/${roles[name]}`);
  const token = await cloud.login({ id }, 'pw', names.length > 0 ? { project: { id: cloud.projects.demo } } : { unscoped: {} });
  return { id, token, call: cloud.as(token) };
}
async function byAppCred(who: Person, more: object = {}): Promise<{ call: Call; token: string; cred: { id: string; secret: string } }> {
  const cred = (await who.call('POST', `/v3/users/${who.id}/application_credentials`, { application_credential: { name: `c${++count}`, ...more } })).body.application_credential;
  const login = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['application_credential'], application_credential: { id: cred.id, secret: cred.secret } } } });
  const token = login.headers['x-subject-token'] as string;
  return { call: cloud.as(token), token, cred };
}
async function byTrust(trustor: Person, trustee: Person, more: object = {}): Promise<{ call: Call; id: string; token: string }> {
  const { id } = (await trustor.call('POST', '/v3/OS-TRUST/trusts', { trust: { trustor_user_id: trustor.id, trustee_user_id: trustee.id, project_id: cloud.projects.demo, impersonation: true, roles: [{ name: 'member' }], ...more } })).body.trust;
  const token = await cloud.login(trustee, 'pw', { 'OS-TRUST:trust': { id } });
  return { call: cloud.as(token), id, token };
}
const otherProject = async () => (await admin('POST', '/v3/projects', { project: { name: `o${++count}` } })).body.project.id as string;
const ec2 = (id: string, tenant_id = cloud.projects.demo) => [`/v3/users/${id}/credentials/OS-EC2`, { tenant_id }] as const;

test('CVE-2025-65073: ec2tokens and s3tokens are for services', async () => {
  const who = await person('member');
  for (const path of ['/v3/ec2tokens', '/v3/s3tokens']) {
    expect((await cloud.call('POST', path, { credentials: { access: 'x' } })).status).toBe(401);
    expect((await who.call('POST', path, { credentials: { access: 'x' } })).status).toBe(403);
    expect((await service('POST', path, { credentials: { access: 'x' } })).status).toBe(404);
  }
});

test('CVE-2026-33551: a restricted application credential makes no EC2 keys by either door', async () => {
  const who = await person('member');
  const { call } = await byAppCred(who);
  expect((await call('POST', ...ec2(who.id))).status).toBe(403);
  expect((await call('POST', '/v3/credentials', { credential: { type: 'ec2', user_id: who.id, project_id: cloud.projects.demo, blob: '{"access":"a","secret":"s"}' } })).status).toBe(403);
  expect((await call('POST', '/v3/credentials', { credential: { type: 'EC2', user_id: who.id, project_id: cloud.projects.demo, blob: '{"access":"a","secret":"s"}' } })).status).toBe(403);
  expect((await call('POST', `/v3/users/${who.id}/application_credentials`, { application_credential: { name: 'more' } })).status).toBe(403);
  const free = await byAppCred(who, { unrestricted: true });
  expect((await free.call('POST', ...ec2(who.id))).status).toBe(201);
  expect((await free.call('POST', ...ec2(who.id, await otherProject()))).status).toBe(403);
});

test('CVE-2026-42998: the user beside an application credential\'s id is not looked at', async () => {
  const who = await person('member');
  const { cred } = await byAppCred(who);
  for (const user of [{ id: cloud.users.admin }, { name: 'admin', domain: { id: 'default' } }]) {
    const login = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['application_credential'], application_credential: { id: cred.id, secret: cred.secret, user } } } });
    expect(login.body.token.user.id).toBe(who.id);
  }
});

test('CVE-2026-42999: nothing in a body or query reaches a rule', async () => {
  const who = await person('member');
  const mine = { id: who.id, user_id: who.id, domain_id: 'default', project_id: cloud.projects.demo };
  const poison = { ...mine, target: { user: mine, project: { id: cloud.projects.demo, domain_id: 'default' }, domain: { id: 'default' }, credential: mine, trust: { trustor_user_id: who.id, trustee_user_id: who.id }, token: { user_id: who.id }, limit: { project: mine } }, 'target.user.id': who.id, 'target.credential.user_id': who.id, 'target.trust.trustor_user_id': who.id, is_admin: true, is_admin_project: true, roles: ['admin'], system_scope: 'all' };
  const query = Object.entries(poison).filter(([, v]) => typeof v === 'string').map(([k, v]) => `${encodeURIComponent(k)}=${encodeURIComponent(v as string)}`).join('&');
  const foreign = (await admin('POST', '/v3/credentials', { credential: { type: 'x', user_id: cloud.users.admin, blob: 'top secret' } })).body.credential.id;
  const paths: [string, string][] = [
    ['GET', `/v3/users/${cloud.users.admin}`], ['PATCH', `/v3/users/${cloud.users.admin}`], ['DELETE', `/v3/users/${cloud.users.admin}`], ['GET', '/v3/users'], ['GET', `/v3/projects/${cloud.projects.admin}`], ['PATCH', `/v3/projects/${cloud.projects.admin}`], ['GET', '/v3/projects'],
    ['PATCH', '/v3/domains/default'], ['DELETE', `/v3/projects/${cloud.projects.admin}`], ['GET', `/v3/credentials/${foreign}`], ['PATCH', `/v3/credentials/${foreign}`], ['DELETE', `/v3/credentials/${foreign}`],
    ['GET', `/v3/users/${cloud.users.admin}/credentials/OS-EC2`], ['GET', `/v3/users/${cloud.users.admin}/application_credentials`], ['GET', `/v3/users/${cloud.users.admin}/access_rules`], ['GET', '/v3/OS-TRUST/trusts'], ['GET', '/v3/role_assignments'],
    ['PUT', `/v3/projects/${cloud.projects.admin}/users/${who.id}/roles/${roles['admin']}`], ['PUT', `/v3/system/users/${who.id}/roles/${roles['admin']}`], ['PUT', `/v3/domains/default/users/${who.id}/roles/${roles['admin']}`], ['GET', '/v3/OS-REVOKE/events'], ['GET', `/v3/users/${cloud.users.admin}/groups`],
    ['POST', '/v3/users'], ['POST', '/v3/projects'], ['POST', '/v3/domains'], ['POST', '/v3/roles'], ['POST', '/v3/groups'], ['POST', '/v3/services'], ['POST', '/v3/endpoints'], ['POST', '/v3/regions'], ['POST', '/v3/policies'], ['POST', '/v3/registered_limits'],
  ];
  for (const [method, path] of paths) {
    const wrapped = { ...poison, ...Object.fromEntries(['user', 'project', 'domain', 'role', 'group', 'credential', 'service', 'endpoint', 'region', 'policy'].map(k => [k, { ...poison, name: 'x', type: 'x', blob: 'x', url: 'http://x', interface: 'public', service_id: 'x' }])) };
    const answer = await who.call(method, `${path}?${query}`, method === 'GET' || method === 'DELETE' ? undefined : wrapped, method === 'GET' ? { 'content-type': 'application/json' } : {});
    if (path === '/v3/role_assignments') expect(answer.status, path).toBe(403);
    // A body that a schema refuses never came to the rule, which is as good; nothing may be let through.
    expect([400, 403], `${method} ${path}: ${answer.status}`).toContain(answer.status);
  }
});

test('CVE-2026-43000: no trust call by an application credential', async () => {
  const [who, friend] = [await person('member'), await person()];
  const { id } = await byTrust(who, friend);
  const { call } = await byAppCred(who, { unrestricted: true });
  const calls: [string, string, object?][] = [
    ['GET', `/v3/OS-TRUST/trusts?trustor_user_id=${who.id}`], ['GET', `/v3/OS-TRUST/trusts/${id}`], ['GET', `/v3/OS-TRUST/trusts/${id}/roles`], ['GET', `/v3/OS-TRUST/trusts/${id}/roles/${roles['member']}`],
    ['POST', '/v3/OS-TRUST/trusts', { trust: { trustor_user_id: who.id, trustee_user_id: friend.id, project_id: cloud.projects.demo, impersonation: true, roles: [{ name: 'member' }] } }], ['DELETE', `/v3/OS-TRUST/trusts/${id}`],
  ];
  for (const [method, path, body] of calls) expect((await call(method, path, body)).status, `${method} ${path}`).toBe(403);
});

test('CVE-2026-44394 and 2012-3426: no chain of rescoping lengthens a life', async () => {
  let token = await cloud.login('demo', 'demo');
  const ends: string[] = [];
  for (let i = 0; i < 4; i++) {
    const r = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: token } }, scope: i % 2 === 0 ? { unscoped: {} } : { project: { id: cloud.projects.demo } } } });
    ends.push(r.body.token.expires_at);
    token = r.headers['x-subject-token'] as string;
    await new Promise(resolve => setTimeout(resolve, 300));
  }
  expect(new Set(ends).size).toBe(1);
});

test('f82b0935: a delegation sees no TOTP seed and no credential of another project', async () => {
  const who = await person('member');
  const other = await otherProject();
  await admin('PUT', `/v3/projects/${other}/users/${who.id}/roles/${roles['member']}`);
  const make = async (credential: object) => (await who.call('POST', '/v3/credentials', { credential: { user_id: who.id, ...credential } })).body.credential.id as string;
  const seed = await make({ type: 'totp', blob: 'GEZDGNBVGY3TQOJQ' });
  const foreign = await make({ type: 'cert', blob: 'x', project_id: other });
  const own = await make({ type: 'cert', blob: 'x', project_id: cloud.projects.demo });
  const keys = (await who.call('POST', ...ec2(who.id, other))).body.credential.access;
  for (const { call } of [await byAppCred(who, { unrestricted: true }), await byTrust(who, await person())]) {
    expect((await call('GET', '/v3/credentials')).body.credentials.map((c: { id: string }) => c.id)).toEqual([own]);
    for (const id of [seed, foreign]) for (const [method, body] of [['GET'], ['PATCH', { credential: { blob: 'y' } }], ['DELETE']] as const) expect((await call(method, `/v3/credentials/${id}`, body)).status, `${method} ${id}`).toBe(403);
    expect((await call('GET', `/v3/users/${who.id}/credentials/OS-EC2/${keys}`)).status).toBe(403);
    expect((await call('DELETE', `/v3/users/${who.id}/credentials/OS-EC2/${keys}`)).status).toBe(403);
    expect((await call('GET', `/v3/users/${who.id}/credentials/OS-EC2`)).body.credentials).toEqual([]);
    expect((await call('POST', '/v3/credentials', { credential: { user_id: who.id, type: 'totp', blob: 'GEZDGNBV' } })).status).toBe(403);
    expect((await call('PATCH', `/v3/credentials/${own}`, { credential: { project_id: other } })).status).toBe(403);
  }
});

test('910ebab0: a token by EC2 signature opens nothing here', async () => {
  const who = await person('member');
  const keys = (await who.call('POST', ...ec2(who.id))).body.credential;
  const request = { verb: 'GET', host: 'h', path: '/', params: { SignatureVersion: '2' } };
  const token = (await service('POST', '/v3/ec2tokens', { credentials: { access: keys.access, ...request, signature: ec2Signature(keys.secret, request) } })).headers['x-subject-token'] as string;
  for (const path of ['/v3/auth/projects', `/v3/users/${who.id}`, '/v3/credentials']) expect((await cloud.as(token)('GET', path)).status).toBe(403);
  const again = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: token } }, scope: { project: { id: cloud.projects.demo } } } });
  expect((await cloud.as(again.headers['x-subject-token'] as string)('GET', '/v3/auth/projects')).status).toBe(403);
});

test('CVE-2020-12689 and 12691: keys from a delegation stay within it, and no owner is changed', async () => {
  const [who, friend] = [await person('member'), await person()];
  const trust = await byTrust(who, friend);
  const keys = (await trust.call('POST', ...ec2(who.id))).body.credential;
  expect(keys.trust_id).toBe(trust.id);
  const viaCredentials = (await trust.call('POST', '/v3/credentials', { credential: { type: 'ec2', user_id: who.id, project_id: cloud.projects.demo, blob: '{"access":"k1","secret":"s"}' } })).body.credential;
  expect(JSON.parse(viaCredentials.blob).trust_id).toBe(trust.id);
  for (const blob of ['{"access":"k1","secret":"s"}', '{"access":"k1","secret":"s","trust_id":null}', `{"access":"k1","secret":"s","trust_id":"x"}`]) expect((await who.call('PATCH', `/v3/credentials/${viaCredentials.id}`, { credential: { blob } })).status).toBe(400);
  const request = { verb: 'GET', host: 'h', path: '/', params: { SignatureVersion: '2' } };
  const login = () => service('POST', '/v3/ec2tokens', { credentials: { access: keys.access, ...request, signature: ec2Signature(keys.secret, request) } });
  expect((await login()).body.token).toMatchObject({ 'OS-TRUST:trust': { id: trust.id }, roles: [{ name: 'member' }, { name: 'reader' }] });
  await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${who.id}/roles/${roles['manager']}`);
  expect((await login()).body.token.roles.map((r: { name: string }) => r.name)).toEqual(['member', 'reader']);
  await who.call('DELETE', `/v3/OS-TRUST/trusts/${trust.id}`);
  expect((await login()).status).toBe(401);
  const own = (await who.call('POST', '/v3/credentials', { credential: { type: 'cert', user_id: who.id, blob: 'x' } })).body.credential.id;
  expect((await who.call('PATCH', `/v3/credentials/${own}`, { credential: { user_id: cloud.users.admin } })).status).toBe(403);
  expect((await who.call('POST', '/v3/credentials', { credential: { type: 'cert', user_id: cloud.users.admin, blob: 'x' } })).status).toBe(403);
});

test('CVE-2020-12690: a token of a trust or credential has the roles that were lent, not all', async () => {
  const who = await person('manager');
  const limited = await byAppCred(who, { roles: [{ name: 'reader' }] });
  const shown = (token: string) => admin('GET', '/v3/auth/tokens', undefined, { 'x-subject-token': token });
  expect((await shown(limited.token)).body.token.roles.map((r: { name: string }) => r.name)).toEqual(['reader']);
  expect((await limited.call('POST', `/v3/users/${who.id}/credentials/OS-EC2`, { tenant_id: cloud.projects.demo })).status).toBe(403);
});

test('CVE-2019-19687: a list of credentials holds the own ones', async () => {
  const [a, b] = [await person('member'), await person('member')];
  await a.call('POST', '/v3/credentials', { credential: { type: 'cert', user_id: a.id, blob: 'secret of a' } });
  for (const query of ['', `?user_id=${a.id}`, '?type=cert', '?limit=100']) expect((await b.call('GET', `/v3/credentials${query}`)).body.credentials, query).toEqual([]);
  expect((await admin('GET', `/v3/credentials?user_id=${a.id}`)).body.credentials).toHaveLength(1);
  const rows: { blob: Buffer }[] = await cloud.rt.db('credentials').select('blob');
  expect(rows.some(r => r.blob.includes('secret of a'))).toBe(false);
});

test('CVE-2014-3476, 2013-6391, 2014-3520: a trust cannot be used to get out of it', async () => {
  const [who, friend] = [await person('member'), await person('member')];
  const trust = await byTrust(who, friend);
  const chain = await trust.call('POST', '/v3/OS-TRUST/trusts', { trust: { trustor_user_id: who.id, trustee_user_id: friend.id, project_id: cloud.projects.demo, impersonation: true, roles: [{ name: 'member' }] } });
  expect(chain.status).toBe(403);
  for (const scope of [{ project: { id: cloud.projects.demo } }, { unscoped: {} }, { project: { id: cloud.projects.admin } }]) expect((await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: trust.token } }, scope } })).status).toBe(403);
  expect((await trust.call('POST', `/v3/users/${who.id}/application_credentials`, { application_credential: { name: 'escape' } })).status).toBe(403);
  expect((await trust.call('GET', `/v3/users/${who.id}/application_credentials`)).status).toBe(403);
  expect((await trust.call('GET', `/v3/users/${who.id}/access_rules`)).status).toBe(403);
});

test('CVE-2015-7546 and 2016-4911: an altered token is none, and a revoked one is revoked in every form', async () => {
  const token = await cloud.login('demo', 'demo');
  await admin('DELETE', '/v3/auth/tokens', undefined, { 'x-subject-token': token });
  const [head = '', body = '', signature = ''] = token.split('.');
  const last = signature.at(-1) === 'A' ? 'B' : 'A';
  for (const altered of [token, `${token}=`, ` ${token}`, `${token} `, `${head}.${body}.${signature.slice(0, -1)}${last}`, `${head}.${body}=.${signature}`, `${head}=.${body}.${signature}`, token.toLowerCase()]) {
    expect((await cloud.as(altered)('GET', '/v3/auth/projects')).status, altered.slice(-20)).toBe(401);
    expect((await admin('GET', '/v3/auth/tokens', undefined, { 'x-subject-token': altered })).status).toBe(404);
  }
  const parent = await cloud.login('demo', 'demo');
  const child = (await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: parent } }, scope: { project: { id: cloud.projects.demo } } } })).headers['x-subject-token'] as string;
  await admin('PATCH', `/v3/users/${cloud.users.demo}`, { user: { password: 'demo' } });
  for (const t of [parent, child]) {
    expect((await cloud.as(t)('GET', '/v3/auth/projects')).status).toBe(401);
    // As upstream: what is traded for another and is no token (any more) is not there, as for who asks about it.
    expect(await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: t } } } })).toMatchObject({ status: 404, body: { error: { message: 'Failed to validate token' } } });
  }
});

test('CVE-2021-38155: locked, disabled and unknown accounts look alike', async () => {
  const strict = await identityCloud({ CUMULET_IDENTITY_COMPLIANCE_LOCKOUT_FAILURE_ATTEMPTS: '2', CUMULET_TOKENS_BCRYPT_ROUNDS: '9' });
  try {
    const root = strict.as(strict.adminToken);
    const make = async (name: string, more: object = {}) => (await root('POST', '/v3/users', { user: { name, password: 'pw', ...more } })).body.user as { id: string };
    const [locked, disabled] = [await make('locked'), await make('disabled', { enabled: false })];
    for (let i = 0; i < 2; i++) await strict.tryLogin(locked, 'wrong');
    await strict.tryLogin('warm', 'up');
    const measure = async (user: { id: string } | string, password: string) => {
      const began = performance.now();
      const answers = [];
      for (let i = 0; i < 4; i++) answers.push(await strict.tryLogin(user, password));
      return { ms: performance.now() - began, body: answers[0]?.body, status: answers[0]?.status };
    };
    const all = [await measure(locked, 'pw'), await measure(locked, 'wrong'), await measure(disabled, 'pw'), await measure('unheard-of', 'pw'), await measure({ id: 'unheard-of' }, 'pw')];
    for (const one of all) { expect(one.status).toBe(401); expect(one.body).toEqual(all[0]?.body); }
    const times = all.map(a => a.ms);
    expect(Math.max(...times) / Math.min(...times), times.join(' ')).toBeLessThan(3);
  } finally { await strict.close(); }
});

test('CVE-2026-22797: headers that say who one is are not believed', async () => {
  const who = await person('member');
  const forged = { 'x-roles': 'admin', 'x-role': 'admin', 'x-user-id': cloud.users.admin, 'x-project-id': cloud.projects.admin, 'x-is-admin-project': 'true', 'x-identity-status': 'Confirmed', 'x-service-roles': 'service', 'openstack-system-scope': 'all', 'x-domain-id': 'default' };
  expect((await who.call('GET', '/v3/users', undefined, forged)).status).toBe(403);
  expect((await cloud.call('GET', '/v3/users', undefined, forged)).status).toBe(401);
});

test('CVE-2022-2447: a token does not outlive its application credential', async () => {
  const who = await person('member');
  const until = new Date(Date.now() + 30_000).toISOString();
  const { token } = await byAppCred(who, { expires_at: until });
  expect(new Date((await admin('GET', '/v3/auth/tokens', undefined, { 'x-subject-token': token })).body.token.expires_at).getTime()).toBeLessThanOrEqual(new Date(until).getTime());
});

test('logins are bounded: guessing is slowed, a crowd waits in line', async () => {
  const strict = await identityCloud({ CUMULET_IDENTITY_FAILED_LOGINS: '5', CUMULET_IDENTITY_FAILED_LOGIN_REFILL_SECONDS: '60' });
  try {
    for (let i = 0; i < 5; i++) expect((await strict.tryLogin('demo', 'guess')).status).toBe(401);
    const sixth = await strict.tryLogin('demo', 'demo');
    expect([sixth.status, sixth.headers['retry-after']]).toEqual([429, '60']);
    expect((await strict.tryLogin('admin', 'admin')).status).toBe(201);
    const crowd = await Promise.all(Array.from({ length: 40 }, () => strict.tryLogin('admin', 'admin')));
    expect(crowd.every(r => r.status === 201)).toBe(true);
  } finally { await strict.close(); }
});
