import { Queue, Worker, type ConnectionOptions } from 'bullmq';
import type { Logger } from 'pino';

/** Redis is a doorbell: it carries ids of tasks that are due. Nothing depends on a ring arriving. */
export interface Bell {
  ring(queue: string, taskId: string, fence: number): Promise<void>;
  /** Answers rings of a queue until closed. */
  answer(queue: string, concurrency: number, answer: (taskId: string) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

/** `redis://…`, `rediss://…`, `unix:///path` or a socket's path. */
function connection(url: string): ConnectionOptions {
  const path = url.startsWith('unix:') ? url.replace(/^unix:(\/\/)?/, '') : url.startsWith('/') ? url : undefined;
  if (path !== undefined) return { path };
  return { url } as ConnectionOptions;
}

export function createBell(url: string, log: Logger): Bell {
  const rings = new Map<string, Queue>();
  const answering: Worker[] = [];
  let quietUntil = 0;
  const complain = (error: unknown) => {
    if (Date.now() < quietUntil) return;
    quietUntil = Date.now() + 10_000;
    log.warn({ err: error }, 'Redis does not answer; tasks start with the next sweep');
  };
  const queueOf = (name: string): Queue => {
    let queue = rings.get(name);
    if (!queue) {
      queue = new Queue(name, { connection: { ...connection(url), enableOfflineQueue: false, maxRetriesPerRequest: 1 }, skipVersionCheck: true });
      queue.on('error', complain);
      rings.set(name, queue);
    }
    return queue;
  };
  return {
    async ring(name, taskId, fence) {
      try {
        const queue = queueOf(name);
        await Promise.race([
          queue.waitUntilReady().then(() => queue.add('task', { id: taskId }, { jobId: `task-${taskId}-${fence}`, removeOnComplete: true, removeOnFail: true })),
          new Promise((_, no) => setTimeout(() => no(new Error('timed out')), 1_000).unref()),
        ]);
      } catch (error) { complain(error); }
    },
    async answer(name, concurrency, answer) {
      const worker = new Worker(name, job => answer((job.data as { id: string }).id), {
        connection: { ...connection(url), maxRetriesPerRequest: null }, concurrency, skipVersionCheck: true, skipStalledCheck: true, lockDuration: 600_000, drainDelay: 5,
      });
      worker.on('error', complain);
      answering.push(worker);
    },
    async close() {
      await Promise.allSettled([...answering.map(w => w.close(true)), ...[...rings.values()].map(q => q.close())]);
    },
  };
}

/** No Redis at all: for tests and tools; the sweep does the work. */
export const noBell: Bell = { ring: async () => undefined, answer: async () => undefined, close: async () => undefined };
