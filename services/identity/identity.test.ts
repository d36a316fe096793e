import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Call, identityCloud, type IdentityCloud, inProject } from '../../test/harness/identity.ts';

let cloud: IdentityCloud;
let admin: Call;
beforeAll(async () => { cloud = await identityCloud(); admin = cloud.as(cloud.adminToken); });
afterAll(() => cloud.close());

test('versions and log in', async () => {
  expect((await cloud.call('GET', '/')).status).toBe(300);
  expect((await cloud.call('GET', '/v3')).body.version.id).toBe('v3.14');
  expect((await cloud.call('GET', '/v3/')).status).toBe(200);
  const r = await cloud.tryLogin('admin', 'admin');
  expect(r.status).toBe(201);
  console.log(JSON.stringify(r.body).slice(0, 600), String(r.headers['x-subject-token']).length, r.headers);
  expect(r.body.token.roles.map((x: { name: string }) => x.name)).toEqual(['admin', 'manager', 'member', 'reader']);
});
test('list users', async () => {
  const r = await admin('GET', '/v3/users');
  expect(r.status).toBe(200);
  expect(r.body.users).toHaveLength(3);
  expect((await cloud.as(await cloud.login('demo', 'demo'))('GET', '/v3/users')).status).toBe(403);
});
void inProject;
