import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, python, shape, type Dialect } from '@cumulet/wire';
import { z } from 'zod';
import { knownNames } from '../catalog/known.ts';
import { refuseUnknown, wishOf, type Query, type Wish } from '../providers/filters.ts';
import { AnyQuery, dated } from '../providers/routes.ts';
import { capacityOf, listProviders } from '../providers/store.ts';
import { search, type Asked } from './search.ts';

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
  }, dialect.has('granular') ? pattern.source : undefined);
  return [...found].sort();
}

export const candidateRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'allocation_candidates.list', summary: 'Where resources may be placed', method: 'GET', path: '/allocation_candidates', since: '1.10', policy: 'placement:allocation_candidates:list', query: AnyQuery, reply: Candidates,
    handler: async ctx => {
      const query = ctx.query as Query;
      const asked = askedOf(query, ctx.dialect);
      await knownNames(rt.db, [...asked.groups.map(g => g.wish), { ...asked.root, resources: {}, memberOf: [], notMemberOf: [], inTree: undefined }], '');
      const { candidates, concerned } = search(await listProviders(rt.db), asked);
      const named = new Set(asked.groups.flatMap(g => Object.keys(g.wish.resources)));
      const tells = (name: string) => ctx.dialect.has('all classes') || named.has(name);
      return dated(ctx as Context, new Date(rt.clock()), {
        allocation_requests: candidates.map(c => ({ allocations: Object.fromEntries([...c.takes].map(([id, resources]) => [id, { resources }])), mappings: c.mappings })),
        provider_summaries: Object.fromEntries(concerned.map(p => [p.uuid, ctx.dialect.reply(Summary, {
          resources: Object.fromEntries(Object.entries(p.inventories).filter(([name]) => tells(name)).map(([name, i]) => [name, { capacity: capacityOf(i), used: p.used[name] ?? 0 }])), traits: p.traits, parent_provider_uuid: p.parent, root_provider_uuid: p.root,
        })])),
      });
    },
  }),
];

/** @throws 400 of what cannot be asked */
function askedOf(query: Query, dialect: Dialect): Asked {
  const groups = groupsOf(query, dialect).map(suffix => ({ suffix, wish: wishOf(query, suffix, dialect) }));
  const subtrees = [query['same_subtree'] ?? []].flat().map(text => subtreeOf(text));
  const bare = groups.filter(g => Object.keys(g.wish.resources).length === 0);
  const keys = (name: string, which: (w: Wish) => boolean) => bare.filter(g => which(g.wish)).map(g => `${name}${g.suffix}`).join(', ');
  if (dialect.has('same_subtree')) {
    if (bare.length === groups.length) throw new BadRequest('There must be at least one resources or resources[$S] parameter.', { kind: 'placement.query.missing_value' });
    const bad = (said: string) => new BadRequest(said, { kind: 'placement.query.bad_value' });
    const loose = bare.filter(g => !subtrees.some(s => s.includes(g.suffix))).map(g => g.suffix);
    if (loose.length > 0) throw bad(`Resourceless suffixed group request should be specified in \`same_subtree\` query param: bad group(s) - ${python(loose)}.`);
    const absent = subtrees.flat().filter(s => !groups.some(g => g.suffix === s));
    if (absent.length > 0) throw bad(`Real suffixes should be specified in \`same_subtree\`: ${python(absent)} not found in ${python(groups.map(g => g.suffix))}.`);
  } else {
    if (!dialect.has('granular') && query['resources'] === undefined) throw new BadRequest("Invalid query string parameters: 'resources' is a required property");
    const [traits, aggregates] = [keys('required', w => w.required.length > 0), keys('member_of', w => w.memberOf.length > 0 || w.notMemberOf.length > 0)];
    if (traits !== '') throw new BadRequest(`All traits parameters must be associated with resources.  Found the following orphaned traits keys: ${traits}`);
    if (aggregates !== '') throw new BadRequest(`All member_of parameters must be associated with resources. Found the following orphaned member_of keys: ${aggregates}`);
    if (bare.length > 0) throw new BadRequest('All request groups must specify resources.');
    if (groups.length === 0) throw new BadRequest('At least one request group (`resources` or `resources{$S}`) is required.');
  }
  const torn = groups.flatMap(g => g.wish.required.filter(any => any.every(t => g.wish.forbidden.includes(t))).map(any => `required${g.suffix}: (${any.toSorted().join(', ')})`));
  if (torn.length > 0) throw new BadRequest(`Conflicting required and forbidden traits found in the following traits keys: ${torn.toSorted().join(', ')}`);
  const policy = [query['group_policy']].flat()[0];
  if (policy !== undefined && policy !== 'none' && policy !== 'isolate') throw new BadRequest(`Invalid query string parameters: '${policy}' is not one of ['none', 'isolate']`);
  if (groups.filter(g => g.suffix !== '').length > 1 && policy === undefined) throw new BadRequest('The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.');
  return { groups, isolated: policy === 'isolate', root: rootOf(query['root_required'], dialect), subtrees, nested: dialect.has('nested candidates'), limit: limitOf([query['limit']].flat()[0]) };
}

function subtreeOf(text: string): string[] {
  const suffixes = text.split(',').map(s => s.trim());
  if (suffixes.includes('')) throw new BadRequest(`Empty string (unsuffixed group) can not be specified in \`same_subtree\` `, { kind: 'placement.query.bad_value' });
  return suffixes;
}

/** Once, and no choice of traits. */
function rootOf(given: string | string[] | undefined, dialect: Dialect): Asked['root'] {
  if (given === undefined) return { required: [], forbidden: [] };
  if (Array.isArray(given)) throw new BadRequest(`Query parameter 'root_required' may be specified only once.`, { kind: 'placement.query.duplicate_key' });
  if (given.startsWith('in:')) throw new BadRequest(`Invalid query string parameters: The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' is not supported by root_required. Got: ${given}`);
  const { required, forbidden } = wishOf({ required: given }, '', dialect);
  const torn = required.flat().filter(t => forbidden.includes(t));
  if (torn.length > 0) throw new BadRequest(`Conflicting required and forbidden traits found in root_required: ${torn.toSorted().join(', ')}`, { kind: 'placement.query.bad_value' });
  return { required, forbidden };
}

function limitOf(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(given)) throw new BadRequest(`Invalid query string parameters: '${given}' does not match '^[1-9][0-9]*$'`);
  return Number(given);
}
