import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { UnsupportedMediaType } from '@cumulet/wire';
import { one } from '../data/headers.ts';
import type { ImageDeps } from '../opened.ts';
import { imageTarget, permit, seen, who } from '../permission.ts';
import { links, listImages, pageSize, type ListQuery as Query } from './list.ts';
import { patchTypes, readPatch } from './patch.ts';
import { ImageBody, ListQuery } from './schemas.ts';
import { changeImage, createImage, deleteImage, setActive } from './service.ts';
import type { ImageRow } from './store.ts';
import { imageView } from './view.ts';

export const routes = (d: ImageDeps): Operation[] => {
  const { settings } = d.rt;
  const view = (ctx: Context, row: ImageRow) => {
    const sees = (settings.image.showMultipleLocations || settings.image.showDirectUrl) && ctx.allows('get_image_location', imageTarget({ ...row, member: null }));
    return imageView(row, { locations: settings.image.showMultipleLocations, directUrl: settings.image.showDirectUrl && sees });
  };
  return [
    operation({
      id: 'images.create', summary: 'Create an image', method: 'POST', path: '/images', policy: 'add_image', permit: 'object', body: ImageBody, status: 201,
      handler: async ctx => {
        const row = await createImage(d, ctx);
        return new Reply(201, view(ctx, row), {
          location: `${ctx.baseUrl}/v2/images/${row.id}`,
          ...(settings.image.importMethods.length > 0 ? { 'openstack-image-import-methods': settings.image.importMethods.join(',') } : {}), 'openstack-image-store-ids': d.stores.ids.join(','),
        });
      },
    }),
    operation({
      id: 'images.list', summary: 'List images', method: 'GET', path: '/images', policy: 'get_images', query: ListQuery,
      handler: async ctx => {
        const limit = pageSize(ctx.query.limit, settings.image.pageSize, settings.http.maxLimit);
        const { rows, next } = await listImages(d.rt.db, who(ctx), ctx.query as Query, { limit });
        // Members see what was shared with them: the list holds no others.
        const project = ctx.caller.projectId ?? null;
        const allowed = rows.filter(row => ctx.allows('get_image', imageTarget({ ...row, member: project })));
        return { images: allowed.map(row => view(ctx, row)), ...links('/v2/images', ctx.search, next), schema: '/v2/schemas/images' };
      },
    }),
    operation({
      id: 'images.show', summary: 'Show an image', method: 'GET', path: '/images/:image_id', policy: 'get_image', permit: 'object',
      handler: async ctx => {
        const row = await seen(d.rt.db, ctx, ctx.params['image_id'] as string);
        permit(ctx, row);
        return view(ctx, row);
      },
    }),
    operation({
      id: 'images.update', summary: 'Change an image by a JSON patch', method: 'PATCH', path: '/images/:image_id', policy: 'modify_image', permit: 'object', accepts: Object.keys(patchTypes),
      handler: async ctx => {
        const draft = patchTypes[(one(ctx.request.headers['content-type']) ?? '').split(';')[0]?.trim().toLowerCase() ?? ''];
        if (draft === undefined) throw new UnsupportedMediaType('The media type of the request is not supported.', { headers: { 'accept-patch': Object.keys(patchTypes).join(', ') } });
        return view(ctx, await changeImage(d, ctx, ctx.params['image_id'] as string, readPatch(ctx.body, draft)));
      },
    }),
    operation({
      id: 'images.delete', summary: 'Delete an image', method: 'DELETE', path: '/images/:image_id', policy: 'delete_image', permit: 'object', status: 204,
      handler: ctx => deleteImage(d, ctx, ctx.params['image_id'] as string),
    }),
    operation({
      id: 'images.deactivate', summary: 'Deactivate an image', method: 'POST', path: '/images/:image_id/actions/deactivate', policy: 'deactivate', permit: 'object', status: 204,
      handler: ctx => setActive(d, ctx, ctx.params['image_id'] as string, 'deactivated'),
    }),
    operation({
      id: 'images.reactivate', summary: 'Reactivate an image', method: 'POST', path: '/images/:image_id/actions/reactivate', policy: 'reactivate', permit: 'object', status: 204,
      handler: ctx => setActive(d, ctx, ctx.params['image_id'] as string, 'active'),
    }),
  ];
};
