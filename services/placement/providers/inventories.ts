import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, MethodNotAllowed, NotFound, own } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import { unknownClass } from '../catalog/store.ts';
import { computed, concurrent, read } from '../refusal.ts';
import { className, generation, inventories, inventory, type Inventories } from '../schemas.ts';
import { dated, findProvider, lockedProvider } from './routes.ts';
import { capacityOf, COMPUTED_CLASSES, grow, lockProviders, type Inventory, type Provider } from './store.ts';

const isComputed = (p: Provider, name: string) => p.host !== undefined && (COMPUTED_CLASSES as readonly string[]).includes(name);
const fields = ['total', 'reserved', 'min_unit', 'max_unit', 'step_size', 'allocation_ratio'] as const;
const same = (a: Inventory | undefined, b: Inventory) => a !== undefined && fields.every(f => a[f] === b[f]);
const only = (given: Inventory): Inventory => Object.fromEntries(fields.map(f => [f, given[f]])) as unknown as Inventory;
const inUse = (p: Provider, names: readonly string[]) => `Inventory for '${names.join(', ')}' on resource provider '${p.uuid}' in use.`;
const used = (p: Provider, name: string) => (p.used[name] ?? 0) > 0;
const hostSays = () => computed('Inventories of VCPU, MEMORY_MB and DISK_GB of compute hosts');
const conflict = 'resource provider generation conflict';

/**
 * Until 1.26 something of an inventory has to be left beside what is reserved.
 * @throws 400, beginning with `saying`
 */
function checkCapacity(ctx: Context, p: Provider, given: Readonly<Record<string, Inventory>>, saying: string): void {
  const all = ctx.dialect.has('all may be reserved');
  for (const [name, i] of Object.entries(given)) {
    if (all ? capacityOf(i) < 0 : capacityOf(i) <= 0) throw new BadRequest(`${saying}: Invalid inventory for '${name}' on resource provider '${p.uuid}'. The reserved value is greater than ${all ? '' : 'or equal to '}total.`);
  }
}

/**
 * Gives a provider these inventories and no others. What a host has by itself stays though it is not named, as nova's virt driver would say it again; naming it
 * otherwise than it is, is refused. `p` is locked.
 */
export async function replaceInventories(trx: Knex.Transaction, p: Provider, given: Inventories): Promise<void> {
  for (const [name, i] of Object.entries(given)) if (isComputed(p, name) && !same(own(p.inventories, name), i)) throw hostSays();
  const gone = Object.keys(p.inventories).filter(name => own(given, name) === undefined && !isComputed(p, name));
  const needed = gone.filter(name => used(p, name));
  if (needed.length > 0) throw new Conflict(`update conflict: ${inUse(p, needed)}`, { kind: 'placement.inventory.inuse' });
  await trx('placement_inventories').where({ provider_id: p.uuid }).whereIn('class', gone).delete();
  await write(trx, p, given);
}

async function write(trx: Knex.Transaction, p: Provider, given: Readonly<Record<string, Inventory>>): Promise<void> {
  const rows = Object.entries(given).filter(([name]) => !isComputed(p, name)).map(([name, i]) => ({ provider_id: p.uuid, class: name, ...only(i) }));
  if (rows.length > 0) await trx('placement_inventories').insert(rows).onConflict(['provider_id', 'class']).merge([...fields]);
}

