import { duplicateOf, move, transaction, type Trx } from '@cumulet/db';
import type { ConnectionInfo } from '@cumulet/drivers/block';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId, own } from '@cumulet/wire';
import type { Knex } from 'knex';
import { boundTo, by, target } from '../asking.ts';
import { attachmentNotFound, conflict, invalidInput, invalidVolume, volumeNotFound } from '../faults.ts';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { allowedFilters } from '../volumes/filters.ts';
import { held } from '../volumes/service.ts';
import { Volume } from '../volumes/states.ts';
import { byId, laneOfVolume, lockById, queueOf, type VolumeRow } from '../volumes/store.ts';
import { resultOf } from '../waiting.ts';
import { connectPlan, disconnectPlan } from './plans.ts';
import { attachmentById, followAttachments, ofVolume, patchAttachment, type AttachmentRow } from './store.ts';

/** The caller's attachment: it belongs to who owns the volume (LP 2138566). */
export async function show(rt: { readonly db: Trx }, ctx: Context, id: string): Promise<AttachmentRow> {
  const row = await attachmentById(rt.db, id);
  const volume = row && await byId(rt.db, row.volume_id);
  const bound = boundTo(ctx);
  if (!row || !volume || (bound !== undefined && volume.project_id !== bound)) throw attachmentNotFound(id);
  ctx.permit(target(volume));
  return row;
}
const columns = { id: 'id', status: 'status', attach_status: 'status', created_at: 'created_at', updated_at: 'updated_at', volume_id: 'volume_id', instance_uuid: 'server_id', attach_time: 'attached_at' };
export async function list(rt: Runtime, ctx: Context, query: Query): Promise<{ page: Page; rows: AttachmentRow[] }> {
  const of = { columns, maxLimit: rt.settings.http.maxLimit };
  const page = readPage(ctx, query, of);
  ctx.permit();
  const q: Knex.QueryBuilder = rt.db('volume_attachments').select('volume_attachments.*');
  if (!page.allTenants) q.where('volume_attachments.project_id', ctx.caller.projectId ?? '');
  for (const [key, value] of Object.entries(allowedFilters(ctx, page.filters, ['volume_id', 'status', 'instance_id', 'attach_status']))) {
    const name = key.replace(/~$/, '');
    const column = own<string>({ volume_id: 'volume_id', instance_id: 'server_id', instance_uuid: 'server_id', status: 'status', attach_status: 'status', id: 'id' }, name);
    if (column === undefined || (column !== 'status' && !isUuid(value))) q.whereRaw('false'); else q.where(`volume_attachments.${column}`, value);
  }
  return { page, rows: await paged(rt.db, q, page, 'volume_attachments', of, attachmentNotFound) as unknown as AttachmentRow[] };
}

export interface Reservation { readonly serverId: string | null; readonly mode: 'rw' | 'ro'; readonly byCompute?: boolean; readonly id?: string; /** The volume may still be on its way: compute waits for it. */ readonly whileCreating?: boolean }
/** Writes who will be attached. A volume that may have one attachment gets no second one, whatever its status says: the index refuses it. */
export async function reserve(trx: Knex.Transaction, volume: VolumeRow, o: Reservation): Promise<AttachmentRow> {
  const rows = await ofVolume(trx, volume.id);
  const mayShare = volume.multiattach && ['in-use', 'reserved'].includes(volume.status);
  const waiting = o.whileCreating === true && ['creating', 'downloading'].includes(volume.status) && rows.length === 0;
  if (volume.status !== 'available' && !mayShare && !waiting) throw invalidVolume(`Volume ${volume.id} status must be available${volume.multiattach ? ' or in-use or downloading' : ' or downloading'} to reserve, but the current status is ${volume.status}.`);
  if (volume.migration_task_id !== null) throw invalidVolume(`Volume ${volume.id} is part of an active migration.`);
  if (o.serverId !== null && rows.some(r => r.server_id === o.serverId)) throw invalidVolume(`Volume ${volume.id} is attached to server ${o.serverId} already.`);
  try {
    // A savepoint: the refusal of the index must not end the caller's transaction before the fault does.
    const row = await trx.transaction(async sp => {
      const [made] = await sp('volume_attachments').insert({ id: o.id ?? newId(), volume_id: volume.id, project_id: volume.project_id, server_id: o.serverId, status: 'reserved', mode: o.mode, multiattach: volume.multiattach, by_compute: o.byCompute ?? false }).returning('*');
      return made as AttachmentRow;
    });
    if (volume.status === 'available') await move(trx, Volume, volume.id, { from: ['available'], to: 'reserved' });
    return row;
  } catch (error) {
    if (duplicateOf(error)) throw invalidVolume(`Volume ${volume.id} is attached already.`);
    throw error;
  }
}

