import type { Db } from '@cumulet/db';
import type { Settings } from '@cumulet/config';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { bridge, consoleSockets, dialGuest, refuse } from './bridge.ts';
import { takeToken } from './tokens.ts';

/**
 * Consoles of this host's guests for the API of other hosts: the screens themselves listen on this host alone. Takes the key of a console and nothing else;
 * browsers come through the API, which knows their pages. Says in the row of this host where it is.
 */
export async function serveRelay(o: { readonly db: Db; readonly settings: Settings; readonly log: Pick<Logger, 'warn'> }): Promise<{ close(): Promise<void> }> {
  const { db, settings } = o;
  const sockets = consoleSockets();
  const server = createServer((_req, res) => { res.writeHead(404).end(); });
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    admit(req).then(
      guest => { if (typeof guest === 'string') refuse(socket, guest); else sockets.handleUpgrade(req, socket, head, ws => { bridge(ws, guest); }); },
      (error: unknown) => { o.log.warn({ err: error }, 'a console could not be relayed'); refuse(socket, '500 Internal Server Error'); },
    );
  });
  async function admit(req: IncomingMessage): Promise<Duplex | string> {
    if (req.headers.origin !== undefined) return '403 Forbidden';
    const url = URL.canParse(req.url ?? '/', 'http://console') ? new URL(req.url ?? '/', 'http://console') : undefined;
    if (url?.pathname !== '/console/socket') return '404 Not Found';
    const taken = await takeToken(db, url.searchParams.get('token') ?? '');
    return taken?.host === settings.host ? dialGuest(taken.target) : '401 Unauthorized';
  }
  await new Promise<void>((done, failed) => { server.once('error', failed); server.listen(settings.consoles.port, settings.bind, done); });
  const address = settings.consoles.address ?? settings.publicHost ?? settings.bind;
  await db('compute_hosts').where({ host: settings.host }).update({ console_url: `ws://${address.includes(':') ? `[${address}]` : address}:${(server.address() as AddressInfo).port}` });
  return {
    async close() {
      for (const ws of sockets.clients) ws.terminate();
      sockets.close();
      await new Promise<void>(done => { server.close(() => done()); server.closeAllConnections(); });
    },
  };
}
