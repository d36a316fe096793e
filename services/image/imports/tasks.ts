import { tryMove } from '@cumulet/db';
import { UnsafeImage } from '@cumulet/diskimage';
import { DriverError, type Call } from '@cumulet/drivers';
import type { Run } from '@cumulet/tasks';
import type { Readable } from 'node:stream';
import { openImage } from '../data/download.ts';
import { ingest, type Ingested } from '../data/ingest.ts';
import { Image } from '../images/states.ts';
import { columns, imageById, type ImageRow, type Location } from '../images/store.ts';
import { callOf, clearStaging, imagePlan, leaveOver, type ImageTaskDeps } from '../images/tasks.ts';
import { room } from '../limits.ts';
import { download } from './fetch.ts';
import { importInput, type ImportInput } from './input.ts';
import { dropPrepared, prepare, type Prepared } from './prepare.ts';

type Step = Run<ImportInput, unknown, ImageTaskDeps>;
interface Kept { readonly done: readonly (Ingested & { readonly store: string })[]; readonly failed: readonly string[] }

/** The image as this task holds it; one that somebody took over (a deletion) ends the task. */
async function held(t: Step): Promise<ImageRow> {
  const row = await imageById(t.deps.db, t.input.imageId);
  if (!row || (row.task_id !== t.taskId && row.copy_task_id !== t.taskId)) throw new DriverError('absent', `Image ${t.input.imageId} is not there any more.`);
  return row;
}
const tellProgress = (t: Step, importing: readonly string[], failed: readonly string[]) => t.transaction(trx => trx('images').where({ id: t.input.imageId }).update(columns({ import_state: { importing, failed } })));

/** Where the bytes come from: the staging area, what was made of them, or for a copy the image itself. */
function source(t: Step, row: ImageRow, prepared: Prepared, call: Call): Promise<Readable> {
  const { staging } = t.deps.stores;
  return t.input.method === 'copy-image' ? openImage(t.deps, call, row) : staging.get(call, prepared.location ?? staging.location(row.id));
}

/** One store after the other. What fails is noted; unless all must succeed, one store is enough. */
async function intoStores(t: Step & { readonly out: { readonly prepare: Prepared } }): Promise<Kept> {
  const row = await held(t);
  const call = callOf(t);
  const { prepare: prepared } = t.out;
  const copy = t.input.method === 'copy-image';
  const done: (Ingested & { store: string })[] = [];
  const failed: string[] = [];
  let last: unknown;
  for (const [i, id] of t.input.stores.entries()) {
    const store = t.deps.stores.byId(id);
    try {
      if (!store) throw new DriverError('absent', `The store ${id} is not available on this node.`);
      await store.delete(call, store.location(row.id));
      const most = await room(t.deps.db, t.deps.settings, row.owner ?? '');
      const got = await ingest(t.deps.hashing, call, store, row.id, await source(t, row, prepared, call), {
        most, ...(copy ? { checksum: row.checksum, hash: row.os_hash_algo === 'sha512' ? row.os_hash_value : null } : { format: { disk: prepared.diskFormat, container: prepared.containerFormat }, strict: t.deps.settings.image.requireFormatMatch }),
      });
      done.push({ ...got, store: id });
    } catch (error) {
      t.signal.throwIfAborted();
      if (error instanceof UnsafeImage) throw new DriverError('invalid', error.message);
      if (t.input.allMustSucceed) throw error;
      t.log.warn({ err: error, store: id }, 'the image could not be put into one of its stores');
      failed.push(id);
      last = error;
    }
    await tellProgress(t, t.input.stores.slice(i + 1), failed);
  }
  if (done.length === 0) throw last;
  return { done, failed };
}

export const importPlan = imagePlan('image.import', importInput)
  .step('begin', async t => {
    // As a child of a legacy task the image is not ours yet.
    const row = await imageById(t.deps.db, t.input.imageId);
    if (row?.status === 'queued') await t.transaction(trx => tryMove(trx, Image, row.id, { from: ['queued'], to: 'importing', task: t.taskId, set: columns({ import_state: { importing: t.input.stores, failed: [] } }) }));
    await held(t);
  })
  .step('fetch', async t => {
    if (t.input.method === 'web-download' || t.input.method === 'glance-download') await download(t, await held(t));
  }, { attempts: 10, timeoutMs: 24 * 3_600_000, undo: async t => { if (t.input.method !== 'copy-image') await clearStaging(callOf(t), t.deps.stores, t.input.imageId); } })
  .step('prepare', async t => prepare(t, await held(t)), { timeoutMs: 6 * 3_600_000, undo: t => dropPrepared(t) })
  .step('store', intoStores, {
    timeoutMs: 24 * 3_600_000,
    undo: async t => {
      const row = await imageById(t.deps.db, t.input.imageId);
      const call = callOf(t);
      for (const id of t.input.stores) {
        const store = t.deps.stores.byId(id);
        if (store && !row?.locations.some(l => l.metadata['store'] === id)) await store.delete(call, store.location(t.input.imageId));
      }
    },
  })
  .step('unstage', async t => {
    if (t.input.method === 'copy-image') return;
    await dropPrepared(t);
    await clearStaging(callOf(t), t.deps.stores, t.input.imageId);
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    const { imageId, stores, inject } = t.input;
    const kept = how.state === 'done' ? t.out.store : undefined;
    const locations: Location[] = (kept?.done ?? []).map(k => ({ url: k.url, metadata: { store: k.store } }));
    if (t.input.method === 'copy-image') {
      const row = await trx('images').where({ id: imageId, copy_task_id: t.taskId }).forUpdate().first() as ImageRow | undefined;
      if (row) await trx('images').where({ id: imageId }).update({ copy_task_id: null, updated_at: trx.fn.now(), ...columns({ locations: [...row.locations, ...locations], import_state: { importing: [], failed: kept?.failed ?? stores } }) });
      else if (locations.length > 0) await leaveOver(trx, locations);
      return;
    }
    const prepared = t.out.prepare;
    const first = kept?.done[0];
    if (!first || !prepared) {
      await tryMove(trx, Image, imageId, { from: ['importing'], to: 'queued', heldBy: t.taskId, set: { staged_size: null, ...columns({ import_state: { importing: [], failed: stores } }) } });
      return;
    }
    const moved = await tryMove(trx, Image, imageId, {
      from: ['importing'], to: 'active', heldBy: t.taskId,
      set: {
        ...columns({
          size: first.size, virtual_size: first.virtualSize, checksum: first.checksum, os_hash_algo: 'sha512', os_hash_value: first.hash, locations, staged_size: null,
          disk_format: prepared.diskFormat, container_format: prepared.containerFormat, import_state: { importing: [], failed: kept?.failed ?? [] },
        }),
        ...(inject ? { properties: trx.raw('properties || ?::jsonb', [JSON.stringify(inject)]) } : {}),
      },
    });
    if (!moved) await leaveOver(trx, locations);
  });
