import { move, transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest } from '@cumulet/wire';
import type { Knex } from 'knex';
import { by, found } from '../asking.ts';
import { conflict, invalidInput, invalidVolume, volumeNotFound } from '../faults.ts';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { enforce, enforceVolumeSize } from '../quotas/limits.ts';
import { hasRoom } from '../scheduler/filters.ts';
import { pools, type PoolState } from '../scheduler/pools.ts';
import { typeById } from '../types/store.ts';
import { applyFilters, sortColumns } from './filters.ts';
import { extendPlan } from './extend_plans.ts';
import { deletePlan } from './plans.ts';
import { atRest, isBusy, resettable, shownStatus, Volume, type VolumeStatus } from './states.ts';
import { detailById, details, laneOfVolume, lockById, patch, queueOf, remove, type VolumeDetail, type VolumeRow } from './store.ts';

/** The caller's volume, or 404; the operation's rule is asked. */
export const show = async (rt: Runtime, ctx: Context, id: string): Promise<VolumeDetail> => found(ctx, await detailById(rt.db, id), () => volumeNotFound(id));
/** The same, locked until the transaction ends. */
export const held = async (trx: Knex.Transaction, ctx: Context, id: string): Promise<VolumeRow> => found(ctx, await lockById(trx, id), () => volumeNotFound(id));

export interface Listing { readonly page: Page; readonly rows: VolumeDetail[]; readonly count: number | undefined }
/** One page of volumes with all that details show; the count only when it was asked for (3.45). */
export async function list(rt: Runtime, ctx: Context, query: Query): Promise<Listing> {
  const of = { columns: sortColumns, maxLimit: rt.settings.http.maxLimit };
  const page = readPage(ctx, query, of);
  ctx.permit();
  const narrowed = (q: Knex.QueryBuilder) => {
    q.where('volumes.hidden', false);
    if (!page.allTenants) q.where('volumes.project_id', ctx.caller.projectId ?? '');
    applyFilters(ctx, q, page.filters);
    return q;
  };
  const rows = await paged(rt.db, narrowed(details(rt.db)), page, 'volumes', of, volumeNotFound) as unknown as VolumeDetail[];
  const counting = ctx.dialect.has('count') && page.withCount;
  const counted = counting ? await narrowed(rt.db('volumes').join('volume_types', 'volume_types.id', 'volumes.type_id').count('* as n')).first() as { n: number } : undefined;
  return { page, rows, count: counted?.n };
}

export interface Changes { name?: string | null | undefined; description?: string | null | undefined; display_name?: string | null | undefined; display_description?: string | null | undefined; metadata?: Record<string, string> | null | undefined }
export async function update(rt: Runtime, ctx: Context, id: string, changes: Changes): Promise<VolumeDetail> {
  return transaction(rt.db, async trx => {
    const row = await held(trx, ctx, id);
    const name = changes.name !== undefined ? changes.name : changes.display_name;
    const description = changes.description !== undefined ? changes.description : changes.display_description;
    await patch(trx, row.id, { ...(name === undefined ? {} : { name }), ...(description === undefined ? {} : { description }), ...(changes.metadata ? { metadata: changes.metadata } : {}) });
    return await detailById(trx, row.id) as VolumeDetail;
  });
}

const undeletable = () => invalidVolume('Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.');
const deletable: readonly VolumeStatus[] = ['available', 'error', 'error_restoring', 'error_extending', 'error_managing'];

export interface DeleteOptions { readonly force?: boolean; readonly cascade?: boolean }
/** Accepts a deletion. A forced one does not ask for the status and stops what is at work on the volume; what is attached stays in any case. */
export async function destroy(rt: Runtime, trx: Knex.Transaction, row: VolumeRow, who: ReturnType<typeof by>, o: DeleteOptions): Promise<void> {
  if (!o.force && !deletable.includes(row.status)) throw undeletable();
  if (row.migration_task_id !== null || row.group_id !== null) throw undeletable();
  if (await trx('volume_attachments').where({ volume_id: row.id }).first('id')) throw undeletable();
  const snapshots: { id: string; status: string }[] = await trx('volume_snapshots').where({ volume_id: row.id }).select('id', 'status').forUpdate();
  if (snapshots.length > 0 && (!o.cascade || snapshots.some(s => !['available', 'error', 'deleting', 'error_deleting'].includes(s.status) && !o.force))) throw undeletable();
  if (row.host === null) {
    await trx('volume_snapshots').where({ volume_id: row.id }).delete();
    await remove(trx, row.id);
    return;
  }
  const lane = laneOfVolume(row.id);
  if (row.task_id !== null) { await rt.tasks.supersede(trx, lane); await rt.tasks.cancel(trx, row.task_id); }   // a backup's task has a lane of its own
  const task = await rt.tasks.enqueue(trx, deletePlan, { volumeId: row.id, snapshotIds: snapshots.map(s => s.id), disconnect: false }, { queue: queueOf(row.host), lane, resource: { type: 'volume', id: row.id }, by: who });
  await trx('volume_snapshots').where({ volume_id: row.id }).update({ status: 'deleting', task_id: task, updated_at: trx.fn.now() });
  await move(trx, Volume, row.id, { from: [row.status], to: 'deleting', task });
}
export const deleteVolume = (rt: Runtime, ctx: Context, id: string, o: DeleteOptions): Promise<void> => transaction(rt.db, async trx => { await destroy(rt, trx, await held(trx, ctx, id), by(ctx), o); });

