import { limitsOf, transaction, usageOf, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, one, shape, within, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { boolean } from '../servers/fields.ts';
import { defaults } from './limits.ts';

/** Those of the newest version; older ones also list what nova-network and file injection had. */
const names = ['cores', 'instances', 'key_pairs', 'metadata_items', 'ram', 'server_group_members', 'server_groups'] as const;
const network = ['fixed_ips', 'floating_ips', 'security_group_rules', 'security_groups', 'networks'] as const;
const injected = ['injected_file_content_bytes', 'injected_file_path_bytes', 'injected_files'] as const;
const all = [...names, ...network.filter(n => n !== 'networks'), ...injected].toSorted();

const limit = z.union([z.int().min(-1).max(0x7fffffff), z.string().regex(/^-?[0-9]+$/)]).transform(Number).pipe(z.number().min(-1).max(0x7fffffff));
const members = (of: readonly string[]) => Object.fromEntries(of.map(n => [n, limit.optional()]));
const setOf = (of: readonly string[], force: boolean) => z.strictObject({ ...members(of), ...(force ? { force: boolean.optional() } : {}), tenant_id: z.string().optional() });
const Update = shape('QuotaUpdate', z.strictObject({ quota_set: setOf(names, true) }));
const ClassUpdate = shape('QuotaClassUpdate', z.strictObject({ quota_class_set: setOf(names, false) }));
const Query = shape('QuotaQuery', z.looseObject({ user_id: one(z.string()).optional() }));
const Set = shape('QuotaSet', z.any());
const Shown = shape('ShownQuotaSet', z.any(), { quota_set: Set });
const ClassSet = shape('QuotaClassSet', z.any());
const ShownClass = shape('ShownQuotaClassSet', z.any(), { quota_class_set: ClassSet });
export const changes: Change[] = [
  // Views hold everything; each version shows what it knew.
  { at: '2.36', shape: 'QuotaUpdate', why: 'networks have quotas of their own service', was: newer => within(newer, ['quota_set'], () => setOf([...names, ...injected, ...network], true)) },
  { at: '2.36', trait: 'no network quotas', why: 'networks have quotas of their own service' },
  { at: '2.50', trait: 'server group quotas in classes', why: 'quota classes hold server group quotas, and none of networks' },
  { at: '2.50', shape: 'QuotaClassUpdate', why: 'quota classes hold no network quotas', was: newer => within(newer, ['quota_class_set'], () => setOf([...names, ...injected, ...network], false)) },
  { at: '2.57', shape: 'QuotaUpdate', why: 'files are no longer injected', was: newer => within(newer, ['quota_set'], () => setOf([...names, ...injected], true)) },
  { at: '2.57', shape: 'QuotaClassUpdate', why: 'files are no longer injected', was: newer => within(newer, ['quota_class_set'], () => setOf([...names, ...injected], false)) },
  { at: '2.57', trait: 'no injection quotas', why: 'files are no longer injected' },
];
const known = (ctx: Context) => all.filter(n => !(ctx.dialect.has('no network quotas') && network.includes(n as never)) && !(ctx.dialect.has('no injection quotas') && injected.includes(n as never)));
const knownToClass = (ctx: Context) => all.filter(n => (ctx.dialect.has('server group quotas in classes') ? !network.includes(n as never) : n !== 'server_groups' && n !== 'server_group_members') && !(ctx.dialect.has('no injection quotas') && injected.includes(n as never)));

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const pickOf = (values: Readonly<Record<string, number>>, keys: readonly string[]) => Object.fromEntries(keys.map(k => [k, values[k] ?? -1]));
  const tenant = (ctx: Context<unknown, unknown>) => ctx.params['tenant_id'] ?? '';
  const limits = (trx: Trx, project: string) => limitsOf(trx, 'compute', project, defaults);
  return [
    operation({
      id: 'quotas.show', summary: 'Limits of a project', method: 'GET', path: '/os-quota-sets/:tenant_id', policy: 'os_compute_api:os-quota-sets:show', permit: 'object', query: Query, reply: Shown,
      handler: async ctx => { ctx.permit({ project_id: tenant(ctx) }); return { quota_set: { id: tenant(ctx), ...pickOf(await limits(db, tenant(ctx)), known(ctx as never)) } }; },
    }),
    operation({
      id: 'quotas.detail', summary: 'Limits and use of a project', method: 'GET', path: '/os-quota-sets/:tenant_id/detail', policy: 'os_compute_api:os-quota-sets:detail', permit: 'object', query: Query, reply: Shown,
      handler: async ctx => {
        ctx.permit({ project_id: tenant(ctx) });
        const [of, used] = await Promise.all([limits(db, tenant(ctx)), usageOf(db, 'compute', tenant(ctx))]);
        return { quota_set: { id: tenant(ctx), ...Object.fromEntries(known(ctx as never).map(k => [k, { limit: of[k] ?? -1, in_use: used[k] ?? 0, reserved: 0 }])) } };
      },
    }),
    operation({
      id: 'quotas.defaults', summary: 'Limits of a project that has none of its own', method: 'GET', path: '/os-quota-sets/:tenant_id/defaults', policy: 'os_compute_api:os-quota-sets:defaults',
      handler: async ctx => ({ quota_set: { id: tenant(ctx), ...pickOf(await limits(db, 'class:default'), known(ctx as never)) } }),
    }),
    operation({
      id: 'quotas.update', summary: 'Set limits of a project', method: 'PUT', path: '/os-quota-sets/:tenant_id', policy: 'os_compute_api:os-quota-sets:update', query: Query, body: Update, reply: Shown,
      handler: ctx => transaction(db, async trx => {
        const { force, tenant_id: _, ...set } = ctx.body.quota_set as Record<string, number | undefined> & { force?: boolean; tenant_id?: string };
        const used = await usageOf(trx, 'compute', tenant(ctx));
        const entries = Object.entries(set).filter((e): e is [string, number] => e[1] !== undefined);
        for (const [name, value] of entries) {
          if (!force && value >= 0 && value < (used[name] ?? 0)) throw new BadRequest(`Quota limit ${value} for ${name} must be greater than or equal to already used and reserved ${used[name] ?? 0}.`);
        }
        if (entries.length > 0) await trx('quotas').insert(entries.map(([resource, hard_limit]) => ({ service: 'compute', project_id: tenant(ctx), resource, hard_limit }))).onConflict(['service', 'project_id', 'resource']).merge();
        return { quota_set: pickOf(await limits(trx, tenant(ctx)), known(ctx as never)) };
      }),
    }),
    operation({ id: 'quotas.delete', summary: 'Back to the defaults', method: 'DELETE', path: '/os-quota-sets/:tenant_id', policy: 'os_compute_api:os-quota-sets:delete', query: Query, handler: async ctx => { await db('quotas').where({ service: 'compute', project_id: tenant(ctx) }).delete(); return new Reply(202); } }),
    operation({
      id: 'quota_classes.show', summary: 'The defaults', method: 'GET', path: '/os-quota-class-sets/:id', policy: 'os_compute_api:os-quota-class-sets:show', reply: ShownClass,
      handler: async ctx => ({ quota_class_set: { id: ctx.params['id'], ...pickOf(await limits(db, `class:${ctx.params['id']}`), knownToClass(ctx as never)) } }),
    }),
    operation({
      id: 'quota_classes.update', summary: 'Change the defaults', method: 'PUT', path: '/os-quota-class-sets/:id', policy: 'os_compute_api:os-quota-class-sets:update', body: ClassUpdate, reply: ShownClass,
      handler: ctx => transaction(db, async trx => {
        const entries = Object.entries(ctx.body.quota_class_set as Record<string, number | undefined>).filter((e): e is [string, number] => typeof e[1] === 'number');
        const scope = `class:${ctx.params['id']}`;
        if (entries.length > 0) await trx('quotas').insert(entries.map(([resource, hard_limit]) => ({ service: 'compute', project_id: scope, resource, hard_limit }))).onConflict(['service', 'project_id', 'resource']).merge();
        return { quota_class_set: pickOf(await limits(trx, scope), knownToClass(ctx as never)) };
      }),
    }),
  ];
};
