import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import type { ConsoleTarget } from './tokens.ts';

/** Bytes, not text; frames of at most a MiB; no compression, whose memory a stranger could make us spend. */
export const consoleSockets = (): WebSocketServer => new WebSocketServer({ noServer: true, maxPayload: 1 << 20, perMessageDeflate: false, handleProtocols: offered => (offered.has('binary') ? 'binary' : false) });

/** A guest's screen or serial port on this host. */
export const dialGuest = (target: ConsoleTarget): Duplex => ('unixPath' in target ? connect({ path: target.unixPath }) : connect({ host: target.host, port: target.port }));

/** The relay of another host; it takes the key. Rejects when it does not let us in. */
export function dialRelay(url: string, token: string): Promise<Duplex> {
  return new Promise((done, failed) => {
    const ws = new WebSocket(`${url}/console/socket?token=${encodeURIComponent(token)}`, ['binary'], { perMessageDeflate: false, maxPayload: 1 << 20, handshakeTimeout: 5_000 });
    ws.once('open', () => { ws.off('error', failed); done(createWebSocketStream(ws)); });
    ws.once('error', failed);
  });
}

/** Both ways, until either side ends. A reader that is slow holds the other side back, not our memory. */
export function bridge(ws: WebSocket, guest: Duplex): void {
  const viewer = createWebSocketStream(ws);
  const end = () => { viewer.destroy(); guest.destroy(); };
  for (const side of [viewer, guest]) { side.on('error', end); side.on('close', end); }
  viewer.pipe(guest).pipe(viewer);
}

/** Answers an upgrade that is not let in. */
export const refuse = (socket: Duplex, line: string): void => { socket.end(`HTTP/1.1 ${line}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`); };
