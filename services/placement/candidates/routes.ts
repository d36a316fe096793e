import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, shape, type Dialect } from '@cumulet/wire';
import { z } from 'zod';
import { grants, refuseUnknown, wishOf, type Query } from '../providers/filters.ts';
import { AnyQuery, dated } from '../providers/routes.ts';
import { capacityOf, CLASSES, hasRoom, listProviders, type Amounts, type Provider, type ResourceClass } from '../providers/store.ts';

const Candidate = shape('Candidate', z.looseObject({ allocations: z.record(z.string(), z.object({ resources: z.record(z.string(), z.int()) })), mappings: z.record(z.string(), z.array(z.string())).optional() }));
const Summary = shape('Summary', z.looseObject({ resources: z.record(z.string(), z.object({ capacity: z.int(), used: z.int() })) }));
const Candidates = shape('Candidates', z.object({ allocation_requests: z.array(Candidate.newest), provider_summaries: z.array(Summary.newest) }), { allocation_requests: Candidate, provider_summaries: Summary });

/** Parameters and the trait of the version that knows them. */
const GROUPED: Readonly<Record<string, string | undefined>> = { resources: '', required: 'required of candidates', member_of: 'member_of of candidates', in_tree: 'in_tree of candidates' };
const SINGLE: Readonly<Record<string, string | undefined>> = { limit: 'limit of candidates', group_policy: 'granular', root_required: 'root_required', same_subtree: 'same_subtree' };

/** Suffixes of the groups in a query: '' for the one without a number, '1' or '_NET' for granular ones. */
function groupsOf(query: Query, dialect: Dialect): string[] {
  const suffix = !dialect.has('granular') ? '' : dialect.has('string suffixes') ? '[a-zA-Z0-9_-]{1,64}|' : '[1-9][0-9]*|';
  const pattern = new RegExp(`^(resources|required|member_of|in_tree)(${suffix})$`);
  const spoken = (since: string | undefined) => since === '' || (since !== undefined && dialect.has(since));
  const found = new Set<string>();
  refuseUnknown(query, name => {
    const [, kind = '', group] = pattern.exec(name) ?? [];
    if (group === undefined || !spoken(GROUPED[kind])) return spoken(SINGLE[name]);
    found.add(group);
    return true;
  });
  return [...found].sort();
}

export const candidateRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'allocation_candidates.list', summary: 'Where resources may be placed', method: 'GET', path: '/allocation_candidates', since: '1.10', policy: 'placement:allocation_candidates:list', query: AnyQuery, reply: Candidates,
    handler: async ctx => {
      const query = ctx.query as Query;
      const suffixes = groupsOf(query, ctx.dialect);
      const wishes = suffixes.map(suffix => ({ suffix, wish: wishOf(query, suffix, ctx.dialect) }));
      if (!wishes.some(({ wish }) => Object.keys(wish.resources).length > 0)) throw ctx.dialect.has('same_subtree') ? new BadRequest('There must be at least one resources or resources[$S] parameter.', { kind: 'placement.query.missing_value' }) : new BadRequest('All request groups must specify resources.');
      for (const { suffix, wish } of wishes) if (Object.keys(wish.resources).length === 0 && !ctx.dialect.has('same_subtree')) throw new BadRequest(`All traits specified in the required${suffix} parameter need resources${suffix}.`);
      const granular = wishes.filter(w => w.suffix !== '').length;
      const policy = query['group_policy'];
      if (policy !== undefined && policy !== 'none' && policy !== 'isolate') throw new BadRequest(`Invalid query string parameters: '${String(policy)}' is not one of ['none', 'isolate']`);
      if (granular > 1 && policy === undefined) throw new BadRequest('The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.');
      const limit = limitOf(query['limit']);
      const root = wishOf({ required: query['root_required'] ?? [] }, '', ctx.dialect);
      // All of a request: providers here are trees of one, so every group is met by the same one, or the tree by none.
      const all: Amounts = {};
      for (const { wish } of wishes) for (const [name, amount] of Object.entries(wish.resources) as [ResourceClass, number][]) all[name] = (all[name] ?? 0) + amount;
      const isolated = policy === 'isolate' && granular > 1;
      const found = isolated ? [] : (await listProviders(rt.db)).filter(p => hasRoom(p, all) && wishes.every(({ wish }) => grants(p, wish)) && grants(p, root)).slice(0, limit);
      return dated(ctx as Context, new Date(rt.clock()), {
        allocation_requests: found.map(p => ({ allocations: { [p.uuid]: { resources: all } }, mappings: Object.fromEntries(suffixes.map(s => [s, [p.uuid]])) })),
        provider_summaries: Object.fromEntries(found.map(p => [p.uuid, ctx.dialect.reply(Summary, summary(p, ctx.dialect.has('all classes') ? CLASSES : Object.keys(all) as ResourceClass[]))])),
      });
    },
  }),
];

function summary(p: Provider, classes: readonly ResourceClass[]): object {
  const resources = classes.flatMap(name => {
    const inventory = p.inventories[name];
    return inventory ? [[name, { capacity: capacityOf(inventory), used: p.used[name] }]] : [];
  });
  return { resources: Object.fromEntries(resources), traits: p.traits, parent_provider_uuid: null, root_provider_uuid: p.uuid };
}

function limitOf(given: string | string[] | undefined): number | undefined {
  if (given === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(String(given))) throw new BadRequest(`Invalid query string parameters: '${String(given)}' does not match '^[1-9][0-9]*$'`);
  return Number(given);
}
