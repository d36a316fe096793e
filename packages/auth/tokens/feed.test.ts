import { connect, createListener, transaction, type Db, type Listener } from '@cumulet/db';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { freshDatabase } from '../../../test/harness/database.ts';
import { Sealer } from '../seal.ts';
import type { Claims } from './claims.ts';
import { DatabaseKeyRing, ensureKeys, rotateKeys } from './keys.ts';
import { feedPosition, pruneRevocations, RevocationFeed, revoke } from './revocations.ts';
import { TokenSigner } from './sign.ts';
import { TokenVerifier } from './verify.ts';

const log = pino({ level: 'silent' });
let url: string;
let db: Db;
let listener: Listener;
let feed: RevocationFeed;
const feedOn = (l: Listener, pollMs = 60_000) => new RevocationFeed({ db, listener: l, clock: Date.now, log, lifetimeSeconds: 3_600, pollMs });
beforeAll(async () => { url = (await freshDatabase()).url; db = connect({ url, pool: 10, name: 'feed test' }); });
beforeEach(async () => { await db('revocations').delete(); listener = createListener(url, log, 'feed test'); feed = feedOn(listener); await feed.start(); return async () => { feed.stop(); await listener.close(); }; });
afterAll(() => db.destroy());
const claims = (over: Partial<Claims> = {}): Claims => ({ u: 'u1', ud: 'd1', p: 'p1', pd: 'd2', r: ['member'], m: ['password'], a: ['own', 'first'], i: 0, e: 4e9, q: 0, ...over });
const write = (event: Parameters<typeof revoke>[1]) => transaction(db, trx => revoke(trx, event, 3_600));

