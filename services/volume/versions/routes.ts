import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Versions } from '@cumulet/wire';

const document = (ctx: Pick<Context, 'baseUrl'>, offered: Versions) => ({
  versions: [{
    id: 'v3.0', status: 'CURRENT', version: offered.max, min_version: offered.min, updated: '2024-03-01T00:00:00Z',
    links: [{ rel: 'describedby', type: 'text/html', href: 'https://docs.openstack.org/' }, { rel: 'self', href: `${ctx.baseUrl}/v3/` }],
    'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.volume+json;version=3' }],
  }],
});

/** The version documents that clients probe: open at the root, for callers with a token below `/v3`. */
export const routes = (offered: Versions): Operation[] => [
  operation({ id: 'versions.root', summary: 'API versions', method: 'GET', path: '/', root: true, policy: { open: 'clients look for versions before they have a token' }, handler: ctx => new Reply(300, document(ctx, offered)) }),
  operation({ id: 'versions.v3', summary: 'API version 3', method: 'GET', path: '/v3', root: true, policy: { anyone: 'upstream keeps it behind the token check' }, handler: ctx => document(ctx, offered) }),
];
