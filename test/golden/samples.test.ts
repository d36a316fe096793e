import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCloud, type TestCloud } from '../../services/compute/testing/cloud.ts';
import { sampleRequests, type Ask } from './samples.ts';
import { sampleReasons } from './sample_reasons.ts';

/**
 * Members of compute's replies at every microversion, as upstream documents them (nova's doc/api_samples, from which this list was derived: paths and types, no texts).
 * `at` says which paths a sample has at its first microversion, and what later ones add and take away.
 */
interface Sample { readonly types: Readonly<Record<string, string>>; readonly at: Readonly<Record<string, 'all' | readonly string[]>> }
const samples = JSON.parse(readFileSync(new URL('./compute-samples.json', import.meta.url), 'utf8')) as Record<string, Sample>;

function pathsBy(sample: Sample): [version: string, paths: ReadonlySet<string>][] {
  let now = new Set<string>();
  return Object.entries(sample.at).map(([version, change], i) => {
    if (i === 0) now = new Set(change === 'all' ? Object.keys(sample.types) : change);
    else { now = new Set(now); for (const one of change) { if (one.startsWith('+')) now.add(one.slice(1)); else now.delete(one.slice(1)); } }
    return [version, now];
  });
}
const kind = (v: unknown) => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v);
/** Maps whose keys are data. */
const opaque = new Set(['log', 'metadata', 'extra_specs', 'addresses', 'properties', 'cpu_info', 'hosts', 'scheduler_hints', 'rules', 'image_metadata']);
function pathsOf(value: unknown, path: string, into: Map<string, Set<string>>): Map<string, Set<string>> {
  if (path !== '') into.set(path, (into.get(path) ?? new Set()).add(kind(value)));
  if (Array.isArray(value)) for (const one of value) pathsOf(one, `${path}[]`, into);
  else if (typeof value === 'object' && value !== null && !opaque.has((path.split('.').at(-1) ?? '').replace('[]', ''))) for (const [k, v] of Object.entries(value)) pathsOf(v, path === '' ? k : `${path}.${k}`, into);
  return into;
}
/** Below a list that is empty on one side, or a member that is null, there is nothing to compare. */
const hidden = (path: string, there: ReadonlySet<string>) => path.endsWith('[]') || [...path.matchAll(/\[\]|\./g)].some(m => { const parent = path.slice(0, (m.index ?? 0) + (m[0] === '[]' ? 2 : 0)); return parent !== path && !there.has(parent); });

let c: TestCloud;
let requests: Record<string, Ask>;
beforeAll(async () => { c = await testCloud(); requests = await sampleRequests(c); });
afterAll(() => c?.close());

test('every sample is asked for, or says why not', () => {
  expect(Object.keys(samples).filter(name => requests[name] === undefined && sampleReasons.skipped[name] === undefined)).toEqual([]);
});
test('replies have the members and types that upstream documents, at every microversion', async () => {
  const wrong = new Map<string, string[]>();
  let compared = 0;
  for (const [name, sample] of Object.entries(samples)) {
    const ask = requests[name];
    if (!ask) continue;
    for (const [version, theirs] of pathsBy(sample)) {
      const answer = await ask(version);
      const note = (what: string) => { if (!sampleReasons.differences.some(([pattern]) => pattern.test(`${name} ${what}`))) wrong.set(`${name} ${what}`, [...wrong.get(`${name} ${what}`) ?? [], version]); };
      if (answer.status >= 400) { note(`is ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`); continue; }
      compared++;
      const mine = pathsOf(answer.body, '', new Map());
      const ours = new Set(mine.keys());
      for (const path of theirs) if (!ours.has(path) && !hidden(path, ours)) note(`lacks ${path}`);
      for (const path of ours) {
        if (!theirs.has(path)) { if (!hidden(path, theirs)) note(`has ${path}, which is not upstream's`); continue; }
        const types = [...mine.get(path) ?? []].filter(t => !sample.types[path]?.split('|').includes(t));
        if (types.length > 0) note(`has ${path} as ${types.join()} instead of ${sample.types[path]}`);
      }
    }
  }
  expect([...wrong].map(([what, versions]) => `${what} (${versions.join(' ')})`)).toEqual([]);
  expect(compared).toBeGreaterThan(280);
});
