import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { olderImages } from '@cumulet/image';
import { parseTime, seconds, BadRequest, Fault, Forbidden, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { imageWho, type ImageFacts } from '../neighbours.ts';
import { nextLink, pageSize } from '../paging.ts';
import { metadata } from '../servers/fields.ts';
import { byOf, whoOf } from '../who.ts';

const until = '2.35';
const untilMetadata = '2.38';
const open = { anyone: 'upstream asks the image service\'s rules alone' };
const Meta = shape('ImageMetadata', z.strictObject({ metadata }));
const Item = shape('ImageMetadataItem', z.strictObject({ meta: metadata }));

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const glance = (ctx: Context) => ctx.baseUrl.replace(/:\d+$/, `:${c.rt.settings.ports.image}`);
  const links = (ctx: Context, id: string) => [{ rel: 'self', href: `${ctx.baseUrl}/v2.1/images/${id}` }, { rel: 'bookmark', href: `${ctx.baseUrl}/images/${id}` }, { rel: 'alternate', type: 'application/vnd.openstack.image', href: `${glance(ctx)}/images/${id}` }];
  const status: Readonly<Record<string, string>> = { queued: 'SAVING', saving: 'SAVING', importing: 'SAVING', uploading: 'SAVING', active: 'ACTIVE', deactivated: 'DEACTIVATED', pending_delete: 'DELETED' };
  const view = (ctx: Context, i: ImageFacts) => {
    const server = i.properties['instance_uuid'];
    const state = status[i.status] ?? 'UNKNOWN';
    return {
      id: i.id, name: i.name, minRam: i.min_ram, minDisk: i.min_disk, metadata: i.properties, created: seconds(i.created_at), updated: seconds(i.updated_at), status: state, progress: state === 'ACTIVE' ? 100 : state === 'SAVING' ? 25 : 0, 'OS-EXT-IMG-SIZE:size': i.size ?? 0, links: links(ctx, i.id),
      ...(server === undefined ? {} : { server: { id: server, links: [{ rel: 'self', href: `${ctx.baseUrl}/v2.1/servers/${server}` }, { rel: 'bookmark', href: `${ctx.baseUrl}/servers/${server}` }] } }),
      ...(i.properties['auto_disk_config'] === undefined ? {} : { 'OS-DCF:diskConfig': i.properties['auto_disk_config'] === 'True' ? 'AUTO' : 'MANUAL' }),
    };
  };
  const find = (ctx: Context) => c.n.images.find(db, imageWho(whoOf(ctx)), ctx.params['image_id'] ?? '').catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new NotFound('Image not found.') : error; });
  const page = async (ctx: Context) => {
    const q = new URLSearchParams(ctx.search);
    const limit = pageSize(c.rt, q.get('limit') ?? undefined);
    const who = whoOf(ctx);
    const [name, server, type, wanted, minDisk, minRam, since] = ['name', 'server', 'type', 'status', 'minDisk', 'minRam', 'changes-since'].map(k => q.get(k));
    const number = (column: string, text: string | null | undefined) => {
      if (text == null) return undefined;
      if (!/^\d{1,9}$/.test(text)) throw new BadRequest(`Invalid ${column} filter [${text}]`);
      return Number(text);
    };
    const at = since == null ? undefined : parseTime(since);
    const rows = await olderImages.page(db, imageWho(who), {
      name: name ?? undefined, statuses: wanted == null ? undefined : Object.entries(status).filter(([, s]) => s === wanted.toUpperCase()).map(([k]) => k), minDisk: number('min_disk', minDisk), minRam: number('min_ram', minRam),
      changedSince: at, properties: { ...(server == null ? {} : { instance_uuid: server.split('/').at(-1) as string }), ...(type == null ? {} : { image_type: type }) }, limit, marker: q.get('marker') ?? undefined,
    });
    return { rows, links: q.get('limit') !== null && rows.length === limit && rows.length > 0 ? { images_links: nextLink(ctx, rows.at(-1)?.id as string) } : {} };
  };
  const change = (ctx: Context, edit: (now: Record<string, string>) => Record<string, string>) => transaction(db, async trx => {
    const { id } = await find(ctx);
    return olderImages.setProperties(trx, imageWho(whoOf(ctx)), id, c.rt.settings.image.propertyQuota, edit);
  });
  const key = (ctx: Context) => ctx.params['key'] ?? '';
  return [
    operation({ id: 'images.list', summary: 'Images (older name)', method: 'GET', path: '/images', until, policy: open, handler: async ctx => { const { rows, links: more } = await page(ctx as never); return { images: rows.map(i => ({ id: i.id, name: i.name, links: links(ctx as never, i.id) })), ...more }; } }),
    operation({ id: 'images.detail', summary: 'Images in detail (older name)', method: 'GET', path: '/images/detail', until, policy: open, handler: async ctx => { const { rows, links: more } = await page(ctx as never); return { images: rows.map(i => view(ctx as never, i)), ...more }; } }),
    operation({ id: 'images.show', summary: 'An image (older name)', method: 'GET', path: '/images/:image_id', until, policy: open, handler: async ctx => ({ image: view(ctx as never, await find(ctx as never)) }) }),
    operation({
      id: 'images.delete', summary: 'Delete an image (older name)', method: 'DELETE', path: '/images/:image_id', until, policy: open,
      handler: async ctx => {
        const image = await find(ctx as never);
        if ((image.owner !== ctx.caller.projectId && !whoOf(ctx as never).admin) || image.protected) throw new Forbidden('You are not allowed to delete the image.');
        await transaction(db, trx => c.n.images.remove(trx, c.rt, image.id, byOf(ctx as never)));
        return new Reply(204);
      },
    }),
    operation({ id: 'image_metadata.list', summary: 'Properties of an image (older name)', method: 'GET', path: '/images/:image_id/metadata', until: untilMetadata, policy: open, handler: async ctx => ({ metadata: (await find(ctx as never)).properties }) }),
    operation({ id: 'image_metadata.create', summary: 'Add properties (older name)', method: 'POST', path: '/images/:image_id/metadata', until: untilMetadata, policy: open, body: Meta, handler: async ctx => ({ metadata: await change(ctx as never, now => ({ ...now, ...ctx.body.metadata })) }) }),
    operation({ id: 'image_metadata.replace', summary: 'Replace properties (older name)', method: 'PUT', path: '/images/:image_id/metadata', until: untilMetadata, policy: open, body: Meta, handler: async ctx => ({ metadata: await change(ctx as never, () => ctx.body.metadata) }) }),
    operation({ id: 'image_metadata.show', summary: 'A property (older name)', method: 'GET', path: '/images/:image_id/metadata/:key', until: untilMetadata, policy: open, handler: async ctx => { const v = (await find(ctx as never)).properties[key(ctx as never)]; if (v === undefined) throw new NotFound(); return { meta: { [key(ctx as never)]: v } }; } }),
    operation({
      id: 'image_metadata.update', summary: 'Set a property (older name)', method: 'PUT', path: '/images/:image_id/metadata/:key', until: untilMetadata, policy: open, body: Item,
      handler: async ctx => { if (!(key(ctx as never) in ctx.body.meta) || Object.keys(ctx.body.meta).length !== 1) throw new BadRequest('Request body and URI mismatch'); await change(ctx as never, now => ({ ...now, ...ctx.body.meta })); return { meta: ctx.body.meta }; },
    }),
    operation({ id: 'image_metadata.delete', summary: 'Remove a property (older name)', method: 'DELETE', path: '/images/:image_id/metadata/:key', until: untilMetadata, policy: open, handler: async ctx => { await change(ctx as never, now => { if (!(key(ctx as never) in now)) throw new NotFound('Invalid metadata key'); const { [key(ctx as never)]: _, ...rest } = now; return rest; }); return new Reply(204); } }),
  ];
};
