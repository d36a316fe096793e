import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Caller } from '../caller.ts';
import { compileAll } from './compile.ts';
import { credentialsOf } from './credentials.ts';
import { Enforcer, PolicyForbidden } from './enforcer.ts';
import { parseRule } from './parse.ts';

const caller = (over: Partial<Caller> = {}): Caller => ({
  userId: 'u1', userDomainId: 'default', projectId: 'p1', projectDomainId: 'default', roles: ['member', 'reader'], isAdminProject: true, methods: ['password'], auditIds: ['a'],
  issuedAt: new Date(0), expiresAt: new Date(1), tokenHash: '', serviceRoles: [], ...over,
});
const domainScoped = (over: Partial<Caller> = {}) => { const { projectId: _p, projectDomainId: _d, ...rest } = caller(over); return { ...rest, domainId: 'd1', ...over }; };
const ask = (rules: Record<string, unknown>, name: string, target: object = {}, who = caller()) =>
  compileAll(new Map(Object.entries(rules).map(([n, v]) => [n, parseRule(n, v)]))).get(name)!(credentialsOf(who), target as Record<string, unknown>);
const says = (check: unknown, target: object = {}, who = caller()) => ask({ it: check }, 'it', target, who);

test.each<[unknown, object, boolean]>([
  ['', {}, true], ['@', {}, true], ['!', {}, false], [[], {}, true],
  ['role:member', {}, true], ['role:MEMBER', {}, true], ['role:admin', {}, false],
  ['not role:admin', {}, true], ['not not role:admin', {}, false],
  ['role:admin or role:member', {}, true], ['role:admin and role:member', {}, false],
  // `and` binds closer than `or`, on either side
  ['role:member or role:admin and role:x', {}, true], ['role:admin and role:x or role:member', {}, true], ['(role:member or role:admin) and role:x', {}, false],
  ['not role:member or role:reader', {}, true], ['not (role:member or role:x)', {}, false], ['((role:member))', {}, true], ['( role:member )', {}, true],
  ['role:member AND NOT role:admin', {}, true],
  ['project_id:%(project_id)s', { project_id: 'p1' }, true], ['project_id:%(project_id)s', { project_id: 'p2' }, false], ['project_id:%(project_id)s', {}, false],
  ['tenant_id:%(network:tenant_id)s', { 'network:tenant_id': 'p1' }, true],
  ['user_id:%(target.user.id)s', { target: { user: { id: 'u1' } } }, true], ['user_id:%(target.user.id)s', { 'target.user.id': 'u1' }, true], ['user_id:%(target.user.id)s', { target: {} }, false],
  ['(role:member and project_id:%(project_id)s)', { project_id: 'p1' }, true],
  ['user_id:u1', {}, true], ['nothing:u1', {}, false],
  ["'public':%(visibility)s", { visibility: 'public' }, true], ["'public':%(visibility)s", { visibility: 'private' }, false], ["'public':%(visibility)s", {}, false],
  ['None:%(target.role.domain_id)s', { target: { role: { domain_id: null } } }, true], ['None:%(target.role.domain_id)s', { target: { role: { domain_id: 'd' } } }, false], ['None:%(target.role.domain_id)s', {}, false],
  ['True:%(shared)s', { shared: true }, true], ['is_admin_project:True', {}, true], ['system_scope:all', {}, false], ['project_id:None', {}, false], ['domain_id:None', {}, true],
  ['token.project.domain.id:%(target.domain.id)s', { target: { domain: { id: 'default' } } }, true], ['token.domain.id:%(target.domain.id)s', { target: { domain: { id: 'd1' } } }, false],
  ['role:%(wanted)s', { wanted: 'member' }, true], ['roles:member', {}, true],
  ['field:networks:shared=True', { shared: true }, true], ['field:networks:shared=True', { shared: false }, false], ['field:networks:shared=True', {}, false],
  ['field:networks:router:external=True', { 'router:external': true }, true], ['field:port:device_owner=~^network:', { device_owner: 'network:dhcp' }, true], ['field:port:device_owner=~^network:', { device_owner: 'compute:nova' }, false],
  [[['role:admin'], ['role:member', 'role:reader']], {}, true], [[['role:member', 'role:admin']], {}, false], [['role:admin', 'role:reader'], {}, true], [[[]], {}, false],
])('%j about %j is %s', (check, target, expected) => { expect(says(check, target)).toBe(expected); });

test('rules refer to rules, fall to default, and may not go in circles', () => {
  expect(ask({ a: 'rule:b and role:reader', b: 'role:member' }, 'a')).toBe(true);
  expect(ask({ a: 'rule:none' }, 'a')).toBe(false);
  expect(ask({ a: 'rule:none', default: 'role:member' }, 'a')).toBe(true);
  expect(() => ask({ a: 'rule:b', b: 'not rule:a' }, 'a')).toThrow(/circle: a -> b -> a/);
});
test.each(['role:a and', 'and role:a', '(role:a', 'role:a)', 'not', 'role:a role:b', 'role', ':x', 'http://x/y', 'role:a or or role:b', '()'])('%j is refused', text => { expect(() => parseRule('it', text)).toThrow(/rule it/); });
test('what is not text or a list is refused', () => { for (const v of [null, 5, true, {}, [[5]]]) expect(() => parseRule('it', v)).toThrow(/rule it/); });

