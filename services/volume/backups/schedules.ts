import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';
import type { Knex } from 'knex';

export interface ScheduleRow {
  id: string; project_id: string; user_id: string; name: string | null; volume_id: string; enabled: boolean; every_seconds: number; keep: number; increments: number; force: boolean; container: string | null; metadata: Record<string, string>;
  next_at: Date; last_at: Date | null; last_backup_id: string | null; last_error: string | null; created_at: Date; updated_at: Date | null;
}
export type NewSchedule = Pick<ScheduleRow, 'id' | 'project_id' | 'user_id' | 'name' | 'volume_id' | 'enabled' | 'every_seconds' | 'keep' | 'increments' | 'force' | 'container' | 'metadata' | 'next_at'>;

const encode = (row: Partial<ScheduleRow>): Record<string, unknown> => ({ ...row, ...(row.metadata ? { metadata: JSON.stringify(row.metadata) } : {}) });
export async function insertSchedule(trx: Trx, row: NewSchedule): Promise<ScheduleRow> { const [made] = await trx('volume_backup_schedules').insert(encode(row)).returning('*'); return made as ScheduleRow; }
export async function patchSchedule(trx: Trx, id: string, values: Partial<ScheduleRow>): Promise<ScheduleRow | undefined> { const [row] = await trx('volume_backup_schedules').where({ id }).update({ ...encode(values), updated_at: trx.fn.now() }).returning('*'); return row as ScheduleRow | undefined; }
export async function removeSchedule(trx: Trx, id: string): Promise<void> { await trx('volume_backup_schedules').where({ id }).delete(); }
export const scheduleById = async (trx: Trx, id: string): Promise<ScheduleRow | undefined> => (isUuid(id) ? trx('volume_backup_schedules').where({ id }).first() : undefined);
/** Newest first; of one project, or of all. */
export const schedulesOf = async (trx: Trx, projectId: string | undefined, limit: number): Promise<ScheduleRow[]> => trx('volume_backup_schedules').modify(q => { if (projectId !== undefined) q.where({ project_id: projectId }); }).orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit);
/** One that is due and that no other worker has in hand, locked. */
export const dueSchedule = async (trx: Knex.Transaction, now: Date): Promise<ScheduleRow | undefined> => trx('volume_backup_schedules').where({ enabled: true }).where('next_at', '<=', now).orderBy('next_at').forUpdate().skipLocked().first();
