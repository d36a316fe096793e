import type { Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshDatabase } from '../../test/harness/database.ts';
import { connect, databaseAway, type Db } from './index.ts';

let db: Db;
beforeAll(async () => { db = connect({ url: (await freshDatabase()).url, pool: 3, name: 'away' }); });
afterAll(() => db.destroy());

interface Connection { readonly connection: { readonly stream: Socket }; readonly processID: number }
const sleeping = async (end: (of: Connection) => unknown): Promise<unknown> => {
  const connection = await db.client.acquireConnection() as Connection;
  const asked = db.raw('select pg_sleep(20)').connection(connection);
  setTimeout(() => void end(connection), 100);
  try { return await asked.then(() => undefined, (error: unknown) => error); } finally { await db.client.releaseConnection(connection); }
};

test('an error of the statement is not', async () => {
  for (const statement of ['select nothing', `do $$ begin raise 'it says - Connection terminated unexpectedly, it seems'; end $$`]) {
    const error: unknown = await db.raw(statement).then(() => undefined, (reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(databaseAway(error)).toBe(false);
  }
});
test('a connection that breaks under a statement is the database being away, whatever says so', async () => {
  const cut = await sleeping(({ connection }) => connection.stream.destroy());
  expect(String(cut)).toContain('select pg_sleep(20) - Connection terminated unexpectedly');
  expect(databaseAway(cut)).toBe(true);
  const ended = await sleeping(async ({ processID }) => { await db.raw('select pg_terminate_backend(?)', [processID]); });
  expect(databaseAway(ended)).toBe(true);
});
