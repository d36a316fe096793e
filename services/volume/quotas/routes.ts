import { transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, lastOf, parseBool, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery } from '../listing.ts';
import { defaults, limits, usage } from './limits.ts';

const QuotaSet = shape('QuotaSet', z.looseObject({ quota_set: z.record(z.string(), z.unknown()) }));
const ClassSet = shape('QuotaClassSet', z.looseObject({ quota_class_set: z.record(z.string(), z.unknown()) }));
const ShowQuery = shape('QuotaQuery', anyQuery);
const max = 2_147_483_647;

interface Named { readonly key: string; readonly name: string }
/** Every quota by the name that replies give it: the general ones, three for each type, and groups. */
async function resources(trx: Trx): Promise<Named[]> {
  const types: { id: string; name: string }[] = await trx('volume_types').orderBy('created_at', 'desc').select('id', 'name');
  const general = Object.keys(defaults).filter(k => k !== 'groups').map(name => ({ key: name, name }));
  return [...general, ...types.flatMap(t => ['volumes', 'gigabytes', 'snapshots'].map(r => ({ key: `${r}_${t.id}`, name: `${r}_${t.name}` }))), { key: 'groups', name: 'groups' }];
}
const shown = (list: readonly Named[], of: (key: string) => unknown) => Object.fromEntries(list.map(r => [r.name, of(r.key)]));

/** What an update may say: known quotas, whole numbers from -1. */
async function read(trx: Trx, body: Readonly<Record<string, unknown>>): Promise<{ key: string; name: string; limit: number }[]> {
  const known = new Map((await resources(trx)).map(r => [r.name, r.key]));
  const bad = Object.keys(body).filter(k => !known.has(k) && !['tenant_id', 'force', 'class_name', 'id', 'skip_validation', 'project_id'].includes(k));
  if (bad.length > 0) throw new BadRequest(`Bad key(s) in quota set: ${bad.join(', ')}`);
  return Object.entries(body).flatMap(([name, value]) => {
    const key = known.get(name);
    if (key === undefined || value === null) return [];
    const limit = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
    if (typeof limit !== 'number' || !Number.isInteger(limit)) throw new BadRequest(`${name} must be an integer`);
    if (limit < -1) throw new BadRequest(`${name} must be >= -1`);
    if (limit > max) throw new BadRequest(`${name} must be <= ${max}`);
    return [{ key, name, limit }];
  });
}
const write = async (trx: Trx, scope: string, list: readonly { key: string; limit: number }[]) => {
  for (const { key, limit } of list) await trx('quotas').insert({ service: 'volume', project_id: scope, resource: key, hard_limit: limit }).onConflict(['service', 'project_id', 'resource']).merge({ hard_limit: limit });
};
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['id'] ?? '';
const permitted = (ctx: Context) => { ctx.permit({ project_id: id(ctx), user_id: ctx.caller.userId }); };

/** Quotas of projects and the defaults that stand behind them. */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'quotas.show', summary: 'Show quotas', method: 'GET', path: '/os-quota-sets/:id', policy: 'volume_extension:quotas:show', permit: 'object', query: ShowQuery,
    handler: async c => {
      const ctx = c as never as Context;
      permitted(ctx);
      const [list, limit, used] = await Promise.all([resources(rt.db), limits(rt.db, id(ctx)), usage(rt.db, id(ctx))]);
      const withUsage = parseBool(lastOf(c.query['usage'])) === true;
      return { quota_set: { ...shown(list, key => (withUsage ? { limit: limit[key] ?? -1, in_use: used[key] ?? 0, reserved: 0 } : limit[key] ?? -1)), id: id(ctx) } };
    },
  }),
  operation({
    id: 'quotas.defaults', summary: 'Show default quotas', method: 'GET', path: '/os-quota-sets/:id/defaults', policy: 'volume_extension:quotas:show', permit: 'object',
    handler: async c => { const ctx = c as never as Context; permitted(ctx); const [list, limit] = await Promise.all([resources(rt.db), limits(rt.db, 'class:default')]); return { quota_set: { ...shown(list, key => limit[key] ?? -1), id: id(ctx) } }; },
  }),
  operation({
    id: 'quotas.update', summary: 'Change quotas', method: 'PUT', path: '/os-quota-sets/:id', policy: 'volume_extension:quotas:update', body: QuotaSet,
    handler: ctx => transaction(rt.db, async trx => {
      const changes = await read(trx, ctx.body.quota_set);
      const used = await usage(trx, id(ctx));
      for (const { key, name, limit } of changes) if (limit >= 0 && (used[key] ?? 0) > limit) throw new BadRequest(`Quota ${name} limit must be equal or greater than existing resources. Current usage is ${used[key]} and the requested limit is ${limit}.`);
      await write(trx, id(ctx), changes);
      const now = await limits(trx, id(ctx));
      return { quota_set: shown(await resources(trx), key => now[key] ?? -1) };
    }),
  }),
  operation({ id: 'quotas.delete', summary: 'Return to default quotas', method: 'DELETE', path: '/os-quota-sets/:id', policy: 'volume_extension:quotas:delete', handler: async ctx => { await rt.db('quotas').where({ service: 'volume', project_id: id(ctx) }).delete(); return new Reply(200); } }),
  operation({
    id: 'quota_classes.show', summary: 'Show a quota class', method: 'GET', path: '/os-quota-class-sets/:id', policy: 'volume_extension:quota_classes:get',
    handler: async ctx => { const [list, limit] = await Promise.all([resources(rt.db), limits(rt.db, `class:${id(ctx)}`)]); return { quota_class_set: { ...shown(list, key => limit[key] ?? -1), id: id(ctx) } }; },
  }),
  operation({
    id: 'quota_classes.update', summary: 'Change a quota class', method: 'PUT', path: '/os-quota-class-sets/:id', policy: 'volume_extension:quota_classes:update', body: ClassSet,
    handler: ctx => transaction(rt.db, async trx => { await write(trx, `class:${id(ctx)}`, await read(trx, ctx.body.quota_class_set)); const now = await limits(trx, `class:${id(ctx)}`); return { quota_class_set: shown(await resources(trx), key => now[key] ?? -1) }; }),
  }),
];
