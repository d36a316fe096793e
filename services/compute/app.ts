import { novaDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { routes as console } from './actions/console.ts';
import { routes as image } from './actions/image.ts';
import { routes as power } from './actions/power.ts';
import { routes as rebuild } from './actions/rebuild.ts';
import { routes as shelve } from './actions/shelve.ts';
import { routes as interfaces } from './attachments/interfaces.ts';
import { routes as volumes } from './attachments/volumes.ts';
import { versions } from './changes.ts';
import type { Compute } from './compute.ts';
import { routes as history } from './details/history.ts';
import { routes as metadata } from './details/metadata.ts';
import { routes as tags } from './details/tags.ts';
import { routes as extensions } from './extensions/routes.ts';
import { routes as flavors } from './flavors/routes.ts';
import { routes as hypervisors } from './hosts/hypervisors.ts';
import { routes as services } from './hosts/services.ts';
import { routes as zones } from './hosts/zones.ts';
import { routes as keypairs } from './keypairs/routes.ts';
import { neighbours } from './neighbours.ts';
import { routes as limits } from './quotas/absolute.ts';
import { routes as quotas } from './quotas/routes.ts';
import { routes as servers } from './servers/routes.ts';
import { routes as versionDocuments } from './versions/routes.ts';

/** Compute v2.1, microversions 2.1 to 2.96. */
export function makeApp(rt: Runtime): Promise<FastifyInstance> {
  const c: Compute = { rt, n: neighbours(rt) };
  return createApp(rt, {
    name: 'compute', title: 'Compute (Nova v2.1)', prefixes: ['/v2.1', '/v2'], projectInPath: true, versions, legacyVersionHeader: 'X-OpenStack-Nova-API-Version', dress: novaDress,
    operations: [
      ...versionDocuments(versions.max),
      ...servers(c), ...power(c), ...shelve(c), ...rebuild(c), ...image(c), ...console(c),
      ...volumes(c), ...interfaces(c), ...metadata(c), ...tags(c), ...history(c),
      ...flavors(rt), ...keypairs(rt), ...quotas(c), ...limits(c),
      ...zones(c), ...services(c), ...hypervisors(c), ...extensions(),
    ],
  });
}
