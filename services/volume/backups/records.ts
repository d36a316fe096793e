import { transaction } from '@cumulet/db';
import { decodeRecord } from '@cumulet/drivers/backup';
import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { isUuidLike } from '@cumulet/wire';
import { by } from '../asking.ts';
import { invalidInput } from '../faults.ts';
import { resultOf } from '../waiting.ts';
import { backupHosts, hostOfBackup, noBackupService } from './hosts.ts';
import { invalidBackup } from './parent.ts';
import { enforceBackups } from './quota.ts';
import { exportBackupPlan, importBackupPlan } from './record_plans.ts';
import { backupRecord, type BackupRecord } from './schemas.ts';
import { heldBackup } from './service.ts';
import { backupById, importVolumeId, insertBackup, laneOfBackup, queueOfTargets, type BackupRow } from './store.ts';

/** What another cloud, or this one after a disaster, needs to have a backup again. The target is asked for its hashes, so this is a short task. */
export async function exportRecord(rt: Runtime, ctx: Context, id: string): Promise<{ backup_service: string; backup_url: string }> {
  const task = await transaction(rt.db, async trx => {
    const row = await heldBackup(trx, ctx, id);
    if (row.status !== 'available') throw invalidBackup(`Backup status must be available and not ${row.status}.`);
    const host = await hostOfBackup(trx, rt.settings.volume, row);
    // A lane of its own for each call: the answer does not wait for a verification that reads the whole backup.
    return rt.tasks.enqueue(trx, exportBackupPlan, { backupId: row.id }, { queue: queueOfTargets(host), lane: `export/${ctx.requestId}`, resource: { type: 'backup', id: row.id }, by: by(ctx) });
  });
  const { record } = await resultOf(rt, task) as { record: { service: string; url: string } };
  return { backup_service: record.service, backup_url: record.url };
}

/** The record of a request, with what every record must have, in upstream's words. */
function readRecord(text: string): { record: BackupRecord; whole: Record<string, unknown> } {
  const whole = decodeRecord(text);
  // NUL and halves of characters, as JSON writes them: no database can hold them.
  if (whole === undefined || /\\u(0000|d[89a-f][0-9a-f]{2})/i.test(JSON.stringify(whole))) throw invalidInput("Can't parse backup record.");
  if (!('id' in whole)) throw invalidInput('Provided backup record is missing an id');
  if (!('size' in whole)) throw invalidInput('Provided backup record is missing size attribute');
  if (!isUuidLike(whole['id'])) throw invalidInput('The id of the backup record is no UUID.');
  const record = backupRecord.safeParse(whole);
  if (!record.success) throw invalidInput(`The backup record is not valid: ${record.error.issues.map(i => i.path.join('.')).join(', ')}.`);
  return { record: record.data, whole };
}

/** Takes a backup in under the id of its record. What exists is never touched; whether the objects are there is the task's to find out. */
export const importRecord = (rt: Runtime, ctx: Context, service: string, url: string): Promise<BackupRow> => transaction(rt.db, async trx => {
  const hosts = await backupHosts(trx, rt.settings.volume);
  if (hosts.length === 0) throw noBackupService();
  const { record, whole } = readRecord(url);
  if (await backupById(trx, record.id)) throw invalidBackup('Backup already exists in database.');
  // The first host that has such a target; any host finds the words for one that nobody has.
  const host = (hosts.find(h => h.targets.some(t => t.service === service)) ?? hosts[0] as (typeof hosts)[number]).host;
  const projectId = ctx.caller.projectId ?? '';
  const task = await rt.tasks.enqueue(trx, importBackupPlan, { backupId: record.id, service, record: whole }, { queue: queueOfTargets(host), lane: laneOfBackup(record.id), resource: { type: 'backup', id: record.id }, by: by(ctx) });
  await insertBackup(trx, { id: record.id, project_id: projectId, user_id: ctx.caller.userId, volume_id: importVolumeId, status: 'creating', task_id: task, size: record.size, service });
  await enforceBackups(trx, projectId, record.size);
  return await backupById(trx, record.id) as BackupRow;
});
