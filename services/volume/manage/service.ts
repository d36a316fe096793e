import { move, transaction } from '@cumulet/db';
import type { Manageable } from '@cumulet/drivers/block';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, lastOf, newId } from '@cumulet/wire';
import { by } from '../asking.ts';
import { invalidInput, invalidVolume } from '../faults.ts';
import type { Query } from '../listing.ts';
import { pools, type PoolState } from '../scheduler/pools.ts';
import { heldSnapshot } from '../snapshots/service.ts';
import { Snapshot } from '../snapshots/store.ts';
import { chooseType } from '../types/choose.ts';
import { specIsTrue, typeById } from '../types/store.ts';
import { held } from '../volumes/service.ts';
import { shownStatus, Volume } from '../volumes/states.ts';
import { detailById, insert, laneOfVolume, queueOf, type VolumeDetail } from '../volumes/store.ts';
import { resultOf } from '../waiting.ts';
import { listManageablePlan, managePlan, manageSnapshotPlan, unmanagePlan, unmanageSnapshotPlan } from './plans.ts';

/** The pool that a host's name means: the pool itself, or the only one of a service. */
async function poolOf(rt: Runtime, host: string): Promise<PoolState> {
  const all = await pools(rt.db, rt.settings.volume.serviceDownSeconds).orderBy('p.id') as unknown as PoolState[];
  const pool = all.find(p => p.id === host) ?? all.find(p => p.service_host === host);
  if (!pool) throw new BadRequest(`Host '${host}' not found`);
  if (!pool.up) throw new BadRequest(`Service cinder-volume on host ${host} is down.`);
  return pool;
}
export interface Managing { host: string; ref: Record<string, string>; name: string | null; description: string | null; type: string | null; metadata: Record<string, string>; zone: string | null; bootable: boolean }
export async function manage(rt: Runtime, ctx: Context, o: Managing): Promise<VolumeDetail> {
  const pool = await poolOf(rt, o.host);
  return transaction(rt.db, async trx => {
    const type = await chooseType(trx, { asked: o.type || undefined, projectId: ctx.caller.projectId ?? '', bound: undefined, configured: rt.settings.volume.defaultType });
    if (type.encryption) throw invalidVolume('Managing to an encrypted volume type is not supported.');
    const managed = o.ref['source-name']?.replace(/^.*\//, '').replace(/\.(raw|qcow2)$/, '') ?? '';
    const uuid = managed.replace(/^volume-/, '');
    if (isUuid(uuid) && await trx('volumes').where({ id: uuid }).orWhere({ backend_name: managed }).first('id')) throw invalidVolume(`Unable to manage existing volume. Volume ${managed} already managed.`);
    const id = newId();
    const task = await rt.tasks.enqueue(trx, managePlan, { volumeId: id, ref: o.ref, bootable: o.bootable }, { queue: queueOf(pool.id), lane: laneOfVolume(id), resource: { type: 'volume', id }, by: by(ctx) });
    await insert(trx, { id, project_id: ctx.caller.projectId ?? '', user_id: ctx.caller.userId, name: o.name, description: o.description, size: 0, status: 'managing', task_id: task, host: pool.id, availability_zone: o.zone ?? pool.availability_zone, type_id: type.id, multiattach: specIsTrue(type.extra_specs['multiattach']), metadata: o.metadata, bootable: o.bootable });
    return await detailById(trx, id) as VolumeDetail;
  });
}
export const unmanage = (rt: Runtime, ctx: Context, id: string): Promise<void> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, id);
  if ((await typeById(trx, volume.type_id))?.encryption) throw invalidVolume('Unmanaging encrypted volumes is not supported.');
  const attached = await trx('volume_attachments').where({ volume_id: volume.id }).first('id');
  const snapshots = await trx('volume_snapshots').where({ volume_id: volume.id }).first('id');
  if (!['available', 'error', 'error_managing', 'error_restoring', 'error_extending'].includes(volume.status) || attached || snapshots || volume.group_id !== null || volume.migration_task_id !== null || volume.host === null) {
    throw invalidVolume('Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.');
  }
  const task = await rt.tasks.enqueue(trx, unmanagePlan, { volumeId: volume.id }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) });
  await move(trx, Volume, volume.id, { from: [volume.status], to: 'unmanaging', task });
});

export const manageSnapshot = (rt: Runtime, ctx: Context, o: { volumeId: string; ref: Record<string, string>; name: string | null; description: string | null; metadata: Record<string, string> }) => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, o.volumeId);
  if (volume.host === null) throw invalidVolume(`Volume ${volume.id} has no backend.`);
  if (volume.migration_task_id !== null) throw invalidVolume(`Volume ${volume.id} status must be available or in-use, must not be migrating.`);
  const id = newId();
  const task = await rt.tasks.enqueue(trx, manageSnapshotPlan, { snapshotId: id, ref: o.ref }, { queue: queueOf(volume.host), lane: laneOfVolume(volume.id), resource: { type: 'snapshot', id }, by: by(ctx) });
  const [row] = await trx('volume_snapshots').insert({ id, volume_id: volume.id, project_id: volume.project_id, user_id: ctx.caller.userId, name: o.name, description: o.description, status: 'managing', task_id: task, size: volume.size, type_id: volume.type_id, metadata: JSON.stringify(o.metadata) }).returning('*');
  return row as import('../snapshots/store.ts').SnapshotRow;
});
export const unmanageSnapshot = (rt: Runtime, ctx: Context, id: string): Promise<void> => transaction(rt.db, async trx => {
  const row = await heldSnapshot(trx, ctx, id);
  if (row.group_snapshot_id !== null) throw new BadRequest('Invalid snapshot: The snapshot is part of a group snapshot.');
  if (!['available', 'error'].includes(row.status)) throw new BadRequest(`Invalid snapshot: Snapshot status must be available or error, but is ${shownStatus(row.status)}.`);
  const volume = await trx('volumes').where({ id: row.volume_id }).first('host') as { host: string | null };
  const task = await rt.tasks.enqueue(trx, unmanageSnapshotPlan, { snapshotId: row.id }, { queue: queueOf(volume.host), lane: laneOfVolume(row.volume_id), resource: { type: 'snapshot', id: row.id }, by: by(ctx) });
  await move(trx, Snapshot, row.id, { from: [row.status], to: 'unmanaging', task });
});

