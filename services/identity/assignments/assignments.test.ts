import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud } from '../../../test/harness/identity.ts';

let cloud: IdentityCloud;
let admin: Call;
const ids: Record<string, string> = {};
beforeAll(async () => {
  cloud = await identityCloud();
  admin = cloud.as(cloud.adminToken);
  for (const role of (await admin('GET', '/v3/roles')).body.roles) ids[role.name] = role.id;
  const make = async (kind: string, body: object) => (await admin('POST', `/v3/${kind}s`, { [kind]: body })).body[kind].id as string;
  ids['domain'] = await make('domain', { name: 'D' });
  ids['top'] = await make('project', { name: 'top', domain_id: ids['domain'] });
  ids['low'] = await make('project', { name: 'low', domain_id: ids['domain'], parent_id: ids['top'] });
  ids['ann'] = await make('user', { name: 'ann', domain_id: ids['domain'], password: 'pw' });
  ids['crew'] = await make('group', { name: 'crew', domain_id: ids['domain'] });
  ids['own'] = await make('role', { name: 'own', domain_id: ids['domain'] });
});
afterAll(() => cloud.close());
const list = async (query: string) => (await admin('GET', `/v3/role_assignments?${query}`)).body.role_assignments as Record<string, any>[];   // oxlint-disable-line no-explicit-any
const brief = (rows: Record<string, any>[]) => rows.map(r => `${r['user']?.id ?? r['group']?.id} ${r['role'].id} ${r['scope'].project?.id ?? r['scope'].domain?.id ?? 'system'}${r['scope']['OS-INHERIT:inherited_to'] ? ' inherited' : ''}`.replaceAll(/[0-9a-f]{32}/g, id => Object.entries(ids).find(([, v]) => v === id)?.[0] ?? id)).toSorted();   // oxlint-disable-line no-explicit-any

test('grants of every kind are made, listed, checked and taken', async () => {
  const places = [
    [`projects/${ids['top']}/users/${ids['ann']}/roles`, ''], [`projects/${ids['top']}/groups/${ids['crew']}/roles`, ''], [`domains/${ids['domain']}/users/${ids['ann']}/roles`, ''], [`domains/${ids['domain']}/groups/${ids['crew']}/roles`, ''],
    [`system/users/${ids['ann']}/roles`, ''], [`system/groups/${ids['crew']}/roles`, ''],
    [`OS-INHERIT/domains/${ids['domain']}/users/${ids['ann']}/roles`, '/inherited_to_projects'], [`OS-INHERIT/domains/${ids['domain']}/groups/${ids['crew']}/roles`, '/inherited_to_projects'],
    [`OS-INHERIT/projects/${ids['top']}/users/${ids['ann']}/roles`, '/inherited_to_projects'], [`OS-INHERIT/projects/${ids['top']}/groups/${ids['crew']}/roles`, '/inherited_to_projects'],
  ] as const;
  for (const [path, end] of places) {
    const one = `/v3/${path}/${ids['member']}${end}`;
    expect((await admin('HEAD', one)).status, one).toBe(404);
    expect((await admin('PUT', one)).status, one).toBe(204);
    expect((await admin('PUT', one)).status, one).toBe(204);
    for (const method of ['GET', 'HEAD']) expect((await admin(method, one)).status, one).toBe(204);
    expect((await admin('GET', `/v3/${path}${end}`)).body.roles.map((r: { name: string }) => r.name), one).toEqual(['member']);
    expect((await admin('DELETE', one)).status, one).toBe(204);
    expect((await admin('DELETE', one)).status, one).toBe(404);
    expect((await admin('GET', `/v3/${path}${end}`)).body.roles, one).toEqual([]);
  }
  expect((await admin('PUT', `/v3/projects/none/users/${ids['ann']}/roles/${ids['member']}`)).body.error.message).toBe('Could not find project: none.');
  expect((await admin('PUT', `/v3/projects/${ids['top']}/users/none/roles/${ids['member']}`)).status).toBe(404);
  expect((await admin('PUT', `/v3/projects/${ids['top']}/users/${ids['ann']}/roles/none`)).status).toBe(404);
});

