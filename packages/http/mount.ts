import { BadRequest, compare, Fault, Forbidden, MethodNotAllowed, NotFound, Unauthorized, unversioned, UnsupportedMediaType, type Dialect, type Micro } from '@cumulet/wire';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { z } from 'zod';
import type { Logger } from 'pino';
import { isPlain, readJson } from './body.ts';
import { requestIdHeaders, versionHeaders } from './faults.ts';
import { Reply, type Context, type Operation, type Target } from './operation.ts';
import { baseUrl, projectInPath } from './request.ts';
import { sendData } from './data.ts';
import { callerOf, type ServiceSpec } from './spec.ts';

/** Puts every operation on its path. Operations that share a path are told apart by version and by the action that the body names. */
export function mountOperations(app: FastifyInstance, spec: ServiceSpec): void {
  for (const name of ['operation', 'caller', 'dialect', 'askedVersion'] as const) app.decorateRequest(name, undefined);
  refuseDoubles(spec.operations);
  const urls = new Map<string, Operation[]>();
  for (const op of spec.operations) for (const prefix of op.root ? [''] : spec.prefixes) {
    const url = `${prefix}${op.path}` || '/';
    urls.set(url, [...(urls.get(url) ?? []), op]);
  }
  for (const [url, ops] of urls) {
    const methods = Map.groupBy(ops, op => op.method);
    for (const [method, group] of methods) app.route({ method, url, exposeHeadRoute: method === 'GET' && !methods.has('HEAD'), handler: (req, reply) => answer(spec, group, req, reply) });
    const allow = [...methods.keys(), ...(methods.has('GET') && !methods.has('HEAD') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
    const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter(m => !methods.has(m as never));
    app.route({ method: 'OPTIONS', url, handler: (_req, reply) => reply.header('allow', allow).status(200).send() });
    if (others.length > 0) app.route({ method: others, url, exposeHeadRoute: false, handler: async req => { await enter(spec, req, true); throw spec.emptyIdIsUnknownPath && endsEmpty(req) ? unrouted(spec) : new MethodNotAllowed(undefined, { headers: { allow } }); } });
  }
}

function refuseDoubles(operations: readonly Operation[]): void {
  const ids = new Set<string>();
  for (const op of operations) {
    if (ids.has(op.id)) throw new Error(`two operations are called ${op.id}`);
    ids.add(op.id);
  }
}

/** Token first, then version: a stranger learns nothing of either. */
async function enter(spec: ServiceSpec, req: FastifyRequest, needsToken: boolean): Promise<Dialect> {
  req.caller = await callerOf(spec.gate, req);
  if (needsToken && !req.caller) throw new Unauthorized();
  if (!spec.versions) return unversioned;
  const asked = askedVersion(spec, req);
  try { req.dialect = spec.versions.pick(asked); } catch (error) {
    if (error instanceof Fault && error.status === 406) req.askedVersion = asked;
    throw error;
  }
  return req.dialect;
}

/** `OpenStack-API-Version` may list several services: `compute 2.60, volume 3.50`. */
function askedVersion(spec: ServiceSpec, req: FastifyRequest): string | undefined {
  const header = req.headers['openstack-api-version'];
  for (const part of typeof header === 'string' ? header.split(',') : []) {
    const [service, version] = part.trim().split(/\s+/);
    const name = service?.toLowerCase() ?? '';
    if ((name === spec.name || spec.alsoVersionedAs?.includes(name) === true) && version !== undefined) return version;
  }
  const legacy = spec.legacyVersionHeader === undefined ? undefined : req.headers[spec.legacyVersionHeader.toLowerCase()];
  return typeof legacy === 'string' ? legacy : undefined;
}

/** `/servers/`: where an id should be there is none. */
const endsEmpty = (req: FastifyRequest): boolean => /[^/]\/(\?|$)/.test(req.originalUrl);

async function answer(spec: ServiceSpec, group: readonly Operation[], req: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const open = group.every(op => typeof op.policy === 'object' && 'open' in op.policy);
  const dialect = await enter(spec, req, !open);
  for (const value of Object.values(req.params as object)) if (!isPlain(String(value))) throw new NotFound();
  const inPath = projectInPath(req);
  if (inPath !== undefined && req.caller && req.caller.projectId !== inPath && !req.caller.roles.includes('admin')) throw new BadRequest('Malformed request url');
  if (spec.emptyIdIsUnknownPath && endsEmpty(req) && !spec.prefixes.includes((req.originalUrl.split('?')[0] ?? '').replace(/\/$/, ''))) throw unrouted(spec);
  const living = group.filter(op => spoken(op, dialect.version));
  if (living.length === 0) throw new NotFound();
  const body = await readBody(spec, living, req);
  const op = pickAction(living, group, body);
  req.operation = op.id;
  const ctx = new RequestContext(spec, op, req, dialect);
  const query = plainQuery(req.query as Record<string, unknown>);
  if (op.query) ctx.query = check(spec, dialect.request(op.query), query, 'query', op.query.name);
  else if (spec.strictQueries !== undefined && dialect.has(spec.strictQueries)) check(spec, noQuery, query, 'query', 'Query');
  if (op.body) ctx.body = check(spec, dialect.request(op.body), body ?? {}, 'body', op.body.name);
  else if (!op.upload) ctx.body = body;
  if (op.permit !== 'object') ctx.permit();
  const result = await handle(op, ctx, req);
  if (op.permit === 'object' && typeof op.policy === 'string' && !ctx.asked) throw new Error(`operation ${op.id} did not ask its policy rule`);
  return send(spec, op, dialect, req, reply, result instanceof Reply ? result : new Reply(op.status ?? (result === undefined ? 204 : 200), result));
}
/** The rest of an upload that was refused is read and dropped: a client that sends everything before it listens would hear nothing else. */
async function handle(op: Operation, ctx: RequestContext, req: FastifyRequest): Promise<unknown> {
  try { return await op.handler(ctx as never); } catch (error) {
    if (op.upload && req.body instanceof Readable) req.body.resume();
    throw error;
  }
}
/** What a path that no operation has is answered with. */
const unrouted = (spec: ServiceSpec) => Object.assign(new Error(spec.dress.notRouted), { statusCode: 404, unrouted: true });
const spoken = (op: Operation, version: Micro) => (op.since === undefined || compare(version, op.since) >= 0) && (op.until === undefined || compare(version, op.until) <= 0);

async function readBody(spec: ServiceSpec, ops: readonly Operation[], req: FastifyRequest): Promise<unknown> {
  const [op] = ops as [Operation];
  const type = (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (op.upload) {
    if (!op.upload.includes(type)) throw new UnsupportedMediaType(`The request media type ${type || 'given'} is not supported by this server.`);
    return undefined;
  }
  if (!(req.body instanceof Readable)) return undefined;
  // Some clients (glanceclient) name a media type without sending anything.
  if (req.headers['transfer-encoding'] === undefined && Number(req.headers['content-length'] ?? 0) === 0) return undefined;
  if (req.method === 'GET' || req.method === 'HEAD' || req.method === 'DELETE') {
    // A body here means nothing to most operations and is not read; one that has a shape for it reads it.
    if (!op.body) { req.body.resume(); return undefined; }
  }
  if (type !== 'application/json' && !ops.some(o => o.accepts?.includes(type))) throw new UnsupportedMediaType('Unsupported Content-Type');
  return readJson(req.body, spec.maxBodyBytes, spec.requestTimeoutMs, spec.dress.malformedJson);
}

/** `{"os-extend": {…}}`: the only member names the action, as upstream reads it. */
function pickAction(living: readonly Operation[], group: readonly Operation[], body: unknown): Operation {
  const plain = living.find(op => op.action === undefined);
  if (plain) return plain;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new BadRequest('Malformed request body');
  const names = Object.keys(body);
  if (names.length > 1) throw new BadRequest('Malformed request body');
  const op = living.find(o => names.includes(o.action as string));
  if (op) return op;
  if (group.some(o => names.includes(o.action as string))) throw new NotFound();      // known, but not in this version
  throw new BadRequest(`There is no such action: ${names[0] ?? ''}. Verify the request body and Content-Type header and try again.`);
}

const noQuery = z.strictObject({});
function plainQuery(query: Record<string, unknown>): Record<string, unknown> {
  for (const [key, value] of Object.entries(query)) for (const text of [key, value].flat()) if (!isPlain(String(text))) throw new BadRequest('Query parameters must be valid Unicode without NUL characters.');
  return { ...query };
}

function check(spec: ServiceSpec, schema: import('zod').ZodType, input: unknown, where: 'body' | 'query', shape: string): unknown {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new BadRequest(spec.dress.invalid(parsed.error, input, where, shape));
}

class RequestContext implements Context {
  readonly #spec: ServiceSpec;
  readonly #op: Operation;
  readonly request: FastifyRequest;
  readonly dialect: Dialect;
  readonly params: Record<string, string>;
  readonly baseUrl: string;
  readonly path: string;
  readonly search: string;
  query: unknown = {};
  body: unknown;
  asked = false;
  #gone: AbortController | undefined;
  constructor(spec: ServiceSpec, op: Operation, req: FastifyRequest, dialect: Dialect) {
    this.#spec = spec;
    this.#op = op;
    this.request = req;
    this.dialect = dialect;
    this.params = req.params as Record<string, string>;
    this.baseUrl = baseUrl(req);
    const [path, ...search] = req.originalUrl.split('?');
    this.path = path ?? '/';
    this.search = search.join('?');
  }
  get caller() { if (!this.request.caller) throw new Unauthorized(); return this.request.caller; }
  get requestId() { return this.request.id; }
  get log() { return this.request.log as unknown as Logger; }
  get signal(): AbortSignal {
    if (!this.#gone) {
      const gone = this.#gone = new AbortController();
      this.request.raw.once('close', () => { if (!this.request.raw.readableEnded && !this.request.raw.complete) gone.abort(new Error('the client went away')); });
    }
    return this.#gone.signal;
  }
  stream(): Readable { return this.request.body instanceof Readable ? this.request.body : Readable.from([]); }
  allows(rule: string, target: Target = ownTarget(this.caller)): boolean { return this.#spec.gate.allows(rule, this.caller, target); }
  require(rule: string, target?: Target): void { if (!this.allows(rule, target)) throw new Forbidden(this.#spec.dress.forbidden(rule)); }
  permit(target?: Target, instead?: string): void {
    this.asked = true;
    if (instead !== undefined && !this.#op.otherPolicies?.includes(instead)) throw new Error(`operation ${this.#op.id} does not name ${instead} among its policies`);
    const rule = instead ?? this.#op.policy;
    if (typeof rule === 'string') this.require(rule, target);
  }
}
const ownTarget = (caller: Context['caller']): Target => ({ project_id: caller.projectId, user_id: caller.userId, domain_id: caller.domainId });

function send(spec: ServiceSpec, op: Operation, dialect: Dialect, req: FastifyRequest, reply: FastifyReply, made: Reply): FastifyReply | Promise<FastifyReply> {
  reply.status(made.status).headers({ ...versionHeaders(spec.name, req), ...requestIdHeaders(spec.name, req) }).headers(made.headers);
  if (made.body === undefined || made.body === null) return reply.send();
  if (made.body instanceof Readable && made.sent) return sendData(reply, made.body, made.sent);
  if (made.body instanceof Readable || Buffer.isBuffer(made.body) || typeof made.body === 'string') return reply.send(made.body);
  const lowered = op.reply ? dialect.reply(op.reply, made.body) : made.body;
  if (!reply.hasHeader('content-type')) reply.header('content-type', 'application/json');
  return reply.send(JSON.stringify(lowered));
}
