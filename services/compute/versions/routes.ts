import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { NotFound } from '@cumulet/wire';

const open = { open: 'clients find the version before they have a token' };
const entries = (max: string) => [
  { id: 'v2.0', status: 'SUPPORTED', version: '', min_version: '', updated: '2011-01-21T11:33:21Z', path: '/v2/', media: '2' },
  { id: 'v2.1', status: 'CURRENT', version: max, min_version: '2.1', updated: '2013-07-23T11:33:21Z', path: '/v2.1/', media: '2.1' },
];
const short = (ctx: Context, e: ReturnType<typeof entries>[number]) => ({ id: e.id, status: e.status, version: e.version, min_version: e.min_version, updated: e.updated, links: [{ rel: 'self', href: `${ctx.baseUrl}${e.path}` }] });
const long = (ctx: Context, e: ReturnType<typeof entries>[number]) => ({
  ...short(ctx, e), links: [...short(ctx, e).links, { rel: 'describedby', type: 'text/html', href: 'http://docs.openstack.org/' }],
  'media-types': [{ base: 'application/json', type: `application/vnd.openstack.compute+json;version=${e.media}` }],
});

export const routes = (max: string): Operation[] => {
  const [v20, v21] = entries(max) as [ReturnType<typeof entries>[number], ReturnType<typeof entries>[number]];
  return [
    operation({ id: 'versions.list', summary: 'The versions of this API', method: 'GET', path: '/', root: true, policy: open, handler: ctx => new Reply(200, { versions: [short(ctx, v20), short(ctx, v21)] }) }),
    operation({ id: 'versions.v20', summary: 'The legacy version', method: 'GET', path: '/v2', root: true, policy: open, handler: ctx => ({ version: long(ctx, v20) }) }),
    operation({ id: 'versions.v21', summary: 'This version', method: 'GET', path: '/v2.1', root: true, policy: open, handler: ctx => ({ version: long(ctx, v21) }) }),
    operation({
      id: 'versions.show', summary: 'A version by name', method: 'GET', path: '/versions/:id', policy: open,
      handler: ctx => { const found = entries(max).find(e => e.id === ctx.params['id']); if (!found) throw new NotFound(); return { version: long(ctx, found) }; },
    }),
  ];
};
