import type { FastifyInstance } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Compute } from '../compute.ts';
import { digestOf, type ConsoleTarget } from './routes.ts';

/**
 * `GET /console/socket?token=…` as a WebSocket: bytes of the guest's screen or serial port. A key opens one connection and is gone; a browser must come
 * from this very host (CVE-2015-0259), whatever sends no Origin is no browser. Reaches consoles of this host.
 */
export function serveConsoles(app: FastifyInstance, c: Compute): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 20, perMessageDeflate: false, handleProtocols: offered => (offered.has('binary') ? 'binary' : false) });
  app.server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refuse = (line: string) => { socket.end(`HTTP/1.1 ${line}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`); };
    open(c, req).then(
      target => { if (typeof target === 'string') refuse(target); else sockets.handleUpgrade(req, socket, head, ws => { bridge(ws, target); }); },
      (error: unknown) => { c.rt.log.warn({ err: error }, 'a console could not be opened'); refuse('500 Internal Server Error'); },
    );
  });
  app.addHook('preClose', async () => { for (const ws of sockets.clients) ws.terminate(); sockets.close(); });
}

async function open(c: Compute, req: IncomingMessage): Promise<ConsoleTarget | string> {
  const url = new URL(req.url ?? '/', 'http://console');
  if (url.pathname !== '/console/socket') return '404 Not Found';
  const { origin } = req.headers;
  if (origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== req.headers.host)) return '403 Forbidden';
  const { db } = c.rt;
  const [row] = await db('console_tokens').where({ digest: digestOf(url.searchParams.get('token') ?? '') }).where('expires_at', '>', db.fn.now()).delete().returning(['target', 'host']) as { target: ConsoleTarget; host: string }[];
  if (!row) return '401 Unauthorized';
  return row.host === c.rt.settings.host ? row.target : '502 Bad Gateway';
}

function bridge(ws: WebSocket, target: ConsoleTarget): void {
  const guest: Socket = 'unixPath' in target ? connect({ path: target.unixPath }) : connect({ host: target.host, port: target.port });
  guest.on('data', data => {
    ws.send(data);
    // A reader that is slow holds the guest's side back, not our memory.
    if (ws.bufferedAmount > 1 << 20) { guest.pause(); const again = setInterval(() => { if (ws.bufferedAmount < 1 << 18 || ws.readyState !== ws.OPEN) { clearInterval(again); guest.resume(); } }, 20); }
  });
  ws.on('message', data => { guest.write(Array.isArray(data) ? Buffer.concat(data) : Buffer.isBuffer(data) ? data : Buffer.from(data)); });
  guest.on('close', () => ws.close());
  guest.on('error', () => ws.close(1011));
  ws.on('close', () => guest.destroy());
  ws.on('error', () => guest.destroy());
}
