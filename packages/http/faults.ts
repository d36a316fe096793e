import { Fault } from '@cumulet/wire';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Dress } from './dress.ts';

export interface Answering { readonly dress: Dress; readonly name: string; readonly identityUrl: string; readonly unavailable?: (error: unknown) => boolean }

const sentences: Record<number, string> = { 404: 'The resource could not be found.', 413: 'Request is too large.', 414: 'The request URI is too long.', 415: 'Unsupported Content-Type', 431: 'The request headers are too large.' };

/** The one place where an error becomes a reply. What nobody threw on purpose is a 500 without inner detail, logged as the bug that it is. */
export function answerFault(as: Answering, error: unknown, req: FastifyRequest, reply: FastifyReply): FastifyReply {
  const fault = toFault(as, error, req);
  reply.headers({ ...versionHeaders(as.name, req), ...requestIdHeaders(as.name, req) });
  if (fault.status === 401) reply.header('www-authenticate', `Keystone uri="${as.identityUrl}"`);
  reply.headers(fault.headers).status(fault.status);
  const page = as.dress.page?.(fault, req.headers.accept ?? '');
  if (page) return reply.header('content-type', page.type).send(page.text);
  reply.header('content-type', 'application/json');
  const unrouted = typeof error === 'object' && error !== null && 'unrouted' in error;
  // A path that no service knows is answered by the router in front of it, in webob's words, whatever the service.
  const body = unrouted && !as.dress.unroutedAsOthers ? { message: `${fault.message}<br /><br />\n\n\n`, code: '404 Not Found', title: 'Not Found' } : as.dress.body(fault, req.id, req.dialect?.version);
  return reply.send(JSON.stringify(body));
}

function toFault(as: Answering, error: unknown, req: FastifyRequest): Fault {
  if (error instanceof Fault) return error;
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  if (status === 503) return new Fault(503, (error as Error).message, { headers: { 'retry-after': '1' } });
  if (typeof status === 'number' && status >= 400 && status < 500) return new Fault(status, sentences[status] ?? (error as Error).message);
  if (as.unavailable?.(error)) {
    req.log.warn({ err: error, op: req.operation }, 'what the request needs is away');
    return new Fault(503, 'The service is temporarily unavailable. Please try again.', { headers: { 'retry-after': '1' } });
  }
  req.log.error({ err: error, op: req.operation }, 'unexpected error');
  return new Fault(500, `An unexpected error prevented the server from fulfilling your request. Please quote ${req.id}.`);
}

export function requestIdHeaders(service: string, req: FastifyRequest): Record<string, string> {
  // nova and cinder still print the older header too.
  return { 'x-openstack-request-id': req.id, ...(service === 'compute' || service === 'volume' ? { 'x-compute-request-id': req.id } : {}) };
}

export function versionHeaders(service: string, req: FastifyRequest): Record<string, string> {
  const version = req.dialect?.version ?? req.askedVersion;
  if (version === undefined || service === 'image' || service === 'identity' || service === 'network' || service === 'operations' || service === 'backupcatalogue') return {};
  const vary = service === 'compute' ? 'X-OpenStack-Nova-API-Version' : 'OpenStack-API-Version';
  return { 'openstack-api-version': `${service} ${version}`, ...(service === 'compute' ? { 'x-openstack-nova-api-version': version } : {}), vary };
}
