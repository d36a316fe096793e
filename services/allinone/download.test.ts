import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { download } from './download.ts';

const cache = mkdtempSync('/tmp/cumulet-download-');
let asked = 0;
const server = createServer((request, response) => {
  asked++;
  if (request.url === '/missing') return void response.writeHead(404).end();
  if (request.url === '/broken') {
    response.writeHead(200, { 'content-length': 10 });
    return void response.write('half', () => response.destroy());
  }
  response.end('the image');
});
await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const url = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
const fetched = (path: string) => download(url(path), cache, new AbortController().signal, () => undefined);
afterAll(() => {
  server.close();
  rmSync(cache, { recursive: true });
});

test('a file is fetched once', async () => {
  const file = await fetched('/image');
  expect(readFileSync(file, 'utf8')).toBe('the image');
  expect(await fetched('/image')).toBe(file);
  expect(asked).toBe(1);
});

test('what fails leaves nothing', async () => {
  const before = readdirSync(cache).length;
  await expect(fetched('/missing')).rejects.toThrow('answered 404');
  await expect(fetched('/broken')).rejects.toThrow();
  expect(readdirSync(cache).length).toBe(before);
});
