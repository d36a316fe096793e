import { tryMove } from '@cumulet/db';
import { DriverError, type Call, type Log } from '@cumulet/drivers';
import type { Sealer } from '@cumulet/auth';
import type { Runner } from '@cumulet/exec';
import { planFor, type Run } from '@cumulet/tasks';
import { z } from 'zod';
import type { ImageAccess } from '../access.ts';
import type { Hashing } from '../data/hashing.ts';
import type { Stores } from '../stores.ts';
import type { Settings } from '@cumulet/config';
import type { Db, Trx } from '@cumulet/db';
import { Image } from './states.ts';
import { imageById, removeImage, type Location } from './store.ts';

/** What the steps of image plans use. */
export interface ImageTaskDeps {
  readonly db: Db;
  readonly settings: Settings;
  readonly stores: Stores;
  readonly hashing: Hashing;
  /** For qemu-img. */
  readonly runner: Runner;
  readonly access: ImageAccess;
  /** Opens what a request sealed for its task. */
  sealer(): Sealer;
}
export const imagePlan = planFor<ImageTaskDeps>();

export const callOf = (t: Pick<Run<unknown, unknown, unknown>, 'taskId' | 'signal' | 'progress' | 'log'>): Call =>
  ({ taskId: t.taskId, signal: t.signal, progress: (done, total) => t.progress(done, total), log: t.log as unknown as Log });

/** Removes whatever the staging area has of an image. */
export async function clearStaging(call: Call, { staging }: Stores, imageId: string): Promise<void> {
  await staging.delete(call, staging.location(imageId));
  await staging.uploads?.discard(call, imageId);
}
/** Removes bytes; a location of a store that is not configured any more, or that only reads, has none that we could remove. */
export async function removeBytes(call: Call, stores: Stores, location: Location): Promise<void> {
  try { await stores.of(location)?.delete(call, location.url); } catch (error) {
    if (!(error instanceof DriverError) || error.kind !== 'unsupported') throw error;
  }
}
/** For bytes that resisted every try: the periodic job goes on with them. */
export async function leaveOver(trx: Trx, locations: readonly Location[]): Promise<void> {
  const rows = locations.map(l => ({ store: String(l.metadata['store'] ?? ''), url: l.url }));
  if (rows.length > 0) await trx('image_leftovers').insert(rows).onConflict(['store', 'url']).ignore();
}

/** The image is invisible already; here its bytes go, then its row. */
export const deletePlan = imagePlan('image.delete', z.object({ imageId: z.string() })).uncancellable()
  .step('remove', async t => {
    const row = await imageById(t.deps.db, t.input.imageId);
    const call = callOf(t);
    for (const location of row?.locations ?? []) await removeBytes(call, t.deps.stores, location);
    await clearStaging(call, t.deps.stores, t.input.imageId);
  })
  .settles(async (trx, how, t) => {
    if (how.state !== 'done') await leaveOver(trx, (await imageById(trx, t.input.imageId))?.locations ?? []);
    await removeImage(trx, t.input.imageId);
  });

/** Holds an image while a part of a resumable upload comes. When the API process died what came is kept, and the image is queued again. */
export const resumablePlan = imagePlan('image.upload_part', z.object({ imageId: z.string() }))
  .step('rest', async () => undefined)
  .settles(async (trx, _how, t) => { await tryMove(trx, Image, t.input.imageId, { from: ['staging'], to: 'queued', heldBy: t.taskId }); });

/**
 * Holds an image while the API process takes its bytes, into a store or the staging area. Its steps run only when that process died: then no byte
 * may stay and the image is queued again.
 */
export const uploadPlan = imagePlan('image.upload', z.object({ imageId: z.string(), store: z.string().nullable() }))
  .step('clean', async t => {
    const call = callOf(t);
    const row = await imageById(t.deps.db, t.input.imageId);
    if (row && row.task_id !== t.taskId && row.status !== 'pending_delete') return;
    const store = t.input.store === null ? undefined : t.deps.stores.byId(t.input.store);
    if (store) await store.delete(call, store.location(t.input.imageId));
    else await t.deps.stores.staging.delete(call, t.deps.stores.staging.location(t.input.imageId));
  })
  .settles(async (trx, _how, t) => {
    await tryMove(trx, Image, t.input.imageId, { from: ['saving', 'staging'], to: 'queued', heldBy: t.taskId, set: { size: null, staged_size: null, virtual_size: null } });
  });
