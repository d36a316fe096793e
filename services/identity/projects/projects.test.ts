import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud } from '../../../test/harness/identity.ts';

let cloud: IdentityCloud;
let admin: Call;
beforeAll(async () => { cloud = await identityCloud(); admin = cloud.as(cloud.adminToken); });
afterAll(() => cloud.close());
const project = async (name: string, more: object = {}) => (await admin('POST', '/v3/projects', { project: { name, ...more } })).body.project as { id: string; parent_id: string };
const domain = async (name: string) => (await admin('POST', '/v3/domains', { domain: { name } })).body.domain as { id: string };
const message = async (answer: ReturnType<Call>) => { const a = await answer; return [a.status, a.body?.error?.message]; };

test('a project is made, shown, changed and deleted', async () => {
  const made = await admin('POST', '/v3/projects', { project: { name: 'p1', description: 'x', colour: 'red', tags: ['b', 'a'], options: {} } });
  expect(made.status).toBe(201);
  expect(made.body.project).toMatchObject({ name: 'p1', description: 'x', colour: 'red', domain_id: 'default', parent_id: 'default', is_domain: false, enabled: true, tags: ['b', 'a'], options: {} });
  const path = `/v3/projects/${made.body.project.id}`;
  expect((await admin('PATCH', path, { project: { description: null, colour: 'blue' } })).body.project).toMatchObject({ description: '', colour: 'blue' });
  expect((await admin('GET', path)).body.project.colour).toBe('blue');
  expect(await message(admin('POST', '/v3/projects', { project: { name: 'p1', domain_id: 'default' } }))).toEqual([409, expect.stringMatching(/^Conflict occurred attempting to store project - it is not permitted to have two projects with either the same name or same id in the same domain: name is p1, project id [0-9a-f]{32}\.$/)]);
  expect((await admin('DELETE', path)).status).toBe(204);
  expect((await admin('GET', path)).status).toBe(404);
});

test.each([
  ['long name', { name: 'x'.repeat(65) }], ['no name', {}], ['tag with comma', { name: 'a', tags: ['a,b'] }], ['81 tags', { name: 'a', tags: Array.from({ length: 81 }, (_, i) => `t${i}`) }], ['double tag', { name: 'a', tags: ['x', 'x'] }], ['unknown option', { name: 'a', options: { x: true } }],
  ['unknown domain', { name: 'a', domain_id: 'nowhere' }], ['unknown parent', { name: 'a', parent_id: 'nowhere' }], ['parent of a domain', { name: 'a', is_domain: true, parent_id: 'default' }],
])('a project with %s is refused', async (_, body) => { expect((await admin('POST', '/v3/projects', { project: body })).status).toBe(400); });

test('a tree of projects', async () => {
  const a = await project('tree-a');
  const b = await project('tree-b', { parent_id: a.id });
  const c = await project('tree-c', { parent_id: b.id });
  const d = await project('tree-d', { parent_id: b.id });
  const show = async (id: string, query: string) => (await admin('GET', `/v3/projects/${id}?${query}`)).body.project;
  expect((await show(c.id, 'parents_as_ids')).parents).toEqual({ [b.id]: { [a.id]: { default: null } } });
  expect((await show(a.id, 'subtree_as_ids')).subtree).toEqual({ [b.id]: { [c.id]: null, [d.id]: null } });
  expect((await show(d.id, 'subtree_as_ids')).subtree).toBeNull();
  expect((await show(a.id, 'subtree_as_list')).subtree).toEqual([]);
  const member = (await admin('GET', '/v3/roles?name=member')).body.roles[0].id;
  await admin('PUT', `/v3/projects/${b.id}/users/${cloud.users.admin}/roles/${member}`);
  expect((await show(a.id, 'subtree_as_list')).subtree.map((p: { project: { name: string } }) => p.project.name)).toEqual(['tree-b']);
  expect((await show(c.id, 'parents_as_list&include_limits')).parents[0].project).toMatchObject({ name: 'tree-b', limits: [] });
  expect((await admin('GET', `/v3/projects/${a.id}?parents_as_list&parents_as_ids`)).status).toBe(400);
  expect(await message(admin('DELETE', `/v3/projects/${a.id}`))).toEqual([403, `Cannot delete the project ${a.id} since it is not a leaf in the hierarchy. Use the cascade option if you want to delete a whole subtree.`]);
  expect(await message(admin('PATCH', `/v3/projects/${a.id}`, { project: { enabled: false } }))).toEqual([403, `Cannot disable project ${a.id} since its subtree contains enabled projects.`]);
  expect(await message(admin('PATCH', `/v3/projects/${c.id}`, { project: { parent_id: a.id } }))).toEqual([403, 'Update of `parent_id` is not allowed.']);
  for (const id of [c.id, d.id, b.id]) expect((await admin('PATCH', `/v3/projects/${id}`, { project: { enabled: false } })).status).toBe(200);
  expect(await message(admin('PATCH', `/v3/projects/${c.id}`, { project: { enabled: true } }))).toEqual([403, `Cannot enable project ${c.id} since it has disabled parents`]);
  expect(await message(admin('POST', '/v3/projects', { project: { name: 'tree-e', parent_id: b.id } }))).toEqual([400, `cannot create a project in a branch containing a disabled project: ${b.id}`]);
  let deep = await project('deep-1');
  for (let i = 2; i <= 5; i++) deep = await project(`deep-${i}`, { parent_id: deep.id });
  expect(await message(admin('POST', '/v3/projects', { project: { name: 'deep-6', parent_id: deep.id } }))).toEqual([403, `Max hierarchy depth reached for ${deep.id} branch.`]);
});

