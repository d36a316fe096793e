import { transaction } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { Fault } from '@cumulet/wire';
import { lockById } from '../volumes/store.ts';
import { dueSchedule, patchSchedule, type ScheduleRow } from './schedules.ts';
import { createIn, destroyIn } from './service.ts';
import { chainOf, lockBackup, type BackupRow } from './store.ts';

type Rt = Pick<Runtime, 'db' | 'settings' | 'tasks' | 'log' | 'clock'>;

/** The next time of a schedule after now: in step with its first one, however many were missed. */
export function nextTime(s: Pick<ScheduleRow, 'next_at' | 'every_seconds'>, now: number): Date {
  const every = s.every_seconds * 1_000;
  return new Date(s.next_at.getTime() + Math.max(1, Math.floor((now - s.next_at.getTime()) / every) + 1) * every);
}

/** Whether the next backup may build on the last one: the chain is not yet as long as asked, and the volume has not grown (a grown one needs a full backup). */
async function mayIncrement(trx: import('knex').Knex.Transaction, s: ScheduleRow, sizeGiB: number): Promise<boolean> {
  if (s.increments === 0) return false;
  const last: BackupRow | undefined = await trx('volume_backups').where({ volume_id: s.volume_id, project_id: s.project_id, status: 'available' }).orderBy('data_timestamp', 'desc').orderBy('created_at', 'desc').first();
  return last !== undefined && last.size >= sizeGiB && (await chainOf(trx, last)).length <= s.increments;
}

/** Makes the backups that are due. Each is one transaction; one that cannot be made says so in its schedule and is tried again soon. */
export async function runSchedules(rt: Rt): Promise<void> {
  for (;;) {
    const now = new Date(rt.clock());
    let at: ScheduleRow | undefined;
    try {
      const more = await transaction(rt.db, async trx => {
        const s = at = await dueSchedule(trx, now);
        if (!s) return false;
        const volume = await lockById(trx, s.volume_id);
        if (!volume) { await patchSchedule(trx, s.id, { enabled: false, last_error: 'The volume is gone.' }); return true; }
        const id = await createIn(rt, trx, volume, undefined, {
          by: { projectId: s.project_id, userId: s.user_id, requestId: undefined }, name: `${s.name ?? 'scheduled'} ${now.toISOString().slice(0, 19)}Z`.slice(0, 255), description: null, container: s.container, metadata: s.metadata,
          incremental: await mayIncrement(trx, s, volume.size), force: s.force, scheduleId: s.id,
        });
        await patchSchedule(trx, s.id, { next_at: nextTime(s, now.getTime()), last_at: now, last_backup_id: id, last_error: null });
        return true;
      });
      if (!more) return;
    } catch (error) {
      const failed = at as ScheduleRow | undefined;
      if (!(error instanceof Fault) || !failed) throw error;
      rt.log.warn({ schedule: failed.id, volume: failed.volume_id, why: error.message }, 'a scheduled backup could not be made');
      await patchSchedule(rt.db, failed.id, { last_error: error.message.slice(0, 500), next_at: new Date(now.getTime() + Math.min(failed.every_seconds, 60) * 1_000) });
    }
  }
}

/**
 * Takes away what schedules have beyond what they keep. Newest first, since what others build on stays: a chain goes from its end when all of it has expired.
 * Failed ones go once a newer one has succeeded.
 */
export async function pruneSchedules(rt: Rt): Promise<void> {
  const { rows } = await rt.db.raw(`select id from (
      select b.id, b.status, b.task_id, s.keep, row_number() over (partition by b.schedule_id, b.status order by b.data_timestamp desc, b.created_at desc) as place,
        exists (select 1 from volume_backups n where n.schedule_id = b.schedule_id and n.status = 'available' and n.data_timestamp > b.data_timestamp) as overtaken
      from volume_backups b join volume_backup_schedules s on s.id = b.schedule_id where b.status in ('available', 'error')
    ) ranked where ((status = 'available' and place > keep) or (status = 'error' and overtaken)) and not exists (select 1 from volume_backups c where c.parent_id = ranked.id) limit 500`) as { rows: { id: string }[] };
  for (const { id } of rows) {
    try {
      await transaction(rt.db, async trx => {
        const row = await lockBackup(trx, id);
        if (row) await destroyIn(rt, trx, row, { projectId: row.project_id, userId: row.user_id, requestId: undefined }, false);
      });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      rt.log.warn({ backup: id, why: error.message }, 'an expired backup could not be deleted');
    }
  }
}
