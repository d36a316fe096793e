import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Knex } from 'knex';
import pg from 'pg';
import type { Db } from './connect.ts';

/** What a file of `migrations/` exports. Forward only. */
export interface Migration { up(knex: Knex): Promise<void> }

/** Brings the schema up to date. Several processes may call it at once: one works, the others wait. Each file is one transaction. */
export async function migrate(db: Db, url: string, directory: string): Promise<string[]> {
  const guard = new pg.Client({ connectionString: url, application_name: 'cumulet migrate' });
  await guard.connect();
  try {
    await guard.query('select pg_advisory_lock(7264001)');
    const files = readdirSync(directory).filter(f => /^\d{4}_[a-z0-9_]+\.ts$/.test(f)).toSorted();
    const migrationSource: Knex.MigrationSource<string> = {
      getMigrations: async () => files,
      getMigrationName: file => file,
      getMigration: async file => {
        const module: Migration = await import(pathToFileURL(join(directory, file)).href);
        return { up: k => module.up(k), down: async () => { throw new Error('migrations go forward only'); } };
      },
    };
    // The advisory lock is ours and dies with this process, so a lock row that knex left behind belongs to a dead one.
    await db.migrate.forceFreeMigrationsLock({ migrationSource });
    const [, done] = await db.migrate.latest({ migrationSource });
    return done as string[];
  } finally { await guard.end(); }
}
