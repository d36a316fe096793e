import { request, type IncomingMessage } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { testCloud, type TestCloud } from '../testing/cloud.ts';
import { serveRelay } from './relay.ts';
import { digestOf } from './tokens.ts';

let c: TestCloud;
let guest: Server;
let base: string;
let id: string;
let relay: { close(): Promise<void> };
const panel = 'https://panel.example';
beforeAll(async () => {
  c = await testCloud({ CUMULET_CONSOLES_ALLOWED_ORIGINS: JSON.stringify([panel]) });
  guest = createServer(s => { s.on('data', d => s.write(`echo ${d.toString()}`)); s.on('error', () => s.destroy()); }).listen(0, '127.0.0.1');
  await c.app.listen({ port: 0, host: '127.0.0.1' });
  base = `127.0.0.1:${(c.app.server.address() as AddressInfo).port}`;
  id = await c.server();
  // A second host, whose screens the API's host cannot reach but through the worker there.
  const { db } = c.t.rt;
  await db.raw(`insert into compute_hosts (host, node, vcpus, memory_mb, disk_gb, cpu_ratio, ram_ratio, disk_ratio) values ('second', 'second', 1, 1, 1, 1, 1, 1)`);
  relay = await serveRelay({ db, settings: { ...c.t.rt.settings, host: 'second' }, log: c.t.rt.log });
}, 60_000);
afterAll(async () => { guest.close(); await relay.close(); await c.close(); });

type Dialled = WebSocket | number;
const dialAt = (url: string, token: string, headers: Record<string, string> = {}) => new Promise<Dialled>(done => {
  const ws = new WebSocket(`ws://${url}/console/socket?token=${token}`, ['binary'], { headers });
  ws.on('open', () => done(ws));
  ws.on('unexpected-response', (_, res) => done(res.statusCode ?? 0));
  ws.on('error', () => done(0));
});
const dial = (token: string, headers: Record<string, string> = {}) => dialAt(base, token, headers);
/** A key for the console of a guest that answers, given out at the address of this API. */
async function key(kind: 'novnc' | 'serial' = 'novnc', on: Record<string, unknown> = {}): Promise<string> {
  const { db } = c.t.rt;
  const body = { remote_console: kind === 'novnc' ? { protocol: 'vnc', type: 'novnc' } : { protocol: 'serial', type: 'serial' } };
  const r = await c.asking(c.call()('POST', `/v2.1/servers/${id}/remote-consoles`, body, '2.8'));
  if (r.status !== 200) throw new Error(JSON.stringify(r.body));
  const token = decodeURIComponent(r.body.remote_console.url as string).split('token=')[1] as string;
  await db('console_tokens').where({ digest: digestOf(token) }).update({ target: JSON.stringify({ host: '127.0.0.1', port: (guest.address() as AddressInfo).port }), origin: `http://${base}`, ...on });
  return token;
}
async function echoes(ws: Dialled): Promise<void> {
  if (typeof ws === 'number') throw new Error(`refused with ${ws}`);
  const heard = new Promise<string>(done => { ws.on('message', d => done(String(d))); });
  ws.send('hello');
  expect(await heard).toBe('echo hello');
  const closed = new Promise(done => { ws.on('close', done); });
  ws.close();
  await closed;
}

test('a console\'s key opens one connection', async () => {
  const token = await key();
  expect(await c.call('admin')('GET', `/v2.1/os-console-auth-tokens/${token}`, undefined, '2.31')).toMatchObject({ status: 200, body: { console: { instance_uuid: id, internal_access_path: null } } });
  expect((await c.call('admin')('GET', `/v2.1/os-console-auth-tokens/${token}`, undefined, '2.30')).status).toBe(400);
  expect((await c.call('admin')('GET', `/v2.1/os-console-auth-tokens/${token}?x=1`, undefined, '2.104')).status).toBe(400);
  expect((await c.call('demo')('GET', `/v2.1/os-console-auth-tokens/${token}`, undefined, '2.31')).status).toBe(403);
  // Who reads the database, or its log, finds no key in it (OSSA-2020-001).
  expect(JSON.stringify(await c.t.rt.db('console_tokens'))).not.toContain(token);
  await echoes(await dial(token));
  expect(await dial(token)).toBe(401);
  expect(await c.call('admin')('GET', `/v2.1/os-console-auth-tokens/${token}`, undefined, '2.31')).toMatchObject({ status: 404, body: { itemNotFound: { message: 'Token not found' } } });
});
test('of many who come with one key at once, one is let in', async () => {
  const token = await key();
  const came = await Promise.all(Array.from({ length: 8 }, () => dial(token)));
  expect(came.filter(x => typeof x !== 'number')).toHaveLength(1);
  expect(came.filter(x => x === 401)).toHaveLength(7);
  for (const ws of came) if (typeof ws !== 'number') ws.terminate();
});
test('a key that is too old opens nothing', async () => {
  expect(await dial(await key('novnc', { expires_at: new Date(Date.now() - 1000) }))).toBe(401);
  expect(await dial('')).toBe(401);
  expect(await dial('%00')).toBe(401);
});

