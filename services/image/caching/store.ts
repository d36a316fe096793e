import type { Trx } from '@cumulet/db';

/** A copy of an image in a folder of a host. */
export interface CachedRow { host: string; folder: string; image_id: string; size: number; hits: number; cached_at: Date; used_at: Date }
export type Place = Pick<CachedRow, 'host' | 'folder' | 'image_id'>;

/** Notes a copy, or its use. */
export const noteUse = (trx: Trx, place: Place, size: number): Promise<unknown> => trx('image_cache').insert({ ...place, size }).onConflict(['host', 'folder', 'image_id']).merge({ size, hits: trx.raw('image_cache.hits + 1'), used_at: trx.fn.now() });
export const cached = (trx: Trx): Promise<CachedRow[]> => trx('image_cache').orderBy(['used_at', 'image_id']);
export const cachedOf = (trx: Trx, imageId: string): Promise<CachedRow[]> => trx('image_cache').where({ image_id: imageId }).orderBy(['host', 'folder']);
export const forget = (trx: Trx, place: Place): Promise<number> => trx('image_cache').where({ host: place.host, folder: place.folder, image_id: place.image_id }).delete();
/** Images that wait for their copy, by the tasks that make them. */
export const queued = (trx: Trx, plan: string): Promise<{ id: string; resource_id: string }[]> => trx('tasks').where({ plan, live: true, cancel_requested: false }).orderBy('seq').select('id', 'resource_id');
