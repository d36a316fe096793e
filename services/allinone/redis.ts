import { unprivileged } from './unprivileged.ts';
import type { Command } from './postgres.ts';

/**
 * Redis on a unix socket only. It holds nothing that cannot be lost (Postgres is the truth), so it writes no file;
 * `noeviction` because BullMQ must never lose a key behind its back.
 */
export function redisCommand(folder: string, socket: string): Command {
  return [...unprivileged('TERM', [folder, socket.slice(0, socket.lastIndexOf('/') + 1)]), 'redis-server', '--port', '0', '--unixsocket', socket, '--unixsocketperm', '700',
    '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction', '--daemonize', 'no', '--dir', folder, '--loglevel', 'notice'];
}
