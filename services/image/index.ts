/**
 * The image service (Glance v2) and what other services may do with images.
 *
 * In a transaction of one's own: `images.find`, `images.createRecord`, `images.beginSnapshot`, `images.finish`, `images.fail`, `images.activateEmpty`, `images.remove` (lending.ts).
 * In the steps of a plan, with `const access = await openImageAccess(rt)` made once in openWork: `access.localCopy` for a read-only base, `access.read`, and `access.put` for
 * a snapshot: createRecord + beginSnapshot(trx, id, taskId) with the enqueue, a step that returns `access.put(...)` with `access.discard` as its undo, then `images.finish` or
 * `images.fail` in `settles`.
 */
export { openImageAccess, type ImageAccess, type LocalImage } from './access.ts';
export { makeApp } from './app.ts';
export { olderImages, type OlderImageQuery } from './for_older_names.ts';
export type { StoredImage } from './data/ingest.ts';
export { images, type ImageFacts, type NewImage } from './lending.ts';
export { bootstrap } from './bootstrap.ts';
export { openWork, plans } from './work.ts';
