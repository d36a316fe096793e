import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest } from '@cumulet/wire';
import { createHash } from 'node:crypto';
import { metadataNotFound } from './faults.ts';
import { Meta, Metadata } from './volumes/schemas.ts';

type Map = Record<string, string>;
export interface MetadataOf {
  /** Name of operations, collection in the path, path parameter, and how messages call it. */
  readonly feature: string;
  readonly collection: string;
  readonly label: string;
  readonly policies: { readonly get: string; readonly create: string; readonly update: string; readonly delete: string };
  /** Upstream gives an entity tag for volumes only (3.15). */
  readonly etag: boolean;
  read(ctx: Context, id: string): Promise<Map>;
  /** Changes the map under a lock; gives it as it is afterwards. */
  change(ctx: Context, id: string, how: (now: Map) => Map): Promise<Map>;
}
const tagOf = (map: Map) => createHash('md5').update(JSON.stringify({ metadata: map })).digest('hex');

/** The metadata of volumes and of snapshots: the same seven calls. */
export function metadataRoutes(of: MetadataOf): Operation[] {
  const path = `/${of.collection}/:resource_id/metadata`;
  const id = (ctx: Context) => ctx.params['resource_id'] ?? '';
  const missing = (ctx: Context, key: string) => metadataNotFound(`${of.label} ${id(ctx)} has no metadata with key ${key}.`);
  const tagged = (ctx: Context) => of.etag && ctx.dialect.has('metadata etag');
  const answer = (ctx: Context, map: Map, body: unknown) => new Reply(200, body, tagged(ctx) ? { etag: tagOf(map) } : {});
  /** An update on a condition that no longer holds is a 412 and changes nothing. */
  const guarded = (ctx: Context, how: (now: Map) => Map) => (now: Map) => {
    const wanted = ctx.request.headers['if-match'];
    if (tagged(ctx) && typeof wanted === 'string' && wanted !== '*' && !wanted.split(',').map(t => t.trim().replaceAll('"', '')).includes(tagOf(now))) throw new Stale();
    return how(now);
  };
  const change = async (ctx: Context, how: (now: Map) => Map, body: (map: Map) => unknown): Promise<Reply> => {
    try {
      const map = await of.change(ctx, id(ctx), guarded(ctx, how));
      return answer(ctx, map, body(map));
    } catch (error) {
      if (error instanceof Stale) return new Reply(412);
      throw error;
    }
  };
  return [
    operation({ id: `${of.feature}.list`, summary: `List metadata of a ${of.label.toLowerCase()}`, method: 'GET', path, policy: of.policies.get, permit: 'object', handler: async c => { const ctx = c as never as Context; const map = await of.read(ctx, id(ctx)); return answer(ctx, map, { metadata: map }); } }),
    operation({ id: `${of.feature}.create`, summary: 'Add metadata', method: 'POST', path, policy: of.policies.create, permit: 'object', body: Metadata, handler: c => change(c as never, now => ({ ...now, ...c.body.metadata }), metadata => ({ metadata })) }),
    operation({ id: `${of.feature}.replace`, summary: 'Replace metadata', method: 'PUT', path, policy: of.policies.update, permit: 'object', body: Metadata, handler: c => change(c as never, () => c.body.metadata, metadata => ({ metadata })) }),
    operation({
      id: `${of.feature}.show`, summary: 'Show one metadata item', method: 'GET', path: `${path}/:key`, policy: of.policies.get, permit: 'object', handler: async c => {
        const ctx = c as never as Context;
        const key = ctx.params['key'] ?? '';
        const map = await of.read(ctx, id(ctx));
        if (!Object.hasOwn(map, key)) throw missing(ctx, key);
        return { meta: { [key]: map[key] } };
      },
    }),
    operation({
      id: `${of.feature}.update`, summary: 'Set one metadata item', method: 'PUT', path: `${path}/:key`, policy: of.policies.update, permit: 'object', body: Meta, handler: c => {
        const key = c.params['key'] ?? '';
        if (!Object.hasOwn(c.body.meta, key)) throw new BadRequest('Request body and URI mismatch');
        if (Object.keys(c.body.meta).length > 1) throw new BadRequest('Request body contains too many items');
        return change(c as never, now => ({ ...now, ...c.body.meta }), () => ({ meta: c.body.meta }));
      },
    }),
    operation({
      id: `${of.feature}.delete`, summary: 'Remove one metadata item', method: 'DELETE', path: `${path}/:key`, policy: of.policies.delete, permit: 'object', handler: async c => {
        const ctx = c as never as Context;
        const key = ctx.params['key'] ?? '';
        await of.change(ctx, id(ctx), now => { if (!Object.hasOwn(now, key)) throw missing(ctx, key); const { [key]: _, ...rest } = now; return rest; });
        return new Reply(200);
      },
    }),
  ];
}
class Stale extends Error {}
