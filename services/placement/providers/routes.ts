import type { Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuidLike, NotFound, own, shape, withDashes } from '@cumulet/wire';
import { z } from 'zod';
import { consumersOf } from '../allocations/store.ts';
import { knownNames } from '../catalog/known.ts';
import { grants, refuseUnknown, treeOf, wishOf, type Query } from './filters.ts';
import { listProviders, lockProviders, type Provider } from './store.ts';

/** Any parameter, once or several times; what is known depends on the version. */
export const AnyQuery = shape('AnyQuery', z.record(z.string(), z.union([z.string(), z.array(z.string())])));
export const ProviderShape = shape('Provider', z.looseObject({ uuid: z.string(), name: z.string(), generation: z.int(), links: z.array(z.object({ rel: z.string(), href: z.string() })) }));
const ProviderList = shape('ProviderList', z.object({ resource_providers: z.array(ProviderShape.newest) }), { resource_providers: ProviderShape });
export const Aggregates = shape('Aggregates', z.object({ aggregates: z.array(z.string()), resource_provider_generation: z.int().optional() }));
const Holders = shape('Holders', z.object({ allocations: z.record(z.string(), z.looseObject({ resources: z.record(z.string(), z.int()) })), resource_provider_generation: z.int() }));

export const providerView = (p: Provider) => ({
  uuid: p.uuid, name: p.name, generation: p.generation,
  links: ['self', 'inventories', 'usages', 'aggregates', 'traits', 'allocations'].map(rel => ({ rel, href: `/resource_providers/${p.uuid}${rel === 'self' ? '' : `/${rel}`}` })),
  parent_provider_uuid: p.parent, root_provider_uuid: p.root,
});

/** Since 1.15 replies say how old they are. */
export const dates = (ctx: Context<unknown, unknown>, at: Date): Record<string, string> => (ctx.dialect.has('dates in headers') ? { 'last-modified': at.toUTCString(), 'cache-control': 'no-cache' } : {});
export const dated = (ctx: Context<unknown, unknown>, at: Date, body: object, status = 200, headers: Record<string, string> = {}): Reply => new Reply(status, body, { ...headers, ...dates(ctx, at) });

export function providerRoutes(rt: Runtime): Operation[] {
  /** `saying`: what upstream says besides that it is not found. */
  const find = (ctx: Context<unknown, unknown>, saying?: (absent: string, uuid: string) => string) => findProvider(rt, ctx.params['uuid'] ?? '', saying);
  const of = (id: string, path: string, policy: string, since: `${number}.${number}` | undefined, reply: (p: Provider, ctx: Context) => object | Promise<object>, shaped?: typeof Aggregates | typeof Holders, saying?: (absent: string, uuid: string) => string) => operation({
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
        await knownNames(rt.db, [wish]);
        const all = await listProviders(rt.db);
        const tree = treeOf(all, wish.inTree);
        const found = all.filter(p => (query['name'] === undefined || p.name === query['name']) && (query['uuid'] === undefined || p.uuid === withDashes(String(query['uuid']))) && grants(p, wish) && (wish.inTree === undefined || p.root === tree));
        return dated(ctx as Context, newest(found), { resource_providers: found.map(providerView) });
      },
    }),
    operation({
      id: 'resource_providers.show', summary: 'Show a resource provider', method: 'GET', path: '/resource_providers/:uuid', policy: 'placement:resource_providers:show', reply: ProviderShape,
      handler: async ctx => { const p = await find(ctx as Context); return dated(ctx as Context, p.changedAt, providerView(p)); },
    }),
    of('inventories', '/inventories', 'placement:resource_providers:inventories:list', undefined, p => ({ resource_provider_generation: p.generation, inventories: p.inventories }), undefined, twice(' ')),
    of('inventory', '/inventories/:resource_class', 'placement:resource_providers:inventories:show', undefined, (p, ctx) => {
      const name = ctx.params['resource_class'] ?? '';
      const inventory = own(p.inventories, name);
      if (!inventory) throw new NotFound(`No inventory of class ${name} for ${p.uuid}`);
      return { resource_provider_generation: p.generation, ...inventory };
    }, undefined, twice(' ')),
    of('usages', '/usages', 'placement:resource_providers:usages', undefined, p => ({
      resource_provider_generation: p.generation, usages: Object.fromEntries(Object.keys(p.inventories).map(name => [name, p.used[name] ?? 0])),
    }), undefined, twice('')),
    of('aggregates', '/aggregates', 'placement:resource_providers:aggregates:list', '1.1', p => ({ aggregates: p.aggregates, resource_provider_generation: p.generation }), Aggregates),
    of('traits', '/traits', 'placement:resource_providers:traits:list', '1.6', p => ({ traits: p.traits, resource_provider_generation: p.generation }), undefined, twice('')),
    of('allocations', '/allocations', 'placement:resource_providers:allocations:list', undefined, async p => ({
      resource_provider_generation: p.generation,
      allocations: Object.fromEntries((await consumersOf(rt.db, { providerId: p.uuid })).map(c => [c.consumer, { resources: c.resources, consumer_generation: c.generation }])),
    }), Holders, (absent, uuid) => `Resource provider '${uuid}' not found: ${absent}`),
  ];
}

/** @throws 404 as upstream words it */
export async function findProvider(rt: Runtime, uuid: string, saying: (absent: string, uuid: string) => string = absent => absent): Promise<Provider> {
  const provider = isUuidLike(uuid) ? (await listProviders(rt.db, { ids: [uuid] }))[0] : undefined;
  if (!provider) throw absentProvider(uuid, saying);
  return provider;
}
/** The same, locked until the transaction ends. */
export async function lockedProvider(trx: Trx, uuid: string, saying?: (absent: string, uuid: string) => string): Promise<Provider> {
  const provider = isUuidLike(uuid) ? (await lockProviders(trx, [uuid])).get(withDashes(uuid)) : undefined;
  if (!provider) throw absentProvider(uuid, saying);
  return provider;
}
export const absentProvider = (uuid: string, saying: (absent: string, uuid: string) => string = absent => absent): NotFound => new NotFound(saying(`No resource provider with uuid ${uuid} found`, uuid));
/** Some say it twice. */
const twice = (blank: string) => (absent: string) => `${absent}${blank}: ${absent}`;

/** Of a list: the youngest of its members; now when nobody says, as upstream. */
export function newest(found: readonly { readonly changedAt: Date | undefined }[]): Date {
  const times = found.flatMap(f => (f.changedAt ? [f.changedAt.getTime()] : []));
  return new Date(times.length === 0 ? Date.now() : times.reduce((a, b) => Math.max(a, b)));
}
