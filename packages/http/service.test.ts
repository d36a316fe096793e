import type { Caller } from '@cumulet/auth';
import { NotFound, Versions, before, shape, without } from '@cumulet/wire';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { createService, novaDress, operation, type Gate } from './index.ts';

const demo = { userId: 'u', userDomainId: 'default', projectId: 'p'.repeat(32), roles: ['member'] } as unknown as Caller;
const gate: Gate = {
  authenticate: async token => (token === 'good' ? demo : undefined),
  allows: (rule, caller, target) => rule === 'ok' || (rule === 'own' && target['project_id'] === caller.projectId),
};
const Create = shape('ThingCreate', z.strictObject({ thing: z.strictObject({ name: z.string().max(5), tags: z.array(z.string()).optional() }) }));
const Thing = shape('Thing', z.any());
const Answer = shape('ThingReply', z.any(), { thing: Thing });
const versions = new Versions('2.1', '2.9', [
  { at: '2.5', shape: 'ThingCreate', why: 'tags', was: before(['thing'], 'tags') },
  { at: '2.5', shape: 'Thing', why: 'tags', down: without('tags') },
]);
const app = await createService({
  name: 'compute', title: 'Things', prefixes: ['/v2.1'], projectInPath: true, formatInPath: true, versions, legacyVersionHeader: 'X-OpenStack-Nova-API-Version', dress: novaDress, gate,
  log: pino({ level: 'silent' }), maxBodyBytes: 1000, requestTimeoutMs: 1000, maxEventLoopDelayMs: 10_000, identityUrl: 'http://127.0.0.1:5000', health: async () => ({ database: true }),
  operations: [
    operation({ id: 'things.create', summary: 'Create', method: 'POST', path: '/things', policy: 'ok', status: 202, body: Create, reply: Answer, handler: ctx => ({ thing: { name: ctx.body.thing.name, tags: ctx.body.thing.tags ?? [] } }) }),
    operation({ id: 'things.show', summary: 'Show', method: 'GET', path: '/things/:id', policy: 'own', permit: 'object', handler: ctx => { if (ctx.params['id'] === 'none') throw new NotFound('Thing none could not be found.'); if (ctx.params['id'] === 'bug') return {}; if (ctx.params['id'] === 'boom') throw new Error('secret'); ctx.permit({ project_id: 'x' }); return {}; } }),
    operation({ id: 'things.stop', summary: 'Stop', method: 'POST', path: '/things/:id/action', action: 'os-stop', policy: 'ok', status: 202, handler: () => undefined }),
    operation({ id: 'things.new', summary: 'New', method: 'POST', path: '/things/:id/action', action: 'os-new', since: '2.7', policy: 'ok', status: 202, handler: () => undefined }),
    operation({ id: 'things.refused', summary: 'Refused', method: 'GET', path: '/refused', policy: 'never', handler: () => ({}) }),
  ],
});
beforeAll(() => app.ready());
afterAll(() => app.close());
const call = async (method: string, url: string, body?: unknown, headers: Record<string, string> = {}) => {
  const r = await app.inject({ method: method as 'GET', url, headers: { 'x-auth-token': 'good', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }) });
  return { status: r.statusCode, headers: r.headers, body: r.body === '' ? undefined : JSON.parse(r.body) };
};

