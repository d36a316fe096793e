import { placementDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { allocationRoutes } from './allocations/routes.ts';
import { candidateRoutes } from './candidates/routes.ts';
import { catalogRoutes } from './catalog/routes.ts';
import { versions } from './changes.ts';
import { providerRoutes } from './providers/routes.ts';
import { providerWrites } from './providers/writes.ts';
import { versionRoutes } from './versions/routes.ts';

/** Placement as a view: compute hosts are resource providers, and what servers hold of them are allocations. */
export const makeApp = async (rt: Runtime): Promise<FastifyInstance> => createApp(rt, {
  name: 'placement', title: 'Placement', prefixes: [''], versions, dress: placementDress,
  operations: [...versionRoutes(), ...providerRoutes(rt), ...providerWrites(rt), ...candidateRoutes(rt), ...allocationRoutes(rt), ...catalogRoutes(rt)],
});