test('what is inherited, implied and by group takes effect, and is listed as such', async () => {
  await admin('PUT', `/v3/groups/${ids['crew']}/users/${ids['ann']}`);
  await admin('PUT', `/v3/OS-INHERIT/domains/${ids['domain']}/groups/${ids['crew']}/roles/${ids['member']}/inherited_to_projects`);
  await admin('PUT', `/v3/system/users/${ids['ann']}/roles/${ids['reader']}`);
  expect(brief(await list(`scope.domain.id=${ids['domain']}`))).toEqual(['crew member domain inherited']);
  expect(brief(await list(`user.id=${ids['ann']}`))).toEqual(['ann reader system']);
  expect(brief(await list(`user.id=${ids['ann']}&effective`))).toEqual(['ann member low inherited', 'ann member top inherited', 'ann reader low inherited', 'ann reader system', 'ann reader top inherited']);
  expect(brief(await list(`scope.project.id=${ids['top']}&effective&include_subtree`)).filter(r => r.includes('member'))).toEqual(['ann member low inherited', 'ann member top inherited']);
  expect(brief(await list(`scope.system=all&role.id=${ids['reader']}`))).toEqual(['ann reader system']);
  const [one] = (await list(`scope.project.id=${ids['low']}&user.id=${ids['ann']}&effective&include_names&role.id=${ids['reader']}`));
  expect(one).toMatchObject({
    user: { name: 'ann', domain: { id: ids['domain'], name: 'D' } }, role: { name: 'reader' }, scope: { project: { name: 'low', domain: { name: 'D' } }, 'OS-INHERIT:inherited_to': 'projects' },
    links: { membership: expect.stringContaining(`/v3/groups/${ids['crew']}/users/${ids['ann']}`), assignment: expect.stringContaining(`/v3/OS-INHERIT/domains/${ids['domain']}/groups/${ids['crew']}/roles/${ids['member']}/inherited_to_projects`), prior_role: expect.any(String) },
  });
  const login = await cloud.tryLogin({ id: ids['ann'] as string }, 'pw', { project: { id: ids['low'] } });
  expect(login.body.token.roles.map((r: { name: string }) => r.name)).toEqual(['member', 'reader']);
  expect((await cloud.as(login.headers['x-subject-token'] as string)('GET', '/v3/auth/projects')).body.projects.map((p: { name: string }) => p.name).toSorted()).toEqual(['low', 'top']);
  expect((await cloud.tryLogin({ id: ids['ann'] as string }, 'pw', { domain: { id: ids['domain'] } })).status).toBe(401);
  await admin('DELETE', `/v3/groups/${ids['crew']}/users/${ids['ann']}`);
  expect((await cloud.as(login.headers['x-subject-token'] as string)('GET', '/v3/auth/projects')).status).toBe(401);
  await admin('DELETE', `/v3/OS-INHERIT/domains/${ids['domain']}/groups/${ids['crew']}/roles/${ids['member']}/inherited_to_projects`);
});

test.each([
  ['scope.project.id=x&scope.domain.id=y', 'Specify a domain or project, not both'], ['scope.system=all&scope.domain.id=y', 'Specify system or domain, not both'], ['scope.system=all&scope.project.id=y', 'Specify system or project, not both'], ['user.id=x&group.id=y', 'Specify a user or group, not both'],
  ['effective&group.id=y', 'Combining effective and group filter will always result in an empty list.'], ['effective&scope.domain.id=x&scope.OS-INHERIT:inherited_to=projects', 'Combining effective, domain and inherited filters will always result in an empty list.'],
  ['include_subtree', 'scope.project.id must be specified if include_subtree is also specified'],
])('the list refuses %s', async (query, message) => { expect((await admin('GET', `/v3/role_assignments?${query}`)).body.error).toMatchObject({ code: 400, message }); });

