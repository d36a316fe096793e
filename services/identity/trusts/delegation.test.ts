import { createHash, createHmac } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud } from '../../../test/harness/identity.ts';
import { ec2Signature, s3Signature } from '../ec2/signature.ts';

let cloud: IdentityCloud;
let admin: Call;
let service: Call;
const roles: Record<string, string> = {};
beforeAll(async () => {
  cloud = await identityCloud();
  admin = cloud.as(cloud.adminToken);
  service = cloud.as(await cloud.login('service', 'service'));
  for (const role of (await admin('GET', '/v3/roles')).body.roles) roles[role.name] = role.id;
});
afterAll(() => cloud.close());
let count = 0;
/** A new user with roles in project demo, and a token. */
async function person(...names: string[]): Promise<{ id: string; token: string; call: Call }> {
  const { id } = (await admin('POST', '/v3/users', { user: { name: `person-${++count}`, password: 'pw' } })).body.user;
  for (const name of names) await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${id}/roles/${roles[name]}`);
  const token = await cloud.login({ id }, 'pw', names.length > 0 ? { project: { id: cloud.projects.demo } } : { unscoped: {} });
  return { id, token, call: cloud.as(token) };
}
const appCred = async (who: { id: string; call: Call }, body: object = {}) => (await who.call('POST', `/v3/users/${who.id}/application_credentials`, { application_credential: { name: `cred-${++count}`, ...body } }));
const byAppCred = (credential: object, more: object = {}) => cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['application_credential'], application_credential: credential }, ...more } });
const trustBody = (trustor: { id: string }, trustee: { id: string }, more: object = {}) => ({ trust: { trustor_user_id: trustor.id, trustee_user_id: trustee.id, project_id: cloud.projects.demo, impersonation: true, roles: [{ name: 'member' }], ...more } });
const byTrust = (trustee: { id: string }, id: string) => cloud.tryLogin(trustee, 'pw', { 'OS-TRUST:trust': { id } });

test('an application credential: made, used, shown, deleted', async () => {
  const who = await person('member');
  const made = await appCred(who, { name: 'ci', description: 'd', roles: [{ name: 'reader' }], expires_at: '2099-01-02T03:04:05.678901' });
  expect(made.status).toBe(201);
  const cred = made.body.application_credential;
  expect(cred).toMatchObject({ name: 'ci', project_id: cloud.projects.demo, user_id: who.id, unrestricted: false, expires_at: '2099-01-02T03:04:05.678901', system: null, roles: [{ name: 'reader', domain_id: null, options: { immutable: true } }] });
  expect(cred.secret).toHaveLength(86);
  expect((await who.call('GET', `/v3/users/${who.id}/application_credentials/${cred.id}`)).body.application_credential.secret).toBeUndefined();
  expect((await who.call('GET', `/v3/users/${who.id}/application_credentials?name=ci`)).body.application_credentials).toHaveLength(1);
  expect((await appCred(who, { name: 'ci' })).status).toBe(409);
  const login = await byAppCred({ id: cred.id, secret: cred.secret });
  expect(login.status).toBe(201);
  expect(login.body.token).toMatchObject({ methods: ['application_credential'], project: { name: 'demo' }, application_credential: { id: cred.id, name: 'ci', restricted: true }, roles: [{ name: 'reader' }] });
  expect((await byAppCred({ name: 'ci', secret: cred.secret, user: { id: who.id } })).status).toBe(201);
  for (const bad of [{ id: cred.id, secret: 'x' }, { id: 'none', secret: cred.secret }, { name: 'none', secret: 'x', user: { id: who.id } }, { id: cred.id }]) expect((await byAppCred(bad)).status, JSON.stringify(bad)).toBe(401);
  expect((await byAppCred({ secret: 'x' })).status).toBe(400);
  expect((await byAppCred({ id: cred.id, secret: cred.secret }, { scope: { project: { id: cloud.projects.demo } } })).status).toBe(401);
  const token = login.headers['x-subject-token'] as string;
  expect((await cloud.as(token)('GET', '/v3/auth/projects')).status).toBe(200);
  const again = await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: token } } } });
  expect(again.body.token).toMatchObject({ application_credential: { id: cred.id }, expires_at: login.body.token.expires_at });
  expect((await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: token } }, scope: { unscoped: {} } } })).status).toBe(403);
  expect((await who.call('DELETE', `/v3/users/${who.id}/application_credentials/${cred.id}`)).status).toBe(204);
  expect((await cloud.as(token)('GET', '/v3/auth/projects')).status).toBe(401);
  expect((await byAppCred({ id: cred.id, secret: cred.secret })).status).toBe(401);
});

test('a credential gives no more than its maker has, and ends with the maker\'s role', async () => {
  const who = await person('member');
  expect((await appCred(who, { roles: [{ name: 'admin' }] })).body.error.message).toBe('Invalid application credential: Cannot create an application credential with unassigned role');
  expect((await appCred(who, { roles: [{ name: 'nothing' }] })).status).toBe(404);
  expect((await appCred(who, { expires_at: '2001-01-01T00:00:00' })).body.error.message).toMatch(/^The 'expires_at' must not be before now/);
  expect((await appCred(who, { expires_at: 'soon' })).body.error.message).toMatch(/^Timestamp not in expected format/);
  const chosen = await appCred(who, { secret: 'chosen by me' });
  expect((await byAppCred({ id: chosen.body.application_credential.id, secret: 'chosen by me' })).body.token.roles.map((r: { name: string }) => r.name)).toEqual(['member', 'reader']);
  const soon = await appCred(who, { expires_at: new Date(Date.now() + 60_000).toISOString() });
  const short = (await byAppCred({ id: soon.body.application_credential.id, secret: soon.body.application_credential.secret })).body.token;
  expect(new Date(short.expires_at).getTime()).toBeLessThanOrEqual(Date.now() + 60_000);
  const other = await person('member');
  expect((await other.call('GET', `/v3/users/${other.id}/application_credentials/${chosen.body.application_credential.id}`)).status).toBe(403);
  expect((await other.call('DELETE', `/v3/users/${other.id}/application_credentials/${chosen.body.application_credential.id}`)).status).toBe(403);
  expect((await other.call('POST', `/v3/users/${who.id}/application_credentials`, { application_credential: { name: 'x' } })).status).toBe(403);
  await admin('DELETE', `/v3/projects/${cloud.projects.demo}/users/${who.id}/roles/${roles['member']}`);
  expect((await byAppCred({ id: chosen.body.application_credential.id, secret: 'chosen by me' })).status).toBe(401);
});

test('access rules: kept, shared by words, and held to', async () => {
  const who = await person('member');
  const rules = [{ service: 'identity', method: 'GET', path: '/v3/auth/projects' }];
  const made = (await appCred(who, { access_rules: rules })).body.application_credential;
  expect(made.access_rules).toEqual([{ id: expect.any(String), ...rules[0] }]);
  const several = ['GET', 'PUT', 'DELETE', 'POST', 'HEAD'].map(method => ({ service: 'monitoring', method, path: '/v2.0/metrics' }));
  expect((await appCred(await person('member'), { access_rules: several })).body.application_credential.access_rules).toEqual(several.map(r => ({ id: expect.any(String), ...r })));
  const listed = (await who.call('GET', `/v3/users/${who.id}/access_rules`)).body.access_rules;
  expect(listed).toHaveLength(1);
  const second = (await appCred(who, { access_rules: [{ id: listed[0].id }] })).body.application_credential;
  expect(second.access_rules[0].id).toBe(listed[0].id);
  const stranger = await person('member');
  expect((await appCred(stranger, { access_rules: [{ id: listed[0].id }] })).status).toBe(404);
  expect((await stranger.call('GET', `/v3/users/${stranger.id}/access_rules/${listed[0].id}`)).status).toBe(404);
  expect((await stranger.call('DELETE', `/v3/users/${stranger.id}/access_rules/${listed[0].id}`)).status).toBe(404);
  const token = (await byAppCred({ id: made.id, secret: made.secret })).headers['x-subject-token'] as string;
  const limited = cloud.as(token);
  expect((await limited('GET', '/v3/auth/projects')).status).toBe(200);
  expect((await limited('GET', '/v3/auth/domains')).status).toBe(401);
  expect((await limited('GET', `/v3/users/${who.id}`)).status).toBe(401);
  const check = (headers: Record<string, string> = {}) => admin('GET', '/v3/auth/tokens', undefined, { 'x-subject-token': token, ...headers });
  expect((await check()).status).toBe(404);
  expect((await check({ 'openstack-identity-access-rules': '1.0' })).body.token.application_credential.access_rules).toEqual(made.access_rules);
  expect((await who.call('DELETE', `/v3/users/${who.id}/access_rules/${listed[0].id}`)).status).toBe(403);
  for (const c of [made, second]) await who.call('DELETE', `/v3/users/${who.id}/application_credentials/${c.id}`);
  expect((await who.call('DELETE', `/v3/users/${who.id}/access_rules/${listed[0].id}`)).status).toBe(204);
});

test('a trust: made, used for another, shown, ended', async () => {
  const [trustor, trustee] = [await person('member'), await person()];
  const made = await trustor.call('POST', '/v3/OS-TRUST/trusts', trustBody(trustor, trustee, { expires_at: '2099-01-01T00:00:00.123456Z' }));
  expect(made.status).toBe(201);
  const trust = made.body.trust;
  expect(trust).toMatchObject({ impersonation: true, remaining_uses: null, redelegation_count: 0, redelegated_trust_id: null, deleted_at: null, expires_at: '2099-01-01T00:00:00.123456Z', roles: [{ name: 'member' }] });
  const login = await byTrust(trustee, trust.id);
  expect(login.status).toBe(201);
  expect(login.body.token).toMatchObject({ user: { id: trustor.id }, 'OS-TRUST:trust': { id: trust.id, impersonation: true, trustor_user: { id: trustor.id }, trustee_user: { id: trustee.id } }, project: { name: 'demo' } });
  expect(login.body.token.roles.map((r: { name: string }) => r.name)).toEqual(['member', 'reader']);
  expect((await byTrust(trustor, trust.id)).status).toBe(403);
  const token = login.headers['x-subject-token'] as string;
  expect((await cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['token'], token: { id: token } } } })).status).toBe(403);
  for (const by of [trustor, trustee]) expect((await by.call('GET', `/v3/OS-TRUST/trusts/${trust.id}`)).status).toBe(200);
  expect((await (await person('member')).call('GET', `/v3/OS-TRUST/trusts/${trust.id}`)).status).toBe(403);
  expect((await trustor.call('GET', `/v3/OS-TRUST/trusts?trustor_user_id=${trustor.id}`)).body.trusts).toHaveLength(1);
  expect((await trustee.call('GET', `/v3/OS-TRUST/trusts?trustee_user_id=${trustee.id}`)).body.trusts[0].roles).toBeUndefined();
  expect((await trustor.call('GET', '/v3/OS-TRUST/trusts')).status).toBe(403);
  expect((await trustor.call('GET', `/v3/OS-TRUST/trusts/${trust.id}/roles`)).body.roles).toHaveLength(1);
  expect((await trustor.call('GET', `/v3/OS-TRUST/trusts/${trust.id}/roles/${roles['member']}`)).body.role.name).toBe('member');
  expect((await trustor.call('HEAD', `/v3/OS-TRUST/trusts/${trust.id}/roles/${roles['reader']}`)).status).toBe(404);
  expect((await trustee.call('DELETE', `/v3/OS-TRUST/trusts/${trust.id}`)).status).toBe(403);
  expect((await trustor.call('DELETE', `/v3/OS-TRUST/trusts/${trust.id}`)).status).toBe(204);
  expect((await trustor.call('GET', `/v3/OS-TRUST/trusts/${trust.id}`)).status).toBe(404);
  expect((await cloud.as(token)('GET', '/v3/auth/projects')).status).toBe(401);
  expect((await byTrust(trustee, trust.id)).status).toBe(401);
});

test('a trust without impersonation speaks for the trustee; it falls with the role and with the people', async () => {
  const [trustor, trustee] = [await person('member'), await person()];
  const { id } = (await trustor.call('POST', '/v3/OS-TRUST/trusts', trustBody(trustor, trustee, { impersonation: false }))).body.trust;
  const login = await byTrust(trustee, id);
  expect(login.body.token.user.id).toBe(trustee.id);
  const works = async () => (await cloud.as(login.headers['x-subject-token'] as string)('GET', '/v3/auth/domains')).status;
  expect(await works()).toBe(200);
  await admin('DELETE', `/v3/projects/${cloud.projects.demo}/users/${trustor.id}/roles/${roles['member']}`);
  expect(await works()).toBe(401);
  expect((await byTrust(trustee, id)).status).toBe(403);
  await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${trustor.id}/roles/${roles['member']}`);
  expect(await works()).toBe(200);
  await admin('PATCH', `/v3/users/${trustor.id}`, { user: { enabled: false } });
  expect(await works()).toBe(401);
  expect((await byTrust(trustee, id)).status).toBe(403);
});

