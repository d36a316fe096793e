import type { FastifyInstance } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Compute } from '../compute.ts';
import { bridge, consoleSockets, dialGuest, dialRelay, refuse } from './bridge.ts';
import { peekToken, takeToken } from './tokens.ts';

/**
 * `GET /console/socket?token=…` as a WebSocket: bytes of the guest's screen or serial port. A key opens one connection and is gone. A browser must come from the very
 * page that the key was given out for, or one that the settings name (CVE-2015-0259, OSSN-0101): scheme, host and port are compared, and what the request says of its
 * own host counts for nothing. Whatever sends no Origin is no browser.
 */
export function serveConsoles(app: FastifyInstance, c: Compute): void {
  const sockets = consoleSockets();
  app.server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    open(c, req).then(
      guest => { if (typeof guest === 'string') refuse(socket, guest); else sockets.handleUpgrade(req, socket, head, ws => { bridge(ws, guest); }); },
      (error: unknown) => { c.rt.log.warn({ err: error }, 'a console could not be opened'); refuse(socket, '500 Internal Server Error'); },
    );
  });
  app.addHook('preClose', async () => { for (const ws of sockets.clients) ws.terminate(); sockets.close(); });
}

async function open(c: Compute, req: IncomingMessage): Promise<Duplex | string> {
  const url = URL.canParse(req.url ?? '/', 'http://console') ? new URL(req.url ?? '/', 'http://console') : undefined;
  if (url?.pathname !== '/console/socket') return '404 Not Found';
  const { db, settings, log } = c.rt;
  const token = url.searchParams.get('token') ?? '';
  const known = await peekToken(db, token);
  if (!known) return '401 Unauthorized';
  const { origin } = req.headers;
  if (origin !== undefined && origin !== known.origin && !settings.consoles.allowedOrigins.includes(origin)) return '403 Forbidden';
  if (known.host === settings.host) {
    const taken = await takeToken(db, token);
    return taken ? dialGuest(taken.target) : '401 Unauthorized';
  }
  const there = await db('compute_hosts').where({ host: known.host }).first('console_url') as { console_url: string | null } | undefined;
  if (!there?.console_url) return '502 Bad Gateway';
  return dialRelay(there.console_url, token).catch((error: unknown) => { log.warn({ err: error, host: known.host }, 'the console of another host could not be reached'); return '502 Bad Gateway'; });
}
