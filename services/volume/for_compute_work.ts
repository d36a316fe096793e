import type { Trx } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import type { Knex } from 'knex';
import { completeIn, reserve } from './attachments/service.ts';
import { attachmentById, followAttachments, patchAttachment, type AttachmentRow } from './attachments/store.ts';
import { attachmentNotFound, invalidVolume, snapshotNotFound, volumeNotFound } from './faults.ts';
import type { At, AttachmentFacts, VolumeFacts, VolumesForCompute, Who } from './for_compute.ts';
import { insertSnapshot } from './snapshots/service.ts';
import { snapshotById } from './snapshots/store.ts';
import { createIn } from './volumes/create.ts';
import { destroy } from './volumes/service.ts';
import { byId, laneOfVolume, lockById, queueOf, type VolumeRow } from './volumes/store.ts';

const mine = (who: Who, row: { project_id: string } | undefined) => row !== undefined && (who.admin === true || row.project_id === who.projectId);
const at = (row: Pick<VolumeRow, 'id' | 'host'>): At => ({ queue: queueOf(row.host), lane: laneOfVolume(row.id), resource: { type: 'volume', id: row.id } });
const seen = (row: AttachmentRow): AttachmentFacts => ({ id: row.id, volume_id: row.volume_id, server_id: row.server_id, status: row.status, mode: row.mode, device: row.device, attached_at: row.attached_at });

async function facts(trx: Trx, row: VolumeRow): Promise<VolumeFacts> {
  const type = await trx('volume_types as t').leftJoin('volume_qos_specs as q', 'q.id', 't.qos_specs_id').where('t.id', row.type_id)
    .select(trx.raw('t.encryption is not null as encrypted'), 'q.consumer', 'q.specs').first() as unknown as { encrypted: boolean; consumer: string | null; specs: Record<string, string> | null } | undefined;
  const { id, project_id, status, size, name, bootable, multiattach, availability_zone, host, type_id, image_metadata } = row;
  return { id, project_id, status, size, name, bootable, multiattach, availability_zone, host, type_id, image_metadata, encrypted: type?.encrypted ?? false, qos: type?.specs && type.consumer !== 'back-end' ? type.specs : null };
}
async function attachmentOr404(trx: Trx, id: string): Promise<AttachmentRow> {
  const row = await attachmentById(trx, id);
  if (!row) throw attachmentNotFound(id);
  return row;
}
/** Without the row's lock two ends of a shared volume could each believe that the other one stays. */
async function withVolume(trx: Trx, row: AttachmentRow): Promise<VolumeRow> {
  const volume = await lockById(trx as Knex.Transaction, row.volume_id);
  if (!volume) throw volumeNotFound(row.volume_id);
  return volume;
}

/** What compute does with volumes, in compute's own transaction (signatures and their rules: for_compute.ts). */
export const volumesOf = (rt: Pick<Runtime, 'settings' | 'log' | 'sealer'>): VolumesForCompute => ({
  async find(trx, who, id) {
    const row = await byId(trx, id);
    if (!row || !mine(who, row)) throw volumeNotFound(id);
    return facts(trx, row);
  },
  async findSnapshot(trx, who, id) {
    const row = await snapshotById(trx, id);
    if (!row || !mine(who, row)) throw snapshotNotFound(id);
    return { id: row.id, volume_id: row.volume_id, size: row.size, status: row.status, name: row.name };
  },
  async reserve(trx, o) {
    const volume = await lockById(trx, o.volumeId);
    if (!volume || !mine(o.who, volume)) throw volumeNotFound(o.volumeId);
    if (volume.multiattach && o.multiattach === false && volume.status !== 'available') throw invalidVolume(`Volume ${volume.id} is multi-attach, which this version of the request does not support.`);
    const readonly = volume.admin_metadata['readonly'] === 'True';
    const row = await reserve(trx, volume, { serverId: o.serverId, mode: o.mode ?? (readonly ? 'ro' : 'rw'), byCompute: true, whileCreating: true, ...(o.id === undefined ? {} : { id: o.id }) });
    return { ...seen(row), at: at(volume) };
  },
  async createFor(trx, tasks, o) {
    const s = o.source;
    const id = await createIn({ settings: rt.settings, log: rt.log, sealer: rt.sealer, tasks }, trx, {
      by: o.by, bound: o.by.projectId, name: o.name, sizeGiB: o.sizeGiB, zone: o.availabilityZone, type: o.volumeType,
      ...('imageId' in s ? { imageId: s.imageId } : 'snapshotId' in s ? { snapshotId: s.snapshotId } : 'volumeId' in s ? { volumeId: s.volumeId } : {}),
    });
    return facts(trx, await byId(trx, id) as VolumeRow);
  },
  complete: (trx, id, o) => completeIn(trx as Knex.Transaction, id, o.device),
  async beginDetach(trx, id) {
    const row = await attachmentOr404(trx, id);
    const volume = await withVolume(trx, row);
    if (volume.migration_task_id !== null) throw invalidVolume(`Volume ${volume.id} is part of an active migration.`);
    if (row.status !== 'attached') throw invalidVolume("Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.");
    const next = await patchAttachment(trx, id, { status: 'detaching' }) as AttachmentRow;
    await followAttachments(trx, volume.id);
    return { ...seen(next), at: at(volume) };
  },
  async rollDetach(trx, id) {
    const row = await attachmentById(trx, id);
    if (row?.status !== 'detaching') return;
    await withVolume(trx, row);
    await patchAttachment(trx, id, { status: 'attached' });
    await followAttachments(trx as Knex.Transaction, row.volume_id);
  },
  async release(trx, id) {
    const row = await attachmentById(trx, id);
    if (!row) return;
    await withVolume(trx, row);
    await trx('volume_attachments').where({ id }).delete();
    await followAttachments(trx as Knex.Transaction, row.volume_id);
  },
  async deleteFor(trx, tasks, by, volumeId) {
    const volume = await lockById(trx, volumeId);
    if (!volume || volume.status === 'deleting') return volume !== undefined;
    const kept = await trx('volume_attachments').where({ volume_id: volumeId }).first('id') ?? await trx('volume_snapshots').where({ volume_id: volumeId }).first('id');
    if (kept || volume.group_id !== null || volume.migration_task_id !== null) return false;
    await destroy({ tasks } as Runtime, trx, volume, by, { force: true });
    return true;
  },
  async at(trx, volumeId) {
    const volume = await byId(trx, volumeId);
    if (!volume) throw volumeNotFound(volumeId);
    return at(volume);
  },
  async attachmentsOf(trx, serverIds) {
    if (serverIds.length === 0) return [];
    return (await trx('volume_attachments').whereIn('server_id', [...serverIds]).orderBy('created_at') as AttachmentRow[]).map(seen);
  },
  async snapshotForImage(trx, tasks, o) {
    const volume = await lockById(trx, o.volumeId);
    if (!volume || !mine({ ...o.by }, volume)) throw volumeNotFound(o.volumeId);
    if (!['available', 'in-use'].includes(volume.status)) throw invalidVolume(`Volume ${volume.id} status must be available or in-use, but current status is: ${volume.status}.`);
    const id = await insertSnapshot({ tasks }, trx, volume, { by: o.by, name: o.name, description: o.description });
    return { id, size: volume.size };
  },
});
