import { limitsOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Forbidden, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { defaults } from '../quotas/limits.ts';
import { refuseLocked, refuseState, serverFor } from '../servers/act.ts';
import { metadata } from '../servers/fields.ts';

const Many = shape('ServerMetadata', z.strictObject({ metadata }));
const One = shape('ServerMetadataItem', z.strictObject({ meta: metadata.refine(m => Object.keys(m).length === 1, { message: 'exactly one metadata item is expected' }) }));
const path = '/servers/:server_id/metadata';

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const read = async (ctx: Context) => (await serverFor(ctx, db)).metadata;
  const change = (ctx: Context, verb: 'update metadata' | 'delete metadata', edit: (now: Record<string, string>) => Record<string, string>) => transaction(db, async trx => {
    const row = await serverFor(ctx, trx, { lock: true });
    refuseLocked(ctx, row);
    refuseState(row, verb, verb, { launched: false });
    const next = edit(row.metadata);
    const limit = (await limitsOf(trx, 'compute', row.project_id, defaults))['metadata_items'] ?? -1;
    if (limit >= 0 && Object.keys(next).length > limit) throw new Forbidden(`Maximum number of metadata items exceeds ${limit}`);
    await trx('servers').where({ id: row.id }).update({ metadata: JSON.stringify(next), updated_at: trx.fn.now() });
    return next;
  });
  const item = (m: Record<string, string>, key: string) => { const value = Object.hasOwn(m, key) ? m[key] : undefined; if (value === undefined) throw new NotFound('Metadata item was not found'); return value; };
  return [
    operation({ id: 'server_metadata.list', summary: 'Metadata of a server', method: 'GET', path, policy: 'os_compute_api:server-metadata:index', permit: 'object', handler: async ctx => ({ metadata: await read(ctx as never) }) }),
    operation({ id: 'server_metadata.create', summary: 'Add metadata', method: 'POST', path, policy: 'os_compute_api:server-metadata:create', permit: 'object', body: Many, handler: async ctx => ({ metadata: await change(ctx as never, 'update metadata', now => ({ ...now, ...ctx.body.metadata })) }) }),
    operation({ id: 'server_metadata.replace', summary: 'Replace metadata', method: 'PUT', path, policy: 'os_compute_api:server-metadata:update_all', permit: 'object', body: Many, handler: async ctx => ({ metadata: await change(ctx as never, 'update metadata', () => ctx.body.metadata) }) }),
    operation({ id: 'server_metadata.show', summary: 'One item', method: 'GET', path: `${path}/:key`, policy: 'os_compute_api:server-metadata:show', permit: 'object', handler: async ctx => { const key = ctx.params['key'] ?? ''; return { meta: { [key]: item(await read(ctx as never), key) } }; } }),
    operation({
      id: 'server_metadata.update', summary: 'Set one item', method: 'PUT', path: `${path}/:key`, policy: 'os_compute_api:server-metadata:update', permit: 'object', body: One,
      handler: async ctx => {
        const key = ctx.params['key'] ?? '';
        if (!Object.hasOwn(ctx.body.meta, key)) throw new BadRequest('Request body and URI mismatch');
        await change(ctx as never, 'update metadata', now => ({ ...now, ...ctx.body.meta }));
        return { meta: ctx.body.meta };
      },
    }),
    operation({ id: 'server_metadata.delete', summary: 'Delete one item', method: 'DELETE', path: `${path}/:key`, policy: 'os_compute_api:server-metadata:delete', permit: 'object', handler: async ctx => { const key = ctx.params['key'] ?? ''; await change(ctx as never, 'delete metadata', now => { item(now, key); const { [key]: _, ...rest } = now; return rest; }); return new Reply(204); } }),
  ];
};
