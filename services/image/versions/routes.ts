import { operation, Reply, type Context, type Operation } from '@cumulet/http';

/** Glance has no microversions: these are what its one API can do, newest first. 2.14, 2.16 and 2.18 are the cache, 2.17 the locations API. */
const numbers = [18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
const versions = (ctx: Context) => ({ versions: numbers.map((n, i) => ({ id: `v2.${n}`, status: i === 0 ? 'CURRENT' : 'SUPPORTED', links: [{ rel: 'self', href: `${ctx.baseUrl}/v2/` }] })) });
const open = { open: 'clients look for the version before they have a token' };

export const routes = (): Operation[] => [
  operation({ id: 'versions.choices', summary: 'The versions, as a choice', method: 'GET', path: '/', root: true, policy: open, handler: ctx => new Reply(300, versions(ctx)) }),
  operation({ id: 'versions.list', summary: 'The versions', method: 'GET', path: '/versions', root: true, policy: open, handler: ctx => versions(ctx) }),
];
