import { placementDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { allocationRoutes } from './allocations/routes.ts';
import { reshaperRoutes } from './allocations/reshaper.ts';
import { candidateRoutes } from './candidates/routes.ts';
import { catalogRoutes } from './catalog/routes.ts';
import { versions } from './changes.ts';
import { providerRoutes } from './providers/routes.ts';
import { inventoryWrites } from './providers/inventories.ts';
import { markWrites } from './providers/marks.ts';
import { providerWrites } from './providers/writes.ts';
import { versionRoutes } from './versions/routes.ts';

/** Placement: compute hosts and what servers hold of them, as compute has them, and beside these the providers, marks and allocations that administrators write. */
export const makeApp = async (rt: Runtime): Promise<FastifyInstance> => createApp(rt, {
  name: 'placement', title: 'Placement', prefixes: [''], versions, dress: placementDress,
  operations: [...versionRoutes(), ...providerRoutes(rt), ...providerWrites(rt), ...inventoryWrites(rt), ...markWrites(rt), ...candidateRoutes(rt), ...allocationRoutes(rt), ...reshaperRoutes(rt), ...catalogRoutes(rt)],
});
