import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuidLike, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { refuseUnknown, type Query } from '../providers/filters.ts';
import { AnyQuery, dated, newest } from '../providers/routes.ts';
import { lockProviders } from '../providers/store.ts';
import { readAs, readShape } from '../refusal.ts';
import { AllocationsToSet, id, ManyAllocationsToSet, type ToHold } from '../schemas.ts';
import { consumersOf } from './store.ts';
import { refuseServers, Replacement } from './write.ts';

const Allocations = shape('Allocations', z.looseObject({ allocations: z.record(z.string(), z.object({ generation: z.int(), resources: z.record(z.string(), z.int()) })) }));
const Usages = shape('Usages', z.object({ usages: z.record(z.string(), z.record(z.string(), z.int())) }));

export const allocationRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'allocations.show', summary: 'What a consumer holds', method: 'GET', path: '/allocations/:consumer_uuid', policy: 'placement:allocations:list', reply: Allocations,
    handler: async ctx => {
      const consumer = ctx.params['consumer_uuid'] ?? '';
      // As upstream: who holds nothing, or is nobody, has an empty set.
      const held = isUuidLike(consumer) ? await consumersOf(rt.db, { consumer }) : [];
      const [first] = held;
      return dated(ctx as Context, newest(held.map(h => ({ changedAt: h.since }))), {
        allocations: Object.fromEntries(held.map(h => [h.providerId, { generation: h.providerGeneration, resources: h.resources }])),
        ...(first ? { project_id: first.projectId, user_id: first.userId, consumer_generation: first.generation, consumer_type: first.type } : {}),
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
      const [userId, asked] = [text('user_id'), text('consumer_type')];
      for (const [name, value] of Object.entries({ project_id: projectId, user_id: userId })) if (value !== undefined && (value === '' || value.length > 255)) throw new BadRequest(`Invalid query string parameters: '${name}' is ${value === '' ? 'too short' : 'too long'}`);
      if (asked !== undefined && !/^([A-Z0-9_]{1,255}|all|unknown)$/.test(asked)) throw new BadRequest(`Invalid query string parameters: '${asked}' does not match '^[A-Z0-9_]+$|^all|^unknown$'`);
      const held = (await consumersOf(rt.db, { projectId, ...(userId === undefined ? {} : { userId }) })).filter(h => asked === undefined || asked === 'all' || h.type === asked);
      const byType = Map.groupBy(held, h => (asked === 'all' ? 'all' : h.type));
      return dated(ctx as Context, new Date(rt.clock()), {
        usages: Object.fromEntries([...byType].map(([type, of]) => {
          const total: Record<string, number> = {};
          for (const h of of) for (const [name, amount] of Object.entries(h.resources)) total[name] = (total[name] ?? 0) + amount;
          return [type, { ...total, consumer_count: new Set(of.map(h => h.consumer)).size }];
        })),
      });
    },
  }),
  operation({
    id: 'allocations.update', summary: 'What a consumer is to hold', method: 'PUT', path: '/allocations/:consumer_uuid', policy: 'placement:allocations:update', status: 204,
    handler: async ctx => {
      const consumer = ctx.params['consumer_uuid'] ?? '';
      if (!isUuidLike(consumer)) throw new BadRequest(`Malformed consumer_uuid: ${consumer}`);
      const wanted = new Map<string, ToHold>([[readAs(id, consumer), readShape(AllocationsToSet, ctx as Context)]]);
      await transaction(rt.db, async trx => (await Replacement.begin(trx, wanted, versioned(ctx as Context))).commit(`Unable to allocate inventory for consumer ${consumer}`));
      return new Reply(204);
    },
  }),
  operation({
    id: 'allocations.delete', summary: 'A consumer is to hold nothing', method: 'DELETE', path: '/allocations/:consumer_uuid', policy: 'placement:allocations:delete', status: 204,
    handler: async ctx => {
      const consumer = ctx.params['consumer_uuid'] ?? '';
      await transaction(rt.db, async trx => {
        if (isUuidLike(consumer)) await refuseServers(trx, [consumer]);
        const known = isUuidLike(consumer) ? await trx('placement_consumers').where({ id: consumer }).forUpdate().first('id') : undefined;
        if (!known) throw new NotFound(`No allocations for consumer '${consumer}'`);
        const held = await trx('placement_allocations').where({ consumer_id: consumer }).distinct('provider_id') as { provider_id: string }[];
        await lockProviders(trx, held.map(h => h.provider_id));
        await trx('placement_allocations').where({ consumer_id: consumer }).delete();
        await trx('placement_consumers').where({ id: consumer }).delete();
      });
      return new Reply(204);
    },
  }),
  operation({
    id: 'allocations.manage', summary: 'What several consumers are to hold', method: 'POST', path: '/allocations', since: '1.13', policy: 'placement:allocations:manage', status: 204,
    handler: async ctx => {
      const wanted = new Map<string, ToHold>(Object.entries(readShape(ManyAllocationsToSet, ctx as Context)));
      if (wanted.size === 0) throw new BadRequest('JSON does not validate: {} does not have enough properties');
      await transaction(rt.db, async trx => (await Replacement.begin(trx, wanted, versioned(ctx as Context))).commit());
      return new Reply(204);
    },
  }),
];

/** Whether this version says which generation of a consumer it knows. */
export const versioned = (ctx: Context): { versioned: boolean } => ({ versioned: ctx.dialect.has('generations of consumers') });
