import { move, transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import { by, found } from '../asking.ts';
import { ofVolume } from '../attachments/store.ts';
import { conflict, invalidInput, invalidSnapshot, invalidVolume, snapshotNotFound } from '../faults.ts';
import type { By } from '../for_compute.ts';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { enforce } from '../quotas/limits.ts';
import { dictionary } from '../shapes.ts';
import { typeById } from '../types/store.ts';
import { allowedFilters, bySize } from '../volumes/filters.ts';
import { held } from '../volumes/service.ts';
import { shownStatus, Volume } from '../volumes/states.ts';
import { laneOfVolume, queueOf, type VolumeRow } from '../volumes/store.ts';
import { createSnapshotPlan, deleteSnapshotPlan, revertPlan } from './plans.ts';
import { stillSnapshotPlan } from './still.ts';
import { atRest, resettable, Snapshot, snapshotById, type SnapshotRow, type SnapshotStatus } from './store.ts';

const columns = { id: 'id', name: 'name', status: 'status', created_at: 'created_at', updated_at: 'updated_at', volume_id: 'volume_id', size: 'size', volume_size: 'size', description: 'description', project_id: 'project_id', user_id: 'user_id' };
const userFilters = ['name', 'status', 'volume_id', 'metadata', 'availability_zone', 'consumes_quota'];

export const show = async (rt: Runtime, ctx: Context, id: string): Promise<SnapshotRow> => found(ctx, await snapshotById(rt.db, id), () => snapshotNotFound(id));
export const heldSnapshot = async (trx: Knex.Transaction, ctx: Context, id: string): Promise<SnapshotRow> => found<SnapshotRow>(ctx, isUuid(id) ? await trx('volume_snapshots').where({ id }).forUpdate().first() : undefined, () => snapshotNotFound(id));

export async function list(rt: Runtime, ctx: Context, query: Query): Promise<{ page: Page; rows: SnapshotRow[]; count: number | undefined }> {
  const of = { columns, maxLimit: rt.settings.http.maxLimit };
  const page = readPage(ctx, query, of);
  ctx.permit();
  const narrowed = (q: Knex.QueryBuilder) => {
    if (!page.allTenants) q.where('volume_snapshots.project_id', ctx.caller.projectId ?? '');
    narrow(ctx, q, page.filters);
    return q;
  };
  const rows = await paged(rt.db, narrowed(rt.db('volume_snapshots').select('volume_snapshots.*')), page, 'volume_snapshots', of, snapshotNotFound) as unknown as SnapshotRow[];
  const counted = ctx.dialect.has('count') && page.withCount ? await narrowed(rt.db('volume_snapshots').count('* as n')).first() as { n: number } : undefined;
  return { page, rows, count: counted?.n };
}
function narrow(ctx: Context, q: Knex.QueryBuilder, filters: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(allowedFilters(ctx, filters, userFilters))) {
    const like = key.endsWith('~') && ctx.dialect.has('like filters');
    const name = like ? key.slice(0, -1) : key;
    if (name === 'metadata') {
      if (!ctx.dialect.has('snapshot metadata filter')) continue;
      const wanted = dictionary(value);
      if (!wanted) throw new BadRequest('Invalid filter: metadata');
      q.whereRaw('volume_snapshots.metadata @> ?::jsonb', [JSON.stringify(wanted)]);
    } else if (name === 'status') q.whereIn('volume_snapshots.status', [value, `forced:${value}`]);
    else if (name === 'volume_id' || name === 'id') { if (isUuid(value)) q.where(`volume_snapshots.${name}`, value); else q.whereRaw('false'); }
    else if (name === 'availability_zone' || name === 'host') q.whereExists(e => { void e.from('volumes as fv').whereRaw('fv.id = volume_snapshots.volume_id').where(`fv.${name}`, value); });
    else if (name === 'consumes_quota') q.where('volume_snapshots.consumes_quota', value.toLowerCase() === 'true' || value === '1');
    else if (name === 'size' || name === 'volume_size') bySize(q, 'volume_snapshots.size', value);
    else if (['name', 'display_name', 'description', 'project_id', 'user_id'].includes(name)) {
      const column = `volume_snapshots.${{ display_name: 'name' }[name] ?? name}`;
      if (like) q.whereILike(column, `%${value.replaceAll(/[\\%_]/g, c => `\\${c}`)}%`); else q.where(column, value);
    } else q.whereRaw('false');
  }
}

