import { makeApp as backupcatalogue } from '@cumulet/backupcatalogue';
import { loadSettings, type ServiceName } from '@cumulet/config';
import { makeApp as compute, plans as computePlans } from '@cumulet/compute';
import { createIdentityApp as identity, tokenFacts } from '@cumulet/identity';
import { makeApp as image, plans as imagePlans } from '@cumulet/image';
import { makeApp as network, plans as networkPlans } from '@cumulet/network';
import { makeApp as operations } from '@cumulet/operations';
import { makeApp as placement } from '@cumulet/placement';
import { createLog, openRuntime, type Runtime } from '@cumulet/service';
import { makeApp as volume, plans as volumePlans } from '@cumulet/volume';
import type { FastifyInstance } from 'fastify';
import { bootstrapCloud } from './bootstrap.ts';
import { removeCredentials } from './credentials.ts';

// Every API service in one process. The supervisor waits for the word "listening".
const makers: Record<ServiceName, (rt: Runtime) => Promise<FastifyInstance>> = { identity, image, compute, volume, network, placement, operations, backupcatalogue };

const settings = loadSettings();
const rt = await openRuntime({ settings, name: 'api', facts: tokenFacts, plans: [...imagePlans, ...computePlans, ...networkPlans, ...volumePlans] });
await bootstrapCloud(rt);
const apps = await Promise.all(Object.entries(makers).map(async ([name, make]) => {
  const app = await make(rt);
  await app.listen({ host: settings.bind, port: settings.ports[name as ServiceName] });
  return app;
}));
globalThis.gc?.();
// Whatever the log level: the supervisor waits for it.
createLog({ ...settings, logLevel: 'info' }, 'api').info({ ports: settings.ports }, 'listening');

let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {
  if (stopping) return;
  stopping = true;
  // The supervisor does it too, unless it was killed, which is why we are asked to end. It writes them again when it starts us again.
  removeCredentials(settings.home);
  void Promise.all(apps.map((app) => app.close())).then(() => rt.close()).finally(() => process.exit(0));
});
