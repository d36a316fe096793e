import { readdirSync, readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import { bootstrap, makeApp } from './index.ts';

const folder = new URL('../../../shared/peer/golden/network/', import.meta.url);
interface Exchange { readonly service: string; readonly request: { readonly method: string; readonly path: string; readonly headers: Record<string, string>; readonly body: unknown }; readonly response: { readonly status: number; readonly headers: Record<string, string>; readonly body: unknown } }

let t: TestRuntime;
let app: FastifyInstance;
beforeAll(async () => {
  t = await testRuntime();
  await bootstrap(t.rt, { projects: { admin: callers.admin.projectId as string, demo: callers.demo.projectId as string } });
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });

/** Members that only one of the two has (`list[]` is its first member), and answers that differ, each with its reason. */
const differs: readonly (readonly [RegExp, string])[] = [
  [/\.dns_(domain|name|assignment(\[\])?)$/, 'dns-integration is on here and was not at the peer'],
  [/^floatingips?(\[\])?\.port_forwardings/, 'port forwarding is on here and was not at the peer'],
  [/\.qos_(network_)?policy_id$/, 'QoS is on here and was not at the peer'],
  [/\.l2_adjacency$/, 'shown by newer releases'],
  [/\.resource_request$/, 'shown by newer releases to administrators'],
  [/^network\.is_default$/, 'the peer shows it of a network just made, and else of external networks only'],
  [/\.standard_attr_id$/, "a number of the peer's own tables"],
  [/\.subnets\.\d$/, 'the recorded subnet was made outside the recording'],
  [/\.availability_zones\.\d$/, 'the peer had no agents, so no zones'],
  [/^header content-length$/, 'a 204 has no body whose length could be told (RFC 9110)'],
];

const files = readdirSync(folder).filter(f => f.endsWith('.json') && !f.startsWith('placement'));
test('every recorded exchange has its like here: status, keys, types, headers', async () => {
  const wrong: string[] = [];
  const note = (where: string, what: string) => { if (!differs.some(([pattern]) => pattern.test(what))) wrong.push(`${where}: ${what}`); };
  const renamed = new Map<string, string>();
  // In the order in which they were recorded: what one makes the next one looks for.
  const order = ['versions_root', 'err_401', 'network_create', 'port_create', 'port_list', 'port_show', 'sg_create', 'sg_rule_create', 'sg_show', 'sg_list', 'sg_delete', 'fip_create', 'agents', 'quota'];
  for (const file of files.toSorted((a, b) => order.indexOf(a.slice(0, -5)) - order.indexOf(b.slice(0, -5)))) {
    const golden = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { user: string | null; exchanges: Exchange[] };
    for (const e of golden.exchanges.filter(x => x.service === 'network')) {
      if (e.request.path === '/v2.0/ports' && e.request.method === 'POST') await subnetFor(renamed, e.request.body as { port: { network_id: string } });
      const path = rename(e.request.path, renamed);
      const body = e.request.body === null ? undefined : JSON.parse(rename(JSON.stringify(e.request.body), renamed)) as unknown;
      const mine = await as(app, golden.user === null ? 'nobody' as never : 'admin')(e.request.method, path, body);
      const where = `${file}: ${e.request.method} ${e.request.path}`;
      // Peers lack some of the extensions that are here.
      const more = e.request.path.startsWith('/v2.0/extensions/') && e.response.status === 404 && mine.status === 200;
      if (mine.status !== e.response.status && !more) wrong.push(`${where}: ${mine.status} ${JSON.stringify(mine.body)} instead of ${e.response.status}`);
      learn(e.response.body, mine.body, renamed);
      // The extension's 404 is an HTML page upstream; its list is as long as what is there.
      if (e.request.path.startsWith('/v2.0/extensions')) continue;
      compare(first(e.response.body), first(mine.body), '', path => note(where, path));
      for (const header of Object.keys(e.response.headers).map(h => h.toLowerCase())) if (!(header in mine.headers)) note(where, `header ${header}`);
    }
  }
  expect(wrong).toEqual([]);
});

/** Ids of the recording and what they are called here. */
function learn(theirs: unknown, mine: unknown, into: Map<string, string>): void {
  if (typeof theirs === 'string' && typeof mine === 'string') { if (/^[0-9a-f-]{36}$/.test(theirs)) into.set(theirs, mine); return; }
  if (typeof theirs !== 'object' || typeof mine !== 'object' || theirs === null || mine === null) return;
  for (const [key, value] of Object.entries(theirs)) learn(value, (mine as Record<string, unknown>)[key], into);
}
function rename(text: string, names: ReadonlyMap<string, string>): string {
  return text.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, id => names.get(id) ?? id);
}
/** The recording has a subnet that is not part of it. */
async function subnetFor(names: ReadonlyMap<string, string>, body: { port: { network_id: string } }): Promise<void> {
  const subnet = { network_id: names.get(body.port.network_id), ip_version: 4, cidr: '10.9.0.0/24' };
  expect((await as(app, 'admin')('POST', '/v2.0/subnets', { subnet })).status).toBe(201);
}
/** Lists of one kind are compared by their first member. */
function first(body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body;
  return Object.fromEntries(Object.entries(body).map(([key, value]) => (Array.isArray(value) ? [`${key}[]`, value[0]] : [key, first(value)])));
}
function compare(theirs: unknown, mine: unknown, path: string, report: (path: string) => void): void {
  if (typeof theirs !== 'object' || theirs === null) {
    if (theirs !== null && mine !== null && typeof theirs !== typeof mine) report(`${path} is ${typeof mine} instead of ${typeof theirs}`);
    return;
  }
  if (typeof mine !== 'object' || mine === null) { if (mine !== null) report(`${path} is no object`); return; }
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const here = path === '' ? key : `${path}.${key}`;
    if (!(key in theirs) || !(key in mine)) report(here);
    else compare((theirs as Record<string, unknown>)[key], (mine as Record<string, unknown>)[key], here, report);
  }
}
