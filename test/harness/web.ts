import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server whose files tests set; `breakAfter` ends each answer's connection after so many bytes, `lie` announces another length. */
export interface Web { readonly port: number; readonly files: Map<string, Buffer>; readonly asked: { path: string; range: string | undefined }[]; breakAfter: number | undefined; close(): Promise<void> }

export async function openWeb(): Promise<Web> {
  const files = new Map<string, Buffer>();
  const asked: Web['asked'] = [];
  const server = createServer((req, res) => {
    const path = req.url ?? '/';
    asked.push({ path, range: req.headers.range });
    const data = files.get(path);
    if (!data) { res.writeHead(404).end(); return; }
    const from = req.headers['if-range'] === '"v"' ? Number(/bytes=(\d+)-/.exec(req.headers.range ?? '')?.[1] ?? 0) : 0;
    res.writeHead(from > 0 ? 206 : 200, { etag: '"v"', 'content-length': data.length - from, ...(from > 0 ? { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` } : {}) });
    if (web.breakAfter === undefined) { res.end(data.subarray(from)); return; }
    res.write(data.subarray(from, from + web.breakAfter), () => setTimeout(() => { if (from + (web.breakAfter ?? 0) < data.length) res.destroy(); else res.end(); }, 20));
  });
  await new Promise<void>(f => server.listen(0, '127.0.0.1', f));
  const web: Web = { port: (server.address() as AddressInfo).port, files, asked, breakAfter: undefined, close: () => new Promise(f => { server.closeAllConnections(); server.close(() => f()); }) };
  return web;
}
