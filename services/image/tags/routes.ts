import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, NotFound, TooLarge } from '@cumulet/wire';
import { updateImage } from '../images/store.ts';
import type { ImageDeps } from '../opened.ts';
import { permitOr, seen } from '../permission.ts';

const absent = (id: string) => `Image ${id} not found.`;

/** Reads the tags of an image, permits, and writes them back under a lock. */
const change = (d: ImageDeps, ctx: Context, verb: string, to: (tags: readonly string[]) => string[]) => transaction(d.rt.db, async trx => {
  const image = await seen(trx, ctx, ctx.params['image_id'] as string, absent, 'for update');
  permitOr(ctx, image, `Not allowed to ${verb} tags for image ${image.id}.`);
  await updateImage(trx, image.id, { tags: to(image.tags) });
});

export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'tags.add', summary: 'Add a tag to an image', method: 'PUT', path: '/images/:image_id/tags/:tag', policy: 'modify_image', permit: 'object', status: 204,
    handler: ctx => change(d, ctx, 'update', tags => {
      const tag = ctx.params['tag'] as string;
      if (tag.length > 255) throw new BadRequest(`Provided object does not match schema 'image': '${tag}' is too long`);
      const next = [...new Set([...tags, tag])];
      const most = d.rt.settings.image.tagQuota;
      if (most >= 0 && next.length > most && next.length > tags.length) throw new TooLarge(`Image tag limit exceeded for image ${ctx.params['image_id']}: The limit has been exceeded on the number of allowed image tags. Attempted: ${next.length}, Maximum: ${most}:`);
      return next;
    }),
  }),
  operation({
    id: 'tags.remove', summary: 'Remove a tag from an image', method: 'DELETE', path: '/images/:image_id/tags/:tag', policy: 'modify_image', permit: 'object', status: 204,
    handler: ctx => change(d, ctx, 'delete', tags => {
      const tag = ctx.params['tag'] as string;
      if (!tags.includes(tag)) throw new NotFound();
      return tags.filter(t => t !== tag);
    }),
  }),
];
