import { duplicateOf } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, newId, NotFound, own, parseBool, parseSort } from '@cumulet/wire';
import { Detailed, Listed, ListQuery, Shown, Create, Update, Specs, Spec, AddAccess, RemoveAccess } from './schemas.ts';
import { findFlavor, flavorSortKeys, listFlavors, type FlavorRow } from './store.ts';
import type { z } from 'zod';
import { nextLink, pageSize } from '../paging.ts';
import { whoOf } from '../who.ts';

const links = (ctx: Context, id: string) => [{ rel: 'self', href: `${ctx.baseUrl}/v2.1/flavors/${encodeURIComponent(id)}` }, { rel: 'bookmark', href: `${ctx.baseUrl}/flavors/${encodeURIComponent(id)}` }];
const view = (ctx: Context, f: FlavorRow) => ({
  id: f.id, name: f.name, ram: f.memory_mb, disk: f.root_gb, swap: f.swap_mb, 'OS-FLV-EXT-DATA:ephemeral': f.ephemeral_gb, vcpus: f.vcpus, 'os-flavor-access:is_public': f.is_public,
  ...(ctx.dialect.has('no rxtx factor') ? {} : { rxtx_factor: f.rxtx_factor, 'OS-FLV-DISABLED:disabled': f.disabled }), links: links(ctx, f.id), description: f.description, ...(ctx.allows('os_compute_api:os-flavor-extra-specs:index') ? { extra_specs: f.extra_specs } : {}),
});

