import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFetcher, passesFilter, type FetchRules } from './index.ts';

const rules: FetchRules = { schemes: ['http', 'https'], ports: [80, 443, 8080], disallowedHosts: ['bad.example'], allowedNetworks: [] };
describe('URLs that may not be fetched (CVE-2026-34881)', () => {
  test.each([
    'http://127.0.0.1/', 'http://2130706433/', 'http://0x7f000001/', 'http://0177.0.0.1/', 'http://127.1/', 'http://[::1]/', 'http://[::ffff:127.0.0.1]/', 'http://[::ffff:7f00:1]/', 'http://[64:ff9b::7f00:1]/', 'http://[2002:7f00:1::]/',
    'http://10.0.0.1/', 'http://169.254.169.254/latest', 'http://192.168.1.1/', 'http://100.64.0.1/', 'http://0.0.0.0/', 'http://[fe80::1]/', 'http://[fd00::1]/', 'http://localhost/', 'http://LOCALHOST./', 'http://a.localhost/',
    'file:///etc/passwd', 'ftp://example.org/', 'gopher://example.org/', 'http://example.org:22/', 'http://user:pw@example.org/', 'http://bad.example/', 'nonsense', '',
  ])('%s', url => expect(passesFilter(url, rules)).toBeUndefined());
  test.each(['http://example.org/a', 'https://93.184.216.34/', 'http://example.org:8080/x', 'http://[2606:2800:220:1::1]/'])('%s may', url => expect(passesFilter(url, rules)?.href).toBeDefined());
  test('unless their network is allowed', () => expect(passesFilter('http://10.1.2.3/', { ...rules, allowedNetworks: ['10.0.0.0/8'] })).toBeDefined());
});

let server: Server;
let port: number;
const asked: { url: string; range: string | undefined }[] = [];
beforeAll(async () => {
  server = createServer((req, res) => {
    asked.push({ url: req.url ?? '', range: req.headers.range });
    if (req.url === '/inside') { res.writeHead(302, { location: 'http://169.254.169.254/latest' }).end(); return; }
    if (req.url === '/loop') { res.writeHead(302, { location: '/loop' }).end(); return; }
    if (req.url === '/moved') { res.writeHead(301, { location: '/data' }).end(); return; }
    if (req.url === '/none') { res.writeHead(404).end(); return; }
    const from = /bytes=(\d+)-/.exec(req.headers.range ?? '');
    if (from && req.headers['if-range'] === '"v1"') { const n = Number(from[1]); res.writeHead(206, { 'content-range': `bytes ${n}-9/10`, 'content-length': 10 - n, etag: '"v1"' }).end('0123456789'.slice(n)); return; }
    res.writeHead(200, { 'content-length': 10, etag: '"v1"' }).end(req.method === 'HEAD' ? undefined : '0123456789');
  });
  await new Promise<void>(f => server.listen(0, '127.0.0.1', f));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => server.close());
const { signal } = new AbortController();
const here = () => ({ ...rules, ports: [port], idleTimeoutMs: 5000 });

describe('fetching', () => {
  test('follows, goes on, and starts anew when the resource changed', async () => {
    const f = openFetcher({ ...here(), allowedNetworks: ['127.0.0.0/8'] });
    const whole = await f.get(`http://127.0.0.1:${port}/moved`, { signal });
    expect([(await buffer(whole.body)).toString(), whole.total, whole.validator]).toEqual(['0123456789', 10, '"v1"']);
    const rest = await f.get(`http://127.0.0.1:${port}/data`, { signal, offset: 4, validator: '"v1"' });
    expect([(await buffer(rest.body)).toString(), rest.offset, rest.total]).toEqual(['456789', 4, 10]);
    const anew = await f.get(`http://127.0.0.1:${port}/data`, { signal, offset: 4, validator: '"v0"' });
    expect([(await buffer(anew.body)).toString(), anew.offset]).toEqual(['0123456789', 0]);
    expect(await f.size(`http://127.0.0.1:${port}/data`, { signal })).toBe(10);
    await f.close();
  });
  test('a redirect into the operator\'s network, or without end, is refused', async () => {
    const f = openFetcher({ ...here(), allowedNetworks: ['127.0.0.0/8'] });
    await expect(f.get(`http://127.0.0.1:${port}/inside`, { signal })).rejects.toMatchObject({ kind: 'invalid' });
    await expect(f.get(`http://127.0.0.1:${port}/loop`, { signal })).rejects.toMatchObject({ kind: 'invalid' });
    await expect(f.get(`http://127.0.0.1:${port}/none`, { signal })).rejects.toMatchObject({ kind: 'absent' });
    await f.close();
  });
  test('a name that leads inside is refused, also when only its second answer does', async () => {
    asked.length = 0;
    for (const answers of [['127.0.0.1'], ['93.184.216.34', '127.0.0.1'], ['::ffff:127.0.0.1']]) {
      const f = openFetcher({ ...here(), lookup: (_h, _o, done) => done(null, answers.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))) });
      await expect(f.get(`http://rebind.example:${port}/data`, { signal })).rejects.toMatchObject({ kind: 'invalid' });
      await f.close();
    }
    expect(asked).toEqual([]);
  });
  test('nobody there may be tried again', async () => {
    const f = openFetcher({ ...here(), ports: [1], allowedNetworks: ['127.0.0.0/8'] });
    await expect(f.get('http://127.0.0.1:1/', { signal })).rejects.toMatchObject({ kind: 'transient' });
    await f.close();
  });
});
