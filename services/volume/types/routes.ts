import { duplicateOf, brokenReference, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, lastOf, newId, parseBool, shape } from '@cumulet/wire';
import { z } from 'zod';
import { boundTo } from '../asking.ts';
import { conflict, typeNotFound } from '../faults.ts';
import { anyQuery, nextLink, paged, readPage } from '../listing.ts';
import { bool, name255 } from '../shapes.ts';
import { defaultType, typeById, visible, type TypeRow } from './store.ts';
import { dictionary } from '../shapes.ts';

const isPublic = 'os-volume-type-access:is_public';
export const extraSpecs = z.record(z.string().min(1).max(255).regex(/^[a-zA-Z0-9-_.:]{1,255}$/), z.union([z.string().max(255), z.boolean(), z.number()]).transform(String));
const typeName = z.string().min(1).max(255).refine(n => n.trim() !== '', { error: 'Volume type name can not be empty.' });
const TypeCreate = shape('TypeCreate', z.looseObject({ volume_type: z.strictObject({ name: typeName, description: name255.nullish(), extra_specs: extraSpecs.nullish(), [isPublic]: bool.optional() }) }));
const TypeUpdate = shape('TypeUpdate', z.looseObject({ volume_type: z.strictObject({ name: name255.nullish(), description: name255.nullish(), is_public: bool.optional() }) }));
const ListQuery = shape('TypeListQuery', anyQuery);

/** Extra specs that users without `read_sensitive` see. */
const userSpecs = ['multiattach', 'RESKEY:availability_zones', 'replication_enabled'];
export function seenSpecs(ctx: Pick<Context, 'allows'>, specs: Readonly<Record<string, string>>): Record<string, string> {
  return ctx.allows('volume_extension:types_extra_specs:read_sensitive') ? { ...specs } : Object.fromEntries(Object.entries(specs).filter(([key]) => userSpecs.includes(key)));
}
export function view(ctx: Pick<Context, 'allows'>, row: TypeRow, access: boolean, o: { qos?: boolean } = {}) {
  return {
    id: row.id, name: row.name, is_public: row.is_public, description: row.description,
    ...(ctx.allows('volume_extension:access_types_extra_specs') ? { extra_specs: seenSpecs(ctx, row.extra_specs) } : {}),
    ...(o.qos !== false && ctx.allows('volume_extension:access_types_qos_specs_id') ? { qos_specs_id: row.qos_specs_id } : {}),
    ...(access ? { [isPublic]: row.is_public } : {}),
  };
}
const columns = { id: 'id', name: 'name', created_at: 'created_at', updated_at: 'updated_at', description: 'description', is_public: 'is_public', qos_specs_id: 'qos_specs_id' };
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['type_id'] ?? '';
/** The type that the path names, as the caller may see it. */
export async function typeOf(rt: Pick<Runtime, 'db'>, ctx: Context): Promise<TypeRow> {
  const row = await typeById(rt.db, id(ctx), boundTo(ctx));
  if (!row) throw typeNotFound(id(ctx));
  return row;
}
const taken = (name: string) => (error: unknown): never => { if (duplicateOf(error)) throw conflict(`Volume Type ${name} already exists.`); throw error; };

