import { plainCall } from '@cumulet/drivers';
import type { Runtime } from '@cumulet/service';
import { removeBytes, type ImageTaskDeps } from './images/tasks.ts';

/** Goes on with bytes whose deletion failed. One that an image has again (an id can be given by its creator) is left alone. */
export async function retryLeftovers(rt: Runtime, deps: ImageTaskDeps): Promise<void> {
  const rows: { store: string; url: string }[] = await rt.db('image_leftovers as l').whereNotExists(rt.db('images').whereRaw(`locations @> jsonb_build_array(jsonb_build_object('url', l.url))`)).orderBy('since').limit(100).select('store', 'url');
  for (const { store, url } of rows) {
    try {
      await removeBytes(plainCall('leftovers'), deps.stores, { url, metadata: store === '' ? {} : { store } });
      await rt.db('image_leftovers').where({ store, url }).delete();
    } catch (error) { rt.log.warn({ err: error, store }, 'the bytes of a deleted image still cannot be removed'); }
  }
}

/** Parts of uploads that nobody went on with for a day. */
export async function forgetOldParts(rt: Runtime, deps: ImageTaskDeps): Promise<void> {
  const rows: { id: string }[] = await rt.db('images').where({ status: 'queued' }).whereRaw(`parts_at < now() - interval '1 day'`).limit(100).select('id');
  for (const { id } of rows) {
    await deps.stores.staging.uploads?.discard(plainCall('old parts'), id);
    await rt.db('images').where({ id }).update({ parts_at: null });
  }
}
