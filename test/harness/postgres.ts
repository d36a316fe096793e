import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Child } from '@cumulet/exec';
import { initCommand, postgresEnvironment, postgresUrl, preparePostgresFolders, serverCommand } from '../../services/allinone/postgres.ts';
import { eventually, runner } from './processes.ts';

export interface TestPostgres {
  /** Of a database on this server, default the empty `postgres`. */
  url(database?: string): string;
  /** SIGINT (fast) or SIGQUIT (as if the power went), then started again on the same data. */
  restart(signal?: 'SIGINT' | 'SIGQUIT'): Promise<void>;
  stop(): Promise<void>;
}

/** A Postgres server of one's own in a new folder, about 0.6 s. For most tests `freshDatabase()` is enough. */
export async function startPostgres(parameters: Record<string, string> = {}): Promise<TestPostgres> {
  const root = mkdtempSync('/tmp/cumulet-pg-');
  chmodSync(root, 0o755);
  const folders = { data: join(root, 'data'), sockets: join(root, 'run') };
  preparePostgresFolders(folders);
  const init = await initCommand(folders);
  if (init) await runner.run(init[0], init.slice(1), { cwd: '/', env: postgresEnvironment });
  const [program, ...args] = await serverCommand(folders, {
    fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', wal_level: 'minimal', max_wal_senders: '0', max_connections: '300',
    autovacuum: 'off', ...parameters,
  });
  let server: Child;
  const start = async () => {
    server = await runner.spawn(program, args, { cwd: '/', env: postgresEnvironment });
    try {
      await eventually(async () => {
        if (!server.running) return true;
        const client = new pg.Client(postgresUrl(folders.sockets));
        await client.connect();
        await client.end();
        return true;
      }, 20_000, 'Postgres');
      if (!server.running) throw new Error(`Postgres ended at once: ${(await server.exit).stderr}`);
    } catch (error) {
      await server.stop('SIGKILL');
      throw error;
    }
  };
  await start();
  return {
    url: (database) => postgresUrl(folders.sockets, database),
    async restart(signal = 'SIGINT') {
      await server.stop(signal);
      await start();
    },
    async stop() {
      await server.stop('SIGQUIT');
      rmSync(root, { recursive: true, force: true });
    },
  };
}
