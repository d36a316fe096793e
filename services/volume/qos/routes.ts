import { brokenReference, duplicateOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, lastOf, newId, NotFound, parseBool, shape } from '@cumulet/wire';
import { z } from 'zod';
import { conflict, typeNotFound } from '../faults.ts';
import { anyQuery, links, nextLink, paged, readPage } from '../listing.ts';
import { typeById } from '../types/store.ts';

export interface QosRow { id: string; name: string; consumer: string; specs: Record<string, string>; created_at: Date }
const key = z.string().min(1).max(255).regex(/^[a-zA-Z0-9-_:. ]{1,255}$/);
const value = z.union([z.string().max(255), z.number(), z.boolean()]).transform(String);
const consumer = z.string().trim().pipe(z.enum(['front-end', 'back-end', 'both']));
const Create = shape('QosCreate', z.looseObject({ qos_specs: z.object({ name: z.string().min(1).max(255).refine(n => n.trim() !== '', { error: 'Name must not be empty.' }), consumer: consumer.optional() }).catchall(value) }));
const Update = shape('QosUpdate', z.looseObject({ qos_specs: z.object({ consumer: consumer.optional() }).catchall(value) }));
const DeleteKeys = shape('QosDeleteKeys', z.looseObject({ keys: z.array(key) }));
const AnyQuery = shape('QosQuery', anyQuery);
const absent = (id: string) => new NotFound(`No such QoS spec ${id}.`);
const view = (row: QosRow) => ({ id: row.id, name: row.name, consumer: row.consumer, specs: row.specs });
const columns = { id: 'id', name: 'name', consumer: 'consumer', created_at: 'created_at' };

