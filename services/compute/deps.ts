import type { Sealer } from '@cumulet/auth';
import type { Settings } from '@cumulet/config';
import type { Db } from '@cumulet/db';
import type { Call } from '@cumulet/drivers';
import type { HypervisorDriver } from '@cumulet/drivers/hypervisor';
import { planFor, type Run, type Tasks } from '@cumulet/tasks';
import type { ImageAccess } from '@cumulet/image';
import type { ImageCache } from './image_cache.ts';
import type { Neighbours } from './neighbours.ts';
import type { DiskTravel } from './work/disks.ts';

/** What the steps of compute's plans use: this host's hypervisor and the services beside us. */
export interface ComputeDeps extends Neighbours {
  readonly db: Db;
  readonly tasks: Tasks;
  readonly clock: () => number;
  readonly settings: Settings;
  readonly host: string;
  readonly hypervisor: HypervisorDriver;
  readonly cache: ImageCache;
  readonly access: ImageAccess;
  readonly disks: DiskTravel;
  /** Where other hosts fetch this one's. */
  readonly disksUrl?: string | undefined;
  /** Opens what a request sealed for its task. */
  readonly sealer: () => Pick<Sealer, 'seal' | 'open'>;
}
export const plan = planFor<ComputeDeps>();
export type Step<I = unknown, O = unknown> = Run<I, O, ComputeDeps>;
export const callOf = (t: Pick<Run<unknown, unknown, unknown>, 'taskId' | 'signal' | 'progress' | 'log'>): Call => ({ taskId: t.taskId, signal: t.signal, progress: t.progress, log: t.log });
