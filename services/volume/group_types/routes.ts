import { brokenReference, duplicateOf } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, lastOf, newId, NotFound, parseBool, shape } from '@cumulet/wire';
import { z } from 'zod';
import { conflict } from '../faults.ts';
import { anyQuery, nextLink, paged, readPage } from '../listing.ts';
import { bool, name255 } from '../shapes.ts';
import { consistencyGroupType } from '../volumes/store.ts';

export interface GroupTypeRow { id: string; name: string; description: string | null; is_public: boolean; group_specs: Record<string, string>; created_at: Date }
const specs = z.record(z.string().min(1).max(255).regex(/^[a-zA-Z0-9-_.: ]{1,255}$/), z.string().max(255).nullable().transform(v => v ?? ''));
const Create = shape('GroupTypeCreate', z.looseObject({ group_type: z.strictObject({ name: z.string().min(1).max(255).refine(n => n.trim() !== '', { error: 'Group type name can not be empty.' }), description: name255.nullish(), is_public: bool.optional(), group_specs: specs.nullish() }) }));
const Update = shape('GroupTypeUpdate', z.looseObject({ group_type: z.strictObject({ name: name255.nullish(), description: name255.nullish(), is_public: bool.optional() }) }));
const Specs = shape('GroupSpecs', z.strictObject({ group_specs: specs }));
const OneSpec = shape('GroupSpec', specs);
const AnyQuery = shape('GroupTypeQuery', anyQuery);
const absent = (id: string) => new NotFound(`Group type ${id} could not be found.`);
const columns = { id: 'id', name: 'name', created_at: 'created_at', is_public: 'is_public', description: 'description' };
const view = (ctx: Pick<Context, 'allows'>, t: GroupTypeRow) => ({ id: t.id, name: t.name, description: t.description, is_public: t.is_public, ...(ctx.allows('group:access_group_types_specs') ? { group_specs: t.group_specs } : {}) });