test('uses are counted, and two who race for the last do not both get it', async () => {
  const [trustor, trustee] = [await person('member'), await person()];
  const { id } = (await trustor.call('POST', '/v3/OS-TRUST/trusts', trustBody(trustor, trustee, { remaining_uses: 3 }))).body.trust;
  const all = await Promise.all(Array.from({ length: 6 }, () => byTrust(trustee, id)));
  expect(all.map(r => r.status).toSorted()).toEqual([201, 201, 201, 403, 403, 403]);
  expect((await trustor.call('POST', '/v3/OS-TRUST/trusts', trustBody(trustor, trustee, { remaining_uses: 0 }))).status).toBe(400);
});

test('what may not be lent is not', async () => {
  const [trustor, trustee] = [await person('member'), await person()];
  const attempt = async (more: object, by = trustor) => (await by.call('POST', '/v3/OS-TRUST/trusts', trustBody(trustor, trustee, more))).status;
  expect(await attempt({ roles: [] })).toBe(403);
  expect(await attempt({ roles: [{ name: 'admin' }] })).toBe(404);
  expect(await attempt({ trustee_user_id: 'nobody' })).toBe(404);
  expect(await attempt({}, trustee)).toBe(403);
  expect(await attempt({ project_id: 'nowhere' })).toBe(404);
  expect(await attempt({ impersonation: 'yes' })).toBe(400);
  expect(await attempt({ expires_at: '2001-01-01T00:00:00Z' })).toBe(400);
  expect(await attempt({ allow_redelegation: true, redelegation_count: 9 })).toBe(403);
  expect(await attempt({ allow_redelegation: true, remaining_uses: 1 })).toBe(400);
});

