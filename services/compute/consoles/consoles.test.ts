import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { testCloud, type TestCloud } from '../testing/cloud.ts';
import { digestOf } from './routes.ts';

let c: TestCloud;
let guest: Server;
let base: string;
beforeAll(async () => {
  c = await testCloud();
  guest = createServer(s => { s.on('data', d => s.write(`echo ${d.toString()}`)); }).listen(0, '127.0.0.1');
  await c.app.listen({ port: 0, host: '127.0.0.1' });
  base = `127.0.0.1:${(c.app.server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => { guest.close(); await c.close(); });
const dial = (token: string, headers: Record<string, string> = {}) => new Promise<WebSocket | number>(done => {
  const ws = new WebSocket(`ws://${base}/console/socket?token=${token}`, { headers });
  ws.on('open', () => done(ws));
  ws.on('unexpected-response', (_, res) => done(res.statusCode ?? 0));
  ws.on('error', () => done(0));
});

test('a console\'s key opens one connection, from the right page only', async () => {
  const id = await c.server();
  const r = await c.asking(c.call()('POST', `/v2.1/servers/${id}/remote-consoles`, { remote_console: { protocol: 'vnc', type: 'novnc' } }, '2.8'));
  expect(r.status).toBe(200);
  const token = decodeURIComponent(r.body.remote_console.url as string).split('token=')[1] as string;
  expect(await c.call('admin')('GET', `/v2.1/os-console-auth-tokens/${token}`)).toMatchObject({ status: 200, body: { console: { instance_uuid: id } } });
  await c.t.rt.db('console_tokens').where({ digest: digestOf(token) }).update({ target: JSON.stringify({ host: '127.0.0.1', port: (guest.address() as AddressInfo).port }) });
  expect(JSON.stringify(await c.t.rt.db('console_tokens'))).not.toContain(token);
  expect(await dial(token, { origin: 'http://evil.example' })).toBe(403);
  const ws = await dial(token, { origin: `http://${base}` }) as WebSocket;
  const heard = new Promise<string>(done => ws.on('message', d => done(String(d))));
  ws.send('hello');
  expect(await heard).toBe('echo hello');
  ws.close();
  expect(await dial(token)).toBe(401);
  expect(await c.call('admin')('GET', `/v2.1/os-console-auth-tokens/${token}`)).toMatchObject({ status: 404, body: { itemNotFound: { message: 'Token not found' } } });
  expect(await c.call()('POST', `/v2.1/servers/${id}/remote-consoles`, { remote_console: { protocol: 'spice', type: 'spice-html5' } }, '2.8')).toMatchObject({ status: 400, body: { badRequest: { message: 'Unavailable console type spice-html5.' } } });
});
