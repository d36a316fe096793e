import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openPartLog, readLine } from './logs.ts';

const folder = mkdtempSync('/tmp/cumulet-logs-');
afterAll(() => rmSync(folder, { recursive: true }));

test('a log does not grow without end, and loses only the oldest', async () => {
  const log = openPartLog(folder, 'part', 2000);
  for (let i = 0; i < 500; i++) log.write(i % 2 ? `line ${i}` : JSON.stringify({ level: 40, msg: `line ${i}` }));
  log.end();
  await expect.poll(() => readFileSync(join(folder, 'part.log'), 'utf8')).toContain('line 499');
  const files = readdirSync(folder).toSorted();
  expect(files).toEqual(['part.log', 'part.log.1', 'part.log.2']);
  for (const file of files) expect(statSync(join(folder, file)).size).toBeLessThanOrEqual(2000);
  const numbers = files.toReversed().flatMap((f) => readFileSync(join(folder, f), 'utf8').trim().split('\n')).map((l) => Number(/line (\d+)/.exec((JSON.parse(l) as { msg: string }).msg)?.[1]));
  expect(numbers.at(-1)).toBe(499);
  expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
});

test('lines for people', () => {
  expect(readLine('{"level":50,"msg":"no","err":{"message":"because"}}')).toEqual({ level: 50, msg: 'no', error: 'because' });
  expect(readLine('{broken')).toBeUndefined();
  expect(readLine('plain')).toBeUndefined();
});
