import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { connect, type Db } from '@cumulet/db';
import type { TestCloud } from '../harness/cloud.ts';
import { runner } from '../harness/processes.ts';
import { login } from './compute.ts';

/*
 * What the peer's script does not ask of images: how near an upload comes to the tools that do parts of its work (sha512sum, md5sum, cp) on the same file in the
 * same run, how much memory the API process takes for it, and a page of a list when there are many.
 */

const megabytes = Number(process.env['BENCH_IMAGE_MB'] ?? 1024);
const rounds = 3;
const many = 100_000;
const median = (all: readonly number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
/** Resident and highest resident memory of a process, MiB. */
const memory = (pid: number) => { const text = readFileSync(`/proc/${pid}/status`, 'utf8'); const of = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0) / 1024); return { now: of('VmRSS'), peak: of('VmHWM') }; };

export async function imageScale(cloud: TestCloud): Promise<string> {
  const lines: { readonly what: string; readonly figure: string }[] = [];
  const { databaseUrl } = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { databaseUrl: string };
  const db = connect({ url: databaseUrl, pool: 4, name: 'bench' });
  try {
    const api = await login(cloud);
    const call = (method: string, path: string, body?: object) => api(method, cloud.ports.image, `/v2${path}`, body);
    lines.push(...await data(cloud, call));
    lines.push(...await pages(db, call));
  } finally {
    await db.destroy();
  }
  const width = Math.max(...lines.map((l) => l.what.length));
  return lines.map((l) => `${l.what.padEnd(width)}  ${l.figure}`).join('\n');
}
type Call = (method: string, path: string, body?: object) => Promise<unknown>;

async function data(cloud: TestCloud, call: Call): Promise<{ what: string; figure: string }[]> {
  const folder = mkdtempSync(join(cloud.home, 'bench-'));
  const file = join(folder, 'image');
  const { admin } = JSON.parse(readFileSync(join(cloud.home, 'passwords.json'), 'utf8')) as { admin: string };
  const who = { name: 'admin', domain: { id: 'default' } };
  const signed = await fetch(`http://127.0.0.1:${cloud.ports.identity}/v3/auth/tokens`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ auth: { identity: { methods: ['password'], password: { user: { ...who, password: admin } } }, scope: { project: who } } }) });
  const token = signed.headers.get('x-subject-token') ?? '';
  try {
    const out = await open(file, 'w');
    const piece = crypto.getRandomValues(new Uint8Array(65_536));
    const block = Buffer.concat(Array.from({ length: 16 }, () => piece));
    for (let n = 0; n < megabytes; n += 1) { block.writeUInt32BE(n, 0); await out.write(block); }
    await out.sync();
    await out.close();
    const bytes = megabytes * 2 ** 20;
    const rate = async (work: () => Promise<unknown>) => { const began = performance.now(); await work(); return bytes / 1e6 / ((performance.now() - began) / 1000); };
    const run = (program: string, ...args: string[]) => rate(() => runner.run(program, args, { timeoutMs: 600_000 }));
    const rates = { sha512sum: [] as number[], md5sum: [] as number[], cp: [] as number[], upload: [] as number[], download: [] as number[] };
    const before = memory(cloud.pid('api'));
    let during = before;
    for (let n = 0; n < rounds; n += 1) {
      // Side by side in time, so that a noisy machine is noisy to all.
      rates.sha512sum.push(await run('sha512sum', file));
      rates.md5sum.push(await run('md5sum', file));
      rates.cp.push(await run('cp', '--reflink=never', file, join(folder, 'copy')));
      const { id } = await call('POST', '/images', { name: 'bench', disk_format: 'raw', container_format: 'bare' }) as { id: string };
      const url = `http://127.0.0.1:${cloud.ports.image}/v2/images/${id}/file`;
      rates.upload.push(await rate(() => send(url, token, file)));
      during = memory(cloud.pid('api'));
      rates.download.push(await rate(() => receive(url, token, bytes)));
      await call('DELETE', `/images/${id}`);
    }
    const best = Object.fromEntries(Object.entries(rates).map(([k, v]) => [k, Math.max(...v)])) as Record<keyof typeof rates, number>;
    const slower = Math.min(best.sha512sum, best.md5sum);
    return [
      ...Object.entries(rates).map(([what, all]) => ({ what: `${what} of ${megabytes} MiB`, figure: `${Math.max(...all).toFixed(0)} MB/s best, ${median(all).toFixed(0)} median of ${rounds}` })),
      { what: 'upload to the slower hash', figure: `${(best.upload / slower).toFixed(2)} (wanted: 0.9)` },
      { what: 'memory of the API process', figure: `${before.now} MiB before, ${during.now} after, ${memory(cloud.pid('api')).peak} at most` },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By an unmodified client that takes little of the processor itself. */
const curl = async (token: string, ...args: string[]): Promise<string> => (await runner.run('curl', ['--silent', '--show-error', '--fail', '--header', `X-Auth-Token: ${token}`, ...args], { timeoutMs: 600_000 })).stdout;
const send = (url: string, token: string, file: string) => curl(token, '--upload-file', file, '--header', 'Content-Type: application/octet-stream', url);
async function receive(url: string, token: string, bytes: number): Promise<void> {
  const got = await curl(token, '--output', '/dev/null', '--write-out', '%{size_download}', url);
  if (Number(got) !== bytes) throw new Error(`download: ${got} bytes`);
}

async function pages(db: Db, call: Call): Promise<{ what: string; figure: string }[]> {
  const figures = async () => {
    const times = { first: [] as number[], filtered: [] as number[], far: [] as number[] };
    const timed = async (list: number[], path: string) => { const began = performance.now(); await call('GET', path); list.push(performance.now() - began); };
    for (let n = 0; n < 25; n += 1) {
      await timed(times.first, '/images?limit=25');
      await timed(times.filtered, '/images?limit=25&visibility=public');
      await timed(times.far, '/images?limit=25&sort=created_at:asc');
    }
    return Object.fromEntries(Object.entries(times).map(([k, v]) => [k, median(v)])) as Record<keyof typeof times, number>;
  };
  const fill = (count: number) => db.raw(`insert into images (id, name, owner, visibility, status, size, disk_format, container_format, created_at, updated_at)
    select gen_random_uuid(), 'bench-' || n, (select owner from images limit 1), case when n % 4 = 0 then 'public' else 'private' end, 'active', 1, 'raw', 'bare', now() - n * interval '1 second', now() from generate_series(1, ?) n`, [count]);
  // Bulk loading counts by itself: the triggers are for one row at a time.
  await db.raw('alter table images disable trigger user');
  await fill(100);
  const small = await figures();
  for (let done = 100; done < many; done += 9_990) await fill(9_990);
  await db.raw('analyze images');
  const large = await figures();
  await db('images').whereLike('name', 'bench-%').delete();
  await db.raw('alter table images enable trigger user');
  return (['first', 'filtered', 'far'] as const).map((key) => {
    if (large[key] > small[key] * 3 + 50) throw new Error(`the cost of a page grows with the images: ${JSON.stringify({ small, large })}`);
    return { what: `page of 25, ${{ first: 'newest', filtered: 'public ones', far: 'from the other end' }[key]}: 100 images and ${many.toLocaleString('en')} (median)`, figure: `${small[key].toFixed(1)} ms, ${large[key].toFixed(1)} ms` };
  });
}
