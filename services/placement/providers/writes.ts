import { duplicateOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, isUuidLike, newId, withDashes } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import { computed, read } from '../refusal.ts';
import { id } from '../schemas.ts';
import { absentProvider, dated, lockedProvider, providerView, ProviderShape } from './routes.ts';
import { holdTrees, listProviders, type Provider } from './store.ts';

const name = z.string().max(200);
const parent = { parent_provider_uuid: id.nullable().optional() };
const toMake = z.strictObject({ name, uuid: id.optional() });

/** Making, naming, moving and deleting providers that are no compute hosts. */
export function providerWrites(rt: Runtime): Operation[] {
  return [
    operation({
      id: 'resource_providers.create', summary: 'Make a resource provider', method: 'POST', path: '/resource_providers', policy: 'placement:resource_providers:create', reply: ProviderShape,
      handler: async ctx => {
        const b: { name: string; uuid?: string | undefined; parent_provider_uuid?: string | null | undefined } = read(ctx.dialect.has('in_tree') ? toMake.extend(parent) : toMake, ctx as Context);
        const made = await transaction(rt.db, trx => make(trx, { uuid: b.uuid ?? newId(), name: b.name, parent: b.parent_provider_uuid ?? null }));
        const location = `${ctx.baseUrl}/resource_providers/${made.uuid}`;
        return ctx.dialect.has('new providers are shown') ? dated(ctx as Context, made.changedAt, providerView(made), 200, { location }) : new Reply(201, undefined, { location });
      },
    }),
    operation({
      id: 'resource_providers.update', summary: 'Give a resource provider another name or parent', method: 'PUT', path: '/resource_providers/:uuid', policy: 'placement:resource_providers:update', reply: ProviderShape,
      handler: async ctx => {
        const uuid = ctx.params['uuid'] ?? '';
        if (!isUuidLike(uuid) || (await listProviders(rt.db, { ids: [uuid] })).length === 0) throw absentProvider(uuid);
        const b: { name: string; parent_provider_uuid?: string | null | undefined } = read(ctx.dialect.has('in_tree') ? z.strictObject({ name, ...parent }) : z.strictObject({ name }), ctx as Context);
        const changed = await transaction(rt.db, trx => change(trx, withDashes(uuid), b, ctx.dialect.has('providers move')));
        return dated(ctx as Context, changed.changedAt, providerView(changed));
      },
    }),
    operation({
      id: 'resource_providers.delete', summary: 'Delete a resource provider', method: 'DELETE', path: '/resource_providers/:uuid', policy: 'placement:resource_providers:delete', status: 204,
      handler: async ctx => { await transaction(rt.db, trx => remove(trx, ctx.params['uuid'] ?? '')); return new Reply(204); },
    }),
  ];
}

const duplicate = (what: string) => new Conflict(`Conflicting resource provider ${what} already exists.`, { kind: 'placement.duplicate_name' });
/** Hosts have names of their own, which no constraint compares. */
const isNameOfHost = async (trx: Knex.Transaction, name: string) => await trx('compute_hosts').where({ node: name, deleted: false }).first('id') !== undefined;
const one = async (trx: Knex.Transaction, uuid: string): Promise<Provider | undefined> => (isUuidLike(uuid) ? (await listProviders(trx, { ids: [uuid] }))[0] : undefined);

async function make(trx: Knex.Transaction, b: { uuid: string; name: string; parent: string | null }): Promise<Provider> {
  const refused = (reason: string) => new BadRequest(`Unable to create resource provider "${b.name}", ${b.uuid}: Object action create failed because: ${reason}`);
  if (b.name === '') throw refused('name is required');
  if (b.parent === b.uuid) throw refused('parent provider UUID cannot be same as UUID. Please set parent provider UUID to None if there is no parent.');
  await holdTrees(trx);
  const above = b.parent === null ? undefined : await one(trx, b.parent);
  if (b.parent !== null && !above) throw refused('parent provider UUID does not exist.');
  const same = [...(await one(trx, b.uuid) ? [`uuid: ${b.uuid}`] : []), ...(await trx('placement_providers').where({ name: b.name }).first('id') || await isNameOfHost(trx, b.name) ? [`name: ${b.name}`] : [])];
  if (same.length > 0) throw duplicate(same.join(', '));
  await trx('placement_providers').insert({ id: b.uuid, name: b.name, parent_id: b.parent, root_id: above?.root ?? b.uuid });
  return await one(trx, b.uuid) as Provider;
}

async function change(trx: Knex.Transaction, uuid: string, b: { name: string; parent_provider_uuid?: string | null | undefined }, mayMove: boolean): Promise<Provider> {
  const refused = (reason: string) => new BadRequest(`Unable to save resource provider ${uuid}: Object action update failed because: ${reason}`);
  await holdTrees(trx);
  const p = await lockedProvider(trx, uuid);
  const to = b.parent_provider_uuid;
  const moves = to !== undefined && to !== p.parent;
  if (p.host !== undefined && (moves || b.name !== p.name)) throw computed('Names and places of resource providers that are compute hosts');
  if (moves && p.parent !== null && !mayMove) throw refused(to === null ? 'un-parenting a provider is not currently allowed.' : 're-parenting a provider is not currently allowed.');
  if (b.name !== p.name && await isNameOfHost(trx, b.name)) throw duplicate(b.name);
  if (moves) await place(trx, p, to, refused);
  if (p.host === undefined) {
    try { await trx('placement_providers').where({ id: uuid }).update({ name: b.name, changed_at: trx.fn.now() }); } catch (error) { throw duplicateOf(error) === 'placement_providers_name' ? duplicate(b.name) : error; }
  }
  return await one(trx, uuid) as Provider;
}

/** A provider and what is below it, under another parent or under none. */
async function place(trx: Knex.Transaction, p: Provider, to: string | null, refused: (reason: string) => BadRequest): Promise<void> {
  const above = to === null ? undefined : await one(trx, to);
  if (to !== null && !above) throw refused('parent provider UUID does not exist.');
  const { rows } = await trx.raw('with recursive below as (select ?::uuid as id union all select c.id from placement_providers c join below b on c.parent_id = b.id) select id::text from below', [p.uuid]);
  const ids = (rows as { id: string }[]).map(r => r.id);
  if (to !== null && ids.includes(to)) throw refused('creating loop in the provider tree is not allowed.');
  await trx('placement_providers').where({ id: p.uuid }).update({ parent_id: to });
  await trx('placement_providers').whereIn('id', ids).update({ root_id: above?.root ?? p.uuid });
}

async function remove(trx: Knex.Transaction, uuid: string): Promise<void> {
  await holdTrees(trx);
  const p = await lockedProvider(trx, uuid, absent => `${absent} for delete`);
  if (await trx('placement_providers').where({ parent_id: p.uuid }).first('id')) throw new Conflict(`Unable to delete parent resource provider ${p.uuid}: It has child resource providers.`, { kind: 'placement.resource_provider.cannot_delete_parent' });
  if (Object.values(p.used).some(n => n > 0)) throw new Conflict(`Unable to delete resource provider ${p.uuid}: Resource provider has allocations.`, { kind: 'placement.resource_provider.inuse' });
  if (p.host !== undefined) throw computed('Resource providers that are compute hosts');
  await trx('placement_providers').where({ id: p.uuid }).delete();
}
