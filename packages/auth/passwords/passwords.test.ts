import { hashSync } from '@node-rs/bcrypt';
import { expect, test, vi } from 'vitest';
import { accessRuleAllows } from '../access_rules.ts';
import { sharedNext } from '../coalesce.ts';
import { LoginGate } from './gate.ts';
import { PasswordHasher } from './hasher.ts';

const hasher = (over: object = {}) => new PasswordHasher({ rounds: 4, concurrency: 2, ...over });

test('passwords, those of keystone too', async () => {
  const h = hasher();
  const stored = await h.hash('correct horse');
  expect(stored).toMatch(/^\$2b\$04\$/);
  expect(await h.verify('correct horse', stored)).toBe(true);
  expect(await h.verify('wrong', stored)).toBe(false);
  expect(await h.verify('wrong', undefined)).toBe(false);
  expect(await h.verify('x', 'no hash at all')).toBe(false);
  // keystone cuts at 72 bytes; so do we, on a byte and not a letter.
  expect(await h.verify(`${'a'.repeat(72)}tail`, hashSync(Buffer.from('a'.repeat(72)), { cost: 4 }))).toBe(true);
  const long = 'ü'.repeat(40);
  expect(await h.verify(long, await h.hash(long))).toBe(true);
  expect(await h.verify('a\0b', await h.hash('a\0c'))).toBe(false);
});
test('an unknown user costs what a known one does', async () => {
  const h = new PasswordHasher({ rounds: 10, concurrency: 1 });
  const stored = await h.hash('x');
  await h.verify('warm', undefined);
  const time = async (work: () => Promise<unknown>) => { const t = performance.now(); for (let i = 0; i < 3; i++) await work(); return performance.now() - t; };
  const known = await time(() => h.verify(`wrong${Math.random()}`, stored));
  const unknown = await time(() => h.verify(`wrong${Math.random()}`, undefined));
  expect(unknown / known).toBeGreaterThan(0.5);
  expect(unknown / known).toBeLessThan(2);
});
test('a stampede waits in line, shares equal work, and is turned away beyond the line', async () => {
  const h = new PasswordHasher({ rounds: 8, concurrency: 1, queueLimit: 3 });
  const stored = await h.hash('x');
  const same = Array.from({ length: 50 }, () => h.verify('x', stored));
  expect(h.queued).toBe(0);
  expect((await Promise.all(same)).every(Boolean)).toBe(true);
  const different = Array.from({ length: 10 }, (_, i) => h.verify(`guess ${i}`, stored));
  const done = await Promise.allSettled(different);
  expect(done.filter(d => d.status === 'fulfilled')).toHaveLength(4);
  expect(done.find(d => d.status === 'rejected')).toMatchObject({ reason: { status: 503, headers: { 'retry-after': '5' } } });
  expect(await h.verify('x', stored)).toBe(true);
});

test('a guesser is slowed down by name and address, and regains with time', async () => {
  let now = 0;
  const gate = new LoginGate({ failures: 3, refillSeconds: 10, underway: 2 }, () => now);
  const wrong = async () => false;
  for (let i = 0; i < 3; i++) expect(await gate.pass('bob', '1', wrong)).toBe(false);
  await expect(gate.pass('bob', '1', wrong)).rejects.toMatchObject({ status: 429, headers: { 'retry-after': '10' } });
  expect(await gate.pass('bob', '2', wrong)).toBe(false);
  expect(await gate.pass('eve', '1', wrong)).toBe(false);
  now += 10_000;
  expect(await gate.pass('bob', '1', async () => true)).toBe(true);
  expect(await gate.pass('bob', '1', wrong)).toBe(false);
  await expect(gate.pass('bob', '1', wrong)).rejects.toMatchObject({ status: 429 });
  now -= 3_600_000;
  await expect(gate.pass('bob', '1', wrong)).rejects.toMatchObject({ status: 429 });
  now += 10_000;
  expect(await gate.pass('bob', '1', wrong)).toBe(false);
});
test('only so many logins of one kind are under way', async () => {
  const gate = new LoginGate({ failures: 9, refillSeconds: 10, underway: 2 }, () => 0);
  let finish: (right: boolean) => void = () => {};
  const slow = () => new Promise<boolean>(resolve => { finish = resolve; });
  const first = gate.pass('a', '1', slow);
  const second = gate.pass('a', '1', slow);
  await expect(gate.pass('a', '1', slow)).rejects.toMatchObject({ status: 429 });
  finish(true);
  expect(await second).toBe(true);
  void first;
  const third = gate.pass('a', '1', async () => { throw new Error('database gone'); });
  await expect(third).rejects.toThrow('database gone');
});

test('a shared reading is never older than the call', async () => {
  let reads = 0;
  const release: (() => void)[] = [];
  const read = vi.fn<() => Promise<void>>(() => { reads++; return new Promise<void>(resolve => release.push(resolve)); });
  const shared = sharedNext(read);
  const first = shared();
  const later = [shared(), shared(), shared()];
  expect(reads).toBe(1);
  release.shift()?.();
  await first;
  await vi.waitFor(() => expect(reads).toBe(2));
  release.shift()?.();
  await Promise.all(later);
  expect(reads).toBe(2);
  const again = shared();
  expect(reads).toBe(3);
  release.shift()?.();
  await again;
});

test.each([
  [{ service: 'compute', method: 'GET', path: '/v2.1/servers' }, 'GET', '/v2.1/servers', true], [{ service: 'compute', method: 'GET', path: '/v2.1/servers' }, 'POST', '/v2.1/servers', false],
  [{ service: 'image', method: 'GET', path: '/v2.1/servers' }, 'GET', '/v2.1/servers', false], [{ service: 'compute', method: 'GET', path: '/v2.1/servers' }, 'GET', '/v2.1/servers/detail', false],
  [{ service: 'compute', method: 'GET', path: '/v2.1/servers/*' }, 'GET', '/v2.1/servers/abc', true], [{ service: 'compute', method: 'GET', path: '/v2.1/servers/*' }, 'GET', '/v2.1/servers/abc/ips', false],
  [{ service: 'compute', method: 'GET', path: '/v2.1/servers/{server_id}/ips' }, 'GET', '/v2.1/servers/abc/ips', true], [{ service: 'compute', method: 'GET', path: '/v2.1/**' }, 'GET', '/v2.1/servers/abc/ips?x=/y', true],
  [{ service: 'compute', method: 'GET', path: '/v2.1/servers.' }, 'GET', '/v2.1/serversX', false], [{ service: 'compute', method: 'GET', path: '/v2.1/(servers|x)+' }, 'GET', '/v2.1/servers', false],
])('rule %j and %s %s: %s', (rule, method, path, allowed) => { expect(accessRuleAllows([rule], { services: ['compute'], method, path })).toBe(allowed); });
