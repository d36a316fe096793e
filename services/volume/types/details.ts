import { duplicateOf } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, NotFound, newId, shape } from '@cumulet/wire';
import { z } from 'zod';
import { conflict } from '../faults.ts';
import { extraSpecs, seenSpecs, typeOf } from './routes.ts';
import type { Encryption, TypeRow } from './store.ts';

const Specs = shape('ExtraSpecs', z.strictObject({ extra_specs: extraSpecs }));
const OneSpec = shape('ExtraSpec', extraSpecs);
const encryption = z.strictObject({ key_size: z.union([z.int().min(0), z.string().regex(/^[0-9]+$/).transform(Number)]).nullish(), provider: z.string().min(1).max(255), control_location: z.enum(['front-end', 'back-end']).default('front-end'), cipher: z.string().max(255).nullish() });
const EncryptionCreate = shape('EncryptionCreate', z.looseObject({ encryption }));
const EncryptionUpdate = shape('EncryptionUpdate', z.looseObject({ encryption: encryption.partial() }));
const Access = (action: 'addProjectAccess' | 'removeProjectAccess') => shape(action, z.looseObject({ [action]: z.strictObject({ project: z.string().min(1).max(255) }) }));

const noSpec = (ctx: Context, key: string) => new NotFound(`Volume Type ${ctx.params['type_id']} has no extra specs with key ${key}.`);
const path = '/types/:type_id/extra_specs';

