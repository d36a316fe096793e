import { novaDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { routes as admin } from './actions/admin.ts';
import { routes as console } from './actions/console.ts';
import { routes as image } from './actions/image.ts';
import { routes as move } from './actions/move.ts';
import { routes as power } from './actions/power.ts';
import { routes as rebuild } from './actions/rebuild.ts';
import { routes as resize } from './actions/resize.ts';
import { routes as shelve } from './actions/shelve.ts';
import { routes as aggregates } from './aggregates/routes.ts';
import { routes as interfaces } from './attachments/interfaces.ts';
import { routes as volumes } from './attachments/volumes.ts';
import { versions } from './changes.ts';
import type { Compute } from './compute.ts';
import { servePages } from './consoles/pages.ts';
import { serveConsoles } from './consoles/proxy.ts';
import { routes as consoles } from './consoles/routes.ts';
import { routes as history } from './details/history.ts';
import { routes as metadata } from './details/metadata.ts';
import { routes as more } from './details/more.ts';
import { routes as tags } from './details/tags.ts';
import { routes as events } from './events/routes.ts';
import { routes as extensions } from './extensions/routes.ts';
import { routes as flavors } from './flavors/routes.ts';
import { routes as groups } from './groups/routes.ts';
import { routes as hypervisors } from './hosts/hypervisors.ts';
import { routes as services } from './hosts/services.ts';
import { routes as zones } from './hosts/zones.ts';
import { routes as keypairs } from './keypairs/routes.ts';
import { routes as migrations } from './migrations/routes.ts';
import { neighbours } from './neighbours.ts';
import { routes as floatingIps } from './proxies/floating_ips.ts';
import { routes as gone } from './proxies/gone.ts';
import { routes as imageProxy } from './proxies/images.ts';
import { routes as networkProxy } from './proxies/networks.ts';
import { routes as securityGroups } from './proxies/security_groups.ts';
import { routes as volumeProxy } from './proxies/volumes.ts';
import { routes as limits } from './quotas/absolute.ts';
import { routes as quotas } from './quotas/routes.ts';
import { routes as servers } from './servers/routes.ts';
import { routes as shares } from './shares/routes.ts';
import { routes as usage } from './usage/routes.ts';
import { routes as versionDocuments } from './versions/routes.ts';

/** Compute v2.1, microversions 2.1 to 2.104. */
export async function makeApp(rt: Runtime): Promise<FastifyInstance> {
  const c: Compute = { rt, n: neighbours(rt) };
  const offered = versions.upTo(rt.settings.maxMicroversion.compute);
  const app = await createApp(rt, {
    name: 'compute', title: 'Compute (Nova v2.1)', prefixes: ['/v2.1', '/v2'], projectInPath: true, versions: offered, strictQueries: 'strict queries', legacyVersionHeader: 'X-OpenStack-Nova-API-Version', dress: novaDress, emptyIdIsUnknownPath: true,
    operations: [
      ...versionDocuments(offered.max),
      ...servers(c), ...power(c), ...shelve(c), ...rebuild(c), ...resize(c), ...image(c), ...move(c), ...admin(c), ...console(c), ...consoles(c),
      ...volumes(c), ...interfaces(c), ...shares(c), ...metadata(c), ...tags(c), ...history(c), ...more(c), ...migrations(c),
      ...flavors(rt), ...keypairs(rt), ...groups(c), ...aggregates(c), ...quotas(c), ...limits(c),
      ...zones(c), ...services(c), ...hypervisors(c), ...usage(c), ...events(c), ...extensions(),
      ...networkProxy(c), ...floatingIps(c), ...securityGroups(c), ...imageProxy(c), ...volumeProxy(c), ...gone(c),
    ],
  });
  serveConsoles(app, c);
  await servePages(app);
  return app;
}
