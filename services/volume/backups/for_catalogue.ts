import { transaction } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { BadRequest, newId, NotFound } from '@cumulet/wire';
import type { By } from '../for_compute.ts';
import { volumeNotFound } from '../faults.ts';
import { byId } from '../volumes/store.ts';
import { verifyBackupPlan } from './check_plans.ts';
import { backupHosts, hostOfBackup, noBackupService, type BackupHost } from './hosts.ts';
import { invalidBackup } from './parent.ts';
import { rebuildPlan, type Rebuilt } from './rebuild_plan.ts';
import { insertSchedule, patchSchedule, removeSchedule, scheduleById, schedulesOf, type ScheduleRow } from './schedules.ts';
import { backupNotFound } from './service.ts';
import { backupById, chainOf, laneOfBackup, queueOfTargets, type BackupRow } from './store.ts';

export type { BackupHost, BackupRow, Rebuilt, ScheduleRow };
export interface ScheduleWish { readonly name?: string | null | undefined; readonly every_seconds?: number | undefined; readonly keep?: number | undefined; readonly increments?: number | undefined; readonly force?: boolean | undefined; readonly enabled?: boolean | undefined; readonly container?: string | null | undefined; readonly metadata?: Record<string, string> | undefined; readonly next_at?: Date | undefined }
export type Owner = By & { readonly projectId: string; readonly userId: string };

/** What the catalogue of backups, a service of its own, may do with them. Who may is asked there. */
export interface BackupsForCatalogue {
  find(id: string): Promise<BackupRow>;
  /** The full backup first, the asked one last; shorter when a parent is gone. */
  chain(row: BackupRow): Promise<BackupRow[]>;
  hosts(): Promise<BackupHost[]>;
  /** Starts a verification; the operation's id. */
  verify(row: BackupRow, depth: 'objects' | 'data', by: By): Promise<string>;
  /** Starts a scan of a target (default: the first one anywhere); the operation's id. */
  rebuild(o: { readonly target?: string | undefined; readonly container?: string | undefined; readonly dryRun: boolean; readonly owner: Owner; readonly all: boolean }): Promise<string>;
  /** What a rebuild has found so far: undefined while it is at work. */
  rebuilt(operationId: string): Promise<{ state: string; result: Rebuilt | undefined; error: string | undefined }>;
  schedules(projectId: string | undefined, limit: number): Promise<ScheduleRow[]>;
  schedule(id: string): Promise<ScheduleRow>;
  addSchedule(volumeId: string, bound: string | undefined, wish: ScheduleWish & { readonly every_seconds: number; readonly keep: number }, owner: Owner): Promise<ScheduleRow>;
  changeSchedule(id: string, wish: ScheduleWish): Promise<ScheduleRow>;
  /** Its backups stay. */
  removeSchedule(id: string): Promise<void>;
}

export const backupsOf = (rt: Runtime): BackupsForCatalogue => ({
  async find(id) {
    const row = await backupById(rt.db, id);
    if (!row) throw backupNotFound(id);
    return row;
  },
  chain: row => chainOf(rt.db, row),
  hosts: () => backupHosts(rt.db, rt.settings.volume),
  verify: (row, depth, by) => transaction(rt.db, async trx => {
    if (row.status !== 'available' && row.status !== 'error') throw invalidBackup('Backup status must be available or error');
    const host = await hostOfBackup(trx, rt.settings.volume, row);
    return rt.tasks.enqueue(trx, verifyBackupPlan, { backupId: row.id, depth }, { queue: queueOfTargets(host), lane: laneOfBackup(row.id), resource: { type: 'backup', id: row.id }, by, dedupe: `verify/${row.id}/${depth}` });
  }),
  rebuild: o => transaction(rt.db, async trx => {
    const hosts = await backupHosts(trx, rt.settings.volume);
    const host = hosts.find(h => h.targets.some(t => o.target === undefined || t.name === o.target));
    const target = o.target ?? host?.targets[0]?.name;
    if (hosts.length === 0) throw noBackupService();
    if (!host || target === undefined) throw new BadRequest(`There is no backup target ${o.target ?? ''}.`);
    return rt.tasks.enqueue(trx, rebuildPlan, { target, container: o.container ?? null, dryRun: o.dryRun, owner: { projectId: o.owner.projectId, userId: o.owner.userId, all: o.all } }, { queue: queueOfTargets(host.host), lane: `rebuild/${target}`, resource: { type: 'backup_target', id: target }, by: o.owner });
  }),
  async rebuilt(operationId) {
    const row: { state: string; out: { scan?: Rebuilt }; error: { message: string } | null } | undefined = await rt.db('tasks').where({ plan: rebuildPlan.kind }).whereRaw('id::text = ?', [operationId]).first('state', 'out', 'error');
    if (!row) throw new NotFound(`Rebuild ${operationId} could not be found.`);
    return { state: row.state, result: row.out.scan, error: row.error?.message };
  },
  schedules: (projectId, limit) => schedulesOf(rt.db, projectId, limit),
  async schedule(id) {
    const row = await scheduleById(rt.db, id);
    if (!row) throw new NotFound(`Schedule ${id} could not be found.`);
    return row;
  },
  async addSchedule(volumeId, bound, wish, owner) {
    const volume = await byId(rt.db, volumeId);
    if (!volume || volume.hidden || (bound !== undefined && volume.project_id !== bound)) throw volumeNotFound(volumeId);
    return insertSchedule(rt.db, {
      id: newId(), project_id: owner.projectId, user_id: owner.userId, name: wish.name ?? null, volume_id: volume.id, enabled: wish.enabled ?? true, every_seconds: wish.every_seconds, keep: wish.keep, increments: wish.increments ?? 0, force: wish.force ?? true,
      container: wish.container ?? null, metadata: wish.metadata ?? {}, next_at: wish.next_at ?? new Date(rt.clock() + wish.every_seconds * 1_000),
    });
  },
  async changeSchedule(id, wish) {
    const row = await patchSchedule(rt.db, id, Object.fromEntries(Object.entries(wish).filter(([, v]) => v !== undefined)) as Partial<ScheduleRow>);
    if (!row) throw new NotFound(`Schedule ${id} could not be found.`);
    return row;
  },
  removeSchedule: id => removeSchedule(rt.db, id),
});
