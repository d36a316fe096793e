import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud } from '../../../test/harness/identity.ts';

let cloud: IdentityCloud;
let admin: Call;
beforeAll(async () => { cloud = await identityCloud(); admin = cloud.as(cloud.adminToken); });
afterAll(() => cloud.close());
const create = (user: object) => admin('POST', '/v3/users', { user });

test('a user is made, shown, changed and deleted; what else one says of it is kept', async () => {
  const made = await create({ name: ' Zoë ', password: 'pw', email: 'z@x', 'OS-X:y': 1, description: 'd', enabled: 'false' });
  expect(made.status).toBe(201);
  expect(made.body.user).toMatchObject({ name: 'Zoë', email: 'z@x', OS_X_y: 1, domain_id: 'default', enabled: false, password_expires_at: null, options: {} });
  expect(JSON.stringify(made.body)).not.toContain('"password"');
  expect(made.body.user.default_project_id).toBeUndefined();
  const path = `/v3/users/${made.body.user.id}`;
  const changed = await admin('PATCH', path, { user: { email: 'y@x', enabled: true, default_project_id: cloud.projects.demo, options: { lock_password: true } } });
  expect(changed.body.user).toMatchObject({ email: 'y@x', enabled: true, default_project_id: cloud.projects.demo, options: { lock_password: true }, name: 'Zoë' });
  expect((await admin('PATCH', path, { user: { options: { lock_password: null } } })).body.user.options).toEqual({});
  expect((await admin('GET', path)).body.user.links.self).toMatch(new RegExp(`${path}$`));
  expect((await admin('HEAD', path)).status).toBe(200);
  expect((await admin('DELETE', path)).status).toBe(204);
  for (const method of ['GET', 'DELETE']) expect((await admin(method, path)).body).toEqual({ error: { code: 404, message: `Could not find user: ${made.body.user.id}.`, title: 'Not Found' } });
  expect((await admin('PATCH', path, { user: { name: 'x' } })).status).toBe(404);
});

test.each([
  ['no name', {}], ['empty name', { name: '' }], ['blank name', { name: '   ' }], ['long name', { name: 'x'.repeat(256) }], ['number as name', { name: 5 }], ['word as enabled', { name: 'a', enabled: 'maybe' }], ['number as password', { name: 'a', password: 5 }],
  ['unknown option', { name: 'a', options: { magic: true } }], ['wrong option', { name: 'a', options: { lock_password: 'maybe' } }], ['wrong rules', { name: 'a', options: { multi_factor_auth_rules: [[]] } }], ['double rules', { name: 'a', options: { multi_factor_auth_rules: [['a'], ['a']] } }],
  ['domain as default project', { name: 'a', default_project_id: 'default' }], ['provider that is not there', { name: 'a', federated: [{ idp_id: 'x', protocols: [] }] }], ['bad domain', { name: 'a', domain_id: '../x' }],
])('a user with %s is refused', async (_, user) => { const r = await create(user); expect(r.status, JSON.stringify(r.body)).toBe(400); });

test('one name once in a domain, and only in a domain that is there', async () => {
  expect((await create({ name: 'twice' })).status).toBe(201);
  expect((await create({ name: 'twice' })).body).toEqual({ error: { code: 409, message: 'Conflict occurred attempting to store user - Duplicate entry found with name twice at domain ID default.', title: 'Conflict' } });
  const other = (await create({ name: 'other' })).body.user.id;
  expect((await admin('PATCH', `/v3/users/${other}`, { user: { name: 'twice' } })).status).toBe(409);
  expect((await admin('PATCH', `/v3/users/${other}`, { user: { domain_id: 'x' } })).body.error.message).toBe('Cannot change Domain ID');
  expect((await admin('PATCH', `/v3/users/${other}`, { user: { id: 'x' } })).status).toBe(400);
  expect((await admin('PATCH', `/v3/users/${other}`, { user: {} })).status).toBe(400);
  expect((await create({ name: 'a', domain_id: 'nowhere' })).status).toBe(404);
  const many = await Promise.all(Array.from({ length: 8 }, () => create({ name: 'race' })));
  expect(many.map(r => r.status).toSorted()).toEqual([201, 409, 409, 409, 409, 409, 409, 409]);
});

