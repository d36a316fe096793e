import { novaDress, type Operation } from '@cumulet/http';
import { createApp, type Runtime } from '@cumulet/service';
import type { FastifyInstance } from 'fastify';
import { legacyActions } from './attachments/legacy.ts';
import { routes as attachments } from './attachments/routes.ts';
import { routes as backups } from './backups/routes.ts';
import { versions } from './changes.ts';
import { routes as clusters } from './clusters/routes.ts';
import { routes as defaultTypes } from './default_types/routes.ts';
import { routes as encryption } from './encryption/routes.ts';
import { routes as extensions } from './extensions/routes.ts';
import { routes as groupTypes } from './group_types/routes.ts';
import { consistencyRoutes } from './groups/consistency.ts';
import { routes as groups } from './groups/routes.ts';
import { snapshotRoutes as groupSnapshots } from './groups/snapshot_routes.ts';
import { routes as limits } from './limits/routes.ts';
import { routes as manage } from './manage/routes.ts';
import { routes as messages } from './messages/routes.ts';
import { migrationActions } from './migration/service.ts';
import { routes as qos } from './qos/routes.ts';
import { routes as quotas } from './quotas/routes.ts';
import { routes as pools } from './scheduler/routes.ts';
import { hostRoutes } from './services/hosts.ts';
import { routes as services } from './services/routes.ts';
import { routes as snapshots } from './snapshots/routes.ts';
import { routes as transfers } from './transfers/routes.ts';
import { detailRoutes as typeDetails } from './types/details.ts';
import { routes as types } from './types/routes.ts';
import { routes as versionDocuments } from './versions/routes.ts';
import { actions } from './volumes/actions.ts';
import { imageActions } from './volumes/image_actions.ts';
import { routes as volumes } from './volumes/routes.ts';
import { routes as zones } from './zones/routes.ts';

const offered = (rt: Runtime) => versions.upTo(rt.settings.maxMicroversion.volume);

/** Cinder v3: the table of contents. */
export const operations = (rt: Runtime): Operation[] => [
  ...versionDocuments(offered(rt)),
  ...volumes(rt), ...actions(rt), ...imageActions(rt), ...migrationActions(rt), ...encryption(rt), ...attachments(rt), ...legacyActions(rt), ...snapshots(rt), ...manage(rt), ...transfers(rt), ...backups(rt),
  ...types(rt), ...typeDetails(rt), ...defaultTypes(rt), ...qos(rt),
  ...groupTypes(rt), ...groups(rt), ...groupSnapshots(rt), ...consistencyRoutes(rt),
  ...quotas(rt), ...limits(rt), ...services(rt), ...hostRoutes(rt), ...clusters(rt), ...pools(rt), ...zones(rt), ...messages(rt), ...extensions(),
];
export const makeApp = (rt: Runtime): Promise<FastifyInstance> => createApp(rt, {
  name: 'volume', title: 'Block storage (Cinder 3.0 to 3.71)', prefixes: ['/v3'], projectInPath: true, formatInPath: true, emptyIdIsUnknownPath: true, versions: offered(rt), alsoVersionedAs: ['volumev2', 'volumev3'], dress: novaDress,
  operations: operations(rt),
});
