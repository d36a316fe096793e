import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuidLike, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { grants, refuseUnknown, wishOf, type Query } from './filters.ts';
import { consumersOf } from '../allocations/store.ts';
import { listProviders, type Provider, type ResourceClass } from './store.ts';

/** Any parameter, once or several times; what is known depends on the version. */
export const AnyQuery = shape('AnyQuery', z.record(z.string(), z.union([z.string(), z.array(z.string())])));
const ProviderShape = shape('Provider', z.looseObject({ uuid: z.string(), name: z.string(), generation: z.int(), links: z.array(z.object({ rel: z.string(), href: z.string() })) }));
const ProviderList = shape('ProviderList', z.object({ resource_providers: z.array(ProviderShape.newest) }), { resource_providers: ProviderShape });
const Aggregates = shape('Aggregates', z.object({ aggregates: z.array(z.string()), resource_provider_generation: z.int().optional() }));

const view = (p: Provider) => ({
  uuid: p.uuid, name: p.name, generation: p.generation,
  links: ['self', 'inventories', 'usages', 'aggregates', 'traits', 'allocations'].map(rel => ({ rel, href: `/resource_providers/${p.uuid}${rel === 'self' ? '' : `/${rel}`}` })),
  parent_provider_uuid: null, root_provider_uuid: p.uuid,
});

/** Since 1.15 replies say how old they are. */
export const dated = (ctx: Context<unknown, unknown>, at: Date, body: object): Reply =>
  new Reply(200, body, ctx.dialect.has('dates in headers') ? { 'last-modified': at.toUTCString(), 'cache-control': 'no-cache' } : {});

export function providerRoutes(rt: Runtime): Operation[] {
  /** `saying`: what upstream says besides that it is not found. */
  const find = (ctx: Context<unknown, unknown>, saying?: (absent: string, uuid: string) => string) => findProvider(rt, ctx.params['uuid'] ?? '', saying);
  const of = (id: string, path: string, policy: string, since: `${number}.${number}` | undefined, reply: (p: Provider, ctx: Context) => object | Promise<object>, shaped?: typeof Aggregates, saying?: (absent: string, uuid: string) => string) => operation({
    id: `resource_providers.${id}`, summary: `The ${id} of a resource provider`, method: 'GET', path: `/resource_providers/:uuid${path}`, policy, ...(since ? { since } : {}), ...(shaped ? { reply: shaped } : {}),
    handler: async ctx => { const p = await find(ctx as Context, saying); return dated(ctx as Context, p.changedAt, await reply(p, ctx as Context)); },
  });
  return [
    operation({
      id: 'resource_providers.list', summary: 'List resource providers', method: 'GET', path: '/resource_providers', policy: 'placement:resource_providers:list', query: AnyQuery, reply: ProviderList,
      handler: async ctx => {
        const query = ctx.query as Query;
        const known = ['name', 'uuid', ...['member_of', 'resources', 'in_tree', 'required'].filter(f => ctx.dialect.has(f))];
        refuseUnknown(query, name => known.includes(name));
        if (query['uuid'] !== undefined && !isUuidLike(String(query['uuid']))) throw new BadRequest(`Invalid query string parameters: '${String(query['uuid'])}' is not a 'uuid'`);
        const wish = wishOf(query, '', ctx.dialect);
        const found = (await listProviders(rt.db)).filter(p => (query['name'] === undefined || p.name === query['name']) && (query['uuid'] === undefined || p.uuid === query['uuid']) && grants(p, wish));
        return dated(ctx as Context, newest(found), { resource_providers: found.map(view) });
      },
    }),
    operation({
      id: 'resource_providers.show', summary: 'Show a resource provider', method: 'GET', path: '/resource_providers/:uuid', policy: 'placement:resource_providers:show', reply: ProviderShape,
      handler: async ctx => { const p = await find(ctx as Context); return dated(ctx as Context, p.changedAt, view(p)); },
    }),
    of('inventories', '/inventories', 'placement:resource_providers:inventories:list', undefined, p => ({ resource_provider_generation: p.generation, inventories: p.inventories }), undefined, twice(' ')),
    of('inventory', '/inventories/:resource_class', 'placement:resource_providers:inventories:show', undefined, (p, ctx) => {
      const name = ctx.params['resource_class'] ?? '';
      const inventory = p.inventories[name as ResourceClass];
      if (!inventory) throw new NotFound(`No inventory of class ${name} for ${p.uuid}`);
      return { resource_provider_generation: p.generation, ...inventory };
    }, undefined, twice(' ')),
    of('usages', '/usages', 'placement:resource_providers:usages', undefined, p => ({
      resource_provider_generation: p.generation, usages: Object.fromEntries(Object.keys(p.inventories).map(name => [name, p.used[name as ResourceClass]])),
    }), undefined, twice('')),
    of('aggregates', '/aggregates', 'placement:resource_providers:aggregates:list', '1.1', p => ({ aggregates: p.aggregates, resource_provider_generation: p.generation }), Aggregates as never),
    of('traits', '/traits', 'placement:resource_providers:traits:list', '1.6', p => ({ traits: p.traits, resource_provider_generation: p.generation }), undefined, twice('')),
    of('allocations', '/allocations', 'placement:resource_providers:allocations:list', undefined, async p => ({
      resource_provider_generation: p.generation,
      allocations: Object.fromEntries((await consumersOf(rt.db, { providerId: p.uuid })).map(c => [c.consumer, { resources: c.resources, ...(c.generation === undefined ? {} : { consumer_generation: c.generation }) }])),
    }), undefined, (absent, uuid) => `Resource provider '${uuid}' not found: ${absent}`),
  ];
}

/** @throws 404 as upstream words it */
export async function findProvider(rt: Runtime, uuid: string, saying: (absent: string, uuid: string) => string = absent => absent): Promise<Provider> {
  const provider = isUuidLike(uuid) ? (await listProviders(rt.db, uuid))[0] : undefined;
  if (!provider) throw new NotFound(saying(`No resource provider with uuid ${uuid} found`, uuid));
  return provider;
}
/** Some say it twice. */
const twice = (blank: string) => (absent: string) => `${absent}${blank}: ${absent}`;

/** Of a list: the youngest of its members; now when there are none, as upstream. */
const newest = (found: readonly Provider[]): Date => new Date(Math.max(...found.map(p => p.changedAt.getTime()), found.length === 0 ? Date.now() : 0));
