import { Versions, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import { amounts, id, some } from './schemas.ts';

type Members = Record<string, unknown>;

/** How each microversion of placement differs from the one before; what only adds a path is `since` of its operation. */
const changes: Change[] = [
  { at: '1.3', why: 'Allow filtering resource providers by member_of.', trait: 'member_of' },
  { at: '1.4', why: 'Allow filtering resource providers by requested resources.', trait: 'resources' },
  { at: '1.7', why: 'A resource class is made by its name.', trait: 'classes by name' },
  { at: '1.5', why: 'All inventories of a resource provider may be deleted at once.', trait: 'no inventories' },
  { at: '1.8', why: 'Allocations name a project and a user.', shape: 'AllocationsToSet', was: newer => (newer as z.ZodObject).omit({ project_id: true, user_id: true }) },
  { at: '1.11', why: 'Include a link to allocations in the links of a resource provider.', shape: 'Provider', down: links('allocations') },
  { at: '1.6', why: 'Add traits and their link.', shape: 'Provider', down: links('traits') },
  { at: '1.1', why: 'Add aggregates of resource providers and their link.', shape: 'Provider', down: links('aggregates') },
  { at: '1.12', why: 'Allocations of a candidate are an object by resource provider.', shape: 'Candidate', down: asList },
  { at: '1.12', why: 'Allocations are set by resource provider.', shape: 'AllocationsToSet', was: listed, up: byProvider },
  { at: '1.12', why: 'Include project_id and user_id in the allocations of a consumer.', shape: 'Allocations', down: without('project_id', 'user_id') },
  { at: '1.14', why: 'Show the parent and root of a resource provider.', shape: 'Provider', down: without('parent_provider_uuid', 'root_provider_uuid') },
  { at: '1.14', why: 'Allow filtering resource providers by in_tree.', trait: 'in_tree' },
  { at: '1.15', why: 'Include Last-Modified and Cache-Control headers.', trait: 'dates in headers' },
  { at: '1.16', why: 'Limit the number of allocation candidates.', trait: 'limit of candidates' },
  { at: '1.17', why: 'Ask for traits of allocation candidates, and show them.', trait: 'required of candidates' },
  { at: '1.17', why: 'Ask for traits of allocation candidates, and show them.', shape: 'Summary', down: without('traits') },
  { at: '1.18', why: 'Allow filtering resource providers by required traits.', trait: 'required' },
  { at: '1.19', why: 'The aggregates of a resource provider are set with its generation.', trait: 'generation of aggregates' },
  { at: '1.19', why: 'Include the generation in the aggregates of a resource provider.', shape: 'Aggregates', down: without('resource_provider_generation') },
  { at: '1.20', why: 'Show a resource provider that is made.', trait: 'new providers are shown' },
  { at: '1.21', why: 'Ask for aggregates of allocation candidates.', trait: 'member_of of candidates' },
  { at: '1.22', why: 'Traits may be forbidden.', trait: 'forbidden traits' },
  { at: '1.24', why: 'member_of may be repeated.', trait: 'repeated member_of' },
  { at: '1.25', why: 'Granular groups of resources in allocation candidates.', trait: 'granular' },
  { at: '1.26', why: 'All of an inventory may be reserved.', trait: 'all may be reserved' },
  { at: '1.27', why: 'Summaries of allocation candidates include all resource classes.', trait: 'all classes' },
  { at: '1.28', why: 'Show the generation of a consumer.', shape: 'Allocations', down: without('consumer_generation') },
  { at: '1.28', why: 'Show the generation of a consumer.', shape: 'Holders', down: withoutGenerations },
  { at: '1.28', why: 'Allocations are set with the generation of their consumer, and may be none.', trait: 'generations of consumers' },
  { at: '1.28', why: 'Allocations are set with the generation of their consumer, and may be none.', shape: 'AllocationsToSet', was: newer => filled((newer as z.ZodObject).omit({ consumer_generation: true })) },
  { at: '1.28', why: 'Allocations are set with the generation of their consumer.', shape: 'ManyAllocationsToSet', was: newer => each(newer, one => one.omit({ consumer_generation: true })) },
  { at: '1.29', why: 'Candidates may take from several providers of a tree.', trait: 'nested candidates' },
  { at: '1.29', why: 'Summaries show the parent and root of a resource provider.', shape: 'Summary', down: without('parent_provider_uuid', 'root_provider_uuid') },
  { at: '1.31', why: 'Ask for a tree of allocation candidates.', trait: 'in_tree of candidates' },
  { at: '1.32', why: 'Aggregates may be forbidden.', trait: 'forbidden aggregates' },
  { at: '1.33', why: 'Suffixes of groups may be strings.', trait: 'string suffixes' },
  { at: '1.34', why: 'Show which provider satisfies which group.', shape: 'Candidate', down: without('mappings') },
  { at: '1.34', why: 'Allocations may say which provider satisfies which group.', shape: 'AllocationsToSet', was: newer => (newer as z.ZodObject).omit({ mappings: true }) },
  { at: '1.34', why: 'Allocations may say which provider satisfies which group.', shape: 'ManyAllocationsToSet', was: newer => each(newer, one => one.omit({ mappings: true })) },
  { at: '1.35', why: 'Ask for traits of the root of a tree.', trait: 'root_required' },
  { at: '1.36', why: 'Ask for groups in the same subtree.', trait: 'same_subtree' },
  { at: '1.37', why: 'Providers may get another parent, or none.', trait: 'providers move' },
  { at: '1.38', why: 'Consumers have a type.', shape: 'AllocationsToSet', was: newer => (newer as z.ZodObject).omit({ consumer_type: true }) },
  { at: '1.38', why: 'Consumers have a type.', shape: 'ManyAllocationsToSet', was: newer => each(newer, one => one.omit({ consumer_type: true })) },
  { at: '1.38', why: 'Show the type of a consumer, and group usages by it.', shape: 'Allocations', down: without('consumer_type') },
  { at: '1.38', why: 'Show the type of a consumer, and group usages by it.', shape: 'Usages', down: ungrouped },
  { at: '1.38', why: 'Show the type of a consumer, and group usages by it.', trait: 'consumer types' },
  { at: '1.39', why: 'One of several traits may be required.', trait: 'any of traits' },
];

export const versions = new Versions('1.0', '1.39', changes);

function links(...rels: string[]): (provider: Members) => unknown {
  return provider => {
    provider['links'] = (provider['links'] as { rel: string }[]).filter(l => !rels.includes(l.rel));
    return provider;
  };
}

/** The same change of the body of every consumer. */
function each(newer: z.ZodType, was: (one: z.ZodObject) => z.ZodType): z.ZodType {
  const record = newer as z.ZodRecord<z.ZodString>;
  return z.record(record.keyType, was(record.valueType as unknown as z.ZodObject));
}
function filled(newer: z.ZodObject): z.ZodObject {
  return newer.extend({ allocations: some(newer.shape['allocations'] as z.ZodType<object>) });
}
function listed(newer: z.ZodType): z.ZodType {
  return (newer as z.ZodObject).extend({ allocations: z.array(z.strictObject({ resource_provider: z.strictObject({ uuid: id }), resources: amounts })).min(1) });
}
function byProvider(older: { allocations: { resource_provider: { uuid: string }; resources: object }[] }): unknown {
  return { ...older, allocations: Object.fromEntries(older.allocations.map(a => [a.resource_provider.uuid, { resources: a.resources }])) };
}
function withoutGenerations(holders: Members): unknown {
  for (const of of Object.values(holders['allocations'] as Record<string, Members>)) delete of['consumer_generation'];
  return holders;
}

function asList(candidate: Members): unknown {
  const byProvider = candidate['allocations'] as Record<string, { resources: unknown }>;
  candidate['allocations'] = Object.entries(byProvider).map(([uuid, { resources }]) => ({ resource_provider: { uuid }, resources }));
  return candidate;
}

function ungrouped(reply: Members): unknown {
  const total: Record<string, number> = {};
  for (const of of Object.values(reply['usages'] as Record<string, Record<string, number>>)) {
    for (const [name, amount] of Object.entries(of)) if (name !== 'consumer_count') total[name] = (total[name] ?? 0) + amount;
  }
  reply['usages'] = total;
  return reply;
}
