import { glanceDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import { Holder } from '@cumulet/tasks';
import type { FastifyInstance } from 'fastify';
import { randomBytes } from 'node:crypto';
import { routes as caching } from './caching/routes.ts';
import { openHashing } from './data/hashing.ts';
import { routes as data } from './data/routes.ts';
import { routes as images } from './images/routes.ts';
import { routes as imports } from './imports/routes.ts';
import { routes as info } from './info/routes.ts';
import { routes as locations } from './locations/routes.ts';
import { routes as members } from './members/routes.ts';
import { routes as metadefs } from './metadefs/routes.ts';
import { documents as metadefDocuments } from './metadefs/schemas.ts';
import type { ImageDeps } from './opened.ts';
import { routes as schemas } from './schemas/routes.ts';
import { openStores } from './stores.ts';
import { routes as tags } from './tags/routes.ts';
import { routes as tasks } from './tasks/routes.ts';
import { routes as versions } from './versions/routes.ts';

/** The image service: Glance v2, 2.0 to 2.18. It opens the stores itself, since uploads and downloads pass through it. */
export async function makeApp(rt: Runtime): Promise<FastifyInstance> {
  const { db, bell, listener, log, settings } = rt;
  const hashing = openHashing();
  const holder = new Holder({ db, bell, listener, log, owner: `image-api-${settings.host}-${process.pid}-${randomBytes(3).toString('hex')}`, leaseSeconds: settings.worker.leaseSeconds });
  const d: ImageDeps = { rt, stores: await openStores(rt), hashing, holder };
  const app = await createApp(rt, {
    name: 'image', title: 'Image (Glance v2)', prefixes: ['/v2'], dress: glanceDress, slashCounts: true,
    operations: [...versions(), ...images(d), ...data(d), ...members(d), ...tags(d), ...schemas(metadefDocuments), ...info(d), ...imports(d), ...locations(d), ...tasks(d), ...caching(d), ...metadefs(d)],
  });
  app.addHook('preClose', () => holder.close());
  app.addHook('onClose', () => hashing.close());
  return app;
}