export interface NewSnapshot { readonly by: By & { readonly projectId: string }; readonly name?: string | null | undefined; readonly description?: string | null | undefined; readonly metadata?: Record<string, string> | null | undefined; readonly groupSnapshotId?: string; readonly task?: string }
/** On the backend; or, for a volume that one server of compute's writes to, on that server's host. */
async function enqueueSnapshot(rt: Pick<Runtime, 'tasks'>, trx: Knex.Transaction, volume: VolumeRow, id: string, by: By): Promise<string> {
  const attached = volume.status === 'in-use' ? await ofVolume(trx, volume.id) : [];
  const [one] = attached;
  if (attached.length === 1 && one?.by_compute && one.server_id !== null && one.attached_host !== null && volume.host !== null) {
    return rt.tasks.enqueue(trx, stillSnapshotPlan, { snapshotId: id, volumeId: volume.id, backend: volume.host, serverId: one.server_id }, { queue: `host/${one.attached_host}`, lane: `still/${one.server_id}`, resource: { type: 'snapshot', id }, by });
  }
  return rt.tasks.enqueue(trx, createSnapshotPlan, { snapshotId: id }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'snapshot', id }, by });
}
/** The row, its task and its quota. The volume is locked by the caller. */
export async function insertSnapshot(rt: Pick<Runtime, 'tasks'>, trx: Knex.Transaction, volume: VolumeRow, o: NewSnapshot): Promise<string> {
  const id = newId();
  const task = o.task ?? await enqueueSnapshot(rt, trx, volume, id, o.by);
  await trx('volume_snapshots').insert({
    id, volume_id: volume.id, project_id: volume.project_id, user_id: o.by.userId ?? null, name: o.name ?? null, description: o.description ?? null, status: 'creating', task_id: task, size: volume.size, type_id: volume.type_id,
    metadata: JSON.stringify(o.metadata ?? {}), group_snapshot_id: o.groupSnapshotId ?? null, consumes_quota: volume.consumes_quota,
  });
  const type = await typeById(trx, volume.type_id);
  if (type) await enforce(trx, 'snapshot', { projectId: volume.project_id, sizeGiB: volume.size, type });
  return id;
}
export const create = (rt: Runtime, ctx: Context, volumeId: string, o: Omit<NewSnapshot, 'by'> & { force: boolean }): Promise<SnapshotRow> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, volumeId);
  const inUseToo = o.force || ctx.dialect.has('snapshots in use');
  if (volume.status !== 'available' && !(inUseToo && volume.status === 'in-use')) throw invalidVolume(`Volume ${volume.id} status must be available, but current status is: ${shownStatus(volume.status)}.`);
  if (volume.migration_task_id !== null) throw invalidVolume(`Volume ${volume.id} is part of an active migration.`);
  const id = await insertSnapshot(rt, trx, volume, { ...o, by: { ...by(ctx), projectId: ctx.caller.projectId ?? '' } });
  return await snapshotById(trx, id) as SnapshotRow;
});
export const update = (rt: Runtime, ctx: Context, id: string, values: { name?: string | null | undefined; description?: string | null | undefined }): Promise<SnapshotRow> => transaction(rt.db, async trx => {
  const row = await heldSnapshot(trx, ctx, id);
  const set = Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined));
  const [next] = await trx('volume_snapshots').where({ id: row.id }).update({ ...set, updated_at: trx.fn.now() }).returning('*');
  return next as SnapshotRow;
});
export const changeMetadata = (rt: Runtime, ctx: Context, id: string, how: (now: Record<string, string>) => Record<string, string>): Promise<Record<string, string>> => transaction(rt.db, async trx => {
  const row = await heldSnapshot(trx, ctx, id);
  const next = how({ ...row.metadata });
  await trx('volume_snapshots').where({ id: row.id }).update({ metadata: JSON.stringify(next), updated_at: trx.fn.now() });
  return next;
});

