import type { Context, Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, MethodNotAllowed, NotFound } from '@cumulet/wire';
import { z } from 'zod';
import { read, refuse } from '../refusal.ts';
import { findProvider } from './routes.ts';
import { listProviders, STANDARD_CLASSES, type Provider, type ResourceClass } from './store.ts';

const name = z.string().max(200);
const parent = { parent_provider_uuid: z.uuid().nullable().optional() };
const providerToMake = z.strictObject({ name, uuid: z.uuid().optional() });
const count = z.int().max(2_147_483_647);
const inventory = { total: count.min(1), reserved: count.min(0).optional(), min_unit: count.min(1).optional(), max_unit: count.min(1).optional(), step_size: count.min(1).optional(), allocation_ratio: z.number().optional() };
const generation = { resource_provider_generation: z.int() };
const className = z.string().max(255).regex(/^[A-Z0-9_]+$/);
const inventories = z.strictObject({ ...generation, inventories: z.record(className, z.strictObject(inventory)) });
const aggregates = z.array(z.uuid());
const traits = z.strictObject({ ...generation, traits: z.array(z.string().min(1).max(255)) });

const concurrent = (message: string) => new Conflict(message, { kind: 'placement.concurrent_update' });
const stale = "Resource provider's generation already changed. Please update the generation and try again.";
function checkGeneration(provider: Provider, given: number, message: string): void {
  if (provider.generation !== given) throw concurrent(message);
}
function checkClasses(provider: Provider, names: readonly string[]): void {
  const unknown = names.find(n => !STANDARD_CLASSES.includes(n));
  if (unknown !== undefined) throw new BadRequest(`Unknown resource class in inventory for resource provider ${provider.uuid}: No such resource class ${unknown}.`);
}

/** What others would write here, and why not. */
export function providerWrites(rt: Runtime): Operation[] {
  const find = (ctx: Context) => findProvider(rt, ctx.params['uuid'] ?? '');
  return [
    refuse('resource_providers.create', 'POST', '/resource_providers', 'placement:resource_providers:create', { look: async ctx => {
      const b = read(ctx.dialect.has('in_tree') ? providerToMake.extend(parent) : providerToMake, ctx);
      const all = await listProviders(rt.db);
      const same = [...(all.some(p => p.uuid === b.uuid) ? [`uuid: ${b.uuid}`] : []), ...(all.some(p => p.name === b.name) ? [`name: ${b.name}`] : [])];
      if (same.length > 0) throw new Conflict(`Conflicting resource provider ${same.join(', ')} already exists.`, { kind: 'placement.duplicate_name' });
    } }),
    refuse('resource_providers.update', 'PUT', '/resource_providers/:uuid', 'placement:resource_providers:update', { look: async ctx => {
      await find(ctx);
      read(ctx.dialect.has('in_tree') ? z.strictObject({ name, ...parent }) : z.strictObject({ name }), ctx);
    } }),
    refuse('resource_providers.delete', 'DELETE', '/resource_providers/:uuid', 'placement:resource_providers:delete', { look: async ctx => {
      const p = await findProvider(rt, ctx.params['uuid'] ?? '', absent => `${absent} for delete`);
      if (Object.values(p.used).some(n => n > 0)) throw new Conflict(`Unable to delete resource provider ${p.uuid}: Resource provider has allocations.`, { kind: 'placement.resource_provider.inuse' });
    } }),
    refuse('inventories.create', 'POST', '/resource_providers/:uuid/inventories', 'placement:resource_providers:inventories:create', { look: async ctx => {
      const p = await find(ctx);
      checkClasses(p, [read(z.strictObject({ ...inventory, resource_class: className, resource_provider_generation: z.int().optional() }), ctx).resource_class]);
    } }),
    refuse('inventories.replace', 'PUT', '/resource_providers/:uuid/inventories', 'placement:resource_providers:inventories:update', { look: async ctx => {
      const p = await find(ctx);
      const b = read(inventories, ctx);
      checkGeneration(p, b.resource_provider_generation, 'resource provider generation conflict');
      checkClasses(p, Object.keys(b.inventories));
    } }),
    refuse('inventories.delete', 'DELETE', '/resource_providers/:uuid/inventories', 'placement:resource_providers:inventories:delete', { look: ctx => {
      if (!ctx.dialect.has('no inventories')) throw new MethodNotAllowed('The method specified is not allowed for this resource.');
      return find(ctx);
    } }),
    refuse('inventory.update', 'PUT', '/resource_providers/:uuid/inventories/:resource_class', 'placement:resource_providers:inventories:update', { look: async ctx => {
      const p = await find(ctx);
      checkGeneration(p, read(z.strictObject({ ...inventory, ...generation }), ctx).resource_provider_generation, 'resource provider generation conflict');
    } }),
    refuse('inventory.delete', 'DELETE', '/resource_providers/:uuid/inventories/:resource_class', 'placement:resource_providers:inventories:delete', { look: async ctx => {
      const p = await find(ctx);
      const name = ctx.params['resource_class'] ?? '';
      if (!p.inventories[name as ResourceClass]) throw new NotFound(`No inventory of class ${name} found for delete: No inventory of class ${name} found.`);
    } }),
    refuse('aggregates.update', 'PUT', '/resource_providers/:uuid/aggregates', 'placement:resource_providers:aggregates:update', { since: '1.1', look: async ctx => {
      const p = await find(ctx);
      if (ctx.dialect.has('generation of aggregates')) checkGeneration(p, read(z.strictObject({ ...generation, aggregates }), ctx).resource_provider_generation, stale);
      else read(aggregates, ctx);
    } }),
    refuse('traits.replace', 'PUT', '/resource_providers/:uuid/traits', 'placement:resource_providers:traits:update', { since: '1.6', look: async ctx => {
      const b = read(traits, ctx);
      const p = await find(ctx);
      checkGeneration(p, b.resource_provider_generation, stale);
    } }),
    refuse('traits.clear', 'DELETE', '/resource_providers/:uuid/traits', 'placement:resource_providers:traits:delete', { since: '1.6', look: find }),
  ];
}
