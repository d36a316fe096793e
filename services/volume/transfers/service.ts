import { move, transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId, NotFound } from '@cumulet/wire';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { found } from '../asking.ts';
import { invalidVolume } from '../faults.ts';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { enforce } from '../quotas/limits.ts';
import { typeById } from '../types/store.ts';
import { held } from '../volumes/service.ts';
import { Volume } from '../volumes/states.ts';
import { lockById } from '../volumes/store.ts';

export interface TransferRow { id: string; volume_id: string; project_id: string; name: string | null; salt: string; key_hash: string; no_snapshots: boolean; destination_project_id: string | null; accepted: boolean; created_at: Date }
const absent = (id: string) => new NotFound(`Transfer ${id} could not be found.`);
const columns = { id: 'id', name: 'name', volume_id: 'volume_id', created_at: 'created_at', display_name: 'name' };
const hashed = (salt: string, key: string) => createHmac('sha256', Buffer.from(salt, 'hex')).update(key).digest('hex');
const byId = async (rt: Pick<Runtime, 'db'>, id: string): Promise<TransferRow | undefined> => (isUuid(id) ? rt.db('volume_transfers').where({ id }).first() : undefined);

export const show = async (rt: Runtime, ctx: Context, id: string): Promise<TransferRow> => found(ctx, await byId(rt, id), () => absent(id));
export async function list(rt: Runtime, ctx: Context, query: Query): Promise<{ page: Page; rows: TransferRow[] }> {
  const of = { columns, maxLimit: rt.settings.http.maxLimit };
  const page = readPage(ctx, query, of);
  ctx.permit();
  const q = rt.db('volume_transfers').select('volume_transfers.*').where({ accepted: false });
  if (!page.allTenants) q.where('project_id', ctx.caller.projectId ?? '');
  if (page.filters['name'] !== undefined) q.where('name', page.filters['name']);
  if (page.filters['volume_id'] !== undefined) { if (isUuid(page.filters['volume_id'])) q.where('volume_id', page.filters['volume_id']); else q.whereRaw('false'); }
  return { page, rows: await paged(rt.db, q, page, 'volume_transfers', of, absent) as unknown as TransferRow[] };
}

/** Offers a volume: only who knows the key gets it. The key is shown once and kept as a salted hash. */
export const create = (rt: Runtime, ctx: Context, o: { volumeId: string; name: string | null; noSnapshots: boolean; withSnapshots: boolean }): Promise<{ row: TransferRow; key: string }> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, o.volumeId);
  if (volume.status !== 'available' || volume.migration_task_id !== null) throw invalidVolume('status must be available');
  if (volume.group_id !== null) throw invalidVolume(`Volume ${volume.id} must not be part of a consistency group.`);
  const type = await typeById(trx, volume.type_id);
  if (type?.encryption && !ctx.dialect.has('encrypted transfers')) throw invalidVolume('transferring encrypted volume is not supported');
  const snapshots: { status: string }[] = await trx('volume_snapshots').where({ volume_id: volume.id }).select('status');
  if (snapshots.some(s => s.status !== 'available' && s.status !== 'error') && !o.noSnapshots) throw new BadRequest('Invalid snapshot: snapshots of the volume must be available or in error to be transferred with it.');
  const key = randomBytes(8).toString('hex');
  const salt = randomBytes(4).toString('hex');
  const [row] = await trx('volume_transfers').insert({ id: newId(), volume_id: volume.id, project_id: volume.project_id, name: o.name, salt, key_hash: hashed(salt, key), no_snapshots: o.noSnapshots }).onConflict(trx.raw('(volume_id) where not accepted')).ignore().returning('*');
  if (!row) throw invalidVolume(`Volume ${volume.id} is offered in a transfer already.`);
  await move(trx, Volume, volume.id, { from: ['available'], to: 'awaiting-transfer' });
  return { row: row as TransferRow, key };
});

export const remove = (rt: Runtime, ctx: Context, id: string): Promise<void> => transaction(rt.db, async trx => {
  const row = await show(rt, ctx, id);
  const volume = await lockById(trx, row.volume_id);
  await trx('volume_transfers').where({ id: row.id }).delete();
  if (volume?.status === 'awaiting-transfer') await move(trx, Volume, volume.id, { from: ['awaiting-transfer'], to: 'available' });
});

/** The volume, and its snapshots unless they were left out, change hands in one transaction: usage of both projects with them, the acceptor's quota before. */
export const accept = (rt: Runtime, ctx: Context, id: string, key: string): Promise<TransferRow> => transaction(rt.db, async trx => {
  const row: TransferRow | undefined = isUuid(id) ? await trx('volume_transfers').where({ id, accepted: false }).forUpdate().first() : undefined;
  if (!row) throw absent(id);
  const given = Buffer.from(hashed(row.salt, key), 'hex');
  if (!timingSafeEqual(given, Buffer.from(row.key_hash, 'hex'))) throw new BadRequest(`Invalid auth key: Attempt to transfer ${id} with invalid auth key.`);
  const volume = await lockById(trx, row.volume_id);
  if (!volume || volume.status !== 'awaiting-transfer') throw invalidVolume(`Transfer ${id}: Volume id ${row.volume_id} expected in state awaiting-transfer.`);
  const type = await typeById(trx, volume.type_id, ctx.caller.projectId);
  if (!type) throw new BadRequest(`Invalid volume type: The volume's type is not accessible to the accepting project.`);
  const project = ctx.caller.projectId ?? '';
  await move(trx, Volume, volume.id, { from: ['awaiting-transfer'], to: 'available', set: { project_id: project, user_id: ctx.caller.userId } });
  if (!row.no_snapshots) await trx('volume_snapshots').where({ volume_id: volume.id }).update({ project_id: project, user_id: ctx.caller.userId });
  if (volume.encryption_key_id !== null) await trx('volume_keys').where({ id: volume.encryption_key_id }).update({ project_id: project });
  await enforce(trx, row.no_snapshots ? 'volume' : 'transfer', { projectId: project, sizeGiB: volume.size, type });
  await trx('volume_transfers').where({ id }).update({ accepted: true, destination_project_id: project });
  return { ...row, accepted: true, destination_project_id: project };
});
