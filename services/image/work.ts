import { createRunner } from '@cumulet/exec';
import type { Runtime, Work } from '@cumulet/service';
import { plans as list, type AnyPlan } from '@cumulet/tasks';
import { openHashing } from './data/hashing.ts';
import { deletePlan, uploadPlan, type ImageTaskDeps } from './images/tasks.ts';
import { importPlan } from './imports/tasks.ts';
import { taskImportPlan } from './tasks/tasks.ts';
import { addLocationPlan, removeLocationPlan } from './locations/tasks.ts';
import { openStores } from './stores.ts';
import { retryLeftovers } from './leftovers.ts';

export const plans: readonly AnyPlan[] = list(deletePlan, uploadPlan, removeLocationPlan, addLocationPlan, importPlan, taskImportPlan);

/** What the image service brings to a worker: deletion, imports and copies, cleaning after uploads whose API process died. */
export async function openWork(rt: Runtime): Promise<Work> {
  const hashing = openHashing();
  const deps: ImageTaskDeps = { db: rt.db, settings: rt.settings, stores: await openStores(rt), hashing, runner: createRunner({ log: rt.log }), sealer: () => rt.sealer };
  return {
    plans, deps, queues: ['image'],
    periodic: [{ name: 'image leftovers', everySeconds: 300, run: () => retryLeftovers(rt, deps) }],
    close: () => hashing.close(),
  };
}
