import { move, transaction, type Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { isUuid, newId, NotFound } from '@cumulet/wire';
import { by, found } from '../asking.ts';
import { invalidGroup, invalidGroupSnapshot } from '../faults.ts';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { insertSnapshot } from '../snapshots/service.ts';
import { Snapshot } from '../snapshots/store.ts';
import { specIsTrue } from '../types/store.ts';
import { allowedFilters } from '../volumes/filters.ts';
import { shownStatus } from '../volumes/states.ts';
import { queueOf, type VolumeRow } from '../volumes/store.ts';
import { createGroupSnapshotPlan, deleteGroupSnapshotPlan } from './plans.ts';
import { show as showGroup } from './service.ts';
import { forced, GroupSnapshot, resettableSnapshot, type GroupSnapshotRow, type GroupSnapshotStatus } from './states.ts';

export const groupSnapshotNotFound = (id: string) => new NotFound(`GroupSnapshot ${id} could not be found.`);
const columns = { id: 'id', name: 'name', status: 'status', created_at: 'created_at', updated_at: 'updated_at', group_id: 'group_id', group_type_id: 'group_type_id' };
export const show = async (rt: { readonly db: Trx }, ctx: Context, id: string): Promise<GroupSnapshotRow> => found<GroupSnapshotRow>(ctx, isUuid(id) ? await rt.db('volume_group_snapshots').where({ id }).first() : undefined, () => groupSnapshotNotFound(id));

export async function list(rt: Runtime, ctx: Context, query: Query): Promise<{ page: Page; rows: GroupSnapshotRow[] }> {
  const of = { columns, maxLimit: rt.settings.http.maxLimit };
  // Before 3.29 the list was not paged, sorted or filtered.
  const page = readPage(ctx, ctx.dialect.has('group snapshot paging') ? query : { all_tenants: query['all_tenants'] }, of);
  ctx.permit();
  const q = rt.db('volume_group_snapshots').select('volume_group_snapshots.*');
  if (!page.allTenants) q.where('project_id', ctx.caller.projectId ?? '');
  for (const [key, value] of Object.entries(allowedFilters(ctx, page.filters, ['status', 'group_id', 'name']))) {
    if (key === 'group_id' || key === 'id') { if (isUuid(value)) q.where(key, value); else q.whereRaw('false'); } else if (key === 'status' || key === 'name') q.where(key, value);
  }
  return { page, rows: await paged(rt.db, q, page, 'volume_group_snapshots', of, groupSnapshotNotFound) as unknown as GroupSnapshotRow[] };
}

/** One snapshot of each of the group's volumes, all held by one task. */
export const create = (rt: Runtime, ctx: Context, o: { groupId: string; name: string | null; description: string | null }): Promise<GroupSnapshotRow> => transaction(rt.db, async trx => {
  const group = await showGroup({ db: trx }, ctx, o.groupId);
  if (group.status !== 'available') throw invalidGroup(`Group ${group.id} status must be available, but current status is: ${shownStatus(group.status)}.`);
  const volumes: VolumeRow[] = await trx('volumes').where({ group_id: group.id }).orderBy('id').forUpdate();
  if (volumes.length === 0) throw invalidGroup('Group is empty. No group snapshot will be created.');
  for (const v of volumes) if (!['available', 'in-use'].includes(v.status)) throw invalidGroup(`Volume ${v.id} of the group must be available or in-use, but is ${shownStatus(v.status)}.`);
  const type: { group_specs: Record<string, string> } = await trx('volume_group_types').where({ id: group.group_type_id }).first('group_specs') as { group_specs: Record<string, string> };
  const id = newId();
  const who = { ...by(ctx), projectId: group.project_id };
  const task = await rt.tasks.enqueue(trx, createGroupSnapshotPlan, { groupSnapshotId: id, consistent: specIsTrue(type.group_specs['consistent_group_snapshot_enabled']) }, { queue: queueOf(group.host), lane: `group/${group.id}`, resource: { type: 'group_snapshot', id }, by: who });
  const [row] = await trx('volume_group_snapshots').insert({ id, group_id: group.id, group_type_id: group.group_type_id, project_id: group.project_id, user_id: ctx.caller.userId, name: o.name, description: o.description, status: 'creating', task_id: task }).returning('*');
  for (const v of volumes) await insertSnapshot(rt, trx, v, { by: who, name: o.name, description: o.description, groupSnapshotId: id, task });
  return row as GroupSnapshotRow;
});
export const update = (rt: Runtime, ctx: Context, id: string, o: { name?: string | null | undefined; description?: string | null | undefined }): Promise<GroupSnapshotRow> => transaction(rt.db, async trx => {
  const row = await show({ db: trx }, ctx, id);
  const [next] = await trx('volume_group_snapshots').where({ id: row.id }).update({ ...Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)), updated_at: trx.fn.now() }).returning('*');
  return next as GroupSnapshotRow;
});
export const destroy = (rt: Runtime, ctx: Context, id: string): Promise<void> => transaction(rt.db, async trx => {
  const row = await show({ db: trx }, ctx, id);
  if (!['available', 'error'].includes(row.status)) throw invalidGroupSnapshot(`Status of group snapshot ${id} must be available or error, but current status is: ${shownStatus(row.status)}.`);
  if (await trx('volume_groups').where({ group_snapshot_id: id, status: 'creating' }).first('id')) throw invalidGroupSnapshot(`Group snapshot ${id} is the source of a group that is being created.`);
  const group = await trx('volume_groups').where({ id: row.group_id }).first('host') as { host: string | null };
  const task = await rt.tasks.enqueue(trx, deleteGroupSnapshotPlan, { groupSnapshotId: id }, { queue: queueOf(group.host), lane: `group/${row.group_id}`, resource: { type: 'group_snapshot', id }, by: by(ctx) });
  await move<GroupSnapshotStatus, GroupSnapshotRow>(trx, GroupSnapshot, id, { from: [row.status], to: 'deleting', task });
  for (const s of await trx('volume_snapshots').where({ group_snapshot_id: id }).select('id', 'status')) await move(trx, Snapshot, s.id, { from: [s.status], to: 'deleting', task });
});
export const resetStatus = (rt: Runtime, ctx: Context, id: string, status: string): Promise<void> => transaction(rt.db, async trx => {
  const row = await show({ db: trx }, ctx, id);
  if (!resettableSnapshot.includes(status)) throw invalidGroupSnapshot(`Group snapshot status: ${status} is invalid, valid statuses are: ${resettableSnapshot.join(', ')}.`);
  if (row.task_id !== null) throw invalidGroupSnapshot(`Group snapshot ${id} is ${row.status}: an operation is at work on it.`);
  await move(trx, GroupSnapshot, id, { from: [row.status], to: forced(status, GroupSnapshot.transitional) as 'available' });
});