test('tags one by one and all at once', async () => {
  const p = await project('tagged', { tags: ['x'] });
  const path = `/v3/projects/${p.id}/tags`;
  expect((await admin('PUT', `${path}/y`)).status).toBe(201);
  expect((await admin('PUT', `${path}/y`)).status).toBe(400);
  expect((await admin('GET', path)).body.tags).toEqual(['x', 'y']);
  expect((await admin('GET', `${path}/y`)).status).toBe(204);
  expect((await admin('DELETE', `${path}/y`)).status).toBe(204);
  expect((await admin('DELETE', `${path}/y`)).status).toBe(404);
  expect((await admin('PUT', path, { tags: ['red', 'blue'] })).body.tags).toEqual(['red', 'blue']);
  await project('tagged-2', { tags: ['red', 'green'] });
  const names = async (query: string) => (await admin('GET', `/v3/projects?${query}`)).body.projects.map((q: { name: string }) => q.name).toSorted();
  expect(await names('tags=red,blue')).toEqual(['tagged']);
  expect(await names('tags-any=green,blue')).toEqual(['tagged', 'tagged-2']);
  expect(await names('not-tags=red,blue')).not.toContain('tagged');
  expect(await names('not-tags-any=red')).not.toContain('tagged-2');
  expect((await admin('DELETE', path)).status).toBe(204);
  expect((await admin('GET', path)).body.tags).toEqual([]);
});

test('what is immutable stays until that is lifted', async () => {
  const p = await project('fixed', { options: { immutable: true } });
  const path = `/v3/projects/${p.id}`;
  expect(await message(admin('PATCH', path, { project: { description: 'x' } }))).toEqual([403, `Unable to update immutable project resource: \`${p.id}. Set resource option "immutable" to false first.`]);
  expect((await admin('PATCH', path, { project: { description: 'x', options: { immutable: false } } })).status).toBe(403);
  expect((await admin('DELETE', path)).status).toBe(403);
  expect((await admin('PATCH', path, { project: { options: { immutable: false } } })).status).toBe(200);
  expect((await admin('DELETE', path)).status).toBe(204);
  const role = (await admin('GET', '/v3/roles?name=admin')).body.roles[0];
  expect((await admin('DELETE', `/v3/roles/${role.id}`)).status).toBe(403);
  expect((await admin('PATCH', `/v3/roles/${role.id}`, { role: { name: 'x' } })).status).toBe(403);
});

