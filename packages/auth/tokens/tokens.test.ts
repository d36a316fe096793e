import { createHmac } from 'node:crypto';
import { CompactSign, UnsecuredJWT } from 'jose';
import { expect, test } from 'vitest';
import { Sealer } from '../seal.ts';
import type { Claims } from './claims.ts';
import type { KeyRing, RevocationList, TokenKey, Verdict } from './contract.ts';
import { openReceipt, signReceipt } from './receipts.ts';
import { TokenSigner } from './sign.ts';
import { TokenVerifier } from './verify.ts';

const keyOf = (id: string): TokenKey => ({ id, secret: Buffer.alloc(32, id) });
function ring(...ids: string[]): KeyRing & { ids: string[]; later: string[]; refreshed: number } {
  const keys = new Map<string, TokenKey>();
  const get = (id: string) => { const k = keys.get(id) ?? keyOf(id); keys.set(id, k); return k; };
  return {
    ids, later: [], refreshed: 0, current() { return get(this.ids[0] as string); }, byId(id) { return this.ids.includes(id) ? get(id) : undefined; },
    async refresh() { this.refreshed++; this.ids.push(...this.later.splice(0)); },
  };
}
const quiet: RevocationList = { verdict: () => 'valid', isFresh: () => true, catchUp: async () => {} };
let now = 1_000_000_000_000;
const clock = () => now;
const seconds = () => Math.floor(now / 1000);
const claims = (over: Partial<Claims> = {}): Claims => ({ u: 'u1', ud: 'default', p: 'p1', pd: 'default', r: ['member', 'reader'], m: ['password'], a: ['audit'], i: seconds(), e: seconds() + 3600, q: 5, ...over });
const verifierOf = (keys: KeyRing, revocations: RevocationList = quiet, facts: Partial<ConstructorParameters<typeof TokenVerifier>[0]['facts']> = {}) =>
  new TokenVerifier({ keys, revocations, clock, allowExpiredWindowSeconds: 100, facts: { currentRoles: async () => ['member'], accessRules: async () => null, ...facts } });

test('a token says who calls, without asking anyone', async () => {
  const keys = ring('k1');
  const token = await new TokenSigner(keys).sign(claims({ t: ['t', 'u1', 'u2'], ac: 'cred', x: 1 }));
  const asked = () => { throw new Error('asked'); };
  const caller = await verifierOf(keys, quiet, { currentRoles: asked, accessRules: asked }).authenticate(token);
  expect(caller).toMatchObject({ userId: 'u1', projectId: 'p1', roles: ['member', 'reader'], trustId: 't', trustorId: 'u1', trusteeId: 'u2', appCredId: 'cred', restricted: true, auditIds: ['audit'], serviceRoles: [] });
  expect(caller?.tokenHash).toMatch(/^[0-9a-f]{16}$/);
});

test('what we did not sign, or not so, is no token', async () => {
  const keys = ring('k1', 'k2');
  const verifier = verifierOf(keys);
  const good = await new TokenSigner(keys).sign(claims());
  const [head = '', body = '', signature = ''] = good.split('.');
  const encode = (v: unknown) => Buffer.from(JSON.stringify(v)).toString('base64url');
  const signed = (header: object, payload: object, key = keyOf('k1').secret) => new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader(header as { alg: string }).sign(key);
  const other = encode({ ...claims(), r: ['admin'] });
  const forged = [
    '', 'x', 'a.b', 'a.b.c', `${head}.${body}.`, `${head}.${other}.${signature}`, `${head}.${body}.${signature.slice(0, -2)}`, `${good}x`, `${good}.x`, good.slice(1), ` ${good}`,
    new UnsecuredJWT({ ...claims() }).encode(), `${encode({ alg: 'none', kid: 'k1' })}.${body}.`, `${encode({ alg: 'HS512', kid: 'k1' })}.${body}.${createHmac('sha512', keyOf('k1').secret).update(`${encode({ alg: 'HS512', kid: 'k1' })}.${body}`).digest('base64url')}`,
    await signed({ alg: 'HS256' }, claims()), await signed({ alg: 'HS256', kid: 'unknown' }, claims()), await signed({ alg: 'HS256', kid: 'k1' }, claims(), keyOf('k2').secret), await signed({ alg: 'HS256', kid: 'k'.repeat(100) }, claims()),
    await signed({ alg: 'HS256', kid: 'k1', jwk: { kty: 'oct', k: 'AAAA' } }, claims(), Buffer.alloc(32)),
    await signed({ alg: 'HS256', kid: 'k1' }, { sub: 'u1', exp: 9e9 }), await signed({ alg: 'HS256', kid: 'k1' }, claims({ u: '' })), await signed({ alg: 'HS256', kid: 'k1' }, { ...claims(), a: [] }), await signed({ alg: 'HS256', kid: 'k1' }, { ...claims(), e: '9' }),
    await signed({ alg: 'HS256', kid: 'k1', typ: 'receipt' }, claims()), await signed({ alg: 'HS256', kid: 'k1', crit: ['x'], x: 1 }, claims()).catch(() => 'x'), `${good.slice(0, 50)}\0${good.slice(50)}`, 'é'.repeat(40), good.padEnd(5_000, 'A'),
  ];
  for (const token of forged) expect(await verifier.authenticate(token), token.slice(0, 60)).toBeUndefined();
  expect(await verifier.authenticate(good)).toBeDefined();
});

