import type { Call } from '@cumulet/drivers';
import { planFor, plans, type Run } from '@cumulet/tasks';
import { z } from 'zod';
import type { NetworkDeps } from './deps.ts';
import { applyRouterHere, reviseNetworkHere, secureHere } from './host.ts';

const plan = planFor<NetworkDeps>();
export const callOf = (t: Run<unknown, unknown, unknown>): Call => ({ taskId: t.taskId, signal: t.signal, progress: t.progress, log: t.log });

// Each says "make the host as the rows are", reads the rows when it runs, and may run as often as it likes: there is nothing to undo.
export const networkApplyPlan = plan('network.apply', z.object({ networkId: z.string() })).uncancellable()
  .step('apply', async t => { await reviseNetworkHere(t.deps, callOf(t), t.input.networkId); }, { timeoutMs: 120_000 });
export const routerApplyPlan = plan('router.apply', z.object({ routerId: z.string() })).uncancellable()
  .step('apply', async t => { await applyRouterHere(t.deps, callOf(t), t.input.routerId); }, { timeoutMs: 120_000 });
export const securityApplyPlan = plan('security.apply', z.object({ portIds: z.array(z.string()) })).uncancellable()
  .step('apply', async t => { await secureHere(t.deps, callOf(t), t.input.portIds); }, { timeoutMs: 120_000 });
export const wiringPlans = plans(networkApplyPlan, routerApplyPlan, securityApplyPlan);