/** Accepts a deletion; a forced one does not ask for the status. */
export const destroy = (rt: Runtime, ctx: Context, id: string, force = false): Promise<void> => transaction(rt.db, async trx => {
  const row = await heldSnapshot(trx, ctx, id);
  if (row.group_snapshot_id !== null && !force) throw invalidSnapshot('Snapshot is part of a group snapshot and has to be deleted as part of the group snapshot.');
  if (!force && !['available', 'error'].includes(row.status)) throw invalidSnapshot(`Snapshot status must be available or error.`);
  const volume = await trx('volumes').where({ id: row.volume_id }).first() as VolumeRow | undefined;
  if (row.task_id !== null) await rt.tasks.cancel(trx, row.task_id);
  const task = await rt.tasks.enqueue(trx, deleteSnapshotPlan, { snapshotId: row.id }, { queue: queueOf(volume?.host ?? null), lane: laneOfVolume(row.volume_id), resource: { type: 'snapshot', id: row.id }, by: by(ctx) });
  await move(trx, Snapshot, row.id, { from: [row.status], to: 'deleting', task });
});

export const resetStatus = (rt: Runtime, ctx: Context, id: string, status: string): Promise<void> => transaction(rt.db, async trx => {
  const row = await heldSnapshot(trx, ctx, id);
  const wanted = status.toLowerCase();
  if (!(resettable as readonly string[]).includes(wanted)) throw new BadRequest(`Snapshot status: ${status} is invalid, valid statuses are: (${resettable.map(s => `'${s}'`).join(', ')}).`);
  if (row.task_id !== null) {
    if (wanted !== 'error') throw conflict(`Snapshot ${row.id} is ${row.status}: an operation is at work on it. Reset it to error to stop the operation.`);
    await rt.tasks.cancel(trx, row.task_id);
  } else await move(trx, Snapshot, row.id, { from: [row.status], to: atRest(wanted) });
});
/** What compute reports of a snapshot that the hypervisor makes. */
export const updateStatus = (rt: Runtime, ctx: Context, id: string, status: string, progress: string | null | undefined): Promise<void> => transaction(rt.db, async trx => {
  const row = await heldSnapshot(trx, ctx, id);
  const map: Record<string, readonly string[]> = { creating: ['creating', 'available', 'error'], deleting: ['deleting', 'error_deleting'] };
  const allowed = map[shownStatus(row.status)];
  if (!allowed) throw new BadRequest(`Snapshot status ${shownStatus(row.status)} not allowed for update_snapshot_status`);
  if (!allowed.includes(status)) throw new BadRequest(`Provided snapshot status ${status} not allowed for snapshot with status ${shownStatus(row.status)}.`);
  if (progress !== undefined && progress !== null && !/^\d{1,3}%?$/.test(progress)) throw new BadRequest('progress must be an integer percentage');
  if (row.task_id === null && status !== shownStatus(row.status)) await move(trx, Snapshot, row.id, { from: [row.status], to: atRest(status) as SnapshotStatus, ...(progress ? { set: { progress } } : {}) });
  else if (progress) await trx('volume_snapshots').where({ id: row.id }).update({ progress, updated_at: trx.fn.now() });
});

/** Only the newest snapshot can be gone back to; the volume must be at rest. */
export const revert = (rt: Runtime, ctx: Context, volumeId: string, snapshotId: string): Promise<void> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, volumeId);
  const latest: SnapshotRow | undefined = await trx('volume_snapshots').where({ volume_id: volume.id }).orderBy('created_at', 'desc').forUpdate().first();
  if (!latest) throw invalidInput(`Volume ${volume.id} doesn't have any snapshots.`);
  if (latest.id !== snapshotId) {
    if (!await trx('volume_snapshots').where({ volume_id: volume.id }).whereRaw('id::text = ?', [snapshotId]).first('id')) throw snapshotNotFound(snapshotId);
    throw invalidInput(`Specified snapshot ${snapshotId} is not the latest one of volume ${volume.id}.`);
  }
  if (volume.size !== latest.size) throw invalidInput(`Can't revert volume ${volume.id} to its latest snapshot ${snapshotId}. The volume size must be equal to the snapshot size.`);
  if (volume.status !== 'available' || latest.status !== 'available') throw invalidVolume(`Can't revert volume ${volume.id} to its latest snapshot ${snapshotId}. The volume and the snapshot must be available.`);
  const task = await rt.tasks.enqueue(trx, revertPlan, { volumeId: volume.id, snapshotId, was: 'available' as const }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) });
  await move(trx, Volume, volume.id, { from: ['available'], to: 'reverting', task });
  await move(trx, Snapshot, snapshotId, { from: ['available'], to: 'restoring', task });
});
