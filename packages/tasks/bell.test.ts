import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRedis } from '../../test/harness/redis.ts';
import { createBell, type Bell } from './index.ts';

let redis: Awaited<ReturnType<typeof startRedis>>;
let bell: Bell;
beforeAll(async () => { redis = await startRedis(); bell = createBell(redis.url, pino({ level: 'silent' })); });
afterAll(async () => { await bell.close(); await redis.stop(); });
const heard: string[] = [];
const until = async (done: () => boolean) => { for (let i = 0; i < 500 && !done(); i++) await new Promise(f => setTimeout(f, 10)); };

test('a ring is heard once, also when it is rung twice', async () => {
  await bell.answer('host/a@b', 2, async id => { heard.push(id); });
  await bell.ring('host/a@b', 'one', 0);
  await bell.ring('host/a@b', 'two', 0);
  await until(() => heard.length === 2);
  expect(heard.toSorted()).toEqual(['one', 'two']);
  await bell.ring('host/a@b', 'one', 1);       // a later claim of the same task
  await until(() => heard.length === 3);
  expect(heard).toHaveLength(3);
});
test('a flushed Redis goes on ringing', async () => {
  await redis.flush();
  await bell.ring('host/a@b', 'three', 0);
  await until(() => heard.includes('three'));
  expect(heard).toContain('three');
});
test('a Redis that was killed and came back rings again', async () => {
  await redis.restart();
  for (let fence = 0; fence < 100 && !heard.includes('four'); fence++) { await bell.ring('host/a@b', 'four', fence); await new Promise(f => setTimeout(f, 50)); }
  expect(heard).toContain('four');
});
test('without Redis a ring is a line in the log, and quick', async () => {
  const dead = createBell('/nonexistent/redis.sock', pino({ level: 'silent' }));
  const started = performance.now();
  await dead.ring('any', 'x', 0);
  expect(performance.now() - started).toBeLessThan(3_000);
  await dead.close();
});
