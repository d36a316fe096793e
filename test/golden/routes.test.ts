import type { FastifyInstance } from 'fastify';
import { compare, type Micro } from '@cumulet/wire';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeApp, versions } from '../../services/compute/index.ts';
import { testRuntime, type TestRuntime } from '../harness/service.ts';

/** Methods and paths of nova at 2.93 (`PATH#ACTION` where the body names an action), each with the microversions that have it; none named: all of them. */
const routes = JSON.parse(readFileSync(new URL('./compute-routes.json', import.meta.url), 'utf8')) as [method: string, path: string, ranges: [Micro, Micro | null][]][];
/** Routes that nova has and this cloud has not, or has at other versions. */
const different: readonly (readonly [RegExp, string])[] = [
  [/ \/os-volumes_boot($|\/)/, 'an alias of /servers that nobody documented and 2.103 removed: servers are made by it, and the rest is under /servers'],
  [/^PUT \/flavors\/\{id\}$/, 'known to nova\'s router from the start, spoken since 2.55'],
  [/^PUT \/os-services\/\{id\}$/, 'before 2.53 the last part is enable, disable, disable-log-reason or force-down, which are paths of their own here'],
  [/^POST \S+\/action$/, 'which actions there are the rows with their names say'],
  [/^GET \/os-hypervisors\/(statistics|detail)$/, 'later the last part is read as an id, here as there'],
  [/^POST \/flavors\/\{id\}\/action#(create|delete|update)$/, 'names of methods in the peer\'s table, not of actions'],
];
/** Names of parameters differ; places do not. */
const plain = (path: string) => path.replaceAll(/\{[^}]+\}|:[a-z_]+/g, '*').replace(/\/$/, '') || '/';

let t: TestRuntime;
let app: FastifyInstance;
beforeAll(async () => { t = await testRuntime(); app = await makeApp(t.rt); });
afterAll(async () => { await app.close(); await t.close(); });

test('every method and path of nova is here, at its microversions and no others', () => {
  const mine = app.operations.map(op => ({ op, pattern: new RegExp(`^${op.method} ${plain(op.root ? op.path.replace(/^\/v2\.1/, '') : op.path).replaceAll('.', '\\.').replaceAll('*', '[^/]+')}$`) }));
  const wrong: string[] = [];
  for (const [method, path, ranges] of routes) {
    const name = `${method} ${path}`;
    if (different.some(([pattern]) => pattern.test(name))) continue;
    const [bare = '', action] = path.split('#');
    const ops = mine.filter(({ op, pattern }) => pattern.test(`${method} ${plain(bare)}`) && (op.action === undefined || action === undefined || op.action === action)).map(({ op }) => op);
    if (ops.length === 0) { wrong.push(`${name} is missing`); continue; }
    for (let minor = 1; minor <= 93; minor++) {
      const at: Micro = `2.${minor}`;
      const theirs = ranges.length === 0 || ranges.some(([min, max]) => compare(at, min) >= 0 && (max === null || compare(at, max) <= 0));
      const ours = ops.some(op => (op.since === undefined || compare(at, op.since) >= 0) && (op.until === undefined || compare(at, op.until) <= 0));
      if (theirs !== ours) { wrong.push(`${name} at ${at} is ${ours ? 'here' : 'not here'}`); break; }
    }
  }
  expect(wrong).toEqual([]);
});
test('the versions document says what is served', async () => {
  const { version } = (await app.inject({ method: 'GET', url: '/v2.1' })).json<{ version: { version: string; min_version: string } }>();
  expect([version.min_version, version.version]).toEqual([versions.min, versions.max]);
  expect(versions.max).toBe('2.104');
});