test('a body is read as its version has it and the reply is lowered', async () => {
  expect(await call('POST', '/v2.1/things', { thing: { name: 'a' } })).toMatchObject({ status: 202, body: { thing: { name: 'a' } }, headers: { 'openstack-api-version': 'compute 2.1', vary: 'X-OpenStack-Nova-API-Version' } });
  expect((await call('POST', '/v2.1/things', { thing: { name: 'a', tags: [] } })).body.badRequest.message).toContain("Additional properties are not allowed ('tags' was unexpected)");
  expect((await call('POST', '/v2.1/things', { thing: { name: 'a', tags: ['x'] } }, { 'openstack-api-version': 'volume 3.1, compute 2.5' })).body).toEqual({ thing: { name: 'a', tags: ['x'] } });
  expect((await call('POST', `/v2.1/${'p'.repeat(32)}/things`, { thing: { name: 'a' } })).status).toBe(202);
  expect(await call('POST', `/v2.1/${'q'.repeat(32)}/things`, { thing: { name: 'a' } })).toMatchObject({ status: 400, body: { badRequest: { message: 'Malformed request url' } } });
});
test('a path may name its format, a name may end like one', async () => {
  expect((await call('POST', '/v2.1/things.json?x=y.json', { thing: { name: 'a' } })).status).toBe(202);
  expect((await call('POST', `/v2.1/${'p'.repeat(32)}/things/01234567-89ab-cdef-0123-456789abcdef/action.json`, { 'os-stop': null })).status).toBe(202);
  expect((await call('GET', '/v2.1/things/none.json')).status).toBe(403);
});
test('slashes too many count as one', async () => {
  expect((await call('POST', `//v2.1//${'p'.repeat(32)}//things?x=//`, { thing: { name: 'a' } })).status).toBe(202);
});
test('errors have upstream\'s shape', async () => {
  expect(await call('GET', '/v2.1/things/none')).toMatchObject({ status: 404, body: { itemNotFound: { code: 404, message: 'Thing none could not be found.' } } });
  expect(await call('GET', '/v2.1/things/x')).toMatchObject({ status: 403, body: { forbidden: { code: 403, message: "Policy doesn't allow own to be performed." } } });
  expect(await call('GET', '/v2.1/refused')).toMatchObject({ status: 403 });
  expect(await call('GET', '/v2.1/nothing')).toMatchObject({ status: 404, body: { code: '404 Not Found' } });
  expect(await call('PUT', '/v2.1/things', {})).toMatchObject({ status: 405, body: { badMethod: { code: 405 } }, headers: { allow: 'POST, OPTIONS' } });
  expect(await call('POST', '/v2.1/things', '{x')).toMatchObject({ status: 400, body: { badRequest: { message: 'Malformed request body' } } });
  expect(await call('POST', '/v2.1/things', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' })).toMatchObject({ status: 415, body: { badMediaType: { message: 'Unsupported Content-Type' } } });
  expect(await call('POST', '/v2.1/things', { thing: { name: 'x'.repeat(2000) } })).toMatchObject({ status: 413 });
  expect(await call('POST', '/v2.1/things', { thing: { name: 'a\0' } })).toMatchObject({ status: 400 });
  expect(await call('POST', '/v2.1/things', '{"thing":{"name":"\\ud800"}}')).toMatchObject({ status: 400 });
  expect(await call('POST', '/v2.1/things', '['.repeat(400) + ']'.repeat(400))).toMatchObject({ status: 400 });
  expect(await call('GET', '/v2.1/things/none', undefined, { 'x-auth-token': 'bad' })).toMatchObject({ status: 401, body: { error: { code: 401 } }, headers: { 'www-authenticate': 'Keystone uri="http://127.0.0.1:5000"' } });
  expect(await call('GET', '/v2.1/things/none', undefined, { 'openstack-api-version': 'compute 2.999' })).toMatchObject({ status: 406, body: { computeFault: { code: 406, message: 'Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.9.' } }, headers: { 'openstack-api-version': 'compute 2.999' } });
  expect(await call('GET', '/v2.1/things/none', undefined, { 'x-openstack-nova-api-version': 'abc' })).toMatchObject({ status: 400 });
});
test('no inner detail of an unknown error goes out, and no policy is forgotten', async () => {
  const r = await call('GET', '/v2.1/things/boom');
  expect(r).toMatchObject({ status: 500, body: { computeFault: { code: 500 } } });
  expect(JSON.stringify(r.body)).not.toContain('secret');
  expect(await call('GET', '/v2.1/things/bug')).toMatchObject({ status: 500 });
});
test('actions', async () => {
  expect(await call('POST', '/v2.1/things/1/action', { 'os-stop': null })).toMatchObject({ status: 202, body: undefined });
  expect(await call('POST', '/v2.1/things/1/action', { zzz: {} })).toMatchObject({ status: 400, body: { badRequest: { message: 'There is no such action: zzz. Verify the request body and Content-Type header and try again.' } } });
  expect(await call('POST', '/v2.1/things/1/action', { 'os-new': {} })).toMatchObject({ status: 404 });
  expect(await call('POST', '/v2.1/things/1/action', { 'os-new': {} }, { 'openstack-api-version': 'compute latest' })).toMatchObject({ status: 202 });
});
test('documents, metrics and health need no token', async () => {
  const get = (url: string) => app.inject({ method: 'GET', url });
  expect((await get('/docs/json')).json()).toMatchObject({ openapi: '3.1.0', info: { version: '2.9' } });
  expect((await get('/docs/json')).json().paths['/v2.1/things/{id}/action'].post.requestBody).toBeUndefined();
  expect((await get('/metrics')).body).toMatch(/cumulet_http_request_seconds_count\{.*operation="things.stop"/);
  expect((await get('/healthz')).json()).toEqual({ status: 'ok', parts: { database: true } });
});