/** Grows a volume: available ones always, attached ones from 3.42 on. */
export const extend = (rt: Runtime, ctx: Context, id: string, newSize: number): Promise<void> => transaction(rt.db, async trx => {
  const row = await held(trx, ctx, id);
  const online = row.status === 'in-use';
  if (online && ctx.dialect.has('extend in use')) ctx.require('volume:extend_attached_volume', { project_id: row.project_id, user_id: row.user_id });
  if (row.status !== 'available' && !(online && ctx.dialect.has('extend in use'))) {
    throw invalidVolume(`Volume ${row.id} status must be '{'status': 'available'}' to extend, currently ${shownStatus(row.status)}.`);
  }
  if (newSize <= row.size) throw invalidInput(`New size for extend must be greater than current size. (current: ${row.size}, extended: ${newSize}).`);
  if (row.migration_task_id !== null) throw invalidVolume(`Volume ${row.id} is part of an active migration.`);
  await enforceVolumeSize(trx, row.project_id, newSize);
  const type = await typeById(trx, row.type_id);
  if (!type) throw new Error(`volume ${row.id} has no type`);
  let full = false;
  if (row.host) {
    await trx('volume_pools').where({ id: row.host }).forUpdate().first('id');
    const [pool] = await pools(trx, rt.settings.volume.serviceDownSeconds).where('p.id', row.host) as unknown as PoolState[];
    full = pool !== undefined && rt.settings.volume.scheduler.filters.includes('CapacityFilter') && !hasRoom(pool, { sizeGiB: newSize - row.size, extraSpecs: type.extra_specs });
  }
  const task = await rt.tasks.enqueue(trx, extendPlan, { volumeId: row.id, from: row.size, to: newSize, was: online ? 'in-use' as const : 'available' as const }, { queue: queueOf(row.host), lane: laneOfVolume(row.id), resource: { type: 'volume', id: row.id }, by: by(ctx) });
  await move(trx, Volume, row.id, { from: [row.status], to: 'extending', task, set: { size: newSize } });
  // The quota is asked first, as upstream does: it says something that the caller can change.
  await enforce(trx, 'extend', { projectId: row.project_id, sizeGiB: newSize - row.size, type });
  if (full) throw invalidVolume(`The backend has no room for ${newSize - row.size} GiB more.`);
});

export interface Reset { status?: string | null | undefined; attach_status?: string | null | undefined; migration_status?: string | null | undefined }
const migrationStatuses = ['migrating', 'error', 'success', 'completing', 'none', 'starting'];
/** What an administrator says a volume's status is. Work that is under way is never hidden: it is stopped for `error`, and otherwise the request is refused. */
export const resetStatus = (rt: Runtime, ctx: Context, id: string, reset: Reset): Promise<void> => transaction(rt.db, async trx => {
  const row = await held(trx, ctx, id);
  const status = reset.status?.toLowerCase();
  const attached = reset.attach_status?.toLowerCase();
  const migrating = reset.migration_status?.toLowerCase();
  if (status && !(resettable as readonly string[]).includes(status)) throw new BadRequest(`Volume status: ${reset.status} is invalid, valid statuses are: (${resettable.map(s => `'${s}'`).join(', ')}).`);
  if (attached && !['attached', 'detached'].includes(attached)) throw new BadRequest(`Volume attach status: ${reset.attach_status} is invalid, valid statuses are: ['attached', 'detached'].`);
  if (migrating && !migrationStatuses.includes(migrating)) throw new BadRequest(`Volume migration status: ${reset.migration_status} is invalid, valid statuses are: (${migrationStatuses.map(s => `'${s}'`).join(', ')}).`);
  if (status) {
    if (isBusy(row.status)) {
      if (status !== 'error') throw conflict(`Volume ${row.id} is ${row.status}: an operation is at work on it. Reset it to error to stop the operation, or delete the volume.`);
      await rt.tasks.supersede(trx, laneOfVolume(row.id));
      if (row.task_id !== null) await rt.tasks.cancel(trx, row.task_id);
    } else await move(trx, Volume, row.id, { from: [row.status], to: atRest(status) as VolumeStatus });
  }
  if (attached === 'detached') await trx('volume_attachments').where({ volume_id: row.id }).delete();
  if (migrating && row.migration_task_id === null) await patch(trx, row.id, { migration_status: migrating === 'none' ? null : migrating });
});

/** Reads or writes one of the small maps of a volume. Returns the map as it is afterwards. */
export const changeMap = (rt: Runtime, ctx: Context, id: string, key: 'metadata' | 'image_metadata', change: (now: Record<string, string>, row: VolumeRow) => Record<string, string>): Promise<Record<string, string>> => transaction(rt.db, async trx => {
  const row = await held(trx, ctx, id);
  const next = change({ ...row[key] }, row);
  await patch(trx, row.id, { [key]: next });
  return next;
});
