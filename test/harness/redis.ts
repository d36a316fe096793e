import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Child } from '@cumulet/exec';
import { redisCommand } from '../../services/allinone/redis.ts';
import { nobody } from '../../services/allinone/unprivileged.ts';
import { chownSync } from 'node:fs';
import { eventually, runner } from './processes.ts';

export interface TestRedis {
  /** What ioredis and BullMQ take as a URL: the path of the socket. */
  readonly url: string;
  flush(): Promise<void>;
  /** Killed and started again: empty. With `downMs`, that long without one. */
  restart(options?: { downMs?: number }): Promise<void>;
  stop(): Promise<void>;
}

/** A Redis of one's own, about 50 ms. */
export async function startRedis(): Promise<TestRedis> {
  const root = mkdtempSync('/tmp/cumulet-redis-');
  chmodSync(root, 0o700);
  if (process.getuid?.() === 0) chownSync(root, nobody.uid, nobody.gid);
  const socket = join(root, 'redis.sock');
  const [program, ...args] = redisCommand(root, socket);
  const ask = async (question: (redis: Redis) => Promise<unknown>) => {
    const redis = new Redis(socket, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
    // The error is thrown by connect() too; without a listener ioredis prints it.
    redis.on('error', () => undefined);
    try {
      await redis.connect();
      await question(redis);
    } finally {
      redis.disconnect();
    }
  };
  let server: Child;
  const start = async () => {
    server = await runner.spawn(program, args);
    await eventually(async () => {
      await ask((redis) => redis.ping());
      return true;
    }, 10_000, 'Redis');
  };
  await start();
  return {
    url: socket,
    flush: () => ask((redis) => redis.flushall()),
    async restart({ downMs = 0 } = {}) {
      await server.stop('SIGKILL');
      if (downMs > 0) await new Promise((resolve) => setTimeout(resolve, downMs));
      await start();
    },
    async stop() {
      await server.stop('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    },
  };
}
