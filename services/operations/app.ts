import { novaDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { openFeed } from './operations/feed.ts';
import { routes } from './operations/routes.ts';
import { versionRoutes } from './versions/routes.ts';

/** What is at work in the cloud, and what was: an extension of Cumulet's with its own catalogue entry, so that stock responses stay as they are. */
export async function makeApp(rt: Runtime): Promise<FastifyInstance> {
  const feed = await openFeed(rt);
  const app = await createApp(rt, {
    name: 'operations', title: 'Cumulet operations', prefixes: ['/v1'], dress: novaDress,
    operations: [...versionRoutes(), ...routes(rt, feed)],
  });
  app.addHook('preClose', () => feed.close());
  return app;
}