test('a trust that is passed on gives no more than it was, and ends with the first', async () => {
  const [first, second, third] = [await person('member'), await person(), await person()];
  const { id } = (await first.call('POST', '/v3/OS-TRUST/trusts', trustBody(first, second, { allow_redelegation: true, expires_at: '2099-01-01T00:00:00Z' }))).body.trust;
  const lent = cloud.as((await byTrust(second, id)).headers['x-subject-token'] as string);
  const pass = (more: object) => lent('POST', '/v3/OS-TRUST/trusts', trustBody(first, third, { allow_redelegation: true, ...more }));
  expect((await pass({ expires_at: '2100-01-01T00:00:00Z' })).status).toBe(403);
  expect((await pass({ roles: [{ name: 'reader' }] })).status).toBe(403);
  expect((await pass({ redelegation_count: 3 })).status).toBe(403);
  const child = (await pass({})).body.trust;
  expect(child).toMatchObject({ redelegated_trust_id: id, redelegation_count: 2, expires_at: '2099-01-01T00:00:00.000000Z' });
  const login = await byTrust(third, child.id);
  expect(login.body.token.user.id).toBe(first.id);
  await first.call('DELETE', `/v3/OS-TRUST/trusts/${id}`);
  expect((await cloud.as(login.headers['x-subject-token'] as string)('GET', '/v3/auth/projects')).status).toBe(401);
  expect((await byTrust(third, child.id)).status).toBe(401);
});

