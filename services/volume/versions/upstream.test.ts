import { compare, type Micro } from '@cumulet/wire';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { operations } from '../app.ts';

let t: TestRuntime;
beforeAll(async () => { t = await testRuntime(); });
afterAll(() => t.close());

const table = readFileSync(new URL('upstream.txt', import.meta.url), 'utf8').split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => {
  const [method = '', path = '', ...rest] = line.split(' ');
  const since = rest.find(r => /^3\.\d+$/.test(r));
  return { line, method, path, action: rest.find(r => r !== since), since: since as Micro | undefined };
});

test('every operation that upstream routes is routed, at its versions', () => {
  const mine = operations(t.rt).map(op => ({ ...op, plain: op.path.replaceAll(/:\w+/g, ':x').replace(/\/$/, '') }));
  const wrong = table.flatMap(({ line, method, path, action, since }) => {
    const [one] = mine.filter(op => op.method === method && op.plain === path && (action === undefined || op.action === action || op.action === undefined && !path.endsWith('/action')));
    if (!one) return [`${line}: not routed`];
    if (since !== undefined && compare(one.since ?? '3.0', since) !== 0) return [`${line}: routed since ${one.since ?? '3.0'}`];
    return [];
  });
  expect(wrong).toEqual([]);
  expect(table.length).toBeGreaterThan(150);
});