/** Extra specs, encryption and access of a type. */
export const detailRoutes = (rt: Runtime): Operation[] => {
  const write = (row: TypeRow, specs: Record<string, string>) => rt.db('volume_types').where({ id: row.id }).update({ extra_specs: JSON.stringify(specs), updated_at: rt.db.fn.now() });
  const setEncryption = (row: TypeRow, id: string | null, value: Encryption | null) => rt.db('volume_types').where({ id: row.id }).update({ encryption_id: id, encryption: value === null ? null : JSON.stringify(value), updated_at: rt.db.fn.now() });
  const unused = async (row: TypeRow, what: string) => { if (await rt.db('volumes').where({ type_id: row.id }).first('id')) throw new BadRequest(`Cannot ${what} encryption specs. Volume type in use.`); };
  const encrypted = async (ctx: Context) => {
    const row = await typeOf(rt, ctx);
    // Upstream's path names the encryption and does not look at it: clients write `provider` there.
    if (!row.encryption) throw new NotFound(`Volume type encryption for type ${row.id} does not exist.`);
    return row as TypeRow & { encryption: Encryption };
  };
  return [
    operation({ id: 'types.extra_specs.list', summary: 'List extra specs', method: 'GET', path, policy: 'volume_extension:types_extra_specs:index', handler: async c => ({ extra_specs: seenSpecs(c, (await typeOf(rt, c as never)).extra_specs) }) }),
    operation({
      id: 'types.extra_specs.create', summary: 'Add extra specs', method: 'POST', path, policy: 'volume_extension:types_extra_specs:create', body: Specs, status: 200,
      handler: async c => { const row = await typeOf(rt, c as never); await write(row, { ...row.extra_specs, ...c.body.extra_specs }); return { extra_specs: c.body.extra_specs }; },
    }),
    operation({
      id: 'types.extra_specs.show', summary: 'Show an extra spec', method: 'GET', path: `${path}/:key`, policy: 'volume_extension:types_extra_specs:show',
      handler: async c => { const ctx = c as never as Context; const key = ctx.params['key'] ?? ''; const specs = seenSpecs(ctx, (await typeOf(rt, ctx)).extra_specs); if (!Object.hasOwn(specs, key)) throw noSpec(ctx, key); return { [key]: specs[key] }; },
    }),
    operation({
      id: 'types.extra_specs.update', summary: 'Set an extra spec', method: 'PUT', path: `${path}/:key`, policy: 'volume_extension:types_extra_specs:update', body: OneSpec, status: 200,
      handler: async c => {
        const row = await typeOf(rt, c as never);
        if (!((c.params['key'] ?? '') in c.body)) throw new BadRequest('Request body and URI mismatch');
        if (Object.keys(c.body).length > 1) throw new BadRequest('Request body contains too many items');
        await write(row, { ...row.extra_specs, ...c.body });
        return c.body;
      },
    }),
    operation({
      id: 'types.extra_specs.delete', summary: 'Remove an extra spec', method: 'DELETE', path: `${path}/:key`, policy: 'volume_extension:types_extra_specs:delete',
      handler: async c => { const ctx = c as never as Context; const row = await typeOf(rt, ctx); const key = ctx.params['key'] ?? ''; if (!Object.hasOwn(row.extra_specs, key)) throw noSpec(ctx, key); const { [key]: _, ...rest } = row.extra_specs; await write(row, rest); return new Reply(202); },
    }),
    operation({
      id: 'types.encryption.show', summary: 'Show encryption', method: 'GET', path: '/types/:type_id/encryption', policy: 'volume_extension:volume_type_encryption:get',
      handler: async c => { const row = await typeOf(rt, c as never); return row.encryption ? { ...row.encryption, volume_type_id: row.id, encryption_id: row.encryption_id, created_at: row.created_at.toISOString().slice(0, 23), updated_at: null, deleted_at: null, deleted: false } : {}; },
    }),
    operation({
      id: 'types.encryption.get', summary: 'Show one member of encryption', method: 'GET', path: '/types/:type_id/encryption/:encryption_id', policy: 'volume_extension:volume_type_encryption:get',
      handler: async c => { const row = await typeOf(rt, c as never); const key = c.params['encryption_id'] ?? ''; const all: Record<string, unknown> = row.encryption ? { ...row.encryption, volume_type_id: row.id, encryption_id: row.encryption_id } : {}; if (!Object.hasOwn(all, key)) throw new NotFound(); return { [key]: all[key] }; },
    }),
    operation({
      id: 'types.encryption.create', summary: 'Encrypt a type', method: 'POST', path: '/types/:type_id/encryption', policy: 'volume_extension:volume_type_encryption:create', body: EncryptionCreate, status: 200,
      handler: async c => {
        const row = await typeOf(rt, c as never);
        await unused(row, 'create');
        if (row.encryption) throw new BadRequest(`Volume type encryption for type ${row.id} already exists.`);
        const value: Encryption = { provider: c.body.encryption.provider, cipher: c.body.encryption.cipher ?? null, key_size: c.body.encryption.key_size ?? null, control_location: c.body.encryption.control_location };
        const id = newId();
        await setEncryption(row, id, value);
        return { encryption: { ...value, volume_type_id: row.id, encryption_id: id } };
      },
    }),
    operation({
      id: 'types.encryption.update', summary: 'Change encryption', method: 'PUT', path: '/types/:type_id/encryption/:encryption_id', policy: 'volume_extension:volume_type_encryption:update', body: EncryptionUpdate, status: 200,
      handler: async c => {
        const row = await encrypted(c as never);
        await unused(row, 'update');
        const change = Object.fromEntries(Object.entries(c.body.encryption).filter(([, v]) => v !== undefined)) as Partial<Encryption>;
        await setEncryption(row, row.encryption_id, { ...row.encryption, ...change });
        return { encryption: change };
      },
    }),
    operation({ id: 'types.encryption.delete', summary: 'Remove encryption', method: 'DELETE', path: '/types/:type_id/encryption/:encryption_id', policy: 'volume_extension:volume_type_encryption:delete', handler: async c => { const row = await encrypted(c as never); await unused(row, 'delete'); await setEncryption(row, null, null); return new Reply(202); } }),
    operation({
      id: 'types.access.list', summary: 'List who may use a type', method: 'GET', path: '/types/:type_id/os-volume-type-access', policy: 'volume_extension:volume_type_access:get_all_for_type',
      handler: async c => { const row = await typeOf(rt, c as never); if (row.is_public) throw new NotFound('Access list not available for public volume types.'); return { volume_type_access: (await rt.db('volume_type_access').where({ type_id: row.id }).orderBy('project_id')).map((a: { project_id: string }) => ({ volume_type_id: row.id, project_id: a.project_id })) }; },
    }),
    operation({
      id: 'types.access.add', summary: 'Let a project use a type', method: 'POST', path: '/types/:type_id/action', action: 'addProjectAccess', policy: 'volume_extension:volume_type_access:addProjectAccess', body: Access('addProjectAccess'),
      handler: async c => {
        const row = await typeOf(rt, c as never);
        if (row.is_public) throw conflict('Type access modification is not applicable to public volume type.');
        const project = c.body['addProjectAccess']?.project ?? '';
        await rt.db('volume_type_access').insert({ type_id: row.id, project_id: project }).catch((error: unknown) => { if (duplicateOf(error)) throw conflict(`Volume type access for ${row.id} / ${project} combination already exists.`); throw error; });
        return new Reply(202);
      },
    }),
    operation({
      id: 'types.access.remove', summary: 'Take a type away from a project', method: 'POST', path: '/types/:type_id/action', action: 'removeProjectAccess', policy: 'volume_extension:volume_type_access:removeProjectAccess', body: Access('removeProjectAccess'),
      handler: async c => {
        const row = await typeOf(rt, c as never);
        if (row.is_public) throw conflict('Type access modification is not applicable to public volume type.');
        const project = c.body['removeProjectAccess']?.project ?? '';
        if (await rt.db('volume_type_access').where({ type_id: row.id, project_id: project }).delete() === 0) throw new NotFound(`Volume type access not found for ${row.id} / ${project} combination.`);
        return new Reply(202);
      },
    }),
  ];
};
