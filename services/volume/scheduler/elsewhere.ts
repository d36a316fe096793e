import { DriverError, type DriverErrorKind } from '@cumulet/drivers';
import type { Run } from '@cumulet/tasks';
import { z } from 'zod';
import { call, driverOf, type VolumeDeps } from '../deps.ts';
import { encryptionWish } from '../encryption/rules.ts';
import { volumeRef } from '../refs.ts';
import { backendQos } from '../types/qos.ts';
import { typeById } from '../types/store.ts';
import { lockById, patch, queueOf, type VolumeRow } from '../volumes/store.ts';
import { place } from './place.ts';

/** What the first decision was bound to beside size and type: a later one is bound to the same. */
export const near = z.object({
  service: z.string().optional(), zone: z.string().optional(), sameAs: z.array(z.string().nullable()).optional(), differentFrom: z.array(z.string().nullable()).optional(), localTo: z.string().nullable().optional(),
});
type Near = z.infer<typeof near>;
type Step = Pick<Run<{ readonly volumeId: string }, unknown, VolumeDeps>, 'taskId' | 'signal' | 'log' | 'progress' | 'deps' | 'transaction' | 'attempt'>;

/** Failures that are the backend's own: another one may do better. A refused image or a source that is gone stays so everywhere. */
const backends: readonly DriverErrorKind[] = ['broken', 'full', 'unsupported', 'transient'];
/** The engine tries a step again by itself when the backend only asks for patience. */
const patience = 5;

/**
 * After a driver could not make a volume: chooses another pool, as upstream's scheduler does for a request that comes back, at most `maxAttempts` in all. The row
 * and its task move there; undefined when there is nowhere else, or when the failure is not the backend's.
 */
export async function elsewhere(t: Step, row: VolumeRow, error: unknown, bound: Near): Promise<VolumeRow | undefined> {
  if (t.signal.aborted || !(error instanceof DriverError) || !backends.includes(error.kind) || (error.kind === 'transient' && t.attempt < patience)) return undefined;
  const { settings } = t.deps;
  const tried = [...row.tried_hosts, row.host ?? ''];
  if (tried.length >= settings.volume.scheduler.maxAttempts) return undefined;
  // What the failed try has left is asked away; the backend may be unable to do even that.
  await driverOf(t, row.host).volumes.delete(call(t), volumeRef(row)).catch((left: unknown) => t.log.warn({ err: left, volume: row.id, host: row.host }, 'what a failed creation left could not be removed'));
  return t.transaction(async trx => {
    const now = await lockById(trx, row.id);
    const type = now && await typeById(trx, now.type_id);
    if (!now || !type || now.task_id !== t.taskId) return undefined;
    const { host, refused } = await place(trx, settings.volume, { sizeGiB: now.size, extraSpecs: type.extra_specs, ...bound, backendQos: await backendQos(trx, type.id), ...encryptionWish(type), not: tried });
    t.log.warn({ err: error, volume: row.id, failed: row.host, next: host, refused, attempt: tried.length }, host === undefined ? 'a driver could not make a volume, and nobody else can' : 'a driver could not make a volume; trying another backend');
    if (host === undefined) return undefined;
    await trx('tasks').where({ id: t.taskId }).update({ queue: queueOf(host) });
    return patch(trx, row.id, { host, tried_hosts: tried });
  });
}