test('lists: filters, pages, order', async () => {
  for (const name of ['list-a', 'list-b', 'LIST-c', 'li%t']) await create({ name, enabled: name !== 'list-b' });
  const names = async (query: string) => (await admin('GET', `/v3/users?${query}`)).body.users.map((u: { name: string }) => u.name).toSorted();
  expect(await names('name=list-a')).toEqual(['list-a']);
  expect(await names('name__startswith=list-')).toEqual(['list-a', 'list-b']);
  expect(await names('name__icontains=LIST-')).toEqual(['LIST-c', 'list-a', 'list-b']);
  expect(await names('name__contains=%25')).toEqual(['li%t']);
  expect(await names('name__startswith=list-&enabled=false')).toEqual(['list-b']);
  expect(await names('name__startswith=list-&enabled')).toEqual(['list-a']);
  expect(await names('domain_id=nowhere')).toEqual([]);
  expect(await names('idp_id=x')).toEqual([]);
  expect(await names('unknown=x')).toContain('admin');
  const seen: string[] = [];
  for (let path: string | null = '/v3/users?limit=3'; path;) {
    const page = (await admin('GET', path)).body as { users: { id: string }[]; links: { next: string | null; self: string; previous: null } };
    expect(page.users.length).toBeLessThanOrEqual(3);
    seen.push(...page.users.map(u => u.id));
    path = page.links.next && new URL(page.links.next).pathname + new URL(page.links.next).search;
  }
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toHaveLength((await admin('GET', '/v3/users')).body.users.length);
  const byName = (await admin('GET', '/v3/users?sort_key=name&sort_dir=desc&limit=2')).body.users.map((u: { name: string }) => u.name);
  expect(byName).toEqual(byName.toSorted().toReversed());
  expect((await admin('GET', '/v3/users?limit=x')).status).toBe(400);
  expect((await admin('GET', '/v3/users?marker=nobody&limit=1')).status).toBe(404);
  expect((await admin('GET', '/v3/users?password_expires_at=lt:2030-01-01T00:00:00Z')).body.users).toEqual([]);
  expect((await admin('GET', '/v3/users?password_expires_at=xx:2030-01-01T00:00:00Z')).status).toBe(400);
  expect((await admin('GET', '/v3/users?password_expires_at=soon')).status).toBe(400);
});

test('groups and their members', async () => {
  const group = (await admin('POST', '/v3/groups', { group: { name: 'g1', team: 'red' } })).body.group;
  expect(group).toMatchObject({ name: 'g1', description: '', domain_id: 'default', team: 'red' });
  expect((await admin('POST', '/v3/groups', { group: { name: 'g1' } })).status).toBe(409);
  expect((await admin('PATCH', `/v3/groups/${group.id}`, { group: { description: 'new' } })).body.group).toMatchObject({ description: 'new', team: 'red' });
  const user = (await create({ name: 'member-of' })).body.user.id;
  const member = `/v3/groups/${group.id}/users/${user}`;
  expect((await admin('HEAD', member)).status).toBe(404);
  expect((await admin('PUT', member)).status).toBe(204);
  expect((await admin('PUT', member)).status).toBe(204);
  expect((await admin('HEAD', member)).status).toBe(204);
  expect((await admin('GET', `/v3/groups/${group.id}/users`)).body.users.map((u: { id: string }) => u.id)).toEqual([user]);
  expect((await admin('GET', `/v3/users/${user}/groups`)).body.groups.map((g: { id: string }) => g.id)).toEqual([group.id]);
  expect((await admin('DELETE', member)).status).toBe(204);
  expect((await admin('DELETE', member)).status).toBe(404);
  for (const bad of [`/v3/groups/none/users/${user}`, `/v3/groups/${group.id}/users/none`]) expect((await admin('PUT', bad)).status).toBe(404);
  expect((await admin('DELETE', `/v3/groups/${group.id}`)).status).toBe(204);
  expect((await admin('GET', `/v3/groups/${group.id}`)).body.error.message).toBe(`Could not find group: ${group.id}.`);
});

test('users see themselves and nobody else', async () => {
  const me = cloud.as(await cloud.login('demo', 'demo'));
  expect((await me('GET', `/v3/users/${cloud.users.demo}`)).status).toBe(200);
  expect((await me('GET', `/v3/users/${cloud.users.demo}/projects`)).body.projects).toHaveLength(1);
  expect((await me('GET', `/v3/users/${cloud.users.demo}/groups`)).status).toBe(200);
  expect((await me('GET', `/v3/users/${cloud.users.admin}`)).status).toBe(403);
  expect((await me('GET', '/v3/users/nobody')).status).toBe(403);
  expect((await me('PATCH', `/v3/users/${cloud.users.demo}`, { user: { email: 'x' } })).status).toBe(403);
  expect((await me('POST', '/v3/users', { user: { name: 'x', domain_id: 'default' } })).body).toEqual({ error: { code: 403, message: 'You are not authorized to perform the requested action: identity:create_user.', title: 'Forbidden' } });
});