test.each([
  ['its audit id', { auditId: 'own' }, true], ['the first audit id of its chain', { auditChainId: 'first' }, true], ['another audit id', { auditId: 'first' }, false],
  ['its user', { userId: 'u1' }, true], ['another user', { userId: 'u2' }, false], ['its user in its project', { userId: 'u1', projectId: 'p1' }, true], ['its user in another project', { userId: 'u1', projectId: 'p2' }, false],
  ['its project', { projectId: 'p1' }, true], ['the domain of its user', { domainId: 'd1' }, true], ['the domain of its project', { domainId: 'd2' }, true], ['another domain', { domainId: 'd3' }, false], ['everything', {}, true],
])('an event about %s', async (_, event, hit) => {
  await write({ kind: 'revoked', ...event });
  await feed.catchUp();
  expect(feed.verdict(claims())).toBe(hit ? 'revoked' : 'valid');
});
test('trusts, trustors, application credentials and scoped domains are found', async () => {
  const trusted = claims({ t: ['t1', 'trustor', 'trustee'], ac: 'cred', p: undefined, pd: undefined, d: 'd9' });
  for (const event of [{ trustId: 't1' }, { userId: 'trustor' }, { userId: 'trustee' }, { appCredId: 'cred' }, { domainId: 'd9' }]) {
    await db('revocations').delete();
    const own = feedOn(listener);
    await write({ kind: 'revoked', ...event });
    await own.catchUp();
    expect(own.verdict(trusted), JSON.stringify(event)).toBe('revoked');
    expect(own.verdict(claims())).toBe('valid');
  }
});
test('an event reaches tokens whose facts are older than it, by position and not by the clock', async () => {
  await write({ kind: 'revoked', userId: 'u1' });
  const position = await feedPosition(db);
  await feed.catchUp();
  expect(feed.verdict(claims({ q: position - 1, i: 4e9 }))).toBe('revoked');
  expect(feed.verdict(claims({ q: position, i: 0 }))).toBe('valid');
  await write({ kind: 'roles', userId: 'u1' });
  await feed.catchUp();
  expect(feed.verdict(claims({ q: position }))).toEqual({ rolesChangedAt: position + 1 });
  expect(feed.verdict(claims({ q: position, p: undefined }))).toBe('valid');
});
test('every other process hears of it within a second, and the one that did it at once', async () => {
  const there = createListener(url, log, 'elsewhere');
  const elsewhere = feedOn(there);
  await elsewhere.start();
  try {
    const began = performance.now();
    await transaction(db, trx => feed.revoke(trx, { kind: 'revoked', userId: 'u7' }));
    expect(feed.verdict(claims({ u: 'u7' }))).toBe('revoked');
    await expect.poll(() => elsewhere.verdict(claims({ u: 'u7' })), { interval: 2, timeout: 1_000 }).toBe('revoked');
    expect(performance.now() - began).toBeLessThan(1_000);
  } finally { elsewhere.stop(); await there.close(); }
});
test('events that commit out of order are not lost', async () => {
  // Two transactions at once: whoever comes second waits for the position until the first is committed.
  await Promise.all(Array.from({ length: 20 }, (_, i) => transaction(db, async trx => {
    await revoke(trx, { kind: 'revoked', userId: `many-${i}` }, 3_600);
    await trx.raw('select pg_sleep(?)', [Math.random() / 50]);
    void feed.catchUp();
  })));
  await feed.catchUp();
  for (let i = 0; i < 20; i++) expect(feed.verdict(claims({ u: `many-${i}` }))).toBe('revoked');
});
test('cut off from notices the feed is stale, asks, and never takes what was revoked meanwhile', async () => {
  await db.raw(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'feed test listener'`);
  await expect.poll(() => listener.connected, { interval: 1 }).toBe(false);
  expect(feed.isFresh()).toBe(false);
  await write({ kind: 'revoked', userId: 'u1' });
  if (!feed.isFresh()) await feed.catchUp();
  expect(feed.verdict(claims())).toBe('revoked');
  await expect.poll(() => feed.isFresh(), { timeout: 3_000 }).toBe(true);
});
test('a notice that got lost is made good by looking', async () => {
  const deaf = { ...listener, connected: true, listen: async () => {}, close: async () => {} } as Listener;
  const slow = feedOn(deaf, 50);
  await slow.start();
  await write({ kind: 'revoked', userId: 'u1' });
  await expect.poll(() => slow.verdict(claims()), { timeout: 1_000 }).toBe('revoked');
  slow.stop();
});
test('old events go, and many about one user take the room of one', async () => {
  await db('revocations').insert({ kind: 'revoked', user_id: 'gone', expires_at: db.raw(`now() - interval '1 second'`) });
  expect(await pruneRevocations(db)).toBe(1);
  for (let i = 0; i < 5; i++) await write({ kind: 'roles', userId: 'busy' });
  await feed.catchUp();
  const position = await feedPosition(db);
  expect(feed.verdict(claims({ u: 'busy' }))).toEqual({ rolesChangedAt: position });
});

test('keys turn under load: no valid token is refused, none that is too old is taken', async () => {
  const sealer = new Sealer([Buffer.alloc(32, 3)]);
  await transaction(db, trx => ensureKeys(trx, sealer));
  await transaction(db, trx => ensureKeys(trx, sealer));
  expect(await db('token_keys').count('id as n').first()).toEqual({ n: 2 });
  const rings = await Promise.all([DatabaseKeyRing.open(db, listener, sealer, log), DatabaseKeyRing.open(db, listener, sealer, log)]) as [DatabaseKeyRing, DatabaseKeyRing];
  const signer = new TokenSigner(rings[0]);
  const verifier = new TokenVerifier({ keys: rings[1], revocations: feed, clock: Date.now, allowExpiredWindowSeconds: 0, facts: { currentRoles: async () => null, accessRules: async () => null } });
  let running = true;
  let checked = 0;
  const load = Promise.all(Array.from({ length: 4 }, async (_, w) => {
    for (let i = 0; running; i++) {
      const token = await signer.sign(claims({ u: `load-${w}-${i}`, q: 1e9 }));
      expect(await verifier.authenticate(token)).toBeDefined();
      checked++;
    }
  }));
  const first = await signer.sign(claims({ u: 'first', q: 1e9 }));
  for (let i = 0; i < 5; i++) { await transaction(db, trx => rotateKeys(trx, sealer, 3_600)); await new Promise(r => setTimeout(r, 60)); }
  running = false;
  await load;
  expect(checked).toBeGreaterThan(50);
  expect(await verifier.authenticate(first)).toBeDefined();
  expect(await db('token_keys').where({ state: 'secondary' }).count('id as n').first()).toEqual({ n: 5 });
  // Once retired for longer than any token lives, a key goes, and with it what it signed.
  await db('token_keys').where({ state: 'secondary' }).update({ retired_at: db.raw(`now() - interval '2 hours'`) });
  await transaction(db, trx => rotateKeys(trx, sealer, 3_600));
  await expect.poll(() => rings[1].byId(JSON.parse(Buffer.from(first.split('.')[0] as string, 'base64url').toString()).kid)).toBeUndefined();
  expect(await new TokenVerifier({ keys: rings[1], revocations: feed, clock: Date.now, allowExpiredWindowSeconds: 0, facts: { currentRoles: async () => null, accessRules: async () => null } }).authenticate(first)).toBeUndefined();
  // The database shows no secret.
  const rows: { id: string; secret: Buffer }[] = await db('token_keys').select('id', 'secret');
  for (const r of rows) expect(r.secret.includes(Buffer.from(sealer.open(r.secret, `token_keys/${r.id}`)))).toBe(false);
});