test('roles imply roles, without circles and never admin', async () => {
  const path = (prior: string, implied: string) => `/v3/roles/${ids[prior]}/implies/${ids[implied]}`;
  expect((await admin('GET', path('admin', 'manager'))).body.role_inference).toMatchObject({ prior_role: { name: 'admin' }, implies: { name: 'manager' } });
  expect((await admin('HEAD', path('admin', 'manager'))).status).toBe(204);
  expect((await admin('GET', `/v3/roles/${ids['admin']}/implies`)).body.role_inference.implies.map((r: { name: string }) => r.name)).toEqual(['manager']);
  expect((await admin('GET', '/v3/role_inferences')).body.role_inferences.map((i: { prior_role: { name: string } }) => i.prior_role.name)).toEqual(['admin', 'manager', 'member']);
  expect((await admin('PUT', path('reader', 'member'))).status).toBe(403);
  expect((await admin('PUT', path('reader', 'reader'))).status).toBe(403);
  expect((await admin('PUT', path('service', 'admin'))).body.error.message).toBe(`${ids['admin']} cannot be an implied roles.`);
  expect((await admin('GET', path('service', 'reader'))).body.error.message).toBe(`${ids['service']} does not imply ${ids['reader']}.`);
  expect((await admin('PUT', `/v3/roles/none/implies/${ids['reader']}`)).status).toBe(404);
  const token = await cloud.login('service', 'service');
  const roles = async () => (await cloud.call('GET', '/v3/auth/tokens', undefined, { 'x-auth-token': token, 'x-subject-token': token })).body.token.roles.map((r: { name: string }) => r.name);
  const extra = (await admin('POST', '/v3/roles', { role: { name: 'extra' } })).body.role.id as string;
  ids['extra'] = extra;
  expect(await roles()).not.toContain('extra');
  expect((await admin('PUT', path('service', 'extra'))).status).toBe(201);
  expect(await roles()).toContain('extra');
  expect((await admin('DELETE', path('service', 'extra'))).status).toBe(204);
  expect(await roles()).not.toContain('extra');
  expect((await admin('DELETE', path('service', 'extra'))).status).toBe(404);
  await admin('PUT', `/v3/projects/${cloud.projects.service}/users/${cloud.users.service}/roles/${extra}`);
  expect(await roles()).toContain('extra');
  await admin('PATCH', `/v3/roles/${extra}`, { role: { name: 'renamed' } });
  expect(await roles()).toContain('renamed');
  await admin('DELETE', `/v3/roles/${extra}`);
  expect(await roles()).not.toContain('renamed');
});

test('a domain\'s own role implies, but is never in a token, and stays in its domain', async () => {
  expect((await admin('PUT', `/v3/roles/${ids['own']}/implies/${ids['member']}`)).status).toBe(201);
  expect((await admin('PUT', `/v3/projects/${cloud.projects.demo}/users/${ids['ann']}/roles/${ids['own']}`)).status).toBe(403);
  expect((await admin('PUT', `/v3/projects/${ids['top']}/users/${ids['ann']}/roles/${ids['own']}`)).status).toBe(204);
  const login = await cloud.tryLogin({ id: ids['ann'] as string }, 'pw', { project: { id: ids['top'] } });
  expect(login.body.token.roles.map((r: { name: string }) => r.name)).toEqual(['member', 'reader']);
  expect((await admin('GET', '/v3/roles')).body.roles.map((r: { name: string }) => r.name)).not.toContain('own');
  expect((await admin('GET', `/v3/roles?domain_id=${ids['domain']}`)).body.roles.map((r: { name: string }) => r.name)).toEqual(['own']);
  expect((await admin('POST', '/v3/roles', { role: { name: 'own', domain_id: ids['domain'] } })).body.error.message).toBe(`Conflict occurred attempting to store role - Duplicate entry found with name own at domain ID ${ids['domain']}.`);
  expect((await admin('PUT', `/v3/roles/${ids['reader']}/implies/${ids['own']}`)).status).toBe(403);
});
