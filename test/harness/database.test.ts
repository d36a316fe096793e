import knex from 'knex';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Redis } from 'ioredis';
import { freshDatabase, type FreshDatabase } from './database.ts';
import { startRedis } from './redis.ts';

let database: FreshDatabase;
beforeAll(async () => { database = await freshDatabase(); });
afterAll(() => database.drop());

test('databases are separate', async () => {
  const other = await freshDatabase();
  const [one, two] = [database, other].map((d) => knex({ client: 'pg', connection: d.url }));
  try {
    await one!.schema.createTable('only_here', (t) => { t.integer('n'); });
    expect(await two!.schema.hasTable('only_here')).toBe(false);
  } finally {
    await Promise.all([one!.destroy(), two!.destroy()]);
    await other.drop();
  }
});

test('a Redis that was restarted is empty and answers at the same place', async () => {
  const server = await startRedis();
  const redis = new Redis(server.url, { lazyConnect: true });
  redis.on('error', () => undefined);
  try {
    await redis.set('a', '1');
    await server.restart();
    expect(await redis.get('a')).toBeNull();
    expect(await redis.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
  } finally {
    redis.disconnect();
    await server.stop();
  }
});
