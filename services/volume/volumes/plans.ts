import { tryMove } from '@cumulet/db';
import { DriverError, need } from '@cumulet/drivers';
import type { ImageFile, LuksKey, Provided } from '@cumulet/drivers/block';
import { images } from '@cumulet/image';
import type { Outcome, TaskFacts } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { z } from 'zod';
import { followAttachments } from '../attachments/store.ts';
import { copied } from '../copying.ts';
import { bench, call, driverOf, plan, servedHere, type VolumeDeps } from '../deps.ts';
import { followMembers } from '../groups/following.ts';
import { dropKey, luksKeyOf } from '../encryption/keys.ts';
import { encryptedVolumeOfImage, volumeOfContainer, volumeOfImage } from '../image_files.ts';
import { tell, type Action, type Detail } from '../messages/store.ts';
import { provided, snapshotRef, volumeRef, volumeSpec } from '../refs.ts';
import { elsewhere, near } from '../scheduler/elsewhere.ts';
import { snapshotById, type SnapshotRow } from '../snapshots/store.ts';
import { specsForBackend } from '../types/qos.ts';
import { clonedImage } from './image_clones.ts';
import { Volume, type VolumeStatus } from './states.ts';
import { byId, encode, hostParts, queueOf, remove, type VolumeRow } from './store.ts';

export const source = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('blank') }), z.object({ kind: z.literal('image'), imageId: z.string() }), z.object({ kind: z.literal('snapshot'), snapshotId: z.string() }), z.object({ kind: z.literal('volume'), volumeId: z.string() }),
]);
export type Source = z.infer<typeof source>;
type Step = { readonly taskId: string; readonly signal: AbortSignal; readonly attempt: number; readonly deps: VolumeDeps; readonly log: Parameters<typeof call>[0]['log']; progress(done: number, total: number): void; transaction<T>(work: (trx: import('knex').Knex.Transaction) => Promise<T>): Promise<T> };

/** The row of a step's volume; a volume that is gone ends the task as absent. */
export async function volumeOf(t: Pick<Step, 'transaction'>, id: string): Promise<VolumeRow> {
  const row = await t.transaction(trx => byId(trx, id));
  if (!row) throw new DriverError('absent', `Volume ${id} could not be found.`);
  return row;
}
async function snapshotWithVolume(t: Pick<Step, 'transaction'>, id: string): Promise<{ snapshot: SnapshotRow; volume: VolumeRow }> {
  const snapshot = await t.transaction(trx => snapshotById(trx, id));
  if (!snapshot) throw new DriverError('absent', `Snapshot ${id} could not be found.`);
  return { snapshot, volume: await volumeOf(t, snapshot.volume_id) };
}

/** Ends a task on a volume: the status it shall have, unless another task has taken it over, and a message when it failed. */
export async function settleVolume(trx: Knex.Transaction, how: Outcome, t: TaskFacts, o: { id: string; from: readonly VolumeStatus[]; done: VolumeStatus; failed: VolumeStatus; cancelled?: VolumeStatus; action: Action; detail?: Detail; set?: Partial<VolumeRow>; setFailed?: Partial<VolumeRow> }): Promise<VolumeRow | undefined> {
  const to = how.state === 'done' ? o.done : how.state === 'cancelled' ? o.cancelled ?? o.failed : o.failed;
  const set = how.state === 'done' ? o.set : o.setFailed;
  const row = await tryMove<VolumeStatus, VolumeRow>(trx, Volume, o.id, { from: o.from, to, heldBy: t.taskId, ...(set ? { set: encode(set) } : {}) });
  if (row && how.state === 'failed') await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME', id: o.id }, action: o.action, detail: o.detail ?? 'unknown', why: how.error?.message });
  // Who was attached when the task began may have left meanwhile, and others come.
  return row && followAttachments(trx, row.id);
}

type Made = { provided: Provided; bootable?: boolean; glance?: Record<string, string> };
/** One try to make a volume where its row says. `copy` gives a local copy of an image that cannot be cloned. */
async function make(t: Step, row: VolumeRow, from: Source, copy: (imageId: string) => Promise<{ readonly path: string; readonly format: ImageFile['format'] }>): Promise<Made> {
  const driver = driverOf(t, row.host);
  switch (from.kind) {
    case 'blank': return { provided: row.encryption_key_id === null ? await driver.volumes.create(call(t), volumeSpec(row)) : await need(driver, 'encryption').create(call(t), volumeSpec(row), await keyOf(t, row)) };
    case 'image': {
      const cloned = await clonedImage(t, driver, row, from.imageId);
      const file = cloned === undefined ? await copy(from.imageId) : undefined;
      if (!file) return { provided: cloned ?? {}, bootable: true };
      if (row.encryption_key_id === null) return { provided: await volumeOfImage(call(t), driver, volumeSpec(row), file, bench(t)), bootable: true };
      const encrypted = (await t.transaction(trx => images.facts(trx, from.imageId)))?.properties['cinder_encryption_key_id'] !== undefined;
      return { provided: encrypted ? await volumeOfContainer(call(t), driver, volumeSpec(row), file) : await encryptedVolumeOfImage(call(t), driver, volumeSpec(row), await keyOf(t, row), file, bench(t)), bootable: true };
    }
    case 'snapshot': {
      const { snapshot, volume } = await snapshotWithVolume(t, from.snapshotId);
      if (driver.clone && hostParts(volume.host ?? '').backend === driver.name) return { provided: await driver.clone.fromSnapshot(call(t), snapshotRef(snapshot, volume), volumeSpec(row)), bootable: volume.bootable, ...keep(volume) };
      return { provided: await copied(call(t), { driver: driverOf(t, volume.host), ref: snapshotRef(snapshot, volume) }, driver, volumeSpec(row)), bootable: volume.bootable, ...keep(volume) };
    }
    case 'volume': {
      const volume = await volumeOf(t, from.volumeId);
      if (driver.clone && hostParts(volume.host ?? '').backend === driver.name) return { provided: await driver.clone.fromVolume(call(t), volumeRef(volume), volumeSpec(row), { inUse: volume.status === 'in-use' }), bootable: volume.bootable, ...keep(volume) };
      return { provided: await copied(call(t), { driver: driverOf(t, volume.host), ref: volumeRef(volume) }, driver, volumeSpec(row)), bootable: volume.bootable, ...keep(volume) };
    }
  }
}
/** What opens a volume's container. */
export const keyOf = (t: Pick<Step, 'deps' | 'transaction'>, row: VolumeRow): Promise<LuksKey> => t.transaction(trx => luksKeyOf(trx, t.deps.sealer, row));
/** The limits of the volume's type that its backend is to keep, where it can. */
export async function limited(t: Pick<Step, 'taskId' | 'signal' | 'log' | 'progress' | 'deps' | 'transaction'>, row: VolumeRow, typeId = row.type_id): Promise<void> {
  const specs = await t.transaction(trx => specsForBackend(trx, typeId));
  const { qos } = driverOf(t, row.host);
  if (specs && qos) await qos.apply(call(t), volumeRef(row), specs);
}