export const routes = (rt: Runtime): Operation[] => {
  const { db } = rt;
  const find = (ctx: Context) => findFlavor(db, whoOf(ctx), ctx.params['flavor_id'] ?? '');
  const list = async (ctx: Context<unknown, { limit?: string; marker?: string; is_public?: string; minRam?: string; minDisk?: string; sort_key?: string; sort_dir?: string; name?: string }>) => {
    const { query } = ctx;
    const who = whoOf(ctx);
    const number = (name: string, text: string | undefined) => {
      if (text === undefined) return undefined;
      if (!/^-?\d+$/.test(text)) throw new BadRequest(`Invalid ${name} filter [${text}]`);
      return Math.max(-0x7fffffff, Math.min(Number(text), 0x7fffffff));
    };
    const asked = query.is_public === undefined ? true : query.is_public.toLowerCase() === 'none' ? undefined : parseBool(query.is_public);
    if (query.is_public !== undefined && query.is_public.toLowerCase() !== 'none' && asked === undefined) throw new BadRequest(`Invalid is_public filter [${query.is_public}]`);
    const limit = pageSize(rt, query.limit);
    const rows = await listFlavors(db, {
      public: who.admin ? asked : true, projectId: who.projectId, minRam: number('minRam', query.minRam), minDisk: number('minDisk', query.minDisk), name: ctx.dialect.has('no rxtx factor') ? query.name : undefined, limit, marker: query.marker,
      sorts: parseSort({ sort_key: query.sort_key ?? 'flavorid', sort_dir: query.sort_dir ?? 'asc' }, [...flavorSortKeys, 'id'], [], key => new BadRequest(`Unable to find sort column ${key}`)).filter((s, i, all) => s.key !== 'id' || i < all.length - 1).concat([{ key: 'flavorid', dir: 'asc' }]).filter((s, i, all) => all.findIndex(o => o.key === s.key) === i),
    });
    const more = rows.length === limit && rows.length > 0 ? { flavors_links: nextLink(ctx, rows.at(-1)?.id as string) } : {};
    return { rows, more: query.limit === undefined && rows.length < rt.settings.http.maxLimit ? {} : more };
  };
  const spec = async (ctx: Context) => {
    const flavor = await find(ctx);
    const key = ctx.params['key'] ?? '';
    const value = own(flavor.extra_specs, key);
    if (value === undefined) throw new NotFound(`Flavor ${flavor.id} has no extra specs with key ${key}.`);
    return { flavor, key, value };
  };
  const access = async (id: string) => ({ flavor_access: (await db('flavor_projects').where({ flavor_id: id }).orderBy('project_id').select('project_id')).map((r: { project_id: string }) => ({ flavor_id: id, tenant_id: r.project_id })) });
  return [
    operation({ id: 'flavors.list', summary: 'List flavors', method: 'GET', path: '/flavors', policy: { anyone: 'flavors are for everyone' }, query: ListQuery, reply: Listed, handler: async ctx => { const { rows, more } = await list(ctx); return { flavors: rows.map(f => ({ id: f.id, name: f.name, links: links(ctx, f.id), description: f.description })), ...more }; } }),
    operation({ id: 'flavors.detail', summary: 'List flavors in detail', method: 'GET', path: '/flavors/detail', policy: { anyone: 'flavors are for everyone' }, query: ListQuery, reply: Detailed, handler: async ctx => { const { rows, more } = await list(ctx); return { flavors: rows.map(f => view(ctx, f)), ...more }; } }),
    operation({ id: 'flavors.show', summary: 'Show a flavor', method: 'GET', path: '/flavors/:flavor_id', policy: { anyone: 'flavors are for everyone' }, reply: Shown, handler: async ctx => ({ flavor: view(ctx, await find(ctx)) }) }),
    operation({
      id: 'flavors.create', summary: 'Create a flavor', method: 'POST', path: '/flavors', policy: 'os_compute_api:os-flavor-manage:create', body: Create, reply: Shown,
      handler: async ctx => {
        const f: z.output<typeof Create.newest>['flavor'] & { rxtx_factor?: number } = ctx.body.flavor;
        const id = f.id === null || f.id === undefined || f.id === 'auto' ? newId() : String(f.id);
        try {
          // The project that makes a private flavor gets no access by that, as upstream has it (LP 1209101).
          const [row] = await db('flavors').insert({
            id, name: f.name, memory_mb: f.ram, vcpus: f.vcpus, root_gb: f.disk, ephemeral_gb: f['OS-FLV-EXT-DATA:ephemeral'] ?? 0, swap_mb: f.swap ?? 0, rxtx_factor: f.rxtx_factor ?? 1, is_public: f['os-flavor-access:is_public'] ?? true, description: f.description ?? null,
          }).returning('*');
          return { flavor: view(ctx, row) };
        } catch (error) {
          if (duplicateOf(error) === 'flavors_pkey') throw new Conflict(`Flavor with ID ${id} already exists.`);
          if (duplicateOf(error) !== undefined) throw new Conflict(`Flavor with name ${f.name} already exists.`);
          throw error;
        }
      },
    }),
    operation({
      id: 'flavors.update', summary: 'Change the description', method: 'PUT', path: '/flavors/:flavor_id', since: '2.55', policy: 'os_compute_api:os-flavor-manage:update', body: Update, reply: Shown,
      handler: async ctx => { const { id } = await find(ctx); const [row] = await db('flavors').where({ id }).update({ description: ctx.body.flavor.description, updated_at: db.fn.now() }).returning('*'); return { flavor: view(ctx, row) }; },
    }),
    operation({ id: 'flavors.delete', summary: 'Delete a flavor', method: 'DELETE', path: '/flavors/:flavor_id', policy: 'os_compute_api:os-flavor-manage:delete', handler: async ctx => { const { id } = await find(ctx); await db('flavors').where({ id }).delete(); return new Reply(202); } }),
    operation({ id: 'flavors.extra_specs.list', summary: 'Extra specs', method: 'GET', path: '/flavors/:flavor_id/os-extra_specs', policy: 'os_compute_api:os-flavor-extra-specs:index', handler: async ctx => ({ extra_specs: (await find(ctx)).extra_specs }) }),
    operation({
      id: 'flavors.extra_specs.create', summary: 'Add extra specs', method: 'POST', path: '/flavors/:flavor_id/os-extra_specs', policy: 'os_compute_api:os-flavor-extra-specs:create', body: Specs,
      handler: async ctx => { const { id } = await find(ctx); await db('flavors').where({ id }).update({ extra_specs: db.raw('extra_specs || ?::jsonb', [JSON.stringify(ctx.body.extra_specs)]), updated_at: db.fn.now() }); return { extra_specs: ctx.body.extra_specs }; },
    }),
    operation({ id: 'flavors.extra_specs.show', summary: 'One extra spec', method: 'GET', path: '/flavors/:flavor_id/os-extra_specs/:key', policy: 'os_compute_api:os-flavor-extra-specs:show', handler: async ctx => { const { key, value } = await spec(ctx); return { [key]: value }; } }),
    operation({
      id: 'flavors.extra_specs.update', summary: 'Change an extra spec', method: 'PUT', path: '/flavors/:flavor_id/os-extra_specs/:key', policy: 'os_compute_api:os-flavor-extra-specs:update', body: Spec,
      handler: async ctx => {
        const key = ctx.params['key'] ?? '';
        if (!Object.hasOwn(ctx.body, key)) throw new BadRequest('Request body and URI mismatch');
        const { id } = await find(ctx);
        await db('flavors').where({ id }).update({ extra_specs: db.raw('extra_specs || ?::jsonb', [JSON.stringify(ctx.body)]), updated_at: db.fn.now() });
        return ctx.body;
      },
    }),
    operation({ id: 'flavors.extra_specs.delete', summary: 'Delete an extra spec', method: 'DELETE', path: '/flavors/:flavor_id/os-extra_specs/:key', policy: 'os_compute_api:os-flavor-extra-specs:delete', handler: async ctx => { const { flavor, key } = await spec(ctx); await db('flavors').where({ id: flavor.id }).update({ extra_specs: db.raw('extra_specs - ?', [key]) }); return new Reply(200); } }),
    operation({
      id: 'flavors.access.list', summary: 'Who may use a private flavor', method: 'GET', path: '/flavors/:flavor_id/os-flavor-access', policy: 'os_compute_api:os-flavor-access',
      handler: async ctx => { const f = await find(ctx); if (f.is_public) throw new NotFound('Access list not available for public flavors.'); return access(f.id); },
    }),
    operation({
      id: 'flavors.access.add', summary: 'Let a project use a flavor', method: 'POST', path: '/flavors/:flavor_id/action', action: 'addTenantAccess', policy: 'os_compute_api:os-flavor-access:add_tenant_access', body: AddAccess,
      handler: async ctx => {
        const f = await find(ctx);
        const { tenant } = ctx.body.addTenantAccess;
        if (f.is_public && ctx.dialect.has('public flavors have no access list')) throw new Conflict('Can not add access to a public flavor.');
        try { await db('flavor_projects').insert({ flavor_id: f.id, project_id: tenant }); } catch (error) {
          if (duplicateOf(error) !== undefined) throw new Conflict(`Flavor access already exists for flavor ${f.id} and project ${tenant} combination.`);
          throw error;
        }
        return access(f.id);
      },
    }),
    operation({
      id: 'flavors.access.remove', summary: 'Take a flavor from a project', method: 'POST', path: '/flavors/:flavor_id/action', action: 'removeTenantAccess', policy: 'os_compute_api:os-flavor-access:remove_tenant_access', body: RemoveAccess,
      handler: async ctx => {
        const f = await find(ctx);
        const { tenant } = ctx.body.removeTenantAccess;
        if (await db('flavor_projects').where({ flavor_id: f.id, project_id: tenant }).delete() === 0) throw new NotFound(`Flavor access not found for ${f.id} / ${tenant} combination.`);
        return access(f.id);
      },
    }),
  ];
};