/** `/types`: list, show, create, update, delete. */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'types.list', summary: 'List volume types', method: 'GET', path: '/types', policy: 'volume_extension:type_get_all', query: ListQuery,
    handler: async ctx => {
      const of = { columns, maxLimit: rt.settings.http.maxLimit };
      const page = readPage(ctx as never, ctx.query, of);
      const bound = boundTo(ctx as never);
      const query = visible(rt.db, bound);
      const asked = lastOf(ctx.query['is_public']);
      if (bound === undefined) {
        const shown = asked === undefined ? true : String(asked).toLowerCase() === 'none' ? undefined : parseBool(asked);
        if (shown === undefined && asked !== undefined && String(asked).toLowerCase() !== 'none') throw new BadRequest(`Invalid is_public filter [${String(asked)}]`);
        if (shown !== undefined) query.where({ is_public: shown });
      }
      if (page.filters['name'] !== undefined) query.where('volume_types.name', page.filters['name']);
      const specs = ctx.dialect.has('types by extra specs') && page.filters['extra_specs'] !== undefined ? dictionary(page.filters['extra_specs']) : undefined;
      if (specs) query.whereRaw('extra_specs @> ?::jsonb', [JSON.stringify(specs)]);
      const rows = await paged(rt.db, query, page, 'volume_types', of, typeNotFound) as unknown as TypeRow[];
      return { volume_types: rows.map(r => view(ctx, r, true)), ...nextLink(ctx, 'volume_type', page, rows) };
    },
  }),
  operation({
    id: 'types.show', summary: 'Show a volume type', method: 'GET', path: '/types/:type_id', policy: 'volume_extension:type_get',
    handler: async c => {
      const ctx = c as never as Context;
      if (id(ctx) !== 'default') return { volume_type: view(ctx, await typeOf(rt, ctx), true) };
      const row = await defaultType(rt.db, ctx.caller.projectId ?? '', rt.settings.volume.defaultType);
      if (!row) throw typeNotFound('default');
      return { volume_type: view(ctx, row, false) };
    },
  }),
  operation({
    id: 'types.create', summary: 'Create a volume type', method: 'POST', path: '/types', policy: 'volume_extension:type_create', body: TypeCreate, status: 200,
    handler: async ctx => {
      const t = ctx.body.volume_type;
      const [row] = await rt.db('volume_types').insert({ id: newId(), name: t.name, description: t.description ?? null, is_public: t[isPublic] ?? true, extra_specs: JSON.stringify(t.extra_specs ?? {}) }).returning('*').catch(taken(t.name));
      return { volume_type: view(ctx, row as TypeRow, true, { qos: false }) };
    },
  }),
  operation({
    id: 'types.update', summary: 'Update a volume type', method: 'PUT', path: '/types/:type_id', policy: 'volume_extension:type_update', body: TypeUpdate, status: 200,
    handler: async c => {
      const ctx = c as never as Context<typeof c.body>;
      const t = ctx.body.volume_type;
      if (t.name === undefined && t.description === undefined && t.is_public === undefined) throw new BadRequest('Specify volume type name, description, is_public or a combination thereof.');
      if (t.name !== undefined && t.name !== null && t.name.trim() === '') throw new BadRequest('Volume type name can not be empty.');
      const row = await typeOf(rt, ctx as never);
      const [next] = await rt.db('volume_types').where({ id: row.id }).update({ ...(t.name ? { name: t.name.trim() } : {}), ...(t.description === undefined ? {} : { description: t.description }), ...(t.is_public === undefined ? {} : { is_public: t.is_public }), updated_at: rt.db.fn.now() }).returning('*').catch(taken(t.name ?? ''));
      return { volume_type: view(ctx, next as TypeRow, false, { qos: false }) };
    },
  }),
  operation({
    id: 'types.delete', summary: 'Delete a volume type', method: 'DELETE', path: '/types/:type_id', policy: 'volume_extension:type_delete',
    handler: async ctx => {
      await transaction(rt.db, async trx => {
        const row = await typeById(trx, id(ctx));
        if (!row) throw typeNotFound(id(ctx));
        if (row.name === rt.settings.volume.defaultType || await trx('volume_default_types').where({ type_id: row.id }).first()) throw new BadRequest(`The volume type ${row.id} is a default volume type and cannot be deleted.`);
        await trx('volume_types').where({ id: row.id }).delete();
        await trx('quotas').where({ service: 'volume' }).whereIn('resource', ['volumes', 'gigabytes', 'snapshots'].map(r => `${r}_${row.id}`)).delete();
      }).catch((error: unknown) => { if (brokenReference(error)) throw new BadRequest(`Volume Type ${id(ctx)} deletion is not allowed with volumes present with the type.`); throw error; });
      return new Reply(202);
    },
  }),
];