/** What a provider has: all of it at once, or class by class. */
export function inventoryWrites(rt: Runtime): Operation[] {
  const locked = (trx: Knex.Transaction, ctx: Context) => lockedProvider(trx, ctx.params['uuid'] ?? '');
  const find = (ctx: Context) => findProvider(rt, ctx.params['uuid'] ?? '');

  return [
    operation({
      id: 'inventories.create', summary: 'Give a provider one more inventory', method: 'POST', path: '/resource_providers/:uuid/inventories', policy: 'placement:resource_providers:inventories:create', status: 201,
      handler: async ctx => {
        const found = await find(ctx as Context);
        const { resource_class: name, resource_provider_generation: given, ...rest } = read(z.strictObject({ ...inventory, resource_class: className, resource_provider_generation: generation.optional() }), ctx as Context);
        const saying = `Unable to create inventory for resource provider ${found.uuid}`;
        checkCapacity(ctx as Context, found, { [name]: rest }, saying);
        const grown = await transaction(rt.db, async trx => {
          const p = await locked(trx, ctx as Context);
          if (await unknownClass(trx, [name], 'held') !== undefined) throw new BadRequest(`${saying}: No such resource class ${name}.`);
          if (isComputed(p, name)) throw hostSays();
          if ((given !== undefined && given !== p.generation) || own(p.inventories, name)) throw concurrent(`Update conflict: there is an inventory of ${name} already, or the generation is another.`);
          await write(trx, p, { [name]: rest });
          return grow(trx, p.uuid);
        });
        return dated(ctx as Context, new Date(rt.clock()), { ...only(rest), resource_provider_generation: grown }, 201, { location: `${ctx.baseUrl}/resource_providers/${found.uuid}/inventories/${name}` });
      },
    }),
    operation({
      id: 'inventories.replace', summary: 'Give a provider these inventories', method: 'PUT', path: '/resource_providers/:uuid/inventories', policy: 'placement:resource_providers:inventories:update',
      handler: async ctx => {
        await find(ctx as Context);
        const b = read(inventories, ctx as Context);
        const after = await transaction(rt.db, async trx => {
          const p = await locked(trx, ctx as Context);
          if (p.generation !== b.resource_provider_generation) throw concurrent(conflict);
          const missing = await unknownClass(trx, Object.keys(b.inventories), 'held');
          if (missing !== undefined) throw new BadRequest(`Unknown resource class in inventory for resource provider ${p.uuid}: No such resource class ${missing}.`);
          checkCapacity(ctx as Context, p, b.inventories, `Unable to update inventory for resource provider ${p.uuid}`);
          await replaceInventories(trx, p, b.inventories);
          await grow(trx, p.uuid);
          return (await lockProviders(trx, [p.uuid])).get(p.uuid) as Provider;
        });
        return dated(ctx as Context, after.changedAt, { resource_provider_generation: after.generation, inventories: after.inventories });
      },
    }),
    operation({
      id: 'inventories.delete', summary: 'Take all inventories of a provider', method: 'DELETE', path: '/resource_providers/:uuid/inventories', policy: 'placement:resource_providers:inventories:delete', status: 204,
      handler: async ctx => {
        if (!ctx.dialect.has('no inventories')) throw new MethodNotAllowed('The method specified is not allowed for this resource.');
        await transaction(rt.db, async trx => {
          const p = await locked(trx, ctx as Context);
          const needed = Object.keys(p.inventories).filter(name => used(p, name));
          if (needed.length > 0) throw new Conflict(inUse(p, needed), { kind: 'placement.inventory.inuse' });
          if (p.host !== undefined) throw hostSays();
          await trx('placement_inventories').where({ provider_id: p.uuid }).delete();
          await grow(trx, p.uuid);
        });
        return new Reply(204);
      },
    }),
    operation({
      id: 'inventory.update', summary: 'Change one inventory of a provider', method: 'PUT', path: '/resource_providers/:uuid/inventories/:resource_class', policy: 'placement:resource_providers:inventories:update',
      handler: async ctx => {
        await find(ctx as Context);
        const name = ctx.params['resource_class'] ?? '';
        const { resource_provider_generation: given, ...rest } = read(z.strictObject({ ...inventory, resource_provider_generation: generation }), ctx as Context);
        const grown = await transaction(rt.db, async trx => {
          const p = await locked(trx, ctx as Context);
          if (p.generation !== given) throw concurrent(conflict);
          checkCapacity(ctx as Context, p, { [name]: rest }, `Unable to update inventory for resource provider ${p.uuid}`);
          if (!own(p.inventories, name)) throw new BadRequest(`No inventory record with resource class for resource provider ${p.uuid}: No inventory of class ${name} found.`);
          if (isComputed(p, name) && !same(p.inventories[name], rest)) throw hostSays();
          await write(trx, p, { [name]: rest });
          return grow(trx, p.uuid);
        });
        return dated(ctx as Context, new Date(rt.clock()), { ...only(rest), resource_provider_generation: grown });
      },
    }),
    operation({
      id: 'inventory.delete', summary: 'Take one inventory of a provider', method: 'DELETE', path: '/resource_providers/:uuid/inventories/:resource_class', policy: 'placement:resource_providers:inventories:delete', status: 204,
      handler: async ctx => {
        const name = ctx.params['resource_class'] ?? '';
        await transaction(rt.db, async trx => {
          const p = await locked(trx, ctx as Context);
          if (!own(p.inventories, name)) throw new NotFound(`No inventory of class ${name} found for delete: No inventory of class ${name} found.`);
          if (used(p, name)) throw concurrent(`Unable to delete inventory of class ${name}: ${inUse(p, [name])}`);
          if (isComputed(p, name)) throw hostSays();
          await trx('placement_inventories').where({ provider_id: p.uuid, class: name }).delete();
          await grow(trx, p.uuid);
        });
        return new Reply(204);
      },
    }),
  ];
}
