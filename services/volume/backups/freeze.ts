import { DriverError } from '@cumulet/drivers';
import type { DataRef, Provided } from '@cumulet/drivers/block';
import { z } from 'zod';
import { call, driverOf, plan, type VolumeDeps } from '../deps.ts';
import { volumeRef, volumeSpec } from '../refs.ts';
import { whileStill } from '../snapshots/still.ts';
import { volumeOf } from '../volumes/plans.ts';
import { byId, type VolumeRow } from '../volumes/store.ts';

/** A frozen copy of an attached volume: it has no row, and its name is its backup's. */
export interface Frozen { readonly kind: 'snapshot' | 'clone'; readonly provided: Provided }
type Step = Parameters<typeof call>[0] & { readonly deps: VolumeDeps };

const nameOf = (backupId: string) => `backup-${backupId}`;
const refOf = (backupId: string, volume: VolumeRow) => ({ name: nameOf(backupId), volume: volumeRef(volume), sizeGiB: volume.size });

/** What drivers read of it. */
export const frozenRef = (backupId: string, volume: VolumeRow, frozen: Frozen): DataRef => (frozen.kind === 'snapshot' ? { ...refOf(backupId, volume), ...frozen.provided } : { ...volumeSpec(volume), name: nameOf(backupId), ...frozen.provided });

/**
 * Of a volume in use: a snapshot, which costs little. With the guest held still a copy that stands by itself comes first: a snapshot of a kind that needs the
 * volume at rest would need that again when it goes.
 */
async function freeze(t: Step, backupId: string, volume: VolumeRow, inUse: boolean): Promise<Frozen> {
  const driver = driverOf(t, volume.host);
  const snapshot = async (): Promise<Frozen> => {
    if (!driver.snapshots) throw new DriverError('unsupported', `The ${driver.name} backend makes no snapshots: a volume there is backed up when it is not attached.`);
    return { kind: 'snapshot', provided: await driver.snapshots.create(call(t), refOf(backupId, volume), { inUse }) };
  };
  const clone = async (): Promise<Frozen> => ({ kind: 'clone', provided: await driver.clone?.fromVolume(call(t), volumeRef(volume), { ...volumeSpec(volume), name: nameOf(backupId) }, { inUse }) ?? {} });
  return driver.clone && (!inUse || !driver.snapshots) ? clone() : snapshot();
}
/** Takes away whichever there is; none is success. */
export async function discardFrozen(t: Step, backupId: string, volume: VolumeRow | undefined, frozen: Frozen | undefined): Promise<void> {
  if (!volume?.host) return;
  const driver = driverOf(t, volume.host);
  if (frozen?.kind !== 'clone') await driver.snapshots?.delete(call(t), { ...refOf(backupId, volume), ...frozen?.provided }, { inUse: true });
  if (frozen?.kind !== 'snapshot' && driver.clone) await driver.volumes.delete(call(t), { ...volumeSpec(volume), name: nameOf(backupId), ...frozen?.provided });
}

const input = z.object({ backupId: z.string(), volumeId: z.string(), inUse: z.boolean() });
/** The backend's part of it. */
export const freezePlan = plan('backup.freeze', input)
  .step('take', async (t): Promise<Frozen> => freeze(t, t.input.backupId, await volumeOf(t, t.input.volumeId), t.input.inUse), {
    undo: async t => discardFrozen(t, t.input.backupId, await t.transaction(trx => byId(trx, t.input.volumeId)), undefined),
  });
/** The same with the guest's host asked to hold it still when the storage needs that. Compute registers it with its hypervisor. */
export const stillBackupPlan = whileStill('backup.freeze_attached', z.object({ backupId: z.string(), volumeId: z.string(), backend: z.string(), serverId: z.string() }), freezePlan, (i, inUse) => ({ backupId: i.backupId, volumeId: i.volumeId, inUse }));
