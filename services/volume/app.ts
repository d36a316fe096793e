import { novaDress } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { legacyActions } from './attachments/legacy.ts';
import { routes as attachments } from './attachments/routes.ts';
import { versions } from './changes.ts';
import { routes as extensions } from './extensions/routes.ts';
import { routes as limits } from './limits/routes.ts';
import { routes as quotas } from './quotas/routes.ts';
import { routes as services } from './services/routes.ts';
import { routes as snapshots } from './snapshots/routes.ts';
import { detailRoutes as typeDetails } from './types/details.ts';
import { routes as types } from './types/routes.ts';
import { routes as versionDocuments } from './versions/routes.ts';
import { actions } from './volumes/actions.ts';
import { routes as volumes } from './volumes/routes.ts';
import { routes as zones } from './zones/routes.ts';

/** Cinder v3. The list of operations is the table of contents. */
export const makeApp = (rt: Runtime): Promise<FastifyInstance> => createApp(rt, {
  name: 'volume', title: 'Block storage (Cinder 3.0 to 3.71)', prefixes: ['/v3'], projectInPath: true, versions, dress: novaDress,
  operations: [
    ...versionDocuments(),
    ...volumes(rt), ...actions(rt), ...attachments(rt), ...legacyActions(rt), ...snapshots(rt),
    ...types(rt), ...typeDetails(rt),
    ...quotas(rt), ...limits(rt), ...services(rt), ...zones(rt), ...extensions(),
  ],
});
