import { afterAll, beforeAll, expect, test } from 'vitest';
import { callers } from '../../test/harness/service.ts';
import { testCloud, type TestCloud } from './testing.ts';

const many = 20_000;
let c: TestCloud;
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'one', totalGiB: 10_000_000 }] });
  const { db } = c.t.rt;
  await db('quotas').insert(['volumes', 'gigabytes'].map(resource => ({ service: 'volume', project_id: callers.demo.projectId, resource, hard_limit: -1 })));
  const type = await db('volume_types').first('id') as { id: string };
  // Bulk loading counts by itself: the triggers are for one row at a time.
  await db.raw('alter table volumes disable trigger user');
  await db.raw(`insert into volumes (id, project_id, user_id, name, size, status, host, availability_zone, type_id, created_at)
    select gen_random_uuid(), ?, 'u', 'v' || n, 1, 'available', 'testhost@one#one', 'nova', ?, now() - make_interval(secs => n) from generate_series(1, ?::int) n`, [callers.demo.projectId as string, type.id, many]);
  await db.raw('alter table volumes enable trigger user');
  await db.raw('analyze volumes');
  await c.report();
}, 120_000);
afterAll(() => c.close());

/** What the plan of a query touches, so that a busy machine does not decide. */
const rowsRead = async (sql: string, bindings: readonly unknown[]) => {
  const { rows } = await c.t.rt.db.raw(`explain (analyze, format json, timing off, summary off) ${sql}`, bindings as never) as { rows: { 'QUERY PLAN': unknown }[] };
  const plan = JSON.stringify(rows[0]?.['QUERY PLAN']);
  return [...plan.matchAll(/"(?:Actual Rows|Rows Removed by Filter)":\s*([\d.]+)/g)].reduce((sum, m) => sum + Number(m[1]), 0);
};
test('a page, also one far down, costs as much as it shows', async () => {
  const page = await c.demo('GET', '/v3/volumes/detail?limit=50');
  expect(page.body.volumes).toHaveLength(50);
  const far = await c.t.rt.db('volumes').orderBy('created_at').offset(100).first('id') as { id: string };
  expect((await c.demo('GET', `/v3/volumes/detail?limit=50&marker=${far.id}`)).body.volumes).toHaveLength(50);
  const seen: { sql: string; bindings: readonly unknown[] }[] = [];
  const note = (q: { sql: string; bindings: readonly unknown[] }) => { if (q.sql.includes('volume_attachments a')) seen.push(q); };
  c.t.rt.db.on('query', note);
  await c.demo('GET', '/v3/volumes/detail?limit=50');
  await c.demo('GET', `/v3/volumes/detail?limit=50&marker=${far.id}`);
  c.t.rt.db.removeListener('query', note);
  expect(seen).toHaveLength(2);
  for (const q of seen) expect(await rowsRead(q.sql.replaceAll(/\$\d+/g, '?'), q.bindings)).toBeLessThan(2_000);
});
test('a volume is made as ever, and the scheduler looks at pools, not at volumes', async () => {
  const id = await c.volume();
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  expect((await c.demo('GET', '/v3/volumes/summary', undefined, '3.36')).body['volume-summary']).toMatchObject({ total_count: many + 1, total_size: many + 1 });
});
