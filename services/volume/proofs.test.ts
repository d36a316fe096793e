import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { hostPlans } from './host_plans.ts';
import { plans } from './work.ts';

const folder = fileURLToPath(new URL('.', import.meta.url));
const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(f => f.endsWith('.ts') && !f.includes('node_modules')).map(f => ({ f, text: readFileSync(`${folder}/${f}`, 'utf8') }));
/** `export const NAME = plan('KIND'`, whichever of the makers of plans it is. */
const names = new Map(sources.flatMap(s => [...s.text.matchAll(/export const (\w+)(?:: [^=]+)? = [\w<>, ]+\(\s*'([\w.]+)'/g)].map(m => [m[2] as string, m[1] as string] as const)));
const proven = new Set(sources.filter(s => s.f.endsWith('.test.ts')).flatMap(s => [...s.text.matchAll(/(?:proof\(|plan: )(\w+Plan)\b/g)].map(m => m[1] as string)));

test('every plan of this service is proven: each step fails, repeats, is killed, is cancelled', () => {
  const unproven = [...plans, ...hostPlans].map(p => p.kind).filter(kind => !proven.has(names.get(kind) ?? ''));
  expect(unproven).toEqual([]);
});
