import { plans } from '@cumulet/tasks';
import { stillBackupPlan } from './backups/freeze.ts';
import { extendGuestPlan, swapGuestPlan } from './host/guest_plans.ts';
import { stillSnapshotPlan } from './snapshots/still.ts';

/** Plans that run with compute's hypervisor. */
export const hostPlans = plans(stillSnapshotPlan, stillBackupPlan, extendGuestPlan, swapGuestPlan);
