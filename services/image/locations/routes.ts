import { move, transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { Conflict, shape } from '@cumulet/wire';
import { z } from 'zod';
import { needFormats } from '../data/upload.ts';
import { location, type LocationInput } from '../images/schemas.ts';
import { Image, shownStatus } from '../images/states.ts';
import type { ImageDeps } from '../opened.ts';
import { imageTarget, permit, seen } from '../permission.ts';
import { checkedLocation, sizeAt, validationData } from './service.ts';
import { addLocationPlan } from './tasks.ts';

const Body = shape('location', z.strictObject({ url: location.shape.url, metadata: location.shape.metadata.optional(), validation_data: location.shape.validation_data }));

/** The locations API of 2.17: adding for owners and services, reading for services only. */
export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'locations.add', summary: 'Fill a queued image from a location', method: 'POST', path: '/images/:image_id/locations', policy: 'add_image_location', permit: 'object', body: Body, status: 202,
    handler: ctx => addLocation(d, ctx, { ...ctx.body, metadata: ctx.body.metadata ?? {} }),
  }),
  operation({
    id: 'locations.list', summary: 'The locations of an image, for services', method: 'GET', path: '/images/:image_id/locations', policy: 'fetch_image_location', permit: 'object',
    handler: async ctx => {
      const image = await seen(d.rt.db, ctx, ctx.params['image_id'] as string);
      ctx.permit(imageTarget(image));
      return image.locations.map(({ url, metadata }) => ({ url, metadata }));
    },
  }),
];

async function addLocation(d: ImageDeps, ctx: Context, given: LocationInput): Promise<unknown> {
  const id = ctx.params['image_id'] as string;
  const before = await seen(d.rt.db, ctx, id);
  permit(ctx, before);
  const place = checkedLocation(d, given);
  await sizeAt(d, ctx, place);
  return transaction(d.rt.db, async trx => {
    const image = await seen(trx, ctx, id, undefined, 'for update');
    if (image.status !== 'queued') throw new Conflict(`It's not allowed to add locations if image status is ${shownStatus(image.status)}.`);
    needFormats(image);
    const promised = validationData(image, [given]);
    const task = await d.rt.tasks.enqueue(trx, addLocationPlan, { imageId: image.id, location: { url: place.url, metadata: { ...place.metadata } }, checksum: promised.checksum ?? null, hash: promised.os_hash_value ?? null }, {
      queue: 'image', resource: { type: 'image', id: image.id }, by: { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId },
    });
    await move(trx, Image, image.id, { from: ['queued'], to: 'importing', task });
    return { url: place.url, metadata: place.metadata };
  });
}
