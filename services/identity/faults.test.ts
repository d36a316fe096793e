import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rotateKeys } from '@cumulet/auth';
import { loadSettings } from '@cumulet/config';
import { connect, migrate, transaction } from '@cumulet/db';
import { openRuntime, type Runtime } from '@cumulet/service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identityCloud } from '../../test/harness/identity.ts';
import { startPostgres, type TestPostgres } from '../../test/harness/postgres.ts';
import { rotateWhenDue } from './housekeeping.ts';
import { openIdentity } from './identity.ts';
import { bootstrap, createIdentityApp, tokenFacts } from './index.ts';

const migrations = fileURLToPath(new URL('../../migrations', import.meta.url));
let postgres: TestPostgres;
let home: string;
const open: Runtime[] = [];
beforeAll(async () => {
  postgres = await startPostgres();
  home = mkdtempSync(join(tmpdir(), 'cumulet-identity-faults-'));
  const db = connect({ url: postgres.url(), pool: 2, name: 'migrate' });
  await migrate(db, postgres.url(), migrations);
  await db.destroy();
});
afterAll(async () => {
  for (const rt of open) await rt.close();
  await postgres.stop();
  rmSync(home, { recursive: true, force: true });
});
const runtime = async (name: string): Promise<Runtime> => {
  const settings = loadSettings({ CUMULET_HOME: home, CUMULET_HOST: 'testhost', DATABASE_URL: postgres.url(), CUMULET_LOG_LEVEL: 'silent', CUMULET_TOKENS_BCRYPT_ROUNDS: '4', CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '60000' }, '/');
  const rt = await openRuntime({ settings, name, facts: tokenFacts });
  open.push(rt);
  return rt;
};

test('Postgres is restarted and keys turn under load: no good token is refused, no revoked one taken, in any service', { timeout: 60_000 }, async () => {
  const rt = await runtime('identity');
  const elsewhere = await runtime('another service');
  await bootstrap(rt, { passwords: { admin: 'admin', demo: 'demo', service: 'service' } });
  await bootstrap(rt, { passwords: { admin: 'other', demo: 'other', service: 'other' } });
  const app = await createIdentityApp(rt);
  const call = (method: 'GET' | 'POST' | 'DELETE', url: string, headers: Record<string, string>, payload?: object) => app.inject({ method, url, headers, ...(payload ? { payload } : {}) });
  const login = async () => {
    const answer = await call('POST', '/v3/auth/tokens', { 'content-type': 'application/json' }, { auth: { identity: { methods: ['password'], password: { user: { name: 'demo', domain: { id: 'default' }, password: 'demo' } } }, scope: { project: { name: 'demo', domain: { id: 'default' } } } } });
    expect(answer.statusCode, answer.body).toBe(201);
    return String(answer.headers['x-subject-token']);
  };
  const [good, doomed] = [await login(), await login()];
  expect(await elsewhere.verifier.authenticate(good)).toBeDefined();
  expect(await elsewhere.verifier.authenticate(doomed)).toBeDefined();

  // Revoked here, seen there within a second.
  const spent = await login();
  await elsewhere.verifier.authenticate(spent);
  const began = performance.now();
  expect((await call('DELETE', '/v3/auth/tokens', { 'x-auth-token': spent, 'x-subject-token': spent })).statusCode).toBe(204);
  expect(await rt.verifier.authenticate(spent)).toBeUndefined();
  await expect.poll(() => elsewhere.verifier.authenticate(spent), { interval: 5, timeout: 1_000 }).toBeUndefined();
  expect(performance.now() - began).toBeLessThan(1_000);

  let running = true;
  const answers = { good: 0, unsure: 0 };
  const wrong: string[] = [];
  const watch = async (verifier: Runtime['verifier']) => {
    while (running) {
      try { if (await verifier.authenticate(good)) answers.good++; else wrong.push('a good token was refused'); } catch (error) { if ((error as { status?: number }).status === 503) answers.unsure++; else wrong.push(String(error)); }
      try { if (await verifier.authenticate(spent)) wrong.push('a revoked token was taken'); } catch (error) { if ((error as { status?: number }).status !== 503) wrong.push(String(error)); }
      await new Promise(r => setTimeout(r, 2));
    }
  };
  const watching = Promise.all([watch(rt.verifier), watch(elsewhere.verifier)]);
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) { await postgres.restart(signal); await new Promise(r => setTimeout(r, 400)); }
  // Keys turn more often than they ever would; each new token is good everywhere at once.
  for (let turn = 0; turn < 3; turn++) {
    await transaction(rt.db, trx => rotateKeys(trx, rt.sealer, 3_600));
    const fresh = await login();
    for (const { verifier } of [elsewhere, rt]) if (!(await verifier.authenticate(fresh))) wrong.push(`a token was refused after turn ${turn}`);
  }
  // Revoked by a third process, while some may not hear notices yet.
  const third = await runtime('a third');
  const claims = JSON.parse(Buffer.from(doomed.split('.')[1] as string, 'base64url').toString()) as { a: string[] };
  await transaction(third.db, trx => third.revocations.revoke(trx, { kind: 'revoked', auditId: claims.a[0] }));
  for (const { verifier } of [rt, elsewhere, third]) await expect.poll(() => verifier.authenticate(doomed), { interval: 5, timeout: 1_000 }).toBeUndefined();
  await expect.poll(() => rt.listener.connected && elsewhere.listener.connected, { timeout: 10_000 }).toBe(true);
  running = false;
  await watching;
  expect(wrong).toEqual([]);
  expect(answers.good).toBeGreaterThan(50);
  expect((await call('GET', '/v3/auth/projects', { 'x-auth-token': good })).statusCode).toBe(200);
  await app.close();
});

