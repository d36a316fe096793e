import { operation, type Operation } from '@cumulet/http';
import type { ImageDeps } from '../opened.ts';
import { download } from './download.ts';
import { appendPart, discardParts, uploadOffset } from './resume.ts';
import { stage, upload } from './upload.ts';

const bytes = ['application/octet-stream'];

export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'images.upload', summary: 'Upload the data of an image', method: 'PUT', path: '/images/:image_id/file', policy: 'upload_image', permit: 'object', upload: bytes, status: 204,
    handler: ctx => upload(d, ctx, ctx.params['image_id'] as string),
  }),
  operation({
    id: 'images.download', summary: 'Download the data of an image', method: 'GET', path: '/images/:image_id/file', policy: 'download_image', permit: 'object',
    handler: ctx => download(d, ctx, ctx.params['image_id'] as string),
  }),
  operation({
    id: 'images.upload_offset', summary: 'Where a resumable upload goes on (extension)', method: 'HEAD', path: '/images/:image_id/file/upload', policy: 'upload_image', permit: 'object',
    handler: ctx => uploadOffset(d, ctx),
  }),
  operation({
    id: 'images.upload_part', summary: 'Append a part of a resumable upload; the last one fills the image (extension)', method: 'PATCH', path: '/images/:image_id/file/upload', policy: 'upload_image', permit: 'object', upload: bytes, status: 204,
    handler: ctx => appendPart(d, ctx),
  }),
  operation({
    id: 'images.upload_discard', summary: 'Forget the parts of a resumable upload (extension)', method: 'DELETE', path: '/images/:image_id/file/upload', policy: 'upload_image', permit: 'object', status: 204,
    handler: ctx => discardParts(d, ctx),
  }),
  operation({
    id: 'images.stage', summary: 'Upload data that an import will take', method: 'PUT', path: '/images/:image_id/stage', policy: 'modify_image', permit: 'object', upload: bytes, status: 204,
    handler: ctx => stage(d, ctx, ctx.params['image_id'] as string),
  }),
];
