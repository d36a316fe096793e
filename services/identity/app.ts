import { keystoneDress, type Operation } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import { Forbidden } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { appCredRoutes } from './application_credentials/routes.ts';
import { grantRoutes } from './assignments/grants.ts';
import { assignmentRoutes } from './assignments/routes.ts';
import { endpointFilterRoutes } from './catalog/endpoint_filter.ts';
import { endpointRoutes } from './catalog/endpoints.ts';
import { regionRoutes } from './catalog/regions.ts';
import { serviceRoutes } from './catalog/services.ts';
import { credentialRoutes } from './credentials/routes.ts';
import { domainConfigRoutes } from './domain_config/routes.ts';
import { domainRoutes } from './domains/routes.ts';
import { ec2Routes } from './ec2/routes.ts';
import { federationRoutes } from './federation/routes.ts';
import { groupRoutes } from './groups/routes.ts';
import { type Identity, openIdentity } from './identity.ts';
import { limitRoutes } from './limits/routes.ts';
import { startHousekeeping } from './housekeeping.ts';
import { oauthRoutes } from './oauth/routes.ts';
import { policyRoutes } from './policies/routes.ts';
import { projectRoutes } from './projects/routes.ts';
import { impliedRoleRoutes } from './roles/implied.ts';
import { roleRoutes } from './roles/routes.ts';
import { tokenRoutes } from './tokens/routes.ts';
import { trustRoutes } from './trusts/routes.ts';
import { userRoutes } from './users/routes.ts';
import { versionRoutes } from './versions/routes.ts';

/** The table of contents. */
export function operations(identity: Identity): Operation[] {
  const offered = [
    ...tokenRoutes(identity),
    ...userRoutes(identity),
    ...groupRoutes(identity),
    ...domainRoutes(identity),
    ...domainConfigRoutes(identity),
    ...projectRoutes(identity),
    ...roleRoutes(identity),
    ...impliedRoleRoutes(identity),
    ...grantRoutes(identity),
    ...assignmentRoutes(identity),
    ...forgetting(identity, [...regionRoutes(identity), ...serviceRoutes(identity), ...endpointRoutes(identity), ...endpointFilterRoutes(identity)]),
    ...credentialRoutes(identity),
    ...ec2Routes(identity),
    ...appCredRoutes(identity),
    ...trustRoutes(identity),
    ...limitRoutes(identity),
    ...policyRoutes(identity),
  ];
  // What only says that it is not here is not in the JSON home.
  return [...versionRoutes(offered), ...offered, ...federationRoutes(), ...oauthRoutes()];
}

/** Whoever has changed the catalogue reads it as changed in the next request. */
const forgetting = (identity: Identity, all: readonly Operation[]): Operation[] => all.map(op => (op.method === 'GET' ? op : {
  ...op, async handler(ctx) { try { return await op.handler(ctx); } finally { identity.catalog.forget(); } },
}));

/** Keystone v3. */
export async function createIdentityApp(rt: Runtime): Promise<FastifyInstance> {
  const identity = await openIdentity(rt);
  const door = await rt.gate('identity');
  const guarded: Runtime = Object.create(rt, {
    gate: {
      value: async () => ({
        ...door,
        // A token got by an EC2 signature is for the service that got it; here it opens nothing (keystone 910ebab0).
        async authenticate(token: string, serviceToken: string | undefined, request?: { method: string; path: string }) {
          const caller = await door.authenticate(token, serviceToken, request);
          if (caller?.methods.includes('ec2credential')) throw new Forbidden('You are not authorized to perform the requested action.');
          return caller;
        },
      }),
    },
  });
  const app = await createApp(guarded, { name: 'identity', title: 'Identity v3', prefixes: ['/v3'], dress: keystoneDress, operations: operations(identity) });
  app.addHook('onSend', async (_req, reply) => { reply.header('vary', 'X-Auth-Token'); });
  const stop = startHousekeeping(identity, rt.log);
  app.addHook('onClose', async () => stop());
  return app;
}
