import type { Call } from '@cumulet/drivers';
import type { HypervisorDriver } from '@cumulet/drivers/hypervisor';
import { planFor, type Run } from '@cumulet/tasks';

/** What the host of a server lends: compute registers these plans with its own hypervisor. */
export interface HostDeps { readonly hypervisor: Pick<HypervisorDriver, 'name' | 'servers' | 'volumes'> }
export const hostPlan = planFor<HostDeps>();
export const hostCall = (t: Pick<Run<unknown, unknown, HostDeps>, 'taskId' | 'signal' | 'log' | 'progress'>): Call => ({ taskId: t.taskId, signal: t.signal, log: t.log, progress: (done, total) => t.progress(done, total) });
