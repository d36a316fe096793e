import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { connect, migrate } from '@cumulet/db';
import { Refusal } from './refusal.ts';

export const migrations = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Makes the database of an embedded server when it is not there. */
export async function ensureDatabase(maintenanceUrl: string, name: string): Promise<void> {
  const client = new pg.Client(maintenanceUrl);
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}

/** Brings the schema up to date. Returns the migrations that ran. */
export async function migrateDatabase(url: string): Promise<string[]> {
  const db = connect({ url, pool: 1, name: 'cumulet migrate' });
  try {
    return await migrate(db, url, migrations);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code === 'string' && /^(E[A-Z]+|28...|3D...)$/.test(code)) throw new Refusal(`the database of DATABASE_URL cannot be used: ${(error as Error).message || code}`);
    throw error;
  } finally {
    await db.destroy();
  }
}
