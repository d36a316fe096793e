import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, uuid } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import { unknownTraits } from '../catalog/store.ts';
import { concurrent, read } from '../refusal.ts';
import { generation } from '../schemas.ts';
import { Aggregates, dated, findProvider, lockedProvider } from './routes.ts';
import { grow, listProviders, type Provider } from './store.ts';

const distinct = <T extends z.ZodType>(of: T) => z.array(of).refine(list => new Set(list).size === list.length, 'has non-unique elements');
const aggregates = distinct(uuid);
const traits = z.strictObject({ resource_provider_generation: generation, traits: z.array(z.string().min(1).max(255)) });
const stale = "Resource provider's generation already changed. Please update the generation and try again.";

/**
 * What a provider is said to be (traits) and to belong to (aggregates). What a host says of itself, and the aggregates of compute that it is in, are there whatever is
 * written: nova would put its own back at its next report.
 */
export function markWrites(rt: Runtime): Operation[] {
  const set = async (ctx: Context, given: number | undefined, work: (trx: Knex.Transaction, p: Provider) => Promise<void>, grows = true): Promise<Provider> => transaction(rt.db, async trx => {
    const p = await lockedProvider(trx, ctx.params['uuid'] ?? '');
    if (given !== undefined && p.generation !== given) throw concurrent(stale);
    await work(trx, p);
    if (grows) await grow(trx, p.uuid);
    return (await listProviders(trx, { ids: [p.uuid] }))[0] as Provider;
  });
  const setTraits = async (trx: Knex.Transaction, p: Provider, names: readonly string[]) => {
    await trx('placement_provider_traits').where({ provider_id: p.uuid }).delete();
    const [itself] = await listProviders(trx, { ids: [p.uuid] });
    const rows = [...new Set(names)].filter(t => !itself?.traits.includes(t)).map(trait => ({ provider_id: p.uuid, trait }));
    if (rows.length > 0) await trx('placement_provider_traits').insert(rows);
  };

  return [
    operation({
      id: 'aggregates.update', summary: 'Say which aggregates a provider is in', method: 'PUT', path: '/resource_providers/:uuid/aggregates', since: '1.1', policy: 'placement:resource_providers:aggregates:update', reply: Aggregates,
      handler: async ctx => {
        await findProvider(rt, ctx.params['uuid'] ?? '');
        const versioned = ctx.dialect.has('generation of aggregates');
        const b = versioned ? read(z.strictObject({ resource_provider_generation: generation, aggregates }), ctx as Context) : { aggregates: read(aggregates, ctx as Context), resource_provider_generation: undefined };
        const p = await set(ctx as Context, b.resource_provider_generation, async (trx, was) => {
          await trx('placement_provider_aggregates').where({ provider_id: was.uuid }).delete();
          const [itself] = await listProviders(trx, { ids: [was.uuid] });
          const rows = b.aggregates.filter(a => !itself?.aggregates.includes(a)).map(aggregate_id => ({ provider_id: was.uuid, aggregate_id }));
          if (rows.length > 0) await trx('placement_provider_aggregates').insert(rows);
        }, versioned);
        return dated(ctx as Context, new Date(rt.clock()), { aggregates: [...new Set([...b.aggregates, ...p.aggregates])], resource_provider_generation: p.generation });
      },
    }),
    operation({
      id: 'traits.replace', summary: 'Say which traits a provider has', method: 'PUT', path: '/resource_providers/:uuid/traits', since: '1.6', policy: 'placement:resource_providers:traits:update',
      handler: async ctx => {
        const b = read(traits, ctx as Context);
        const p = await set(ctx as Context, b.resource_provider_generation, async (trx, was) => {
          const unknown = await unknownTraits(trx, b.traits, 'held');
          if (unknown.length > 0) throw new BadRequest(`No such trait ${unknown.join(', ')}`);
          await setTraits(trx, was, b.traits);
        });
        return dated(ctx as Context, p.changedAt, { traits: p.traits, resource_provider_generation: p.generation });
      },
    }),
    operation({
      id: 'traits.clear', summary: 'Take the traits of a provider', method: 'DELETE', path: '/resource_providers/:uuid/traits', since: '1.6', policy: 'placement:resource_providers:traits:delete', status: 204,
      handler: async ctx => { await set(ctx as Context, undefined, (trx, p) => setTraits(trx, p, [])); return new Reply(204); },
    }),
  ];
}
