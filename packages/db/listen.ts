import pg from 'pg';
import type { Logger } from 'pino';

export interface Listener {
  /** Hears `NOTIFY channel`. `onReconnect` runs after each new connection, since notices in between were missed; also once at the first. */
  listen(channel: string, heard: (payload: string) => void, onReconnect?: () => void): Promise<void>;
  /** False while notices may be missed: then ask the database. */
  readonly connected: boolean;
  close(): Promise<void>;
}

/** One connection of its own that hears notices and comes back by itself. */
export function createListener(url: string, log: Logger, name: string): Listener {
  const channels = new Map<string, { heard: (payload: string) => void; onReconnect?: (() => void) | undefined }[]>();
  let client: pg.Client | undefined;
  let connected = false;
  let closed = false;
  let connecting: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const open = async () => {
    const next = new pg.Client({ connectionString: url, application_name: `${name} listener`, keepAlive: true });
    next.on('notification', n => { for (const c of channels.get(n.channel) ?? []) c.heard(n.payload ?? ''); });
    const lost = () => {
      if (client !== next) return;
      client = undefined;
      connected = false;
      if (closed) return;
      log.warn('lost the connection that hears notices; connecting again');
      retry();
    };
    next.on('error', lost);
    next.on('end', lost);
    await next.connect();
    for (const channel of channels.keys()) await next.query(`listen ${next.escapeIdentifier(channel)}`);
    if (closed) { await next.end(); return; }
    client = next;
    connected = true;
    for (const list of channels.values()) for (const c of list) c.onReconnect?.();
  };
  const retry = (wait = 200): void => {
    if (closed) return;
    timer = setTimeout(() => { connecting = open().catch(() => retry(Math.min(wait * 2, 5_000))); }, wait);
  };
  return {
    async listen(channel, heard, onReconnect) {
      const first = !channels.has(channel);
      channels.set(channel, [...(channels.get(channel) ?? []), { heard, onReconnect }]);
      if (!client && !connecting) { connecting = open().catch(error => { log.warn({ err: error }, 'cannot hear notices yet'); retry(); }); await connecting; return; }
      await connecting;
      if (client && first) await client.query(`listen ${client.escapeIdentifier(channel)}`);
      if (client) onReconnect?.();
    },
    get connected() { return connected; },
    async close() {
      closed = true;
      clearTimeout(timer);
      connected = false;
      await client?.end();
    },
  };
}

/** Sends a notice with the caller's transaction: heard only once that commits. Payloads are at most 8,000 bytes. */
export const notify = (trx: { raw(sql: string, bindings: readonly string[]): PromiseLike<unknown> }, channel: string, payload: string): PromiseLike<unknown> => trx.raw('select pg_notify(?, ?)', [channel, payload]);
