import { loadSettings } from '@cumulet/config';
import { tokenFacts } from '@cumulet/identity';
import { createLog, openRuntime } from '@cumulet/service';
import { openWorks } from './roles.ts';
import { startWorker } from './worker.ts';

// A worker of one host. A second host joins the cloud by starting this with the same DATABASE_URL and REDIS_URL.
const settings = loadSettings();
const rt = await openRuntime({ settings, name: 'worker', facts: tokenFacts });
const worker = await startWorker(rt, await openWorks(rt));
globalThis.gc?.();
// Whatever the log level: the supervisor waits for it.
createLog({ ...settings, logLevel: 'info' }, 'worker').info({ queues: worker.queues }, 'working');
let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {
  if (stopping) return;
  stopping = true;
  void worker.stop().then(() => rt.close()).finally(() => process.exit(0));
});
