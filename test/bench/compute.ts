import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Db } from '@cumulet/db';
import type { TestCloud } from '../harness/cloud.ts';

/*
 * What the peer's script does not ask: many boots at once, long lists, a large cloud's rows, and hosts by the thousand, which exist in the database only:
 * what is measured and checked there is the placing of servers.
 */

interface Line { readonly what: string; readonly figure: string }
const ms = (from: number) => performance.now() - from;
const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
const hosts = 1_000;

export async function computeScale(cloud: TestCloud): Promise<string> {
  const lines: Line[] = [];
  const { databaseUrl } = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { databaseUrl: string };
  const db = connect({ url: databaseUrl, pool: 4, name: 'bench' });
  try {
    const api = await login(cloud);
    await db('quotas').insert(['instances', 'cores', 'ram'].map((resource) => ({ service: 'compute', project_id: 'class:default', resource, hard_limit: -1 }))).onConflict().ignore();
    const { images: [image] } = await api('GET', cloud.ports.image, '/v2/images?limit=1') as { images: { id: string }[] };
    const boot = async (name: string, more: object = {}) => (await api('POST', cloud.ports.compute, '/v2.1/servers', { server: { name, flavorRef: 'nano', imageRef: image?.id, networks: 'none', ...more } }) as { server: { id: string } }).server.id;
    const active = async (ids: readonly string[]) => {
      for (;;) {
        const rows: { vm_state: string }[] = await db('servers').whereIn('id', [...ids]).whereNot({ vm_state: 'building' }).select('vm_state');
        if (rows.some((r) => r.vm_state === 'error')) throw new Error('a server could not be built');
        if (rows.length === ids.length) return;
        await sleep(20);
      }
    };
    const figures = async () => {
      const list: number[] = [];
      const show: number[] = [];
      const create: number[] = [];
      const one = await boot('one');
      await active([one]);
      for (let i = 0; i < 15; i++) {
        let began = performance.now();
        await api('GET', cloud.ports.compute, '/v2.1/servers/detail?limit=20');
        list.push(ms(began));
        began = performance.now();
        await api('GET', cloud.ports.compute, `/v2.1/servers/${one}`);
        show.push(ms(began));
        began = performance.now();
        await active([await boot(`flat-${i}`)]);
        create.push(ms(began));
      }
      return { list: median(list), show: median(show), create: median(create) };
    };

    let began = performance.now();
    const fifty = await Promise.all(Array.from({ length: 50 }, (_, i) => boot(`fifty-${i}`)));
    const answered = ms(began);
    await active(fifty);
    lines.push({ what: '50 boots at once: all answered, all ACTIVE', figure: `${answered.toFixed(0)} ms, ${ms(began).toFixed(0)} ms` });

    const small = await figures();
    await manyRows(db);
    const large = await figures();
    for (const [what, a, b] of [['list of 20 in detail', small.list, large.list], ['show', small.show, large.show], ['create to ACTIVE', small.create, large.create]] as const) lines.push({ what: `${what}, few rows and 100,000 (median)`, figure: `${a.toFixed(1)} ms, ${b.toFixed(1)} ms` });
    if (large.list > small.list * 3 + 20 || large.create > small.create * 3 + 50) throw new Error(`the cost grows with the rows: ${JSON.stringify({ small, large })}`);

    const thousand: number[] = [];
    for (let i = 0; i < 5; i++) {
      began = performance.now();
      const { servers } = await api('GET', cloud.ports.compute, '/v2.1/servers/detail?all_tenants=1&limit=1000') as { servers: unknown[] };
      if (servers.length !== 1_000) throw new Error(`${servers.length} servers instead of 1,000`);
      thousand.push(ms(began));
    }
    lines.push({ what: '1,000 servers listed in detail (median)', figure: `${median(thousand).toFixed(0)} ms` });
    lines.push(await thousandHosts(db, boot));
  } finally {
    await db.destroy();
  }
  return ['| compute at scale | |', '|---|---|', ...lines.map((l) => `| ${l.what} | ${l.figure} |`)].join('\n');
}

