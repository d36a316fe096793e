import { move, transaction, type Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { boundTo, by, found } from '../asking.ts';
import { invalidGroup, invalidVolume, typeNotFound } from '../faults.ts';
import type { GroupTypeRow } from '../group_types/routes.ts';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { enforceGroups } from '../quotas/limits.ts';
import { filters } from '../scheduler/filters.ts';
import { place } from '../scheduler/place.ts';
import { pools, type PoolState } from '../scheduler/pools.ts';
import { typeByRef } from '../types/choose.ts';
import { typeById, type TypeRow } from '../types/store.ts';
import { createIn } from '../volumes/create.ts';
import { allowedFilters } from '../volumes/filters.ts';
import { shownStatus, Volume } from '../volumes/states.ts';
import { patch, queueOf, type VolumeRow } from '../volumes/store.ts';
import { groupNotFound } from './membership.ts';
import { deleteGroupPlan } from './plans.ts';
import { forced, Group, resettable, type GroupRow, type GroupSnapshotRow, type GroupStatus } from './states.ts';

const columns = { id: 'id', name: 'name', status: 'status', created_at: 'created_at', updated_at: 'updated_at', group_type_id: 'group_type_id', group_type: 'group_type_id', host: 'host', availability_zone: 'availability_zone' };
export const show = async (rt: { readonly db: Trx }, ctx: Context, id: string): Promise<GroupRow> => found<GroupRow>(ctx, isUuid(id) ? await rt.db('volume_groups').where({ id }).first() : undefined, () => groupNotFound(id));
const heldGroup = async (trx: Knex.Transaction, ctx: Context, id: string): Promise<GroupRow> => found<GroupRow>(ctx, isUuid(id) ? await trx('volume_groups').where({ id }).forUpdate().first() : undefined, () => groupNotFound(id));
export const volumesIn = (trx: Trx, groupIds: readonly string[]): Promise<{ id: string; group_id: string }[]> => trx('volumes').whereIn('group_id', [...groupIds]).orderBy('created_at').select('id', 'group_id') as unknown as Promise<{ id: string; group_id: string }[]>;

export async function list(rt: Runtime, ctx: Context, query: Query): Promise<{ page: Page; rows: GroupRow[]; withVolumes: boolean }> {
  const of = { columns, maxLimit: rt.settings.http.maxLimit };
  const { list_volume, ...rest } = query;
  const page = readPage(ctx, rest, of);
  ctx.permit();
  const q = rt.db('volume_groups').select('volume_groups.*');
  if (!page.allTenants) q.where('volume_groups.project_id', ctx.caller.projectId ?? '');
  for (const [key, value] of Object.entries(allowedFilters(ctx, page.filters, ['name', 'status', 'host', 'group_type']))) {
    const column = ['name', 'status', 'host', 'availability_zone'].find(name => name === key.replace(/~$/, ''));
    if (column) q.where(`volume_groups.${column}`, value); else if (key === 'group_type' && isUuid(value)) q.where('group_type_id', value);
  }
  return { page, rows: await paged(rt.db, q, page, 'volume_groups', of, groupNotFound) as unknown as GroupRow[], withVolumes: String(list_volume).toLowerCase() === 'true' };
}

export interface NewGroup { readonly name: string | null; readonly description: string | null; readonly groupType: string; readonly volumeTypes: readonly string[]; readonly zone: string | null }
async function groupType(trx: Trx, ctx: Context, ref: string): Promise<GroupTypeRow> {
  const row: GroupTypeRow | undefined = (isUuid(ref) ? await trx('volume_group_types').where({ id: ref }).first() : undefined) ?? await trx('volume_group_types').where({ name: ref }).first();
  if (!row || (!row.is_public && !ctx.allows('context_is_admin'))) throw new NotFound(`Group type ${ref} could not be found.`);
  return row;
}
/** A group lives on one backend that can serve all its types; it is there as soon as it has one. */
export const create = (rt: Runtime, ctx: Context, o: NewGroup): Promise<GroupRow> => transaction(rt.db, async trx => {
  const kind = await groupType(trx, ctx, o.groupType);
  const types: TypeRow[] = [];
  for (const ref of o.volumeTypes) {
    const type = await typeByRef(trx, ref, boundTo(ctx));
    if (!type) throw typeNotFound(ref);
    types.push(type);
  }
  if (o.zone !== null && !await trx('volume_services').where({ availability_zone: o.zone }).first('host')) throw new BadRequest(`Invalid input received: Availability zone '${o.zone}' is invalid.`);
  const states = await pools(trx, rt.settings.volume.serviceDownSeconds) as unknown as PoolState[];
  const unfit = states.filter(p => types.some(t => filters['CapabilitiesFilter']?.(p, { sizeGiB: 0, extraSpecs: t.extra_specs }) === false)).map(p => p.id);
  const { host } = await place(trx, rt.settings.volume, { sizeGiB: 1, extraSpecs: {}, not: unfit, ...(o.zone === null ? {} : { zone: o.zone }) });
  const [row] = await trx('volume_groups').insert({
    id: newId(), project_id: ctx.caller.projectId, user_id: ctx.caller.userId, name: o.name, description: o.description, status: host === undefined ? 'error' : 'available', host: host ?? null, availability_zone: o.zone ?? rt.settings.volume.availabilityZone,
    group_type_id: kind.id, volume_type_ids: types.map(t => t.id),
  }).returning('*');
  await enforceGroups(trx, ctx.caller.projectId ?? '');
  return row as GroupRow;
});

/** Name, description, and which of the project's volumes are in it. */
export const update = (rt: Runtime, ctx: Context, id: string, o: { name?: string | null | undefined; description?: string | null | undefined; add: readonly string[]; remove: readonly string[] }): Promise<void> => transaction(rt.db, async trx => {
  const group = await heldGroup(trx, ctx, id);
  if (group.status !== 'available') throw invalidGroup(`Group ${id} status must be available, but current status is: ${shownStatus(group.status)}.`);
  const both = o.add.filter(v => o.remove.includes(v));
  if (both.length > 0) throw new BadRequest(`Invalid volume: Volume(s) ${both.join(', ')} are in both add and remove volume list.`);
  const inside: VolumeRow[] = await trx('volumes').where({ group_id: id });
  let changed = o.name !== undefined && o.name !== group.name || o.description !== undefined && o.description !== group.description;
  for (const volumeId of o.remove) {
    const row = inside.find(v => v.id === volumeId);
    if (!row) throw invalidVolume(`Cannot remove volume ${volumeId} from group ${id} because it is not in the group.`);
    if (!['available', 'in-use', 'error', 'error_deleting'].includes(row.status)) throw invalidVolume(`Cannot remove volume ${volumeId} from group ${id} because it is in an invalid state: ${shownStatus(row.status)}.`);
    await patch(trx, volumeId, { group_id: null });
    changed = true;
  }
  for (const volumeId of o.add) {
    const row: VolumeRow | undefined = isUuid(volumeId) ? await trx('volumes').where({ id: volumeId, hidden: false }).forUpdate().first() : undefined;
    const cannot = (why: string) => invalidVolume(`Cannot add volume ${volumeId} to group ${id} because ${why}.`);
    if (!row || row.project_id !== group.project_id) throw cannot('volume cannot be found');
    if (row.group_id === id) continue;
    if (row.group_id !== null) throw cannot(`it is already in group ${row.group_id}`);
    if (!group.volume_type_ids.includes(row.type_id)) throw cannot(`volume type ${row.type_id} is not supported by the group`);
    if (!['available', 'in-use'].includes(row.status)) throw cannot(`volume is in an invalid state: ${shownStatus(row.status)}`);
    if (row.host?.split('#')[0] !== group.host?.split('#')[0]) throw cannot('it is on another backend');
    await patch(trx, volumeId, { group_id: id });
    changed = true;
  }
  if (!changed) throw invalidGroup(`Cannot update group ${id} because no valid name, description, add_volumes, or remove_volumes were provided.`);
  await trx('volume_groups').where({ id }).update({ ...(o.name === undefined ? {} : { name: o.name }), ...(o.description === undefined ? {} : { description: o.description }), updated_at: trx.fn.now() });
});

export const destroy = (rt: Runtime, ctx: Context, id: string, withVolumes: boolean): Promise<void> => transaction(rt.db, async trx => {
  const group = await heldGroup(trx, ctx, id);
  const rows: VolumeRow[] = await trx('volumes').where({ group_id: id }).forUpdate();
  if (rows.length > 0 && !withVolumes) throw invalidGroup(`Group ${id} still contains volumes. The delete-volumes flag is required to delete it.`);
  if (!withVolumes && group.status !== 'available' && group.status !== 'error') throw invalidGroup(`Group status must be available or error, but current status is: ${shownStatus(group.status)}`);
  if (group.task_id !== null) throw invalidGroup(`Group ${id} is ${group.status}.`);
  if (await trx('volume_group_snapshots').where({ group_id: id }).first('id')) throw invalidGroup(`Group ${id} has dependent group snapshots.`);
  for (const v of rows) {
    if (await trx('volume_attachments').where({ volume_id: v.id }).first('id')) throw invalidVolume(`Volume in group ${id} is attached. Need to detach first.`);
    if (await trx('volume_snapshots').where({ volume_id: v.id }).first('id')) throw invalidVolume(`Volume in group still has dependent snapshots.`);
    if (v.task_id !== null) throw invalidGroup(`Volume ${v.id} of the group is ${v.status}.`);
  }
  if (rows.length === 0) { await trx('volume_groups').where({ id }).delete(); return; }
  const task = await rt.tasks.enqueue(trx, deleteGroupPlan, { groupId: id, volumeIds: rows.map(v => v.id) }, { queue: queueOf(group.host), resource: { type: 'group', id }, by: by(ctx) });
  await move(trx, Group, id, { from: [group.status], to: 'deleting', task });
  for (const v of rows) await move(trx, Volume, v.id, { from: [v.status], to: 'deleting', task });
});

export const resetStatus = (rt: Runtime, ctx: Context, id: string, status: string): Promise<void> => transaction(rt.db, async trx => {
  const group = await heldGroup(trx, ctx, id);
  if (!resettable.includes(status)) throw invalidGroup(`Group status: ${status} is invalid, valid statuses are: ${resettable.join(', ')}.`);
  if (group.task_id !== null) throw invalidGroup(`Group ${id} is ${group.status}: an operation is at work on it.`);
  await move(trx, Group, id, { from: [group.status], to: forced(status, Group.transitional) as 'available' });
});

/** A new group with a copy of each volume of a group, or of each snapshot of a group snapshot. The copies are made by tasks of their own; until the last is there the group is `creating`. */
export const createFrom = (rt: Runtime, ctx: Context, o: { name: string | null; description: string | null; groupSnapshotId: string | null; sourceGroupId: string | null }): Promise<GroupRow> => transaction(rt.db, async trx => {
  if (Boolean(o.groupSnapshotId) === Boolean(o.sourceGroupId)) throw new BadRequest(`Either 'group_snapshot_id' or 'source_group_id' must be provided to create group ${o.name ?? ''} from source.`);
  const bound = boundTo(ctx);
  const see = <R extends { project_id: string }>(row: R | undefined, absent: Error): R => { if (!row || (bound !== undefined && row.project_id !== bound)) throw absent; return row; };
  const snapshot = o.groupSnapshotId ? see<GroupSnapshotRow>(isUuid(o.groupSnapshotId) ? await trx('volume_group_snapshots').where({ id: o.groupSnapshotId }).first() : undefined, new NotFound(`GroupSnapshot ${o.groupSnapshotId} could not be found.`)) : undefined;
  const sourceId = snapshot?.group_id ?? o.sourceGroupId ?? '';
  const source = see<GroupRow>(isUuid(sourceId) ? await trx('volume_groups').where({ id: sourceId }).first() : undefined, groupNotFound(sourceId));
  const [row] = await trx('volume_groups').insert({
    id: newId(), project_id: ctx.caller.projectId, user_id: ctx.caller.userId, name: o.name, description: o.description, status: 'available', host: source.host, availability_zone: source.availability_zone, group_type_id: source.group_type_id,
    volume_type_ids: source.volume_type_ids, group_snapshot_id: snapshot?.id ?? null, source_group_id: snapshot ? null : source.id,
  }).returning('*');
  const made = row as GroupRow;
  await enforceGroups(trx, ctx.caller.projectId ?? '');
  const who = { ...by(ctx), projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId };
  const parts: { snapshotId?: string; volumeId?: string; type: string; name: string | null }[] = snapshot
    ? (await trx('volume_snapshots').where({ group_snapshot_id: snapshot.id }).select('id', 'type_id') as { id: string; type_id: string }[]).map(s => ({ snapshotId: s.id, type: s.type_id, name: null }))
    : (await trx('volumes').where({ group_id: source.id }).select('id', 'type_id', 'name') as { id: string; type_id: string; name: string | null }[]).map(v => ({ volumeId: v.id, type: v.type_id, name: v.name }));
  if (parts.length === 0) throw invalidGroup(snapshot ? 'Group snapshot is empty. No group will be created.' : 'Source Group is empty. No group will be created.');
  const tasks: string[] = [];
  for (const part of parts) {
    const type = await typeById(trx, part.type);
    const id = await createIn(rt, trx, { by: who, bound, groupId: made.id, type: type?.id, ...(part.snapshotId ? { snapshotId: part.snapshotId } : { volumeId: part.volumeId }) });
    const { task_id: task } = await trx('volumes').where({ id }).first('task_id') as { task_id: string | null };
    if (task !== null) tasks.push(task);
  }
  const [held] = tasks;
  return move<GroupStatus, GroupRow>(trx, Group, made.id, held === undefined ? { from: ['available'], to: 'error' } : { from: ['available'], to: 'creating', task: held });
});
