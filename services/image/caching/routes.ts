import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { one } from '../data/headers.ts';
import { findVisible } from '../images/store.ts';
import type { ImageDeps } from '../opened.ts';
import { imageTarget, who } from '../permission.ts';
import { cached, cachedOf, forget, queued, type CachedRow } from './store.ts';
import { cachePlan, cacheQueue, uncachePlan } from './tasks.ts';

const seconds = (at: Date) => at.getTime() / 1000;
/** One line for each image, whatever the number of its copies. */
function views(rows: readonly CachedRow[]) {
  return [...Map.groupBy(rows, r => r.image_id)].map(([image_id, copies]) => ({
    image_id, hits: copies.reduce((n, c) => n + c.hits, 0), last_accessed: Math.max(...copies.map(c => seconds(c.used_at))), last_modified: Math.min(...copies.map(c => seconds(c.cached_at))), size: (copies[0] as CachedRow).size,
  }));
}
const by = (ctx: Context) => ({ projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId });

/** Copies disappear from the list at once and from their hosts by tasks there. Gives how many. */
async function drop(d: ImageDeps, ctx: Context, trx: Knex.Transaction, rows: readonly CachedRow[]): Promise<number> {
  for (const [host, ofHost] of Map.groupBy(rows, r => r.host)) {
    for (const row of ofHost) await forget(trx, row);
    await d.rt.tasks.enqueue(trx, uncachePlan, { places: ofHost.map(r => ({ folder: r.folder, imageId: r.image_id })) }, { queue: cacheQueue(host), resource: { type: 'image_cache', id: host }, by: by(ctx) });
  }
  return new Set(rows.map(r => r.image_id)).size;
}
async function unqueue(d: ImageDeps, trx: Knex.Transaction, imageId?: string): Promise<number> {
  const waiting = (await queued(trx, cachePlan.kind)).filter(t => imageId === undefined || t.resource_id === imageId);
  for (const { id } of waiting) await d.rt.tasks.cancel(trx, id);
  return waiting.length;
}

export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'cache.list', summary: 'List the images that hosts have copies of, and those that wait for one', method: 'GET', path: '/cache', policy: 'cache_list',
    handler: async () => ({ cached_images: views(await cached(d.rt.db)), queued_images: (await queued(d.rt.db, cachePlan.kind)).map(t => t.resource_id) }),
  }),
  operation({
    id: 'cache.queue', summary: 'Copy an image to a host before it is needed there', method: 'PUT', path: '/cache/:image_id', policy: 'cache_image', permit: 'object', status: 202,
    handler: async ctx => {
      const id = ctx.params['image_id'] as string;
      const image = await findVisible(d.rt.db, who(ctx), id);
      if (!image) { ctx.permit(); throw new NotFound(`Image ${id} not found.`); }
      ctx.permit(imageTarget(image));
      if (image.status !== 'active') throw new BadRequest('Only images with status active can be targeted for queueing');
      await d.rt.tasks.enqueue(d.rt.db, cachePlan, { imageId: image.id }, { queue: 'image', lane: `image-cache/${image.id}`, dedupe: `image-cache/${image.id}`, resource: { type: 'image', id: image.id }, by: by(ctx) });
      return new Reply(202);
    },
  }),
  operation({
    id: 'cache.delete', summary: 'Remove the copies of an image', method: 'DELETE', path: '/cache/:image_id', policy: 'cache_delete', status: 204,
    handler: async ctx => {
      const id = ctx.params['image_id'] as string;
      await transaction(d.rt.db, async trx => {
        const known = await findVisible(trx, who(ctx), id);
        const dropped = await drop(d, ctx, trx, known ? await cachedOf(trx, known.id) : (await cached(trx)).filter(r => r.image_id === id));
        if (await unqueue(d, trx, id) + dropped === 0 && !known) throw new NotFound(`Image ${id} not found.`);
      });
    },
  }),
  operation({
    id: 'cache.clear', summary: 'Remove all copies, or what waits, or both', method: 'DELETE', path: '/cache', policy: 'cache_delete', status: 204,
    handler: async ctx => {
      const target = (one(ctx.request.headers['x-image-cache-clear-target']) ?? '').toLowerCase();
      if (target !== '' && target !== 'cache' && target !== 'queue') throw new BadRequest("If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.");
      await transaction(d.rt.db, async trx => {
        if (target !== 'queue') await drop(d, ctx, trx, await cached(trx));
        if (target !== 'cache') await unqueue(d, trx);
      });
    },
  }),
  operation({
    id: 'cache.nodes', summary: 'The hosts that have a copy of an image', method: 'GET', path: '/cache/nodes/:image_id', policy: 'list_cached_nodes',
    handler: async ctx => ({ cached_nodes: [...new Set((await cached(d.rt.db)).filter(r => r.image_id === ctx.params['image_id']).map(r => r.host))] }),
  }),
  operation({
    id: 'cache.clean', summary: 'Forget copies of images that are gone', method: 'POST', path: '/cache/clean', policy: 'cache_clean', status: 204,
    handler: ctx => transaction(d.rt.db, async trx => {
      const rows = await cached(trx);
      const there = new Set((await trx('images').whereIn('id', rows.map(r => r.image_id)).whereNot('status', 'pending_delete').select('id')).map((r: { id: string }) => r.id));
      await drop(d, ctx, trx, rows.filter(r => !there.has(r.image_id)));
    }),
  }),
  operation({
    id: 'cache.prune', summary: 'Remove the copies that were used least recently, until each host\'s fit the limit', method: 'POST', path: '/cache/prune', policy: 'cache_prune', status: 204,
    handler: ctx => transaction(d.rt.db, async trx => {
      for (const [, rows] of Map.groupBy(await cached(trx), r => r.host)) {
        let total = rows.reduce((n, r) => n + r.size, 0);
        const gone = rows.filter(r => { if (total <= d.rt.settings.image.cacheMaxBytes) return false; total -= r.size; return true; });
        await drop(d, ctx, trx, gone);
      }
    }),
  }),
];