/** 100,000 servers of other projects, as rows of theirs are. */
async function manyRows(db: Db): Promise<void> {
  const { rows: [model] } = await db.raw(`select id from servers where not deleted limit 1`) as { rows: { id: string }[] };
  const { rows: columns } = await db.raw(`select column_name as name from information_schema.columns where table_name = 'servers' and is_generated = 'NEVER' and identity_generation is null and column_name not in ('id', 'project_id', 'name', 'task_id', 'task_state', 'host')`) as { rows: { name: string }[] };
  const names = columns.map((c) => `"${c.name}"`).join(', ');
  for (let i = 0; i < 10; i++) await db.raw(`insert into servers (id, project_id, name, host, ${names}) select gen_random_uuid(), 'bench-' || (n % 500), 'many-' || n, null, ${names} from servers, generate_series(1, 10000) n where servers.id = ?`, [model?.id ?? null]);
  await db.raw('analyze servers');
}

/** Hosts with room for one server each, two requests for every place: nobody may be promised what another has. */
async function thousandHosts(db: Db, boot: (name: string, more?: object) => Promise<string>): Promise<Line> {
  await db('compute_hosts').update({ disabled: true });
  await db.raw(`insert into compute_hosts (host, node, vcpus, memory_mb, disk_gb, cpu_ratio, ram_ratio, disk_ratio, facts, seen_at) select 'paper-' || n, 'paper-' || n, 4, 192, 100, 1, 1, 1, '{"type": "fake"}', now() + interval '1 hour' from generate_series(1, ?) n`, [hosts]);
  const began = performance.now();
  const ids = await Promise.all(Array.from({ length: hosts }, (_, i) => boot(`paper-${i}`)));
  const took = ms(began);
  const extra = await Promise.all(Array.from({ length: 20 }, (_, i) => boot(`too-many-${i}`)));
  const { rows: [over] } = await db.raw(`select count(*)::int as n from compute_hosts h where h.host like 'paper-%' and (select coalesce(sum(memory_mb), 0) from allocations a where a.host = h.host) > h.memory_mb`) as { rows: { n: number }[] };
  const placed: { n: number } = await db('servers').whereIn('id', ids).whereLike('host', 'paper-%').count({ n: '*' }).first() as never;
  const refused: { n: number } = await db('servers').whereIn('id', extra).where({ vm_state: 'error' }).count({ n: '*' }).first() as never;
  if (over?.n !== 0 || Number(placed.n) !== hosts || Number(refused.n) !== extra.length) throw new Error(`overbooked ${over?.n}, placed ${placed.n} of ${hosts}, refused ${refused.n} of ${extra.length}`);
  return { what: '1,000 boots at once over 1,000 hosts with one place each', figure: `${took.toFixed(0)} ms, each host once, none overbooked; 20 more: no valid host` };
}

/** Calls as the admin, retried where the cloud asks for patience. */
export async function login(cloud: TestCloud): Promise<(method: string, port: number, path: string, body?: object) => Promise<unknown>> {
  const { admin } = JSON.parse(readFileSync(join(cloud.home, 'passwords.json'), 'utf8')) as { admin: string };
  const answer = await fetch(`http://127.0.0.1:${cloud.ports.identity}/v3/auth/tokens`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ auth: { identity: { methods: ['password'], password: { user: { name: 'admin', domain: { id: 'default' }, password: admin } } }, scope: { project: { name: 'admin', domain: { id: 'default' } } } } }),
  });
  const token = answer.headers.get('x-subject-token') ?? '';
  return async (method, port, path, body) => {
    for (let tries = 1; ; tries++) {
      const r = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { 'x-auth-token': token, 'content-type': 'application/json', 'openstack-api-version': 'compute 2.37, volume 3.70' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      if (r.ok) return r.status === 204 ? undefined : await r.json();
      if (r.status !== 503 || tries > 100) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`);
      await sleep(100 + Math.random() * 200);
    }
  };
}