/** `/qos-specs`: limits that types bring to their volumes; `front-end` ones are the hypervisor's to keep. */
export const routes = (rt: Runtime): Operation[] => {
  const one = async (id = ''): Promise<QosRow> => { const row: QosRow | undefined = isUuid(id) ? await rt.db('volume_qos_specs').where({ id }).first() : undefined; if (!row) throw absent(id); return row; };
  const linked = (ctx: Context, row: QosRow) => ({ qos_specs: view(row), links: links(ctx, 'qos-specs', row.id) });
  const typeRef = async (c: Context) => { const id = String(lastOf((c.query as Record<string, unknown>)['vol_type_id']) ?? ''); if (!id) throw new BadRequest('Volume Type id must not be None.'); const type = await typeById(rt.db, id); if (!type) throw typeNotFound(id); return type; };
  const id = (c: { params: Readonly<Record<string, string>> }) => c.params['qos_id'];
  const write = (row: QosRow, set: Record<string, unknown>) => rt.db('volume_qos_specs').where({ id: row.id }).update({ ...set, updated_at: rt.db.fn.now() });
  return [
    operation({
      id: 'qos.list', summary: 'List QoS specs', method: 'GET', path: '/qos-specs', policy: 'volume_extension:qos_specs_manage:get_all', query: AnyQuery,
      handler: async c => {
        const of = { columns, maxLimit: rt.settings.http.maxLimit };
        const page = readPage(c as never, c.query, of);
        const q = rt.db('volume_qos_specs').select('volume_qos_specs.*');
        for (const name of ['id', 'name', 'consumer'] as const) if (page.filters[name] !== undefined && (name !== 'id' || isUuid(page.filters[name]))) q.where(name, page.filters[name]);
        const rows = await paged(rt.db, q, page, 'volume_qos_specs', of, absent) as unknown as QosRow[];
        return { qos_specs: rows.map(view), ...nextLink(c as never, 'qos_specs', page, rows) };
      },
    }),
    operation({
      id: 'qos.create', summary: 'Create QoS specs', method: 'POST', path: '/qos-specs', policy: 'volume_extension:qos_specs_manage:create', body: Create, status: 200,
      handler: async c => {
        const { name, consumer: who, ...specs } = c.body.qos_specs;
        const row = { id: newId(), name, consumer: who ?? 'back-end', specs: specs as Record<string, string>, created_at: new Date() };
        await rt.db('volume_qos_specs').insert({ id: row.id, name, consumer: row.consumer, specs: JSON.stringify(specs) }).catch((error: unknown) => { if (duplicateOf(error)) throw conflict(`QoS Specs ${name} already exists.`); throw error; });
        return linked(c as never, row);
      },
    }),
    operation({ id: 'qos.show', summary: 'Show QoS specs', method: 'GET', path: '/qos-specs/:qos_id', policy: 'volume_extension:qos_specs_manage:get', handler: async c => linked(c as never, await one(id(c))) }),
    operation({
      id: 'qos.update', summary: 'Set QoS specs', method: 'PUT', path: '/qos-specs/:qos_id', policy: 'volume_extension:qos_specs_manage:update', body: Update, status: 200,
      handler: async c => { const row = await one(id(c)); const { consumer: who, ...specs } = c.body.qos_specs; await write(row, { ...(who ? { consumer: who } : {}), specs: JSON.stringify({ ...row.specs, ...specs }) }); return { qos_specs: c.body.qos_specs }; },
    }),
    operation({
      id: 'qos.delete_keys', summary: 'Remove keys of QoS specs', method: 'PUT', path: '/qos-specs/:qos_id/delete_keys', policy: 'volume_extension:qos_specs_manage:delete', body: DeleteKeys,
      handler: async c => {
        const row = await one(id(c));
        const specs = { ...row.specs };
        for (const k of c.body.keys) { if (!Object.hasOwn(specs, k)) throw new NotFound(`QoS spec ${row.id} has no spec with key ${k}.`); delete specs[k]; }
        await write(row, { specs: JSON.stringify(specs) });
        return new Reply(202);
      },
    }),
    operation({
      id: 'qos.delete', summary: 'Delete QoS specs', method: 'DELETE', path: '/qos-specs/:qos_id', policy: 'volume_extension:qos_specs_manage:delete', query: AnyQuery,
      handler: async c => {
        const row = await one(id(c));
        const force = parseBool(lastOf(c.query['force']) ?? 'false');
        if (force === undefined) throw new BadRequest(`Invalid value '${String(lastOf(c.query['force']))}' for force.`);
        await transaction(rt.db, async trx => {
          if (force) await trx('volume_types').where({ qos_specs_id: row.id }).update({ qos_specs_id: null });
          await trx('volume_qos_specs').where({ id: row.id }).delete();
        }).catch((error: unknown) => { if (brokenReference(error)) throw new BadRequest(`QoS Specs ${row.id} is still associated with entities.`); throw error; });
        return new Reply(202);
      },
    }),
    operation({
      id: 'qos.associations', summary: 'List types with QoS specs', method: 'GET', path: '/qos-specs/:qos_id/associations', policy: 'volume_extension:qos_specs_manage:get_all',
      handler: async c => { const row = await one(id(c)); return { qos_associations: (await rt.db('volume_types').where({ qos_specs_id: row.id }).orderBy('name') as { id: string; name: string }[]).map(t => ({ association_type: 'volume_type', name: t.name, id: t.id })) }; },
    }),
    operation({
      id: 'qos.associate', summary: 'Give QoS specs to a type', method: 'GET', path: '/qos-specs/:qos_id/associate', policy: 'volume_extension:qos_specs_manage:update', query: AnyQuery,
      handler: async c => {
        const row = await one(id(c));
        const type = await typeRef(c as never);
        if (type.qos_specs_id !== null && type.qos_specs_id !== row.id) throw new BadRequest(`Type ${type.id} is already associated with another qos specs: ${type.qos_specs_id}`);
        await rt.db('volume_types').where({ id: type.id }).update({ qos_specs_id: row.id });
        return new Reply(202);
      },
    }),
    operation({ id: 'qos.disassociate', summary: 'Take QoS specs from a type', method: 'GET', path: '/qos-specs/:qos_id/disassociate', policy: 'volume_extension:qos_specs_manage:update', query: AnyQuery, handler: async c => { const row = await one(id(c)); const type = await typeRef(c as never); await rt.db('volume_types').where({ id: type.id, qos_specs_id: row.id }).update({ qos_specs_id: null }); return new Reply(202); } }),
    operation({ id: 'qos.disassociate_all', summary: 'Take QoS specs from every type', method: 'GET', path: '/qos-specs/:qos_id/disassociate_all', policy: 'volume_extension:qos_specs_manage:update', handler: async c => { const row = await one(id(c)); await rt.db('volume_types').where({ qos_specs_id: row.id }).update({ qos_specs_id: null }); return new Reply(202); } }),
  ];
};