/** `/group_types` (3.11) and their specs. */
export const routes = (rt: Runtime): Operation[] => {
  const one = async (ctx: Context): Promise<GroupTypeRow> => {
    const id = ctx.params['group_type_id'] ?? '';
    const row: GroupTypeRow | undefined = id === 'default' ? await rt.db('volume_group_types').where({ name: consistencyGroupType }).first() : isUuid(id) ? await rt.db('volume_group_types').where({ id }).first() : undefined;
    if (!row || (!row.is_public && !ctx.allows('context_is_admin'))) throw absent(id);
    return row;
  };
  const taken = (name: string) => (error: unknown): never => { if (duplicateOf(error)) throw conflict(`Group Type ${name} already exists.`); throw error; };
  const write = (row: GroupTypeRow, group_specs: Record<string, string>) => rt.db('volume_group_types').where({ id: row.id }).update({ group_specs: JSON.stringify(group_specs), updated_at: rt.db.fn.now() });
  const noSpec = (row: GroupTypeRow, key: string) => new NotFound(`Group Type ${row.id} has no specs with key ${key}.`);
  const since = '3.11' as const;
  const path = '/group_types/:group_type_id/group_specs';
  return [
    operation({
      id: 'group_types.list', summary: 'List group types', method: 'GET', path: '/group_types', since, policy: { anyone: 'upstream asks a rule for the specs only' }, query: AnyQuery,
      handler: async c => {
        const ctx = c as never as Context;
        const of = { columns, maxLimit: rt.settings.http.maxLimit };
        const page = readPage(ctx, c.query, of);
        const q = rt.db('volume_group_types').select('volume_group_types.*');
        const asked = lastOf(c.query['is_public']);
        if (!ctx.allows('context_is_admin')) q.where({ is_public: true });
        else if (asked === undefined || String(asked).toLowerCase() !== 'none') {
          const value = asked === undefined ? true : parseBool(asked);
          if (value === undefined) throw new BadRequest(`Invalid is_public filter [${String(asked)}]`);
          q.where({ is_public: value });
        }
        const rows = await paged(rt.db, q, page, 'volume_group_types', of, absent) as unknown as GroupTypeRow[];
        return { group_types: rows.map(t => view(ctx, t)), ...nextLink(ctx, 'group_type', page, rows) };
      },
    }),
    operation({ id: 'group_types.show', summary: 'Show a group type', method: 'GET', path: '/group_types/:group_type_id', since, policy: { anyone: 'upstream asks a rule for the specs only' }, handler: async c => ({ group_type: view(c, await one(c as never)) }) }),
    operation({
      id: 'group_types.create', summary: 'Create a group type', method: 'POST', path: '/group_types', since, policy: 'group:group_types:create', body: Create, status: 202,
      handler: async c => {
        const t = c.body.group_type;
        const [row] = await rt.db('volume_group_types').insert({ id: newId(), name: t.name, description: t.description ?? null, is_public: t.is_public ?? true, group_specs: JSON.stringify(t.group_specs ?? {}) }).returning('*').catch(taken(t.name));
        return { group_type: view(c, row as GroupTypeRow) };
      },
    }),
    operation({
      id: 'group_types.update', summary: 'Update a group type', method: 'PUT', path: '/group_types/:group_type_id', since, policy: 'group:group_types:update', body: Update, status: 200,
      handler: async c => {
        const t = c.body.group_type;
        if (t.name === undefined && t.description === undefined && t.is_public === undefined) throw new BadRequest('Specify group type name, description or a combination thereof.');
        if (t.name !== undefined && t.name !== null && t.name.trim() === '') throw new BadRequest('Group type name can not be empty.');
        const row = await one(c as never);
        const [next] = await rt.db('volume_group_types').where({ id: row.id }).update({ ...(t.name ? { name: t.name } : {}), ...(t.description === undefined ? {} : { description: t.description }), ...(t.is_public === undefined ? {} : { is_public: t.is_public }), updated_at: rt.db.fn.now() }).returning('*').catch(taken(t.name ?? ''));
        return { group_type: view(c, next as GroupTypeRow) };
      },
    }),
    operation({
      id: 'group_types.delete', summary: 'Delete a group type', method: 'DELETE', path: '/group_types/:group_type_id', since, policy: 'group:group_types:delete',
      handler: async c => { const row = await one(c as never); await rt.db('volume_group_types').where({ id: row.id }).delete().catch((error: unknown) => { if (brokenReference(error)) throw new BadRequest(`Group Type ${row.id} deletion is not allowed with groups present with the type.`); throw error; }); return new Reply(202); },
    }),
    operation({ id: 'group_specs.list', summary: 'List group specs', method: 'GET', path, since, policy: 'group:group_types_specs:get_all', handler: async c => ({ group_specs: (await one(c as never)).group_specs }) }),
    operation({ id: 'group_specs.create', summary: 'Add group specs', method: 'POST', path, since, policy: 'group:group_types_specs:create', body: Specs, status: 202, handler: async c => { const row = await one(c as never); await write(row, { ...row.group_specs, ...c.body.group_specs }); return { group_specs: c.body.group_specs }; } }),
    operation({ id: 'group_specs.show', summary: 'Show a group spec', method: 'GET', path: `${path}/:key`, since, policy: 'group:group_types_specs:get', handler: async c => { const row = await one(c as never); const key = c.params['key'] ?? ''; if (!Object.hasOwn(row.group_specs, key)) throw noSpec(row, key); return { [key]: row.group_specs[key] }; } }),
    operation({
      id: 'group_specs.update', summary: 'Set a group spec', method: 'PUT', path: `${path}/:key`, since, policy: 'group:group_types_specs:update', body: OneSpec, status: 200,
      handler: async c => {
        const row = await one(c as never);
        if (!((c.params['key'] ?? '') in c.body)) throw new BadRequest('Request body and URI mismatch');
        if (Object.keys(c.body).length > 1) throw new BadRequest('Request body contains too many items');
        await write(row, { ...row.group_specs, ...c.body });
        return c.body;
      },
    }),
    operation({ id: 'group_specs.delete', summary: 'Remove a group spec', method: 'DELETE', path: `${path}/:key`, since, policy: 'group:group_types_specs:delete', handler: async c => { const row = await one(c as never); const key = c.params['key'] ?? ''; if (!Object.hasOwn(row.group_specs, key)) throw noSpec(row, key); const { [key]: _, ...rest } = row.group_specs; await write(row, rest); return new Reply(202); } }),
  ];
};
