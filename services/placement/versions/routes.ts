import { operation, type Operation } from '@cumulet/http';
import { versions } from '../changes.ts';

export const versionRoutes = (): Operation[] => [
  operation({
    id: 'versions.show', summary: 'The versions of this API', method: 'GET', path: '/', root: true, policy: { open: 'clients find the version before they have a token' },
    handler: () => ({ versions: [{ id: 'v1.0', max_version: versions.max, min_version: versions.min, status: 'CURRENT', links: [{ rel: 'self', href: '' }] }] }),
  }),
];
