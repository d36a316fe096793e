import type { Settings } from '@cumulet/config';
import type { Db } from '@cumulet/db';
import { DriverError, type Call } from '@cumulet/drivers';
import type { BackupDriver } from '@cumulet/drivers/backup';
import type { BlockDriver } from '@cumulet/drivers/block';
import type { Runner } from '@cumulet/exec';
import type { ImageAccess } from '@cumulet/image';
import type { Runtime } from '@cumulet/service';
import { planFor, type Run, type Tasks } from '@cumulet/tasks';
import type { Signer } from './backups/signer.ts';
import type { Workbench } from './image_files.ts';
import { hostParts } from './volumes/store.ts';

/** What the steps of this service's plans use. */
export interface VolumeDeps {
  readonly db: Db;
  readonly tasks: Tasks;
  readonly settings: Settings;
  /** This host's backends by name. */
  readonly backends: ReadonlyMap<string, BlockDriver>;
  /** This host's backup targets by name. */
  readonly targets: ReadonlyMap<string, BackupDriver>;
  /** Opens the keys of encrypted volumes. */
  readonly sealer: Pick<Runtime['sealer'], 'seal' | 'open'>;
  /** For exported records. */
  readonly signer: Signer;
  readonly images: Pick<ImageAccess, 'localCopy' | 'put' | 'discard'>;
  /** Where read-only copies of images are kept on this host. */
  readonly imageCache: string;
  /** A directory for files that are on their way (images that are being made). */
  readonly scratch: string;
  /** Converts images for backends that cannot. */
  readonly runner: Runner;
}
export const plan = planFor<VolumeDeps>();
type Step = Pick<Run<unknown, unknown, VolumeDeps>, 'taskId' | 'signal' | 'log' | 'progress' | 'deps'>;

/** What a driver gets of a step. */
export const call = (t: Step): Call => ({ taskId: t.taskId, signal: t.signal, log: t.log, progress: (done, total) => t.progress(done, total) });

/** Where a task's files of images are made. */
export const bench = (t: Pick<Step, 'taskId' | 'deps'>): Workbench => ({ runner: t.deps.runner, scratch: t.deps.scratch, name: t.taskId });

/** Whether the volume's backend is one of this worker's. */
export const servedHere = (t: Pick<Step, 'deps'>, host: string | null): boolean => hostParts(host ?? '').service.split('@')[0] === t.deps.settings.host && t.deps.backends.has(hostParts(host ?? '').backend);

/** The driver of `host@backend#pool`; the queue has brought the task to the right host. */
export function driverOf(t: Pick<Step, 'deps'>, host: string | null): BlockDriver {
  const { backend, service } = hostParts(host ?? '');
  const driver = t.deps.backends.get(backend);
  if (!driver) throw new DriverError('broken', `The backend ${service} is not served here.`);
  return driver;
}