test('keys turn when their day has come, once, and old tokens live on', async () => {
  const cloud = await identityCloud();
  try {
    const identity = await openIdentity(cloud.rt);
    expect(await rotateWhenDue(identity)).toBe(false);
    await cloud.rt.db('token_keys').where({ state: 'primary' }).update({ promoted_at: cloud.rt.db.raw(`now() - interval '31 days'`) });
    expect((await Promise.all([rotateWhenDue(identity), rotateWhenDue(identity), rotateWhenDue(identity)])).filter(Boolean)).toHaveLength(1);
    await expect.poll(() => cloud.rt.db('token_keys').count('id as n').first()).toEqual({ n: 3 });
    expect((await cloud.as(cloud.adminToken)('GET', '/v3/auth/projects')).status).toBe(200);
    expect((await cloud.as(await cloud.login('demo', 'demo'))('GET', '/v3/auth/projects')).status).toBe(200);
  } finally { await cloud.close(); }
});

test('a new cloud is filled from the operator\'s file, whole or not at all', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cumulet-users-'));
  const file = join(folder, 'users.yaml');
  writeFileSync(file, `
domains: [{name: Corp, description: ours}]
projects: [{name: shop, domain: Corp, tags: [web]}, {name: shop-test, domain: Corp, parent: shop}]
roles: [{name: operator, implies: [reader]}]
groups: [{name: staff, domain: Corp, roles: [{role: member, project: shop}]}]
users:
  - {name: ann, domain: Corp, password: secret, email: ann@corp, default_project: shop, groups: [staff], roles: [{role: operator, system: true}, {role: reader, domain: Corp}]}
  - {name: bob, domain: Corp, password_hash: "$2b$04$abcdefghijklmnopqrstuuIUG3Kr3lwGQX5GoHbkB5l3tD4BKcWCS", enabled: false}
`);
  const cloud = await identityCloud({ CUMULET_IDENTITY_USERS_FILE: file });
  try {
    const ann = { name: 'ann', domain: { name: 'Corp' }, password: 'secret' };
    const login = (scope?: object) => cloud.call('POST', '/v3/auth/tokens', { auth: { identity: { methods: ['password'], password: { user: ann } }, ...(scope ? { scope } : {}) } });
    expect((await login()).body.token).toMatchObject({ project: { name: 'shop' }, roles: [{ name: 'member' }, { name: 'reader' }] });
    expect((await login({ system: { all: true } })).body.token.roles.map((r: { name: string }) => r.name)).toEqual(['operator', 'reader']);
    expect((await login({ domain: { name: 'Corp' } })).status).toBe(201);
    expect((await cloud.as(cloud.adminToken)('GET', '/v3/users?name=bob')).body.users[0].enabled).toBe(false);
    expect((await cloud.as(cloud.adminToken)('GET', '/v3/projects?name=shop-test&parents_as_ids')).body.projects[0].parent_id).not.toBe('default');
  } finally { await cloud.close(); }
  for (const [text, complaint] of [['users: [{name: x, magic: 1}]', /users\.0/], ['users: [{name: x, groups: [none]}]', /there is no group none/], ['users: [{name: x, password_hash: plain}]', /not a bcrypt hash/]] as const) {
    writeFileSync(file, text);
    await expect(identityCloud({ CUMULET_IDENTITY_USERS_FILE: file })).rejects.toThrow(complaint);
  }
  rmSync(folder, { recursive: true, force: true });
});