test('a locked password is changed by administrators only', async () => {
  const user = (await create({ name: 'locked-pw', password: 'pw', options: { lock_password: true } })).body.user.id;
  expect((await cloud.call('POST', `/v3/users/${user}/password`, { user: { original_password: 'pw', password: 'x' } })).status).toBe(400);
  expect((await admin('PATCH', `/v3/users/${user}`, { user: { password: 'new' } })).status).toBe(200);
  expect((await cloud.tryLogin({ id: user }, 'new')).status).toBe(201);
  expect((await admin('PATCH', `/v3/users/${user}`, { user: { password: null } })).status).toBe(200);
  expect((await cloud.tryLogin({ id: user }, 'new')).status).toBe(401);
  expect((await cloud.call('POST', '/v3/users/nobody/password', { user: { original_password: 'pw', password: 'x' } })).status).toBe(401);
});

test('the rules of a payment card auditor', async () => {
  const strict = await identityCloud({
    CUMULET_IDENTITY_COMPLIANCE_LOCKOUT_FAILURE_ATTEMPTS: '3', CUMULET_IDENTITY_COMPLIANCE_LOCKOUT_DURATION_SECONDS: '1', CUMULET_IDENTITY_COMPLIANCE_PASSWORD_REGEX: '(?=.*\\d).{4,}$', CUMULET_IDENTITY_COMPLIANCE_PASSWORD_REGEX_DESCRIPTION: 'four with a digit',
    CUMULET_IDENTITY_COMPLIANCE_UNIQUE_LAST_PASSWORD_COUNT: '2', CUMULET_IDENTITY_COMPLIANCE_MINIMUM_PASSWORD_AGE_DAYS: '1', CUMULET_IDENTITY_COMPLIANCE_PASSWORD_EXPIRES_DAYS: '30', CUMULET_IDENTITY_COMPLIANCE_CHANGE_PASSWORD_UPON_FIRST_USE: 'true',
    CUMULET_IDENTITY_COMPLIANCE_DISABLE_USER_DAYS_INACTIVE: '10',
  });
  try {
    const root = strict.as(strict.adminToken);
    expect((await root('POST', '/v3/users', { user: { name: 'weak', password: 'weak' } })).body.error.message).toBe('The password does not match the requirements: four with a digit.');
    const user = (await root('POST', '/v3/users', { user: { name: 'strong', password: 'str0ng' } })).body.user as { id: string; password_expires_at: string };
    const change = (original_password: string, password: string) => strict.call('POST', `/v3/users/${user.id}/password`, { user: { original_password, password } });
    const first = await strict.tryLogin(user, 'str0ng');
    expect([first.status, first.body.error.message]).toEqual([401, `The password is expired and needs to be changed for user: ${user.id}.`]);
    expect((await change('str0ng', 'weak')).status).toBe(400);
    expect((await change('str0ng', 'str0ng')).body.error.message).toContain('must be unique is 2');
    expect((await change('str0ng', 'str0ng2')).status).toBe(204);
    expect((await change('str0ng2', 'str0ng3')).body.error.message).toContain('minimum password age');
    const login = await strict.tryLogin(user, 'str0ng2');
    expect(login.status).toBe(201);
    expect(new Date(login.body.token.user.password_expires_at).getTime()).toBeGreaterThan(Date.now() + 29 * 86_400_000);
    expect((await root('GET', `/v3/users?password_expires_at=gt:${new Date(Date.now() + 20 * 86_400_000).toISOString().slice(0, 19)}Z`)).body.users.map((u: { name: string }) => u.name)).toContain('strong');
    for (let i = 0; i < 3; i++) expect((await strict.tryLogin(user, 'wrong1')).status).toBe(401);
    const locked = await strict.tryLogin(user, 'str0ng2');
    const unknown = await strict.tryLogin({ id: 'nobody' }, 'str0ng2');
    expect(locked.body).toEqual(unknown.body);
    await new Promise(r => setTimeout(r, 1_100));
    expect((await strict.tryLogin(user, 'str0ng2')).status).toBe(201);
    await root('PATCH', `/v3/users/${user.id}`, { user: { options: { ignore_lockout_failure_attempts: true } } });
    for (let i = 0; i < 4; i++) await strict.tryLogin(user, 'wrong1');
    expect((await strict.tryLogin(user, 'str0ng2')).status).toBe(201);
    await strict.rt.db('users').where({ id: user.id }).update({ last_active_at: new Date(Date.now() - 11 * 86_400_000) });
    expect((await root('GET', `/v3/users/${user.id}`)).body.user.enabled).toBe(false);
    expect((await strict.tryLogin(user, 'str0ng2')).status).toBe(401);
    await root('PATCH', `/v3/users/${user.id}`, { user: { enabled: true } });
    expect((await strict.tryLogin(user, 'str0ng2')).status).toBe(201);
    expect((await root('GET', '/v3/domains/default/config/security_compliance')).body.config.security_compliance).toEqual({ password_regex: '(?=.*\\d).{4,}$', password_regex_description: 'four with a digit' });
  } finally { await strict.close(); }
});
