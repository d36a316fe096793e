import { createRunner } from '@cumulet/exec';
import type { Runtime, Work } from '@cumulet/service';
import { plans as list, type AnyPlan } from '@cumulet/tasks';
import { openImageAccess } from './access.ts';
import { cachePlan, cacheQueue, uncachePlan } from './caching/tasks.ts';
import { openHashing } from './data/hashing.ts';
import { deletePlan, resumablePlan, uploadPlan, type ImageTaskDeps } from './images/tasks.ts';
import { importPlan } from './imports/tasks.ts';
import { taskImportPlan } from './tasks/tasks.ts';
import { addLocationPlan, removeLocationPlan } from './locations/tasks.ts';
import { openStores } from './stores.ts';
import { forgetOldParts, retryLeftovers } from './leftovers.ts';

export const plans: readonly AnyPlan[] = list(deletePlan, uploadPlan, resumablePlan, removeLocationPlan, addLocationPlan, cachePlan, uncachePlan, importPlan, taskImportPlan);

/** What the image service brings to a worker: deletion, imports and copies, cleaning after uploads whose API process died. */
export async function openWork(rt: Runtime): Promise<Work> {
  const hashing = openHashing();
  const access = await openImageAccess(rt);
  const deps: ImageTaskDeps = { db: rt.db, settings: rt.settings, stores: await openStores(rt), hashing, access, runner: createRunner({ log: rt.log }), sealer: () => rt.sealer };
  return {
    plans, deps, queues: ['image', cacheQueue(rt.settings.host)],
    periodic: [{ name: 'image upload parts', everySeconds: 3600, run: () => forgetOldParts(rt, deps) }, { name: 'image leftovers', everySeconds: 60, run: () => retryLeftovers(rt, deps) }],
    close: async () => { await hashing.close(); await access.close(); },
  };
}