test('a token ends when it says, even if it was seen before; a service may vouch for it a while', async () => {
  const keys = ring('k1');
  const verifier = verifierOf(keys);
  const token = await new TokenSigner(keys).sign(claims());
  const service = await new TokenSigner(keys).sign(claims({ u: 's', r: ['service'], a: ['s'], e: seconds() + 9_999 }));
  const member = await new TokenSigner(keys).sign(claims({ u: 'm', a: ['m'], e: seconds() + 9_999 }));
  expect(await verifier.authenticate(token)).toBeDefined();
  now += 3_600_000;
  expect(await verifier.authenticate(token)).toBeUndefined();
  expect(await verifier.authenticate(token, member)).toBeUndefined();
  expect(await verifier.authenticate(token, service)).toMatchObject({ userId: 'u1', serviceRoles: ['service'], serviceUserId: 's' });
  expect(await verifier.authenticate(token, 'bad')).toBeUndefined();
  expect(await verifier.inspect(token, { allowExpired: true })).toBeDefined();
  now += 101_000;
  expect(await verifier.authenticate(token, service)).toBeUndefined();
});

test('a clock that steps back refuses nobody; tokens from the future are as good', async () => {
  const keys = ring('k1');
  const verifier = verifierOf(keys);
  const token = await new TokenSigner(keys).sign(claims());
  now -= 600_000;
  expect(await verifier.authenticate(token)).toBeDefined();
  now += 600_000;
});

test('an unknown key is looked for once more, and many who ask share the look', async () => {
  const keys = ring('k1');
  const verifier = verifierOf(keys);
  const token = await new TokenSigner(ring('k9')).sign(claims());
  keys.later.push('k9');
  expect(await verifier.authenticate(token)).toBeDefined();
  expect(keys.refreshed).toBe(1);
});

test('revoked is revoked, also from memory; a list that may be stale is brought up to date first', async () => {
  const keys = ring('k1');
  let verdict: Verdict = 'valid';
  let fresh = true;
  let caught = 0;
  const verifier = verifierOf(keys, { verdict: () => verdict, isFresh: () => fresh, catchUp: async () => { caught++; verdict = 'revoked'; } });
  const token = await new TokenSigner(keys).sign(claims());
  expect(await verifier.authenticate(token)).toBeDefined();
  fresh = false;
  expect(await verifier.authenticate(token)).toBeUndefined();
  expect(caught).toBe(1);
  const unreachable = verifierOf(keys, { verdict: () => 'valid', isFresh: () => false, catchUp: async () => { throw new Error('database gone'); } });
  await expect(unreachable.authenticate(token)).rejects.toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
});

test('changed roles are asked for once per change, and none left is the end', async () => {
  const keys = ring('k1');
  let changed = -1;
  let roles: string[] | null = ['reader'];
  let asked = 0;
  const verifier = verifierOf(keys, { ...quiet, verdict: () => (changed < 0 ? 'valid' : { rolesChangedAt: changed }) }, { currentRoles: async () => { asked++; return roles; } });
  const token = await new TokenSigner(keys).sign(claims());
  expect((await verifier.authenticate(token))?.roles).toEqual(['member', 'reader']);
  changed = 7;
  for (let i = 0; i < 3; i++) expect((await verifier.authenticate(token))?.roles).toEqual(['reader']);
  expect(asked).toBe(1);
  changed = 8;
  roles = null;
  expect(await verifier.authenticate(token)).toBeUndefined();
  roles = ['admin'];
  expect((await verifier.authenticate(token))?.roles).toEqual(['admin']);
});

test('roles that are too long to travel are asked for', async () => {
  const keys = ring('k1');
  const many = Array.from({ length: 60 }, (_, i) => `a-rather-long-role-name-${i}`);
  const token = await new TokenSigner(keys).sign(claims({ r: many }));
  expect(token.length).toBeLessThan(1_000);
  expect((await verifierOf(keys, quiet, { currentRoles: async () => many }).authenticate(token))?.roles).toEqual(many);
});

test('rules of an application credential come with the caller; without them the token is not used', async () => {
  const keys = ring('k1');
  const token = await new TokenSigner(keys).sign(claims({ ac: 'cred', ar: 1 }));
  const rules = [{ service: 'compute', method: 'GET', path: '/v2.1/servers' }];
  expect((await verifierOf(keys, quiet, { accessRules: async () => rules }).authenticate(token))?.accessRules).toEqual(rules);
  expect(await verifierOf(keys).authenticate(token)).toBeUndefined();
});

test('receipts and tokens do not pass for each other', async () => {
  const keys = ring('k1');
  const receipt = await signReceipt(keys, { userId: 'u1', methods: ['password'], issuedAt: seconds(), expiresAt: seconds() + 300 });
  expect(await openReceipt(keys, receipt, clock)).toMatchObject({ userId: 'u1', methods: ['password'] });
  expect(await verifierOf(keys).authenticate(receipt)).toBeUndefined();
  expect(await openReceipt(keys, await new TokenSigner(keys).sign(claims()), clock)).toBeUndefined();
  expect(await openReceipt(keys, 'x', clock)).toBeUndefined();
  expect(await openReceipt(keys, receipt, () => now + 301_000)).toBeUndefined();
});

test('what is sealed opens only in its place and with its key', () => {
  const sealer = new Sealer([Buffer.alloc(32, 1)]);
  const box = sealer.seal(Buffer.from('secret'), 'a/1');
  expect(sealer.open(box, 'a/1').toString()).toBe('secret');
  expect(() => sealer.open(box, 'a/2')).toThrow();
  expect(new Sealer([Buffer.alloc(32, 2), Buffer.alloc(32, 1)]).open(box, 'a/1').toString()).toBe('secret');
  expect(() => new Sealer([Buffer.alloc(32, 2)]).open(box, 'a/1')).toThrow(/not in secret.key/);
  const spoilt = Buffer.from(box);
  spoilt[35] = (spoilt[35] as number) ^ 1;
  expect(() => sealer.open(spoilt, 'a/1')).toThrow();
  expect(() => new Sealer([Buffer.alloc(16)])).toThrow(RangeError);
});
