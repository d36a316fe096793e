import { transaction } from '@cumulet/db';
import { planFor, plans } from '@cumulet/tasks';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { as, callers, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { makeApp } from '../index.ts';

const nap = planFor<Record<string, never>>()('test.nap', z.object({})).step('sleep', async t => { t.progress(5, 10); throw Object.assign(new Error('woken'), { kind: 'broken' }); }).resumes(async () => undefined);
const firm = planFor<Record<string, never>>()('test.firm', z.object({})).uncancellable().step('stand', async () => undefined);
let t: TestRuntime;
let app: FastifyInstance;
beforeAll(async () => {
  t = await testRuntime();
  t.serve({ plans: plans(nap, firm), deps: {} });
  app = await makeApp(t.rt);
  await app.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(async () => { await app.close(); await t.close(); });
const start = (who: 'demo' | 'other', plan: typeof nap | typeof firm = nap) => transaction(t.rt.db, trx => t.rt.tasks.enqueue(trx, plan, {}, { resource: { type: 'bed', id: 'b1' }, by: { projectId: callers[who].projectId, userId: callers[who].userId, requestId: 'req-1' } }));

test('a project sees, cancels and resumes its own operations only', async () => {
  const [mine, theirs, stands] = [await start('demo'), await start('other'), await start('demo', firm)];
  const demo = as(app, 'demo');
  expect((await demo('GET', '/v1/operations')).body.operations.map((o: { id: string }) => o.id).toSorted()).toEqual([mine, stands].toSorted());
  expect((await as(app, 'admin')('GET', '/v1/operations?all_projects=1')).body.operations).toHaveLength(3);
  expect((await demo('GET', '/v1/operations?all_projects=1')).status).toBe(403);
  expect((await demo('GET', `/v1/operations/${theirs}`)).status).toBe(404);
  expect((await demo('GET', '/v1/operations/none')).status).toBe(404);
  expect((await as(app, 'reader')('POST', `/v1/operations/${mine}/cancel`)).status).toBe(403);
  expect(await demo('POST', `/v1/operations/${stands}/cancel`)).toMatchObject({ status: 409 });
  expect(await demo('GET', `/v1/operations/${mine}`)).toMatchObject({ status: 200, body: { operation: { state: 'queued', cancellable: true, resumable: false, resource: { type: 'bed', id: 'b1' }, request_id: 'req-1' } } });
  await t.drain();
  expect(await demo('GET', `/v1/operations/${mine}`)).toMatchObject({ body: { operation: { state: 'failed', resumable: true, phase: 'sleep', progress: { done: 5, total: 10 }, error: { message: 'woken' } } } });
  expect(await demo('POST', `/v1/operations/${mine}/cancel`)).toMatchObject({ status: 409 });
  expect(await demo('POST', `/v1/operations/${mine}/resume`)).toMatchObject({ status: 202, body: { operation: { state: 'queued' } } });
  expect(await demo('POST', `/v1/operations/${mine}/cancel`)).toMatchObject({ status: 202, body: { operation: { cancel_requested: true } } });
  await t.drain();
  expect(await demo('GET', `/v1/operations/${mine}`)).toMatchObject({ body: { operation: { state: 'cancelled' } } });
});
test('pages and filters', async () => {
  const demo = as(app, 'demo');
  const first = await demo('GET', '/v1/operations?limit=1');
  expect(first.body.operations).toHaveLength(1);
  const next = new URL(first.body.operations_links[0].href);
  const second = await demo('GET', next.pathname + next.search);
  expect(second.body.operations).toHaveLength(1);
  expect(second.body.operations[0].id).not.toBe(first.body.operations[0].id);
  expect((await demo('GET', '/v1/operations?state=done')).body.operations).toHaveLength(1);
  expect((await demo('GET', '/v1/operations?state=nonsense')).status).toBe(400);
  expect((await demo('GET', '/v1/operations?marker=x')).status).toBe(400);
});
test('changes are streamed', async () => {
  const { port } = app.server.address() as { port: number };
  const abort = new AbortController();
  const response = await fetch(`http://127.0.0.1:${port}/v1/operations/events`, { headers: { 'x-auth-token': 'demo' }, signal: abort.signal });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const id = await start('demo', firm);
  await start('other', firm);
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk);
    if (text.includes('"state":"queued"')) break;
  }
  abort.abort();
  expect(text).toContain(id);
  expect(text).not.toContain(callers.other.projectId);
});
