import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';
import type { Knex } from 'knex';
import { Volume, type VolumeStatus } from '../volumes/states.ts';
import { lockById, type VolumeRow } from '../volumes/store.ts';
import { move } from '@cumulet/db';

export type AttachmentStatus = 'reserved' | 'attaching' | 'attached' | 'detaching' | 'error_attaching' | 'error_detaching';
export interface AttachmentRow {
  id: string; volume_id: string; project_id: string; server_id: string | null; status: AttachmentStatus; mode: string; multiattach: boolean; attached_host: string | null; device: string | null;
  connector: Record<string, unknown> | null; connection_info: Record<string, unknown> | null; by_compute: boolean; attached_at: Date | null; created_at: Date; updated_at: Date | null;
}
export const attachmentById = async (trx: Trx, id: string): Promise<AttachmentRow | undefined> => (isUuid(id) ? trx('volume_attachments').where({ id }).first() : undefined);
export const ofVolume = async (trx: Trx, volumeId: string): Promise<AttachmentRow[]> => trx('volume_attachments').where({ volume_id: volumeId }).orderBy('created_at');

/** Attachments that a server of compute's has, on the host where it runs. */
export const serverAttachments = async (trx: Trx, volumeId: string): Promise<(AttachmentRow & { server_id: string; attached_host: string })[]> =>
  trx('volume_attachments').where({ volume_id: volumeId, by_compute: true }).whereIn('status', ['attached', 'detaching']).whereNotNull('server_id').whereNotNull('attached_host').orderBy('created_at');

export async function patchAttachment(trx: Trx, id: string, values: Partial<AttachmentRow>): Promise<AttachmentRow | undefined> {
  const set: Record<string, unknown> = { ...values, updated_at: trx.fn.now() };
  for (const key of ['connector', 'connection_info']) if (key in set && set[key] !== null) set[key] = JSON.stringify(set[key]);
  const [row] = await trx('volume_attachments').where({ id }).update(set).returning('*');
  return row as AttachmentRow | undefined;
}

/** Statuses of a volume that follow from who is attached; anything else (extending, error …) is left as it is. */
const followed: readonly VolumeStatus[] = ['available', 'reserved', 'attaching', 'in-use', 'detaching'];
/**
 * Brings a volume's status in line with its attachments, under the volume's lock: the last detach is decided here, however many end at once.
 * With nobody left it is available.
 */
export async function followAttachments(trx: Knex.Transaction, volumeId: string): Promise<VolumeRow | undefined> {
  const volume = await lockById(trx, volumeId);
  if (!volume || !followed.includes(volume.status)) return volume;
  const rows = await ofVolume(trx, volumeId);
  const has = (...s: AttachmentStatus[]) => rows.some(r => s.includes(r.status));
  const to: VolumeStatus = rows.length === 0 ? 'available' : has('attached') ? 'in-use' : has('detaching', 'error_detaching') ? 'detaching' : 'reserved';
  return volume.status === to ? volume : move<VolumeStatus, VolumeRow>(trx, Volume, volumeId, { from: [volume.status], to });
}