const logged: string[] = [];
const log = { info: () => {}, warn: (_: object, m: string) => { logged.push(m); } };
const dir = mkdtempSync(join(tmpdir(), 'identity-policy-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('every default of every service loads, and those of the peer are all there', async () => {
  const counts = { identity: 203, compute: 214, volume: 167, image: 67, network: 366, placement: 41 };
  for (const [service, count] of Object.entries(counts)) expect((await Enforcer.open({ service, log })).rules().length, service).toBe(count);
});

test('scope types hold, an unscoped token only meets the check', async () => {
  const e = await Enforcer.open({ service: 'identity', log });
  expect(e.check('identity:list_projects', caller({ roles: ['admin'] }))).toBe(true);
  expect(e.check('identity:create_consumer', domainScoped({ roles: ['admin'] }))).toBe(false);
  expect(e.check('identity:create_user', domainScoped({ roles: ['manager'] }), { target: { user: { domain_id: 'd1' } } })).toBe(true);
  expect(e.check('identity:create_user', domainScoped({ roles: ['manager'] }), { target: { user: { domain_id: 'd2' } } })).toBe(false);
  expect(() => e.check('identity:nothing', caller())).toThrow(/no rule/);
  try { e.require('identity:create_user', caller()); expect.unreachable(); } catch (error) { expect(error).toBeInstanceOf(PolicyForbidden); expect((error as PolicyForbidden).rule).toBe('identity:create_user'); }
});

test('nova\'s and cinder\'s is_admin comes from context_is_admin', async () => {
  const volume = await Enforcer.open({ service: 'volume', log });
  expect(volume.isAdmin(caller({ roles: ['admin'] }))).toBe(true);
  expect(volume.check('volume:force_delete'.replace('volume:', 'volume_extension:volume_admin_actions:'), caller({ roles: ['admin'] }))).toBe(true);
  expect(volume.check('volume_extension:volume_admin_actions:force_delete', caller())).toBe(false);
  const compute = await Enforcer.open({ service: 'compute', log });
  expect(compute.check('os_compute_api:servers:create', caller(), { project_id: 'p1' })).toBe(true);
  expect(compute.check('os_compute_api:servers:create', caller(), { project_id: 'p2' })).toBe(false);
  expect(compute.check('os_compute_api:servers:create', caller({ roles: ['reader'] }), { project_id: 'p1' })).toBe(false);
});

test('an operator\'s file overrides single rules, also by their old names; a broken one changes nothing', async () => {
  const file = join(dir, 'compute.yaml');
  writeFileSync(file, '"os_compute_api:os-lock-server:lock": "role:admin"\n"mine": "role:member"\n"os_compute_api:servers:start": "rule:mine"\n"os_compute_api:os-flavor-extra-specs:index": []\n');
  const e = await Enforcer.open({ service: 'compute', overrideDir: dir, log });
  const own = { project_id: 'p1' };
  expect(e.check('os_compute_api:os-lock-server:lock', caller(), own)).toBe(false);
  expect(e.check('os_compute_api:os-lock-server:unlock', caller(), own)).toBe(true);
  expect(e.check('os_compute_api:servers:start', caller(), { project_id: 'other' })).toBe(true);
  expect(e.rules().filter(r => r.overridden).map(r => r.name)).toHaveLength(4);   // the extra-specs name is also an old name of servers:show:flavor-extra-specs
  for (const broken of ['"a: [', '- x', '"os_compute_api:servers:start": 5', '"os_compute_api:servers:start": "rule:os_compute_api:servers:start"']) {
    writeFileSync(file, broken);
    logged.length = 0;
    await e.reload();
    expect(logged).toHaveLength(1);
    expect(e.check('os_compute_api:os-lock-server:lock', caller(), own)).toBe(false);
  }
  writeFileSync(file, '"os_compute_api:os-server-external-events:create": "!"\n"os_compute_api:os-baremetal-nodes": "@"\n');
  await e.reload();
  expect(e.check('os_compute_api:os-lock-server:lock', caller(), own)).toBe(true);
  expect(e.check('os_compute_api:os-baremetal-nodes:list', caller(), own)).toBe(true);
  rmSync(file);
  await e.reload();
  expect(e.check('os_compute_api:os-baremetal-nodes:list', caller(), own)).toBe(false);
});

test('the file is read again when it changes, comes or goes', async () => {
  const file = join(dir, 'image.yaml');
  const e = await Enforcer.open({ service: 'image', overrideDir: dir, log, lookEveryMs: 20 });
  const becomes = async (allowed: boolean) => { await expect.poll(() => e.check('publicize_image', caller()), { timeout: 5_000, interval: 10 }).toBe(allowed); };
  try {
    expect(e.check('publicize_image', caller())).toBe(false);
    writeFileSync(file, '"publicize_image": "role:member"\n');
    await becomes(true);
    writeFileSync(file, '"publicize_image": "role:reader and not role:member"\n');
    await becomes(false);
    writeFileSync(file, '"publicize_image": "role:member"\n');
    await becomes(true);
    rmSync(file);
    await becomes(false);
  } finally { e.close(); }
});
