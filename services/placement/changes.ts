import { Versions, without, type Change } from '@cumulet/wire';

type Members = Record<string, unknown>;

/** How each microversion of placement differs from the one before; what only adds a path is `since` of its operation. */
const changes: Change[] = [
  { at: '1.3', why: 'Allow filtering resource providers by member_of.', trait: 'member_of' },
  { at: '1.4', why: 'Allow filtering resource providers by requested resources.', trait: 'resources' },
  { at: '1.7', why: 'A resource class is made by its name.', trait: 'classes by name' },
  { at: '1.5', why: 'All inventories of a resource provider may be deleted at once.', trait: 'no inventories' },
  { at: '1.11', why: 'Include a link to allocations in the links of a resource provider.', shape: 'Provider', down: links('allocations') },
  { at: '1.6', why: 'Add traits and their link.', shape: 'Provider', down: links('traits') },
  { at: '1.1', why: 'Add aggregates of resource providers and their link.', shape: 'Provider', down: links('aggregates') },
  { at: '1.12', why: 'Allocations of a candidate are an object by resource provider.', shape: 'Candidate', down: asList },
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
  { at: '1.21', why: 'Ask for aggregates of allocation candidates.', trait: 'member_of of candidates' },
  { at: '1.22', why: 'Traits may be forbidden.', trait: 'forbidden traits' },
  { at: '1.24', why: 'member_of may be repeated.', trait: 'repeated member_of' },
  { at: '1.25', why: 'Granular groups of resources in allocation candidates.', trait: 'granular' },
  { at: '1.27', why: 'Summaries of allocation candidates include all resource classes.', trait: 'all classes' },
  { at: '1.28', why: 'Show the generation of a consumer.', shape: 'Allocations', down: without('consumer_generation') },
  { at: '1.29', why: 'Summaries show the parent and root of a resource provider.', shape: 'Summary', down: without('parent_provider_uuid', 'root_provider_uuid') },
  { at: '1.31', why: 'Ask for a tree of allocation candidates.', trait: 'in_tree of candidates' },
  { at: '1.32', why: 'Aggregates may be forbidden.', trait: 'forbidden aggregates' },
  { at: '1.33', why: 'Suffixes of groups may be strings.', trait: 'string suffixes' },
  { at: '1.34', why: 'Show which provider satisfies which group.', shape: 'Candidate', down: without('mappings') },
  { at: '1.35', why: 'Ask for traits of the root of a tree.', trait: 'root_required' },
  { at: '1.36', why: 'Ask for groups in the same subtree.', trait: 'same_subtree' },
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
