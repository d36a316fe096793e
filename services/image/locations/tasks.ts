import { tryMove } from '@cumulet/db';
import { UnsafeImage } from '@cumulet/diskimage';
import { DriverError } from '@cumulet/drivers';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { watching } from '../data/ingest.ts';
import { Image } from '../images/states.ts';
import { columns, imageById } from '../images/store.ts';
import { callOf, imagePlan, leaveOver, removeBytes } from '../images/tasks.ts';
import { room } from '../limits.ts';

/** Removes the bytes of a location that the image has no more. One that came back meanwhile is kept. */
export const removeLocationPlan = imagePlan('image.remove_location', z.object({ imageId: z.string(), location: z.object({ url: z.string(), metadata: z.record(z.string(), z.unknown()) }) })).uncancellable()
  .step('remove', async t => {
    const row = await imageById(t.deps.db, t.input.imageId);
    if (!row?.locations.some(l => l.url === t.input.location.url)) await removeBytes(callOf(t), t.deps.stores, t.input.location);
  })
  .settles(async (trx, how, t) => { if (how.state !== 'done') await leaveOver(trx, [t.input.location]); });

/**
 * A location given by the new locations API: the data is read once, hashed and inspected, before the image becomes active. Hashes that the caller gave must be those of the
 * data; nobody can slip other bytes under a known hash (OSSN-0090).
 */
export const addLocationPlan = imagePlan('image.add_location', z.object({ imageId: z.string(), location: z.object({ url: z.string(), metadata: z.record(z.string(), z.unknown()) }), checksum: z.string().nullable(), hash: z.string().nullable() }))
  .step('read', async t => {
    const row = await imageById(t.deps.db, t.input.imageId);
    const store = t.deps.stores.of(t.input.location);
    if (!row || row.task_id !== t.taskId || !store) throw new DriverError('absent', 'The image or its store is not there any more.');
    const call = callOf(t);
    const { stream, result } = watching(t.deps.hashing, {
      most: await room(t.deps.db, t.deps.settings, row.owner ?? ''), checksum: t.input.checksum, hash: t.input.hash,
      format: { disk: row.disk_format as string, container: row.container_format as string }, strict: t.deps.settings.image.requireFormatMatch,
    });
    try { await pipeline(await store.get(call, t.input.location.url), stream, new Writable({ write: (_chunk, _encoding, next) => next() }), { signal: t.signal }); } catch (error) {
      throw error instanceof UnsafeImage ? new DriverError('invalid', error.message) : error;
    }
    return result();
  })
  .settles(async (trx, how, t) => {
    const got = how.state === 'done' ? t.out.read : undefined;
    if (!got) { await tryMove(trx, Image, t.input.imageId, { from: ['importing'], to: 'queued', heldBy: t.taskId }); return; }
    await tryMove(trx, Image, t.input.imageId, {
      from: ['importing'], to: 'active', heldBy: t.taskId,
      set: columns({ size: got.size, virtual_size: got.virtualSize, checksum: got.checksum, os_hash_algo: 'sha512', os_hash_value: got.hash, locations: [t.input.location] }),
    });
  });
