import { afterAll, beforeAll, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';
import { listImages } from './list.ts';

let t: TestImages;
const many = 10_000;
const batch = 1_000;
beforeAll(async () => {
  t = await openTestImages();
  // Other projects' images, private and shared with nobody, beside a few of one's own and some that are public.
  for (let from = 1; from < many; from += batch) await t.rt.db.raw(`insert into images (id, name, visibility, owner, created_at, properties) select gen_random_uuid(), 'n' || i, case when i % 1000 = 0 then 'public' else 'private' end, case when i % 400 = 0 then ? else 'p' || (i % 50) end, now() - make_interval(secs => i), '{}' from generate_series(?::int, ?::int) i`, [callers.demo.projectId as string, from, from + batch - 1]);
  await t.rt.db.raw('analyze images');
}, 120_000);
afterAll(() => t.end());

/** Rows that Postgres reads for one page, from its own plan. */
async function read(query: Record<string, string>, isAdmin = false): Promise<number> {
  const asked: { sql: string; bindings: readonly unknown[] }[] = [];
  const hear = (q: { sql: string; bindings: readonly unknown[] }) => { if (q.sql.includes('order by')) asked.push(q); };
  t.rt.db.on('query', hear);
  await listImages(t.rt.db, { projectId: callers.demo.projectId, isAdmin }, query, { limit: 20 });
  t.rt.db.removeListener('query', hear);
  const { sql, bindings } = asked[0] as (typeof asked)[number];
  const { client } = t.rt.db;
  const connection = await client.acquireConnection();
  try {
    const { rows } = await connection.query(`explain (analyze, format json) ${sql}`, bindings) as { rows: { 'QUERY PLAN': [{ Plan: Plan }] }[] };
    return total((rows[0] as (typeof rows)[number])['QUERY PLAN'][0].Plan);
  } finally { await client.releaseConnection(connection); }
}
interface Plan { readonly 'Node Type': string; readonly 'Actual Rows': number; readonly 'Actual Loops': number; readonly 'Rows Removed by Filter'?: number; readonly Plans?: readonly Plan[] }
const total = (p: Plan): number => (p['Node Type'].includes('Scan') ? (p['Actual Rows'] + (p['Rows Removed by Filter'] ?? 0)) * p['Actual Loops'] : 0) + (p.Plans ?? []).reduce((n, q) => n + total(q), 0);

test.each([
  [{}], [{ sort_key: 'name', sort_dir: 'asc' }], [{ sort: 'name:desc' }], [{ visibility: 'public' }],
] as [Record<string, string>][])('a page of a project reads a few pages of rows, whatever others own: %j', async query => { expect(await read(query)).toBeLessThan(200); });
test.each([[{}], [{ sort_key: 'name', sort_dir: 'asc' }]] as [Record<string, string>][])('a page of an admin: %j', async query => { expect(await read(query, true)).toBeLessThan(200); });
test('a later page costs what the first one does', async () => {
  const first = await listImages(t.rt.db, { projectId: callers.demo.projectId, isAdmin: true }, {}, { limit: 1000 });
  expect(await read({ marker: first.next as string }, true)).toBeLessThan(200);
});
