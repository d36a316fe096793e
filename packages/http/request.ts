import type { Caller } from '@cumulet/auth';
import { newRequestId, type Dialect } from '@cumulet/wire';
import type { FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    /** The id of the operation that answers, once it is known. */
    operation: string | undefined;
    caller: Caller | undefined;
    dialect: Dialect | undefined;
    /** Set when a version was asked for that is out of range: echoed all the same. */
    askedVersion: string | undefined;
  }
}

/** Each service gives each request an id of its own, as upstream does; a caller's id is only a correlation and is logged. */
export const requestId = (): string => newRequestId();

/** `http://host:port` as the caller wrote it, or as we listen. A strange Host header is not repeated. */
export function baseUrl(req: FastifyRequest): string {
  const host = req.headers['x-forwarded-host'] ?? req.headers.host;
  const proto = req.headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  if (typeof host === 'string' && /^[a-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-f:.]+\](:\d{1,5})?$/i.test(host)) return `${proto}://${host}`;
  const at = req.socket.address();
  return 'port' in at ? `${proto}://127.0.0.1:${at.port}` : `${proto}://localhost`;
}

/** The project that the path names, when it names one. */
export const projectInPath = (req: FastifyRequest): string | undefined => (req.raw as { projectInPath?: string }).projectInPath;
