import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { connect, migrate } from '@cumulet/db';
import pg from 'pg';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';
import { startPostgres } from './postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of the server's maintenance database. */
    postgres: string;
  }
}

const migrations = fileURLToPath(new URL('../../migrations', import.meta.url));
const template = 'migrated';

/** vitest's globalSetup: one Postgres for all test files, with a template database that has every migration. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgres();
  try {
    await admin(server.url(), `CREATE DATABASE ${template}`);
    const url = server.url(template);
    const db = connect({ url, pool: 1, name: 'test setup' });
    await migrate(db, url, migrations).finally(() => db.destroy());
  } catch (error) {
    await server.stop();
    throw error;
  }
  project.provide('postgres', server.url());
  return () => server.stop();
}

export interface FreshDatabase {
  /** For `DATABASE_URL`, knex or pg. */
  readonly url: string;
  /** Also ends the sessions that are still open. Not needed for hygiene: the server goes with the test run. */
  drop(): Promise<void>;
}

/** A new database with every migration and no rows, about 30 ms. Call it in `beforeAll` (or `beforeEach`). */
export async function freshDatabase(options: { migrated?: boolean } = {}): Promise<FreshDatabase> {
  const name = `t_${randomBytes(6).toString('hex')}`;
  const server = inject('postgres');
  await admin(server, `CREATE DATABASE ${name} TEMPLATE ${options.migrated === false ? 'template0' : template} STRATEGY file_copy`);
  return {
    url: server.replace('/postgres?', `/${name}?`),
    drop: () => admin(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