type Found = Manageable & { source?: Readonly<Record<string, string>> };
/** What a host holds, beside what is managed already. Sorted and cut here: a backend has no order of its own. */
export async function manageable(rt: Runtime, ctx: Context, query: Query, kind: 'volumes' | 'snapshots', detail: boolean): Promise<Record<string, unknown>[]> {
  const text = (key: string) => { const v = lastOf(query[key]); return v === undefined || v === '' ? undefined : String(v); };
  const host = text('host');
  if (text('cluster') !== undefined && ctx.dialect.has('manageable by cluster')) throw new BadRequest(`Service cluster ${text('cluster')} could not be found.`);
  if (host === undefined) throw new BadRequest('Host must be specified in query parameters');
  const unknown = Object.keys(query).filter(k => !['host', 'cluster', 'limit', 'marker', 'offset', 'sort', 'sort_key', 'sort_dir'].includes(k));
  if (unknown.length > 0) throw invalidInput(`Invalid filters ${unknown.join(',')} are found in query options.`);
  const whole = (key: string, fallback: number) => { const v = text(key); if (v === undefined) return fallback; if (!/^\d+$/.test(v)) throw new BadRequest(`${key} param must be an integer`); return Number(v); };
  const [sortKey = 'reference', sortDir = 'desc'] = (text('sort') ?? `${text('sort_key') ?? 'reference'}:${text('sort_dir') ?? 'desc'}`).split(':');
  if (!['size', 'reference'].includes(sortKey)) throw new BadRequest(`sort_key must be one of size, reference`);
  const pool = await poolOf(rt, host);
  const task = await transaction(rt.db, trx => rt.tasks.enqueue(trx, listManageablePlan, { host: pool.id, kind }, { queue: queueOf(pool.id), lane: `manageable/${newId()}`, resource: { type: 'backend', id: newId() }, by: by(ctx) }));
  const all = (await resultOf(rt, task))['list'] as Found[];
  const order = (a: Found, b: Found) => (sortKey === 'size' ? a.sizeGiB - b.sizeGiB : JSON.stringify(a.reference).localeCompare(JSON.stringify(b.reference)));
  const sorted = all.toSorted((a, b) => (sortDir === 'asc' ? order(a, b) : order(b, a)));
  const marker = text('marker');
  const after = marker === undefined ? -1 : sorted.findIndex(f => JSON.stringify(f.reference) === marker || Object.values(f.reference).includes(marker));
  const start = after + 1 + whole('offset', 0);
  const page = sorted.slice(start, start + Math.min(whole('limit', rt.settings.http.maxLimit), rt.settings.http.maxLimit));
  const ids = await managedIds(rt, page, kind);
  return page.map(f => {
    const id = ids.get(ownName(f));
    return {
      reference: f.reference, size: f.sizeGiB, safe_to_manage: f.safe && id === undefined, ...(kind === 'snapshots' ? { source_reference: f.source ?? {} } : {}),
      ...(detail ? { reason_not_safe: id !== undefined ? 'already managed' : f.reason ?? null, cinder_id: id ?? null, extra_info: f.extra ?? null } : {}),
    };
  });
}
/** Without the share of a volume, and without the volume of a snapshot (`<volume>~<snapshot>`): the part that a row's id is in. */
const ownName = (f: Found): string => (f.reference['source-name'] ?? '').replace(/^.*[/~]/, '');
/** Names on the backend that belong to rows here: two queries for the page. */
async function managedIds(rt: Runtime, page: readonly Found[], kind: 'volumes' | 'snapshots'): Promise<Map<string, string>> {
  const table = kind === 'volumes' ? 'volumes' : 'volume_snapshots';
  const names = page.map(ownName);
  const bare = names.map(n => n.replace(/^(volume|snapshot)-/, '').replace(/\.\w+$/, '')).filter(isUuid);
  const rows: { id: string; backend_name: string | null }[] = await rt.db(table).whereIn('id', bare).orWhereIn('backend_name', names).select('id', 'backend_name');
  const prefix = kind === 'volumes' ? 'volume-' : 'snapshot-';
  return new Map(names.flatMap(n => { const row = rows.find(r => r.backend_name === n || (r.backend_name === null && n.replace(/\.\w+$/, '') === `${prefix}${r.id}`)); return row ? [[n, row.id] as const] : []; }));
}
