import { neutronDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { addressGroupRoutes } from './address_groups/routes.ts';
import { addressScopeRoutes } from './address_scopes/routes.ts';
import { agentRoutes } from './agents/routes.ts';
import { flavorRoutes } from './flavors/routes.ts';
import { floatingIpPoolRoutes } from './floating_ips/pools.ts';
import { floatingIpRoutes } from './floating_ips/routes.ts';
import { availabilityRoutes } from './networks/availability.ts';
import { networkRoutes } from './networks/routes.ts';
import { portForwardingRoutes } from './port_forwardings/routes.ts';
import { portRoutes } from './ports/routes.ts';
import { qosRoutes } from './qos/routes.ts';
import { quotaRoutes } from './quotas/routes.ts';
import { rbacRoutes } from './rbac/routes.ts';
import { routerRoutes } from './routers/routes.ts';
import { securityGroupRoutes } from './security_groups/routes.ts';
import { subnetPoolRoutes } from './subnetpools/routes.ts';
import { subnetRoutes } from './subnets/routes.ts';
import { tagRoutes } from './tags/routes.ts';
import { topologyRoutes } from './topology/routes.ts';
import { versionRoutes } from './versions/routes.ts';

export async function makeApp(rt: Runtime): Promise<FastifyInstance> {
  const app = await makeTyped(rt);
  // Neutron reads every body as JSON, also one that no media type was named for (its own test plugin names none).
  app.addHook('onRequest', async request => { request.raw.headers['content-type'] ??= 'application/json'; });
  return app;
}
const makeTyped = (rt: Runtime): Promise<FastifyInstance> => createApp(rt, {
  name: 'network', title: 'Cumulet network (Neutron v2)', prefixes: ['/v2.0'], formatInPath: true, dress: neutronDress,
  operations: [
    ...versionRoutes(), ...networkRoutes(rt), ...availabilityRoutes(rt), ...subnetRoutes(rt), ...subnetPoolRoutes(rt), ...addressScopeRoutes(rt), ...addressGroupRoutes(rt), ...rbacRoutes(rt), ...portRoutes(rt), ...securityGroupRoutes(rt), ...routerRoutes(rt), ...floatingIpRoutes(rt), ...floatingIpPoolRoutes(rt), ...portForwardingRoutes(rt), ...qosRoutes(rt), ...quotaRoutes(rt), ...flavorRoutes(rt), ...tagRoutes(rt), ...topologyRoutes(rt), ...agentRoutes(rt),
  ],
});
