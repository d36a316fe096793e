import type { Runtime, Work } from '@cumulet/service';
import { plans } from '@cumulet/tasks';
import type { VolumeDeps } from '../deps.ts';
import { verifyBackupPlan } from './check_plans.ts';
import { freezePlan } from './freeze.ts';
import { pruneSchedules, runSchedules } from './keeper.ts';
import { createBackupPlan, deleteBackupPlan, restoreBackupPlan } from './plans.ts';
import { rebuildPlan } from './rebuild_plan.ts';
import { exportBackupPlan, importBackupPlan } from './record_plans.ts';
import { openSigner } from './signer.ts';
import { queueOfTargets } from './store.ts';
import { openTargets, reportTargets, type MakeTarget } from './targets.ts';

export const backupPlans = plans(createBackupPlan, restoreBackupPlan, deleteBackupPlan, freezePlan, exportBackupPlan, importBackupPlan, verifyBackupPlan, rebuildPlan);

/** cinder-backup's part of a volume worker: its targets, the key for records, and the clock of the schedules. */
export async function openBackups(rt: Runtime, make?: MakeTarget): Promise<Required<Pick<Work, 'queues' | 'periodic' | 'start' | 'close'>> & { readonly deps: Pick<VolumeDeps, 'targets' | 'signer'> }> {
  const { settings } = rt;
  const targets = openTargets(rt, make);
  return {
    deps: { targets, signer: await openSigner(settings) },
    queues: targets.size === 0 ? [] : [queueOfTargets(settings.host)],
    periodic: [
      { name: 'backup report', everySeconds: settings.volume.reportSeconds, run: () => reportTargets(rt, targets) },
      { name: 'backup schedules', everySeconds: settings.backup.scheduleSeconds, run: async () => { await runSchedules(rt); await pruneSchedules(rt); } },
    ],
    start: () => reportTargets(rt, targets),
    close: async () => { for (const driver of targets.values()) await driver.close(); },
  };
}
