import { operation, type Operation } from '@cumulet/http';

export const versionRoutes = (): Operation[] => [
  operation({
    id: 'versions.list', summary: 'The versions of this API', method: 'GET', path: '/', root: true, policy: { open: 'clients find the version before they have a token' },
    handler: ctx => ({ versions: [{ id: 'v1.0', status: 'CURRENT', links: [{ rel: 'self', href: `${ctx.baseUrl}/v1/` }] }] }),
  }),
];
