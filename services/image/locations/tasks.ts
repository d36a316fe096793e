import { z } from 'zod';
import { callOf, imagePlan, leaveOver, removeBytes } from '../images/tasks.ts';
import { imageById } from '../images/store.ts';

/** Removes the bytes of a location that the image has no more. One that came back meanwhile is kept. */
export const removeLocationPlan = imagePlan('image.remove_location', z.object({ imageId: z.string(), location: z.object({ url: z.string(), metadata: z.record(z.string(), z.unknown()) }) })).uncancellable()
  .step('remove', async t => {
    const row = await imageById(t.deps.db, t.input.imageId);
    if (!row?.locations.some(l => l.url === t.input.location.url)) await removeBytes(callOf(t), t.deps.stores, t.input.location);
  })
  .settles(async (trx, how, t) => { if (how.state !== 'done') await leaveOver(trx, [t.input.location]); });
