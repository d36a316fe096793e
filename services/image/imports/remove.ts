import { transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { Conflict, Forbidden, NotFound } from '@cumulet/wire';
import { dropLocation } from '../locations/service.ts';
import type { ImageDeps } from '../opened.ts';
import { permit, seen } from '../permission.ts';

/** Takes an image out of one of its stores; the bytes go with a task. The last one stays. */
export async function removeFromStore(d: ImageDeps, ctx: Context, store: string, id: string): Promise<void> {
  if (!d.stores.byId(store)) { ctx.permit(); throw new Conflict(`The selected store ${store} is not available on this node.`); }
  await transaction(d.rt.db, async trx => {
    const image = await seen(trx, ctx, id, i => `Failed to find image ${i}`, 'for update');
    permit(ctx, image, 'get_image_location');
    permit(ctx, image);
    if (image.status !== 'active') throw new Conflict("It's not allowed to remove image data from store if image status is not 'active'");
    if (image.locations.length === 1) throw new Forbidden('Cannot delete image data from the only store containing it. Consider deleting the image instead.');
    const index = image.locations.findIndex(l => l.metadata['store'] === store);
    if (index < 0) throw new NotFound(`Image ${id} is not stored in store ${store}.`);
    await dropLocation(d, ctx, trx, image, index);
  });
}
