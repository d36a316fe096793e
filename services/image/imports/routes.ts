import { operation, type Operation } from '@cumulet/http';
import type { ImageDeps } from '../opened.ts';
import { removeFromStore } from './remove.ts';
import { startImport } from './service.ts';

export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'images.import', summary: 'Import staged data, a URL or another cloud\'s image, or copy an image to further stores', method: 'POST', path: '/images/:image_id/import', policy: { anyone: 'asks modify_image or, for a copy, copy_image about the image' }, status: 202,
    handler: ctx => startImport(d, ctx, ctx.params['image_id'] as string),
  }),
  operation({
    id: 'stores.remove', summary: 'Delete an image\'s data from one of its stores', method: 'DELETE', path: '/stores/:store_id/:image_id', policy: 'delete_image_location', permit: 'object', status: 204,
    handler: ctx => removeFromStore(d, ctx, ctx.params['store_id'] as string, ctx.params['image_id'] as string),
  }),
];