test('EC2 keys: made, used by a service, limited to what made them', async () => {
  const who = await person('member');
  const made = await who.call('POST', `/v3/users/${who.id}/credentials/OS-EC2`, { tenant_id: cloud.projects.demo });
  expect(made.status).toBe(201);
  const keys = made.body.credential;
  expect(Object.keys(keys).toSorted()).toEqual(['access', 'links', 'secret', 'tenant_id', 'trust_id', 'user_id']);
  expect((await who.call('GET', `/v3/users/${who.id}/credentials/OS-EC2`)).body.credentials).toHaveLength(1);
  expect((await who.call('GET', `/v3/users/${who.id}/credentials/OS-EC2/${keys.access}`)).body.credential.secret).toBe(keys.secret);
  const request = { verb: 'GET', host: 'ec2.example:8773', path: '/services/Cloud', params: { SignatureVersion: '2', SignatureMethod: 'HmacSHA256', Action: 'DescribeInstances', Timestamp: new Date().toISOString().slice(0, 19) } };
  const signed = (more: object = {}, of: object = request) => ({ credentials: { access: keys.access, ...of, signature: ec2Signature(keys.secret, of), ...more } });
  expect((await cloud.call('POST', '/v3/ec2tokens', signed())).status).toBe(401);
  expect((await who.call('POST', '/v3/ec2tokens', signed())).status).toBe(403);
  expect((await who.call('POST', '/v3/s3tokens', signed())).status).toBe(403);
  const login = await service('POST', '/v3/ec2tokens', signed());
  expect(login.status).toBe(200);
  expect(login.body.token).toMatchObject({ methods: ['ec2credential'], user: { id: who.id }, project: { name: 'demo' } });
  expect((await cloud.as(login.headers['x-subject-token'] as string)('GET', '/v3/auth/projects')).status).toBe(403);
  expect((await service('POST', '/v3/ec2tokens', signed({}, { ...request, host: 'ec2.example' }))).status).toBe(200);
  expect((await service('POST', '/v3/ec2tokens', { credentials: { ...request, access: keys.access, signature: ec2Signature(keys.secret, { ...request, host: 'ec2.example' }) } })).status).toBe(200);
  expect((await service('POST', '/v3/ec2tokens', signed({ signature: 'x' }))).status).toBe(401);
  expect((await service('POST', '/v3/ec2tokens', signed({ signature: undefined }))).status).toBe(401);
  expect((await service('POST', '/v3/ec2tokens', signed({ access: 'nobody' }))).status).toBe(404);
  expect((await service('POST', '/v3/ec2tokens', {})).status).toBe(400);
  const old = { ...request, params: { ...request.params, Timestamp: '2001-01-01T00:00:00' } };
  expect((await service('POST', '/v3/ec2tokens', signed({}, old))).status).toBe(401);
  const text = `AWS4-HMAC-SHA256\n20260101T000000Z\n20260101/us-east-1/s3/aws4_request\n${'0'.repeat(64)}`;
  const token = Buffer.from(text).toString('base64url');
  expect((await service('POST', '/v3/s3tokens', { credentials: { access: keys.access, token, signature: s3Signature(keys.secret, token) } })).status).toBe(200);
  expect((await service('POST', '/v3/s3tokens', { credentials: { access: keys.access, token, signature: 'x' } })).status).toBe(401);
  expect((await who.call('DELETE', `/v3/users/${who.id}/credentials/OS-EC2/${keys.access}`)).status).toBe(204);
  expect((await who.call('GET', `/v3/users/${who.id}/credentials/OS-EC2/${keys.access}`)).status).toBe(404);
  expect((await service('POST', '/v3/ec2tokens', signed())).status).toBe(404);
});

test('signatures are those that AWS prints in its manuals', () => {
  // "Examples of the complete Signature Version 4 signing process": GET iam ListUsers.
  const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
  const v4 = {
    verb: 'GET', host: 'iam.amazonaws.com', path: '/', params: { Action: 'ListUsers', Version: '2010-05-08' }, body_hash: createHash('sha256').update('').digest('hex'),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8', 'X-Amz-Date': '20150830T123600Z', Authorization: 'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=x' },
  };
  expect(ec2Signature(secret, v4)).toBe('5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7');
  expect(ec2Signature('s', { params: { SignatureVersion: '0', Action: 'a', Timestamp: 't' } })).toBe(createHmac('sha1', 's').update('at').digest('base64'));
  expect(ec2Signature('s', { params: { SignatureVersion: '1', b: '2', A: '1' } })).toBe(createHmac('sha1', 's').update('A1b2SignatureVersion1').digest('base64'));
  expect(ec2Signature('s', { params: { SignatureVersion: '7' } })).toBeUndefined();
  expect(ec2Signature('s', {})).toBeUndefined();
});
