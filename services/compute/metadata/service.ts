import type { Logger } from 'pino';
import type { Db } from '@cumulet/db';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Neighbours } from '../neighbours.ts';
import type { ServerRow } from '../servers/row.ts';
import { documentOf } from './document.ts';
import { ec2Tree, ec2Versions, openstackTree, openstackVersions, type Node } from './tree.ts';

const maxPassword = 4 * 255;

/**
 * The metadata service behind the network driver's proxy: it says which network and address a guest asks from (`X-Neutron-Network-ID`,
 * `X-Forwarded-For`), headers that a guest cannot set. Listens on a unix socket that only processes of this host reach.
 */
export async function serveMetadata(o: { db: Db; neighbours: Pick<Neighbours, 'networks'>; log: Logger; socketPath: string }): Promise<{ close(): Promise<void> }> {
  await mkdir(dirname(o.socketPath), { recursive: true });
  await rm(o.socketPath, { force: true });
  const server: Server = createServer((req, res) => {
    answer(o, req, res).catch((error: unknown) => {
      o.log.error({ err: error }, 'metadata failed');
      if (!res.headersSent) res.writeHead(500, { 'content-type': 'text/plain' });
      res.end('An unknown error has occurred. Please try your request again.');
    });
  });
  server.requestTimeout = 30_000;
  await new Promise<void>((ready, failed) => { server.once('error', failed); server.listen(o.socketPath, ready); });
  await chmod(o.socketPath, 0o666);
  return { close: () => new Promise<void>(done => { server.close(() => done()); server.closeAllConnections(); }).then(() => rm(o.socketPath, { force: true })) };
}

async function answer(o: { db: Db; neighbours: Pick<Neighbours, 'networks'> }, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const say = (status: number, body: string | Buffer, type = 'text/plain; charset=UTF-8') => { res.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }); res.end(body); };
  const network = req.headers['x-neutron-network-id'];
  const address = String(req.headers['x-forwarded-for'] ?? '').split(',')[0]?.trim() ?? '';
  if (typeof network !== 'string' || address === '') return say(400, 'The request does not say where it comes from.');
  const serverId = await o.neighbours.networks.serverAt(o.db, network, address);
  const row: ServerRow | undefined = serverId === undefined ? undefined : await o.db('servers').where({ id: serverId, deleted: false }).first();
  if (!row) return say(404, 'No server has this address.');
  const parts = (req.url ?? '/').split('?')[0]?.split('/').filter(p => p !== '').map(decode) ?? [];
  if (req.method === 'POST' && parts[0] === 'openstack' && parts[2] === 'password' && parts.length === 3) return password(o.db, row, req, say);
  if (req.method !== 'GET' && req.method !== 'HEAD') return say(405, 'The method is not allowed.');
  const found = await walk(o, row, parts);
  if (found === undefined) return say(404, 'Not Found');
  if (typeof found === 'string' || Buffer.isBuffer(found)) return say(200, found, parts.at(-1)?.endsWith('.json') ? 'application/json' : Buffer.isBuffer(found) ? 'application/octet-stream' : undefined);
  return say(200, Object.entries(found).map(([name, node]) => (parts.at(-1) === 'public-keys' && typeof node === 'object' && '_name' in node ? String(node['_name']) : typeof node === 'object' && !Buffer.isBuffer(node) ? `${name}/` : name)).join('\n'));
}
const decode = (text: string) => { try { return decodeURIComponent(text); } catch { return text; } };

async function walk(o: { db: Db; neighbours: Pick<Neighbours, 'networks'> }, row: ServerRow, parts: readonly string[]): Promise<Node | undefined> {
  const [first, ...rest] = parts;
  if (first === undefined) return [...ec2Versions, 'latest'].join('\n');
  if (first === 'openstack') {
    const [version, ...below] = rest;
    if (version === undefined) return [...openstackVersions, 'latest'].join('\n');
    const known = version === 'latest' ? version : openstackVersions.find(v => v === version);
    return known === undefined ? undefined : below.length === 0 ? Object.keys(openstackTree(await documentOf(o.neighbours, o.db, row), known)).filter(k => k !== 'content').join('\n') : down(openstackTree(await documentOf(o.neighbours, o.db, row), known), below);
  }
  if (first !== 'latest' && !ec2Versions.some(v => v === first)) return undefined;
  const tree = ec2Tree(await documentOf(o.neighbours, o.db, row));
  return rest.length === 0 ? Object.keys(tree).map(k => (k === 'meta-data' ? 'meta-data/' : k)).join('\n') : down(tree, rest);
}
function down(tree: Node, path: readonly string[]): Node | undefined {
  let at: Node | undefined = tree;
  for (const name of path) {
    if (at === undefined || typeof at === 'string' || Buffer.isBuffer(at) || name.startsWith('_')) return undefined;
    at = Object.hasOwn(at, name) ? (at as Record<string, Node>)[name] : undefined;
  }
  if (at !== undefined && typeof at === 'object' && !Buffer.isBuffer(at) && '_name' in at) { const { _name, ...rest } = at as Record<string, Node>; return rest; }
  return at;
}

/** A guest may say its password once, encrypted for its user; only the user clears it (os-server-password). */
async function password(db: Db, row: ServerRow, req: IncomingMessage, say: (status: number, body: string) => void): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxPassword) return say(400, 'The password is too long.');
    chunks.push(chunk);
  }
  if (row.password !== null && row.password !== '') return say(409, 'The password is set already.');
  await db('servers').where({ id: row.id }).where(q => q.whereNull('password').orWhere('password', '')).update({ password: Buffer.concat(chunks).toString('utf8').replaceAll('\0', '') });
  say(200, '');
}
