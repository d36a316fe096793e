import { loadSettings, type ServiceName } from '@cumulet/config';
import type { FastifyInstance } from 'fastify';
import { openRuntime, type Runtime, type RuntimeOptions } from './runtime.ts';

/** A service as a process of its own: `node services/volume/main.ts`. Ends on SIGTERM and SIGINT after the requests under way. */
export async function runService(name: ServiceName, o: Pick<RuntimeOptions, 'facts' | 'plans'> & { app(rt: Runtime): Promise<FastifyInstance> }): Promise<void> {
  const settings = loadSettings();
  const rt = await openRuntime({ settings, name, ...o });
  const app = await o.app(rt);
  await app.listen({ host: settings.bind, port: settings.ports[name] });
  rt.log.info({ port: settings.ports[name] }, 'listening');
  const stop = async () => { await app.close(); await rt.close(); process.exit(0); };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop());
}
