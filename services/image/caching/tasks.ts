import { rm, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { callOf, imagePlan } from '../images/tasks.ts';

/** The folder of copies on a host that are nobody's base: volumes are made from them, and they may go at any time. */
export const cacheFolder = (home: string): string => join(resolve(home), 'image-cache');
/** Which workers hold the copies of a host. */
export const cacheQueue = (host: string): string => `image/${host}`;

/** Brings an image into the cache of the host that runs it. */
export const cachePlan = imagePlan('image.cache', z.object({ imageId: z.string() }))
  .step('copy', async t => { await t.deps.access.localCopy(callOf(t), t.input.imageId, cacheFolder(t.deps.settings.home)); });

/**
 * Removes copies of a host. A file in another folder than the cache's own may be the base of a server's disk: it is made old, and compute removes it as soon as no
 * server needs it.
 */
export const uncachePlan = imagePlan('image.uncache', z.object({ places: z.array(z.object({ folder: z.string(), imageId: z.uuid() })) })).uncancellable()
  .step('remove', async t => {
    for (const { folder, imageId } of t.input.places) {
      if (folder === cacheFolder(t.deps.settings.home)) for (const path of [join(folder, imageId), join(folder, '.facts', `${imageId}.json`)]) await rm(path, { force: true });
      else await utimes(join(folder, imageId), 0, 0).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'ENOENT') throw error; });
    }
  });
