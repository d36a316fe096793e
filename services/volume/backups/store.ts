import type { Trx } from '@cumulet/db';
import type { BackupRef } from '@cumulet/drivers/backup';
import { isUuid } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { BackupStatus } from './states.ts';

export interface BackupRow {
  id: string; project_id: string; user_id: string; name: string | null; description: string | null; volume_id: string; snapshot_id: string | null; parent_id: string | null; status: BackupStatus; fail_reason: string | null;
  size: number; object_count: number; target: string | null; service: string | null; container: string | null; service_metadata: string | null; host: string | null; availability_zone: string | null; data_timestamp: Date;
  restore_volume_id: string | null; encryption_key_id: string | null; metadata: Record<string, string>; restored: Restored | null; verified_at: Date | null; verify_problem: string | null; last_problem: string | null; last_problem_at: Date | null; schedule_id: string | null; task_id: string | null; created_at: Date; updated_at: Date | null;
}
/** How far a restore has come: the driver's own word, and whose restore it is. */
export interface Restored { readonly taskId: string; readonly backupId: string; readonly objects: number }
/** What a reply needs beside the row. */
export interface BackupDetail extends BackupRow { has_dependents: boolean }

/** The volume of a record that nobody has read yet (upstream's IMPORT_VOLUME_ID). */
export const importVolumeId = '00000000-0000-0000-0000-000000000000';
const dependents = 'exists (select 1 from volume_backups c where c.parent_id = volume_backups.id) as has_dependents';

export const details = (trx: Trx): Knex.QueryBuilder => trx('volume_backups').select('volume_backups.*', trx.raw(dependents));
export const detailById = async (trx: Trx, id: string): Promise<BackupDetail | undefined> => (isUuid(id) ? details(trx).where({ id }).first() as unknown as Promise<BackupDetail | undefined> : undefined);
export const backupById = async (trx: Trx, id: string): Promise<BackupRow | undefined> => (isUuid(id) ? trx('volume_backups').where({ id }).first() : undefined);
export const lockBackup = async (trx: Knex.Transaction, id: string): Promise<BackupRow | undefined> => (isUuid(id) ? trx('volume_backups').where({ id }).forUpdate().first() : undefined);

const json = (value: unknown) => (value === undefined || value === null ? value : JSON.stringify(value));
export const encodeBackup = (row: Partial<BackupRow>): Record<string, unknown> => {
  const out: Record<string, unknown> = { ...row };
  for (const key of ['metadata', 'restored'] as const) if (key in row) out[key] = json(row[key]);
  return out;
};
export type NewBackup = Pick<BackupRow, 'id' | 'project_id' | 'user_id' | 'volume_id' | 'status' | 'size' | 'task_id'> & Partial<BackupRow>;
export async function insertBackup(trx: Trx, row: NewBackup): Promise<void> { await trx('volume_backups').insert(encodeBackup(row)); }
/** Anything but the status. */
export async function patchBackup(trx: Trx, id: string, values: Partial<Omit<BackupRow, 'status' | 'task_id'>>): Promise<void> { await trx('volume_backups').where({ id }).update({ ...encodeBackup(values), updated_at: trx.fn.now() }); }
export const hasChildren = async (trx: Trx, id: string): Promise<boolean> => await trx('volume_backups').where({ parent_id: id }).whereNot({ id }).first('id') !== undefined;

/** The full backup first, the wanted one last; a parent that is not there, or that builds on its own child (records can say so), leaves the chain open at its beginning. */
export async function chainOf(trx: Trx, row: BackupRow): Promise<BackupRow[]> {
  if (row.parent_id === null) return [row];
  const { rows } = await trx.raw(`with recursive chain as (
      select b.*, 0 as depth from volume_backups b where b.id = ?
      union all select p.*, c.depth + 1 from volume_backups p join chain c on p.id = c.parent_id
    ) cycle id set looped using walked select * from chain where not looped order by depth desc`, [row.id]) as { rows: BackupRow[] };
  return rows;
}
/** A backup and all that builds on it, directly or not. */
export async function builtOn(trx: Trx, id: string): Promise<string[]> {
  const { rows } = await trx.raw('with recursive built as (select ?::uuid as id union select b.id from volume_backups b join built on b.parent_id = built.id) select id from built order by id', [id]) as { rows: { id: string }[] };
  return rows.map(row => row.id);
}
/** Whether another record, imported under another id, leads to the same objects and is to stay. */
export const leadsThereToo = async (trx: Trx, { id, target, container, service_metadata }: BackupRow): Promise<boolean> =>
  await trx('volume_backups').where({ target, container, service_metadata }).whereNot({ id }).whereNot({ status: 'deleting' }).first('id') !== undefined;
/** As drivers know it; undefined for one that never got a place. */
export const backupRef = (row: BackupRow): BackupRef | undefined => (row.container === null || row.service_metadata === null ? undefined : {
  id: row.id, volumeId: row.volume_id, parentId: row.parent_id, container: row.container, serviceMetadata: row.service_metadata,
});
export const laneOfBackup = (id: string): string => `backup/${id}`;
/** Tasks that need a target and no volume. */
export const queueOfTargets = (host: string): string => `backup/${host}`;