/** An empty volume or a copy of an image, a snapshot or a volume. A backend that cannot is given up for another one, within bounds. */
export const createPlan = plan('volume.create', z.object({ volumeId: z.string(), source, near: near.default({}) }))
  .step('make', async (t): Promise<Made> => {
    const from = t.input.source;
    let local: ReturnType<typeof t.deps.images.localCopy> | undefined;
    const copy = (imageId: string) => local ??= t.deps.images.localCopy(call(t), imageId, t.deps.imageCache);
    for (let row = await volumeOf(t, t.input.volumeId); ;) {
      try {
        const made = await make(t, row, from, copy);
        await limited(t, { ...row, ...provided(made.provided) });
        return made;
      } catch (error) {
        const next = await elsewhere(t, row, error, t.input.near);
        if (next === undefined) throw error;
        // Another host's worker goes on from here; this one has nothing that serves it.
        if (queueOf(next.host) !== queueOf(row.host) && !servedHere(t, next.host)) t.sleep(new Date());
        row = next;
      }
    }
  }, { undo: async t => {
    const row = await t.transaction(trx => byId(trx, t.input.volumeId));
    if (row) await driverOf(t, row.host).volumes.delete(call(t), volumeRef(row));
  } })
  .settles(async (trx, how, t) => {
    const made = t.out.make;
    const row = await settleVolume(trx, how, t, {
      id: t.input.volumeId, from: ['creating'], done: 'available', failed: 'error', action: t.input.source.kind === 'image' ? 'copyImage' : 'create', detail: how.error?.kind === 'invalid' && t.input.source.kind === 'image' ? 'imageTooBig' : 'createFailed',
      set: { ...provided(made?.provided), launched_at: new Date(), bootable: made?.bootable ?? false, tried_hosts: [], ...(made?.glance ? { image_metadata: made.glance } : {}) },
    });
    if (row?.group_id) await followMembers(trx, row.group_id);
  });
const keep = (volume: VolumeRow) => (volume.image_metadata ? { glance: volume.image_metadata } : {});

/** Takes a volume off its backend, with its snapshots when they were to go with it. Their rows are `deleting` with the same task. */
export const deletePlan = plan('volume.delete', z.object({ volumeId: z.string(), snapshotIds: z.array(z.string()).default([]), /** Whoever is connected to it still is let go first: the old copy of a migration. */ disconnect: z.boolean().default(false) })).uncancellable()
  .step('wait for copies', async t => {
    // A copy that is still being made reads from it: the copy is finished first.
    const copies = await t.transaction(async trx => [
      ...await trx('volumes').where({ source_volid: t.input.volumeId, status: 'creating' }).orWhere(q => q.whereIn('snapshot_id', t.input.snapshotIds).where({ status: 'creating' })).select('task_id'),
      ...await trx('volume_backups').where({ volume_id: t.input.volumeId, status: 'creating' }).orWhere({ restore_volume_id: t.input.volumeId, status: 'restoring' }).select('task_id'),
    ] as { task_id: string }[]);
    if (copies.length > 0) t.after(copies.map(c => c.task_id));
  })
  .step('remove', async t => {
    const row = await t.transaction(trx => byId(trx, t.input.volumeId));
    if (!row?.host) return;
    const driver = driverOf(t, row.host);
    for (const id of t.input.snapshotIds) {
      const snapshot = await t.transaction(trx => snapshotById(trx, id));
      if (snapshot) await need(driver, 'snapshots').delete(call(t), snapshotRef(snapshot, row));
    }
    if (t.input.disconnect) await driver.attach.disconnect(call(t), volumeRef(row), undefined);
    await driver.volumes.delete(call(t), volumeRef(row));
  })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') {
      const gone = await byId(trx, t.input.volumeId);
      await trx('volume_snapshots').where({ volume_id: t.input.volumeId, task_id: t.taskId }).delete();
      await remove(trx, t.input.volumeId);
      await dropKey(trx, gone?.encryption_key_id);
      return;
    }
    await trx('volume_snapshots').where({ volume_id: t.input.volumeId, task_id: t.taskId }).update({ status: 'error_deleting', task_id: null, updated_at: trx.fn.now() });
    await settleVolume(trx, how, t, { id: t.input.volumeId, from: ['deleting'], done: 'available', failed: 'error_deleting', action: 'delete' });
  });
