import underPressure from '@fastify/under-pressure';
import { BadRequest, isUuid, Unauthorized } from '@cumulet/wire';
import Fastify, { LogController, type FastifyInstance } from 'fastify';
import { maxHeaderSize, type IncomingMessage } from 'node:http';
import { answerFault, type Answering } from './faults.ts';
import { serviceMetrics } from './metrics.ts';
import type { Operation } from './operation.ts';
import { documentRoutes } from './documents.ts';
import { mountOperations } from './mount.ts';
import { requestId } from './request.ts';
import { callerOf, type ServiceSpec } from './spec.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** What this service offers: tables and documents are computed from it. */
    readonly operations: readonly Operation[];
  }
}

/** A Fastify app of one OpenStack service: operations, faults in its dress, request ids, documents, metrics, health. */
export async function createService(spec: ServiceSpec): Promise<FastifyInstance> {
  const firsts = new Set(spec.operations.filter(op => !op.root).map(op => op.path.split('/')[1]));
  const literals = new Set(spec.operations.flatMap(op => op.path.split('/')).filter(part => part !== '' && !part.startsWith(':')));
  const answering: Answering = { dress: spec.dress, name: spec.name, identityUrl: spec.identityUrl, ...(spec.unavailable ? { unavailable: spec.unavailable } : {}) };
  const app = Fastify({
    loggerInstance: spec.log as never,
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: requestId,
    // The router stops at an escape in the path that is none before any handler is asked.
    frameworkErrors: (error, req, reply) => { answerFault(answering, error.code === 'FST_ERR_BAD_URL' ? new BadRequest('Malformed request url') : error, req, reply); },
    rewriteUrl: req => {
      const [given, rest] = cut(req.url ?? '/');
      const path = given.replaceAll(/\/{2,}/g, '/');   // as paste.urlmap, in front of every service of upstream's: fog joins addresses carelessly
      const plain = spec.formatInPath ? withoutFormat(path, literals) : path;
      return `${spec.projectInPath ? withoutProject(req, plain, spec.prefixes, firsts) : plain}${rest}`;
    },
    // As long as a request line may be: openstacksdk looks for what it is given by id first, whatever that is, and wants a 404.
    routerOptions: { ignoreTrailingSlash: !spec.slashCounts, maxParamLength: maxHeaderSize },
    forceCloseConnections: true,
    keepAliveTimeout: 75_000,
    requestTimeout: 0,           // uploads take as long as they take; JSON bodies have their own clock
    exposeHeadRoutes: true,
  }) as unknown as FastifyInstance;
  app.setErrorHandler((error, req, reply) => answerFault(answering, error, req, reply));
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_req, payload, done) => done(null, payload));
  await app.register(underPressure, {
    maxEventLoopDelay: spec.maxEventLoopDelayMs,
    sampleInterval: Math.max(1_000, spec.maxEventLoopDelayMs),   // a shorter sample may be empty after a short pause, and counts as endless then
    retryAfter: 1,
    pressureHandler: (req, reply) => { if (req.url !== '/healthz' && req.url !== '/metrics') answerFault(answering, Object.assign(new Error('The server is busy. Please try again.'), { statusCode: 503 }), req, reply); },
  });
  const metrics = serviceMetrics(spec.name);
  app.addHook('onResponse', async (req, reply) => {
    const op = req.operation ?? 'unrouted';
    metrics.observe(op, req.method, reply.statusCode, reply.elapsedTime);
    req.log.info({ op, method: req.method, path: req.originalUrl.split('?')[0], status: reply.statusCode, ms: Math.round(reply.elapsedTime * 10) / 10, project: req.caller?.projectId, user: req.caller?.userId }, 'request');
  });
  app.decorate('operations', spec.operations);
  mountOperations(app, spec);
  await documentRoutes(app, spec, metrics);
  app.setNotFoundHandler(async req => {
    if (spec.prefixes.some(p => p !== '' && req.url.startsWith(`${p}/`)) && !(await callerOf(spec.gate, req))) throw new Unauthorized();
    throw Object.assign(new Error(spec.dress.notRouted), { statusCode: 404, unrouted: true });
  });
  return app;
}

/** A URL's path, and what follows it. */
function cut(url: string): readonly [path: string, rest: string] {
  const end = url.search(/[?#]/);
  return end < 0 ? [url, ''] : [url.slice(0, end), url.slice(end)];
}

/** Takes the project out of `/v3/PROJECT/volumes` and keeps it on the request; routes are then the same with and without it (cinder 3.67). */
function withoutProject(req: IncomingMessage & { projectInPath?: string }, path: string, prefixes: readonly string[], firsts: ReadonlySet<string | undefined>): string {
  for (const prefix of prefixes) {
    if (!path.startsWith(`${prefix}/`)) continue;
    const [project, next, ...rest] = path.slice(prefix.length + 1).split('/');
    if (!project || next === undefined || firsts.has(project) || !firsts.has(next)) return path;
    req.projectInPath = safeDecode(project);
    return `${prefix}/${[next, ...rest].join('/')}`;
  }
  return path;
}

/** `/v2.0/networks.json` is `/v2.0/networks`; a tag or a key of metadata that ends like that is left as it is. */
function withoutFormat(path: string, literals: ReadonlySet<string>): string {
  const last = /\/([^/]+)\.json$/.exec(path)?.[1];
  return last !== undefined && (literals.has(last) || isUuid(last)) ? path.slice(0, -'.json'.length) : path;
}
function safeDecode(text: string): string { try { return decodeURIComponent(text); } catch { return text; } }
