import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ratio, table } from './table.ts';

const readme = new URL('../../../shared/peer/README.md', import.meta.url);

test('the figures of the peer are all found in its table', () => {
  expect(existsSync(readme), `${readme.pathname} is not there`).toBe(true);
  const rows = ratio({ 'token issue c=1': { p50_ms: 109 }, 'image upload 1 GiB (chunked)': { median_MBps: 476 }, 'server create->ACTIVE, 20 parallel': { p50_ms: 14.487, servers_per_s: 12 } }, readFileSync(readme, 'utf8'));
  expect(rows.every((row) => row.peer > 0)).toBe(true);
  const by = (what: string) => rows.find((row) => row.what === what);
  expect(by('token issue c=1')).toMatchObject({ peer: 218, here: 109, times: 2 });
  expect(by('image download 1 GiB')).toMatchObject({ peer: 1720, here: undefined, times: undefined });
  expect(by('image upload 1 GiB')).toMatchObject({ peer: 238, times: 2 });
  expect(by('server create->ACTIVE, 20 parallel')).toMatchObject({ peer: 14_487 });
  expect(by('server create->ACTIVE, 20 parallel, rate')?.times).toBeCloseTo(10);
  expect(table(rows)).toContain('| token issue c=1 | ms | 109 | 218 | 2.0 |');
});
