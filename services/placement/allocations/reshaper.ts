import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest } from '@cumulet/wire';
import { z } from 'zod';
import { unknownClass } from '../catalog/store.ts';
import { replaceInventories } from '../providers/inventories.ts';
import { grow, listProviders } from '../providers/store.ts';
import { concurrent, read } from '../refusal.ts';
import { id, inventories, ManyAllocationsToSet, some, type ToHold } from '../schemas.ts';
import { versioned } from './routes.ts';
import { Replacement } from './write.ts';

/** Inventories and what is held of them, moved from provider to provider in one step. */
export const reshaperRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'reshaper.reshape', summary: 'Change inventories and allocations at once', method: 'POST', path: '/reshaper', since: '1.30', policy: 'placement:reshaper:reshape', status: 204,
    handler: async ctx => {
      const b = read(z.strictObject({
        inventories: some(z.record(id, inventories)), allocations: ctx.dialect.request(ManyAllocationsToSet),
      }), ctx as Context);
      const wanted = new Map<string, ToHold>(Object.entries(b.allocations));
      const changing = Object.keys(b.inventories);
      const known = new Set((await listProviders(rt.db, { ids: changing })).map(p => p.uuid));
      const absent = changing.find(uuid => !known.has(uuid));
      if (absent !== undefined) throw new BadRequest(`Resource provider ${absent} in inventories not found: No resource provider with uuid ${absent} found`, { kind: 'placement.resource_provider.not_found' });
      await transaction(rt.db, async trx => {
        const replacement = await Replacement.begin(trx, wanted, { ...versioned(ctx as Context), more: changing });
        const providers = await replacement.providers();
        const missing = await unknownClass(trx, Object.values(b.inventories).flatMap(i => Object.keys(i.inventories)), 'held');
        if (missing !== undefined) throw new BadRequest(`malformed reshaper data: No such resource class ${missing}.`);
        for (const [uuid, given] of Object.entries(b.inventories)) {
          const p = providers.get(uuid);
          if (p?.generation !== given.resource_provider_generation) throw concurrent(`resource provider generation conflict for provider ${uuid}: actual: ${p?.generation}, given: ${given.resource_provider_generation}`);
          await replaceInventories(trx, p, given.inventories);
          // As upstream's reshaper, which sets the inventories before and after the allocations, where there are any.
          await grow(trx, uuid, Object.keys(given.inventories).length > 0 ? 2 : 1);
        }
        await replacement.commit();
      });
      return new Reply(204);
    },
  }),
];