describe('pages that may open a console (CVE-2015-0259, OSSN-0101)', () => {
  let token: string;
  beforeEach(async () => { token = await key(); });
  const host = () => base.split(':')[0] as string;
  test.each([
    ['another site', () => 'http://evil.example'], ['another port', () => `http://${host()}:1`], ['no port', () => `http://${host()}`], ['another scheme', () => `https://${base}`], ['a longer host', () => `http://${base}.evil.example`], ['a user before the host', () => `http://${base}@evil.example`],
    ['a path', () => `http://${base}/`], ['capitals', () => `HTTP://${base}`], ['null', () => 'null'], ['nothing', () => ''], ['no URL', () => 'x'], ['the allowed one with another port', () => `${panel}:444`], ['below the allowed one', () => 'https://a.panel.example'],
  ])('not %s', async (_, origin) => {
    expect(await dial(token, { origin: origin() })).toBe(403);
    await echoes(await dial(token, { origin: `http://${base}` }));
  });
  test('what a request calls its own host counts for nothing', async () => {
    expect(await dial(token, { origin: 'http://rebound.example', host: 'rebound.example' })).toBe(403);
  });
  test('nor what a proxy says of it', async () => {
    expect(await dial(token, { origin: 'https://evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' })).toBe(403);
  });
  test('one that the settings name', async () => { await echoes(await dial(token, { origin: panel })); });
});

describe('consoles of another host', () => {
  test('through the worker there', async () => {
    const token = await key('novnc', { host: 'second' });
    expect(await dial(token, { origin: 'http://evil.example' })).toBe(403);
    await echoes(await dial(token));
    expect(await dial(token)).toBe(401);
  });
  test('no browser reaches that worker itself, and no key of another host works there', async () => {
    const { console_url: url } = await c.t.rt.db('compute_hosts').where({ host: 'second' }).first('console_url') as { console_url: string };
    const there = url.replace('ws://', '');
    const token = await key('novnc', { host: 'second' });
    expect(await dialAt(there, token, { origin: `http://${base}` })).toBe(403);
    expect(await dialAt(there, await key())).toBe(401);
    expect((await fetch(`http://${there}/`)).status).toBe(404);
    await echoes(await dialAt(there, token));
  });
  test('a host that is away is a bad gateway', async () => {
    const { db } = c.t.rt;
    const { console_url: url } = await db('compute_hosts').where({ host: 'second' }).first('console_url') as { console_url: string };
    await db('compute_hosts').where({ host: 'second' }).update({ console_url: 'ws://127.0.0.1:1' });
    expect(await dial(await key('novnc', { host: 'second' }))).toBe(502);
    await db('compute_hosts').where({ host: 'second' }).update({ console_url: null });
    expect(await dial(await key('novnc', { host: 'second' }))).toBe(502);
    await db('compute_hosts').where({ host: 'second' }).update({ console_url: url });
  });
});

describe('the page', () => {
  const get = (path: string) => fetch(`http://${base}${path}`, { redirect: 'manual' });
  /** The path as it is written: fetch would tidy it up. */
  const raw = (path: string) => new Promise<IncomingMessage>((done, failed) => { request({ host: '127.0.0.1', port: Number(base.split(':')[1]), path, agent: false }, answer => { answer.resume(); done(answer); }).on('error', failed).end(); });
  test('has noVNC and may load nothing else', async () => {
    const token = await key();
    const page = await get(`/console/vnc.html?path=console%2Fsocket%3Ftoken%3D${token}`);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/);
    const html = await page.text();
    expect(html).toMatch(/<html.*>/);
    expect(html).toContain('noVNC');
    expect(html).not.toContain(token);
    for (const part of ['/console/vnc.js', '/console/vnc.css', '/console/novnc/core/rfb.js', '/console/novnc/core/websock.js', '/console/novnc/vendor/pako/lib/zlib/inflate.js']) expect([part, (await get(part)).status]).toEqual([part, 200]);
  });
  // CVE-2021-3654: `//evil.example/%2e%2e` was answered with a redirect to evil.example.
  test.each(['//evil.example/..', '//evil.example/%2e%2e', '/console//evil.example/..', '/console/novnc', '/console/', '/console/..%2f..%2fpackage.json', '/console/novnc/core/..%2f..%2fpackage.json', '/console/%00'])('nothing leads elsewhere: %s', async path => {
    const answer = await raw(path);
    expect([403, 404]).toContain(answer.statusCode);
    expect(answer.headers['location']).toBeUndefined();
  });
});

test('types that are not there are told', async () => {
  const open = (protocol: string, type: string, version: string) => c.call()('POST', `/v2.1/servers/${id}/remote-consoles`, { remote_console: { protocol, type } }, version);
  expect(await open('spice', 'spice-html5', '2.8')).toMatchObject({ status: 400, body: { badRequest: { message: 'Unavailable console type spice-html5.' } } });
  expect(await open('spice', 'spice-direct', '2.99')).toMatchObject({ status: 400, body: { badRequest: { message: 'Unavailable console type spice-direct.' } } });
  expect((await open('spice', 'spice-direct', '2.98')).body.badRequest.message).toMatch(/^Invalid input for field\/attribute type/);
  expect((await open('mks', 'webmks', '2.7')).status).toBe(400);
  expect(await c.act(id, { 'os-getVNCConsole': { type: 'novnc' } }, { version: '2.6' })).toMatchObject({ status: 404 });
});
