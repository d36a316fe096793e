import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Db } from '@cumulet/db';
import type { TestCloud } from '../harness/cloud.ts';
import { login } from './compute.ts';

/*
 * What the peer's script does not ask of volumes: a large cloud's rows, and pools that many want at once. The pools exist in the database only:
 * what is measured and checked there is the placing.
 */

const ms = (from: number) => performance.now() - from;
const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
const many = 100_000;
const pools = 4;
const poolGiB = 50;

export async function volumeScale(cloud: TestCloud): Promise<string> {
  const lines: { readonly what: string; readonly figure: string }[] = [];
  const { databaseUrl } = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { databaseUrl: string };
  const db = connect({ url: databaseUrl, pool: 4, name: 'bench' });
  try {
    const api = await login(cloud);
    const call = (method: string, path: string, body?: object) => api(method, cloud.ports.volume, `/v3${path}`, body);
    await db('quotas').insert(['volumes', 'gigabytes'].map((resource) => ({ service: 'volume', project_id: 'class:default', resource, hard_limit: -1 }))).onConflict().ignore();
    const create = async (name: string, more: object = {}) => (await call('POST', '/volumes', { volume: { name, size: 1, ...more } }) as { volume: { id: string } }).volume.id;
    const available = async (id: string) => {
      for (;;) {
        const row: { status: string } = await db('volumes').where({ id }).first('status') as never;
        if (row.status === 'available') return;
        if (row.status !== 'creating') throw new Error(`volume ${id} is ${row.status}`);
        await sleep(10);
      }
    };
    const figures = async () => {
      const times = { list: [] as number[], far: [] as number[], show: [] as number[], create: [] as number[], summary: [] as number[], pools: [] as number[] };
      const one = await create('one');
      await available(one);
      const timed = async (list: number[], work: () => Promise<unknown>) => { const began = performance.now(); await work(); list.push(ms(began)); };
      for (let i = 0; i < 15; i++) {
        await timed(times.list, () => call('GET', '/volumes/detail?limit=50'));
        await timed(times.far, () => call('GET', '/volumes/detail?all_tenants=1&limit=50&sort=created_at:asc'));
        await timed(times.show, () => call('GET', `/volumes/${one}`));
        await timed(times.summary, () => call('GET', '/volumes/summary'));
        await timed(times.pools, () => call('GET', '/scheduler-stats/get_pools?detail=true'));
        await timed(times.create, async () => available(await create(`flat-${i}`)));
      }
      return Object.fromEntries(Object.entries(times).map(([k, v]) => [k, median(v)])) as Record<keyof typeof times, number>;
    };
    const small = await figures();
    await manyRows(db);
    const large = await figures();
    for (const [what, key] of [['page of 50 in detail', 'list'], ['page of 50 of all projects, from the other end', 'far'], ['show', 'show'], ['create to available', 'create'], ['summary', 'summary'], ['pools', 'pools']] as const) {
      lines.push({ what: `${what}, few rows and ${many.toLocaleString('en')} (median)`, figure: `${small[key].toFixed(1)} ms, ${large[key].toFixed(1)} ms` });
      if (large[key] > small[key] * 3 + 50) throw new Error(`the cost of ${what} grows with the rows: ${JSON.stringify({ small, large })}`);
    }
    lines.push(await crowded(db, create));
  } finally {
    await db.destroy();
  }
  return ['| volumes at scale | |', '|---|---|', ...lines.map((l) => `| ${l.what} | ${l.figure} |`)].join('\n');
}

/** Volumes of other projects. */
async function manyRows(db: Db): Promise<void> {
  const { rows: [model] } = await db.raw(`select id from volumes where status = 'available' limit 1`) as { rows: { id: string }[] };
  // Bulk loading counts by itself: the triggers are for one row at a time.
  await db.raw('alter table volumes disable trigger user');
  await db.raw(`insert into volumes (id, project_id, user_id, name, size, status, host, availability_zone, type_id, metadata, created_at)
    select gen_random_uuid(), 'bench-' || (n % 500), user_id, 'many-' || n, 1, 'available', 'elsewhere@gone#gone', availability_zone, type_id, '{"k": "v"}', now() - make_interval(secs => n) from volumes, generate_series(1, ?::int) n where volumes.id = ?`, [many, model?.id ?? null]);
  await db.raw('alter table volumes enable trigger user');
  await db.raw('analyze volumes');
}

/** Pools with little room, two requests for every GiB: no pool is promised more than it has. */
async function crowded(db: Db, create: (name: string, more: object) => Promise<string>): Promise<{ what: string; figure: string }> {
  const { rows: [type] } = await db.raw(`insert into volume_types (id, name, extra_specs) values (gen_random_uuid(), 'paper', '{"volume_backend_name": "paper"}') returning id`) as { rows: { id: string }[] };
  for (let n = 1; n <= pools; n++) {
    await db('volume_services').insert({ binary_name: 'cinder-volume', host: `paper@p${n}`, availability_zone: 'nova', seen_at: db.raw(`now() + interval '1 hour'`) });
    await db('volume_pools').insert({ id: `paper@p${n}#p`, service_host: `paper@p${n}`, backend: `p${n}`, pool: 'p', total_gb: poolGiB, free_gb: poolGiB, provisioned_gb: 0, thin: false, reserved_percentage: 0, max_over_subscription_ratio: 1, capabilities: JSON.stringify({ volume_backend_name: 'paper' }) });
  }
  const began = performance.now();
  const wanted = 2 * pools * poolGiB;
  const ids = await Promise.all(Array.from({ length: wanted }, (_, i) => create(`paper-${i}`, { volume_type: type?.id })));
  const took = ms(began);
  const rows: { host: string | null; status: string; n: number }[] = await db('volumes').whereIn('id', ids).groupBy('host', 'status').select('host', 'status').count({ n: '*' }) as never;
  const placed = rows.filter((r) => r.host?.startsWith('paper@'));
  const over = placed.filter((r) => Number(r.n) > poolGiB);
  const all = placed.reduce((sum, r) => sum + Number(r.n), 0);
  if (over.length > 0 || all !== pools * poolGiB) throw new Error(`overbooked: ${JSON.stringify(rows)}`);
  return { what: `${wanted} creates at once over ${pools} pools with room for ${pools * poolGiB}`, figure: `${took.toFixed(0)} ms, ${all} placed, no pool overbooked, the rest told why` };
}
