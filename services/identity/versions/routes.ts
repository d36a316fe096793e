import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { jsonHome, wantsHome } from './json_home.ts';

const version = (ctx: Context) => ({
  id: 'v3.14', status: 'stable', updated: '2020-04-07T00:00:00Z', links: [{ rel: 'self', href: `${ctx.baseUrl}/v3/` }],
  'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
});

/** What clients read first: the version, or the JSON home of what is offered. */
export function versionRoutes(offered: readonly Operation[]): Operation[] {
  const home = (ctx: Context, prefix: string) => (wantsHome(ctx.request.headers.accept) ? new Reply(200, Buffer.from(JSON.stringify(jsonHome(offered, prefix))), { 'content-type': 'application/json-home' }) : undefined);
  return [
    operation({
      id: 'versions.list', summary: 'List versions', method: 'GET', path: '/', root: true, policy: { open: 'read before a login' },
      handler: ctx => home(ctx, '/v3') ?? new Reply(300, { versions: { values: [version(ctx)] } }, { location: `${ctx.baseUrl}/v3/` }),
    }),
    operation({ id: 'versions.show', summary: 'Show version 3', method: 'GET', path: '', policy: { open: 'read before a login' }, handler: ctx => home(ctx, '') ?? { version: version(ctx) } }),
  ];
}
