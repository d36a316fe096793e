import { connectPlan, disconnectPlan } from '@cumulet/volume';
import { planFor, plans } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { ComputeDeps, Step } from '../deps.ts';
import type { BlockDevice, ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import type { ForServer } from './steps.ts';

/** Makes the volumes that the server asked for and reserves each for it. What is reserved already is left. */
export async function reserveVolumes(deps: ComputeDeps, trx: Knex.Transaction, row: ServerRow): Promise<void> {
  const by = { projectId: row.project_id, userId: row.user_id };
  const who = { projectId: row.project_id, userId: row.user_id };
  for (const d of await devicesOf(trx, row.id)) {
    if (d.destination_type !== 'volume' || d.attachment_id !== null) continue;
    let volumeId = d.volume_id;
    if (volumeId === null) {
      const source = d.source_type === 'image' ? { imageId: d.image_id as string } : d.source_type === 'snapshot' ? { snapshotId: d.snapshot_id as string } : { blank: true as const };
      const size = d.volume_size ?? (d.source_type === 'snapshot' ? (await deps.volumes.findSnapshot(trx, who, d.snapshot_id as string)).size : row.flavor.root_gb || 1);
      const volume = await deps.volumes.createFor(trx, deps.tasks, { by, sizeGiB: size, name: d.source_type === 'blank' ? `${row.id}-blank-vol` : '', source, ...(d.volume_type === null ? {} : { volumeType: d.volume_type }) });
      volumeId = volume.id;
    }
    const attachment = await deps.volumes.reserve(trx, { volumeId, serverId: row.id, who, multiattach: true });
    await trx('block_devices').where({ id: d.id }).update({ volume_id: volumeId, attachment_id: attachment.id });
  }
}

/** Connects every volume of the server to this host, each as a task on its backend. `again` also those that have a connection (another host). */
export async function connectAll(t: Step<ForServer>, o: { again?: boolean } = {}): Promise<void> {
  for (const d of await devicesOf(t.deps.db, t.input.serverId)) {
    if (d.attachment_id === null || d.volume_id === null || (d.connection !== null && !o.again)) continue;
    await connectOne(t, d);
  }
}
export async function connectOne(t: Step<ForServer>, d: BlockDevice): Promise<void> {
  const at = await t.deps.volumes.at(t.deps.db, d.volume_id as string);
  const { connect } = await t.child(connectPlan, { attachmentId: d.attachment_id as string, connector: { host: t.deps.host, instance: t.input.serverId } }, at) as { connect: unknown };
  await t.deps.db('block_devices').where({ id: d.id }).update({ connection: JSON.stringify(connect) });
}

/** In the settling transaction: the hypervisor has them. */
export async function completeVolumes(deps: Pick<ComputeDeps, 'volumes'>, trx: Knex.Transaction, serverId: string, devices: Readonly<Record<string, string>>): Promise<void> {
  for (const d of await devicesOf(trx, serverId)) {
    if (d.attachment_id === null || d.volume_id === null) continue;
    const device = `/dev/${devices[d.volume_id] ?? d.device_name?.replace(/^\/dev\//, '') ?? 'vda'}`;
    await deps.volumes.complete(trx, d.attachment_id, { device });
    await trx('block_devices').where({ id: d.id }).update({ device_name: device });
  }
}

const letGo = planFor<Pick<ComputeDeps, 'volumes' | 'tasks' | 'db'>>();
/** Takes a connection down and gives the volume back; then deletes it when it was made for the server. */
export const letGoPlan = letGo('volume.let_go', z.object({ attachmentId: z.string(), volumeId: z.string(), remove: z.boolean() })).uncancellable()
  .step('disconnect', async t => { await t.child(disconnectPlan, { attachmentId: t.input.attachmentId }, await t.deps.volumes.at(t.deps.db, t.input.volumeId)); })
  .step('release', async t => {
    await t.transaction(async trx => {
      await t.deps.volumes.release(trx, t.input.attachmentId);
      if (t.input.remove) await t.deps.volumes.deleteFor(trx, t.deps.tasks, { projectId: t.projectId ?? undefined, userId: t.userId ?? undefined, requestId: t.requestId ?? undefined }, t.input.volumeId);
    });
  });

/** Undo and delete: each volume of the server is let go by a task of its own, which outlives the server. The rows forget their attachments. */
export async function letGoOfVolumes(deps: Pick<ComputeDeps, 'tasks' | 'volumes'>, trx: Knex.Transaction, serverId: string, by: { projectId: string | null; userId: string | null; requestId: string | null }, o: { keep?: boolean } = {}): Promise<void> {
  for (const d of await devicesOf(trx, serverId)) {
    if (d.attachment_id === null || d.volume_id === null) continue;
    await deps.tasks.enqueue(trx, letGoPlan, { attachmentId: d.attachment_id, volumeId: d.volume_id, remove: d.delete_on_termination && !o.keep }, {
      resource: { type: 'server', id: serverId }, lane: `let-go/${d.attachment_id}`, dedupe: `let-go/${d.attachment_id}`, by: { projectId: by.projectId ?? undefined, userId: by.userId ?? undefined, requestId: by.requestId ?? undefined },
    });
    await trx('block_devices').where({ id: d.id }).update({ attachment_id: null, connection: null });
  }
}
export const volumePlans = plans(letGoPlan);
