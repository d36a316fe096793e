import type { Sealer } from '@cumulet/auth';
import type { Db } from '@cumulet/db';
import { DriverError, need, plainCall, type Call } from '@cumulet/drivers';
import type { HypervisorDriver } from '@cumulet/drivers/hypervisor';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';

/** How a destination gets the disks of a server that is moved to it. */
export interface DiskTravel {
  /** The disks of a server that stands still on `host`, as its driver sends them. */
  fetch(call: Call, host: string, serverId: string, o: { flat: boolean }): Promise<Readable>;
}
type Seal = Pick<Sealer, 'seal' | 'open'>;
const path = /^\/servers\/([0-9a-f-]{36})\/disks(\?flat=1)?$/;
const header = 'x-cumulet-key';
const keyMs = 60_000;
const context = (host: string, serverId: string) => `disks of ${serverId} on ${host}`;

/** Asks the other host's worker. The key is what only workers of this cloud can make, and good for one server and one minute. */
export const diskTravel = (o: { db: Db; sealer: () => Seal; clock: () => number }): DiskTravel => ({
  async fetch(call, host, serverId, { flat }) {
    const row = await o.db('compute_hosts').where({ host }).first('facts') as { facts: { disksUrl?: string } } | undefined;
    if (row?.facts.disksUrl === undefined) throw new DriverError('unsupported', 'The host of the server does not send disks.', { detail: host });
    const key = o.sealer().seal(Buffer.from(String(o.clock() + keyMs)), context(host, serverId)).toString('base64url');
    const url = `${row.facts.disksUrl}/servers/${serverId}/disks${flat ? '?flat=1' : ''}`;
    const answer = await new Promise<IncomingMessage>((ready, failed) => {
      get(url, { headers: { [header]: key }, signal: call.signal }, ready).once('error', cause => failed(call.signal.aborted ? call.signal.reason as Error : new DriverError('transient', 'The host of the server does not answer.', { detail: url, cause })));
    });
    if (answer.statusCode === 200) return answer;
    answer.resume();
    throw new DriverError(answer.statusCode === 404 ? 'absent' : 'transient', 'The disks of the server could not be read on its host.', { detail: `${url}: ${answer.statusCode}` });
  },
});

/** The other end: sends disks to workers of this cloud. */
export async function serveDisks(o: { host: string; bind: string; publicHost: string; port: number; hypervisor: HypervisorDriver; sealer: () => Seal; clock: () => number; log: Logger }): Promise<{ url: string; close(): Promise<void> }> {
  const trusted = (req: IncomingMessage, serverId: string): boolean => {
    try { return Number(o.sealer().open(Buffer.from(String(req.headers[header] ?? ''), 'base64url'), context(o.host, serverId)).toString()) > o.clock(); } catch (error) {
      o.log.debug({ err: error }, 'a request for disks has no key of this cloud');
      return false;
    }
  };
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const [, serverId, flat] = path.exec(req.url ?? '') ?? [];
    if (req.method !== 'GET' || serverId === undefined) { res.writeHead(404).end(); return; }
    if (!trusted(req, serverId)) { res.writeHead(403).end(); return; }
    const gone = new AbortController();
    res.once('close', () => gone.abort(new Error('the other host went away')));
    const stream = await need(o.hypervisor, 'travel').send({ ...plainCall(`send-${serverId}`, gone.signal), log: o.log as never }, serverId, { flat: flat !== undefined });
    res.writeHead(200, { 'content-type': 'application/octet-stream' });
    await pipeline(stream, res);
  };
  const server = createServer((req, res) => {
    answer(req, res).catch((error: unknown) => {
      o.log.warn({ err: error, url: req.url }, 'disks could not be sent');
      if (!res.headersSent) res.writeHead(error instanceof DriverError && error.kind === 'absent' ? 404 : 500).end(); else res.destroy();
    });
  });
  await new Promise<void>((ready, failed) => { server.once('error', failed); server.listen(o.port, o.bind, ready); });
  return { url: `http://${o.publicHost}:${(server.address() as AddressInfo).port}`, close: () => new Promise(done => { server.close(() => done()); server.closeAllConnections(); }) };
}