export async function create(rt: Runtime, ctx: Context, o: { volumeId: string; serverId: string | null; mode: 'rw' | 'ro' | null; connector: Record<string, unknown> | null }): Promise<{ row: AttachmentRow; connection: ConnectionInfo | undefined }> {
  const row = await transaction(rt.db, async trx => {
    const volume = await held(trx, ctx, o.volumeId);
    if (o.mode === 'rw' && volume.admin_metadata['readonly'] === 'True') throw invalidInput(`Volume ${volume.id} is read only; the mode must be ro.`);
    return reserve(trx, volume, { serverId: o.serverId, mode: o.mode ?? (volume.admin_metadata['readonly'] === 'True' ? 'ro' : 'rw') });
  });
  if (!o.connector) return { row, connection: undefined };
  try { return await connect(rt, ctx, row, o.connector); } catch (error) {
    await transaction(rt.db, async trx => { await trx('volume_attachments').where({ id: row.id }).delete(); await followAttachments(trx, row.volume_id); });
    throw error;
  }
}
/** Connects an attachment and waits for the connection_info that the caller needs. */
export async function connect(rt: Runtime, ctx: Context, row: AttachmentRow, connector: Record<string, unknown>): Promise<{ row: AttachmentRow; connection: ConnectionInfo }> {
  const volume = await byId(rt.db, row.volume_id);
  if (!volume) throw volumeNotFound(row.volume_id);
  const host = typeof connector['host'] === 'string' ? connector['host'] : '';
  const others = await ofVolume(rt.db, volume.id);
  const same = (a: unknown, b: unknown) => a !== undefined && a !== null && a === b;
  if (others.some(a => a.id !== row.id && a.server_id === row.server_id && a.connector && same(a.connector['host'], connector['host']))) throw new BadRequest(`duplicate connectors detected on volume ${volume.id}`);
  const task = await transaction(rt.db, trx => rt.tasks.enqueue(trx, connectPlan, { attachmentId: row.id, connector: { ...connector, host } }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'attachment', id: row.id }, by: by(ctx) }));
  const out = await resultOf(rt, task);
  return { row: await attachmentById(rt.db, row.id) ?? row, connection: out['connect'] as ConnectionInfo };
}

const complete = (trx: Knex.Transaction, row: AttachmentRow, values: Partial<AttachmentRow> = {}) => patchAttachment(trx, row.id, { status: 'attached', attached_at: row.attached_at ?? new Date(), ...values });
/** os-complete: the caller has it attached. */
export const markComplete = (rt: Runtime, ctx: Context, id: string): Promise<void> => transaction(rt.db, async trx => {
  const row = await show({ db: trx }, ctx, id);
  const volume = await lockById(trx, row.volume_id);
  if (!volume || !['reserved', 'attaching', 'in-use', 'detaching'].includes(volume.status)) throw invalidVolume(`Volume ${row.volume_id} is ${volume?.status ?? 'gone'} and cannot be completed.`);
  await complete(trx, row);
  await followAttachments(trx, row.volume_id);
});
export async function completeIn(trx: Knex.Transaction, id: string, device: string): Promise<void> {
  const row = await attachmentById(trx, id);
  if (!row) throw attachmentNotFound(id);
  await complete(trx, row, { device });
  await followAttachments(trx, row.volume_id);
}

/** Whose attachment it is when compute made it: only compute, with a service token, takes it away here (CVE-2023-2088). */
export function refuseIfComputes(ctx: Pick<Context, 'caller'>, row: Pick<AttachmentRow, 'by_compute' | 'server_id'>): void {
  if (row.by_compute && row.server_id !== null && !ctx.caller.serviceRoles.includes('service')) throw conflict(`Detach volume from instance ${row.server_id} using the Compute API`);
}
/** Disconnects and forgets an attachment; gives those that remain. */
export async function remove(rt: Runtime, ctx: Context, id: string): Promise<AttachmentRow[]> {
  const row = await show(rt, ctx, id);
  refuseIfComputes(ctx, row);
  const volume = await byId(rt.db, row.volume_id);
  if (row.connector && volume?.host) {
    const task = await transaction(rt.db, trx => rt.tasks.enqueue(trx, disconnectPlan, { attachmentId: id }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'attachment', id }, by: by(ctx) }));
    await resultOf(rt, task);
  }
  return transaction(rt.db, async trx => {
    await lockById(trx, row.volume_id);
    await trx('volume_attachments').where({ id }).delete();
    await followAttachments(trx, row.volume_id);
    return ofVolume(trx, row.volume_id);
  });
}