test('a domain and everything in it', async () => {
  const d = await domain('d1');
  expect((await admin('GET', `/v3/domains/${d.id}`)).body.domain).toEqual({ id: d.id, name: 'd1', description: '', enabled: true, tags: [], options: {}, links: { self: expect.any(String) } });
  expect(await message(admin('POST', '/v3/domains', { domain: { name: 'd1' } }))).toEqual([409, 'Conflict occurred attempting to store project - it is not permitted to have two projects acting as domains with the same name: d1.']);
  expect((await admin('POST', '/v3/domains', { domain: { name: 'Federated' } })).status).toBe(400);
  expect((await admin('POST', '/v3/domains', { domain: { name: 'own', explicit_domain_id: 'x' } })).body.error.message).toBe('Domain ID does not conform to required UUID format.');
  expect((await admin('POST', '/v3/domains', { domain: { name: 'own', explicit_domain_id: '0123456789abcdef0123456789abcdef' } })).body.domain.id).toBe('0123456789abcdef0123456789abcdef');
  const p = await project('in-d1', { domain_id: d.id });
  const child = await project('in-in-d1', { domain_id: d.id, parent_id: p.id });
  expect(await message(admin('POST', '/v3/projects', { project: { name: 'x', domain_id: 'default', parent_id: p.id } }))).toEqual([400, `Cannot create project, since it specifies its domain_id default, but specifies a parent in a different domain (${d.id}).`]);
  const user = (await admin('POST', '/v3/users', { user: { name: 'u', domain_id: d.id, password: 'pw' } })).body.user;
  const role = (await admin('POST', '/v3/roles', { role: { name: 'own', domain_id: d.id } })).body.role;
  const member = (await admin('GET', '/v3/roles?name=member')).body.roles[0].id;
  await admin('PUT', `/v3/projects/${p.id}/users/${user.id}/roles/${member}`);
  await admin('PUT', `/v3/domains/${d.id}/users/${user.id}/roles/${member}`);
  await admin('POST', '/v3/credentials', { credential: { user_id: user.id, type: 'x', blob: 'x' } });
  const token = await cloud.login(user, 'pw', { project: { id: p.id } });
  expect((await admin('DELETE', `/v3/domains/${d.id}`)).status).toBe(403);
  expect((await admin('PATCH', `/v3/domains/${d.id}`, { domain: { enabled: false } })).status).toBe(200);
  expect((await cloud.as(token)('GET', '/v3/auth/projects')).status).toBe(401);
  expect((await cloud.tryLogin(user, 'pw')).status).toBe(401);
  expect((await admin('DELETE', `/v3/domains/${d.id}`)).status).toBe(204);
  for (const path of [`users/${user.id}`, `projects/${p.id}`, `projects/${child.id}`, `roles/${role.id}`, `domains/${d.id}`]) expect((await admin('GET', `/v3/${path}`)).status, path).toBe(404);
  expect((await admin('GET', `/v3/credentials?user_id=${user.id}`)).body.credentials).toEqual([]);
});

test('a project that still owns something is not deleted behind its back', async () => {
  const p = await project('busy');
  await cloud.rt.db('quota_usage').insert({ service: 'volume', project_id: p.id, used: JSON.stringify({ volumes: 2, gigabytes: 5, snapshots: 0 }) });
  expect(await message(admin('DELETE', `/v3/projects/${p.id}`))).toEqual([409, 'The project still owns resources and cannot be deleted: 2 volume volumes, 5 volume gigabytes.']);
  await cloud.rt.db('quota_usage').where({ project_id: p.id }).update({ used: '{}' });
  expect((await admin('DELETE', `/v3/projects/${p.id}`)).status).toBe(204);
});

test('a domain\'s manager works in the domain and nowhere else', async () => {
  const d = await domain('managed');
  const boss = (await admin('POST', '/v3/users', { user: { name: 'boss', domain_id: d.id, password: 'pw' } })).body.user;
  const manager = (await admin('GET', '/v3/roles?name=manager')).body.roles[0].id;
  await admin('PUT', `/v3/domains/${d.id}/users/${boss.id}/roles/${manager}`);
  const me = cloud.as(await cloud.login(boss, 'pw', { domain: { id: d.id } }));
  const own = await me('POST', '/v3/users', { user: { name: 'clerk' } });
  expect([own.status, own.body.user.domain_id]).toEqual([201, d.id]);
  expect((await me('POST', '/v3/users', { user: { name: 'intruder', domain_id: 'default' } })).status).toBe(403);
  expect((await me('GET', '/v3/users')).body.users.map((u: { name: string }) => u.name).toSorted()).toEqual(['boss', 'clerk']);
  expect((await me('GET', `/v3/users/${cloud.users.admin}`)).status).toBe(403);
  expect((await me('GET', '/v3/domains')).body.domains.map((x: { id: string }) => x.id)).toEqual([d.id]);
  const p = (await me('POST', '/v3/projects', { project: { name: 'shop' } })).body.project;
  expect(p.domain_id).toBe(d.id);
  expect((await me('GET', '/v3/projects')).body.projects.map((x: { name: string }) => x.name)).toEqual(['shop']);
  const roles = new Map((await admin('GET', '/v3/roles')).body.roles.map((r: { name: string; id: string }) => [r.name, r.id]));
  expect((await me('PUT', `/v3/projects/${p.id}/users/${own.body.user.id}/roles/${roles.get('member')}`)).status).toBe(204);
  expect((await me('PUT', `/v3/projects/${p.id}/users/${own.body.user.id}/roles/${roles.get('admin')}`)).status).toBe(403);
  expect((await me('PUT', `/v3/projects/${cloud.projects.demo}/users/${own.body.user.id}/roles/${roles.get('member')}`)).status).toBe(403);
  expect((await me('GET', '/v3/role_assignments')).body.role_assignments.length).toBe(2);
  expect((await me('POST', '/v3/domains', { domain: { name: 'mine' } })).status).toBe(403);
});
