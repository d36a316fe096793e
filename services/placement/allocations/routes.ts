import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuidLike, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { AnyQuery, dated } from '../providers/routes.ts';
import { refuseUnknown, type Query } from '../providers/filters.ts';
import { listProviders } from '../providers/store.ts';
import { read, refuse } from '../refusal.ts';
import { consumersOf } from './store.ts';

const Allocations = shape('Allocations', z.looseObject({ allocations: z.record(z.string(), z.object({ generation: z.int(), resources: z.record(z.string(), z.int()) })) }));
const Usages = shape('Usages', z.object({ usages: z.record(z.string(), z.record(z.string(), z.int())) }));
/** Nova names no type for its servers, and placement calls that so. */
const TYPE = 'unknown';

export const allocationRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'allocations.show', summary: 'What a consumer holds', method: 'GET', path: '/allocations/:consumer_uuid', policy: 'placement:allocations:list', reply: Allocations,
    handler: async ctx => {
      const consumer = ctx.params['consumer_uuid'] ?? '';
      // As upstream: who holds nothing, or is nobody, has an empty set.
      const held = isUuidLike(consumer) ? await consumersOf(rt.db, { consumer }) : [];
      const [first] = held;
      return dated(ctx as Context, new Date(rt.clock()), {
        allocations: Object.fromEntries(held.map(h => [h.providerId, { generation: h.providerGeneration, resources: h.resources }])),
        ...(first ? { project_id: first.projectId, user_id: first.userId, consumer_generation: first.generation, consumer_type: TYPE } : {}),
      });
    },
  }),
  operation({
    id: 'usages.show', summary: 'What a project or user has placed', method: 'GET', path: '/usages', since: '1.9', policy: 'placement:usages', permit: 'object', query: AnyQuery, reply: Usages,
    handler: async ctx => {
      const query = ctx.query as Query;
      const types = ctx.dialect.has('consumer types');
      refuseUnknown(query, name => name === 'project_id' || name === 'user_id' || (types && name === 'consumer_type'));
      const text = (name: string) => (query[name] === undefined ? undefined : [query[name]].flat().at(-1));
      const projectId = text('project_id');
      if (projectId === undefined) throw new BadRequest("Invalid query string parameters: 'project_id' is a required property");
      ctx.permit({ project_id: projectId });
      const userId = text('user_id');
      const held = await consumersOf(rt.db, { projectId, ...(userId === undefined ? {} : { userId }) });
      const asked = text('consumer_type');
      const total: Record<string, number> = {};
      for (const h of held) for (const [name, amount] of Object.entries(h.resources)) total[name] = (total[name] ?? 0) + amount;
      const none = held.length === 0 || (asked !== undefined && asked !== TYPE && asked !== 'all');
      return dated(ctx as Context, new Date(rt.clock()), { usages: none ? {} : { [asked === 'all' ? 'all' : TYPE]: { ...total, consumer_count: new Set(held.map(h => h.consumer)).size } } });
    },
  }),
  refuse('allocations.update', 'PUT', '/allocations/:consumer_uuid', 'placement:allocations:update', { look: async ctx => {
    const consumer = ctx.params['consumer_uuid'] ?? '';
    if (!isUuidLike(consumer)) throw new BadRequest(`Malformed consumer_uuid: ${consumer}`);
    const { allocations } = read(anyAllocations, ctx);
    await knownProviders(rt, Array.isArray(allocations) ? allocations.map(a => a.resource_provider.uuid) : Object.keys(allocations));
  } }),
  refuse('allocations.delete', 'DELETE', '/allocations/:consumer_uuid', 'placement:allocations:delete', { look: async ctx => {
    const consumer = ctx.params['consumer_uuid'] ?? '';
    if (!isUuidLike(consumer) || (await consumersOf(rt.db, { consumer })).length === 0) throw new NotFound(`No allocations for consumer '${consumer}'`);
  } }),
  refuse('allocations.manage', 'POST', '/allocations', 'placement:allocations:manage', { since: '1.13', look: async ctx => {
    await knownProviders(rt, Object.values(read(managed, ctx)).flatMap(({ allocations }) => Object.keys(allocations)));
  } }),
  refuse('reshaper.reshape', 'POST', '/reshaper', 'placement:reshaper:reshape', { since: '1.30' }),
];

const resources = z.looseObject({ resources: z.record(z.string(), z.int().min(1)) });
const byProvider = z.record(z.uuid(), resources);
/** A list until 1.11, an object by provider since. */
const anyAllocations = z.looseObject({ allocations: z.union([byProvider, z.array(resources.extend({ resource_provider: z.object({ uuid: z.uuid() }) })).min(1)]) });
const managed = z.record(z.uuid(), z.looseObject({ allocations: byProvider }));

async function knownProviders(rt: Runtime, ids: readonly string[]): Promise<void> {
  const known = new Set((await listProviders(rt.db)).map(p => p.uuid));
  const unknown = ids.find(id => !known.has(id.toLowerCase()));
  if (unknown !== undefined) throw new BadRequest(`Allocation for resource provider '${unknown}' that does not exist.`);
}
