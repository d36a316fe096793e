import { plans } from '@cumulet/tasks';
import { callOf, plan } from '../deps.ts';
import { rest } from '../servers/store.ts';
import { forServer, notePower, restAsPowered, spec } from './steps.ts';

/** Off, and out of sight; everything of it stays for the time that the settings give. On no host (`host` null) only the row says so. */
export const softDeletePlan = plan('server.soft_delete', forServer)
  .step('domain', async t => { if (await t.deps.hypervisor.servers.powerState(callOf(t), t.input.serverId) !== 'nostate') await t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId); }, { undo: t => notePower(t) })
  .settles(async (trx, how, t) => {
    if (how.state !== 'done') return restAsPowered(trx, how, t);
    await rest(trx, t.input.serverId, t.taskId, { vm_state: 'soft-delete', power_state: 'shutdown', wanted_power: 'shutdown', hidden_since: trx.fn.now(), terminated_at: trx.fn.now() });
  });

/** Runs again, whatever it did when it was deleted, as upstream has it. */
export const restorePlan = plan('server.restore', forServer)
  .step('domain', async t => t.deps.hypervisor.servers.powerOn(callOf(t), await spec(t)), { undo: t => t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId, { timeoutSeconds: 0 }) })
  .settles(async (trx, how, t) => {
    await rest(trx, t.input.serverId, t.taskId, how.state === 'done' ? { vm_state: 'active', power_state: 'running', wanted_power: 'running', hidden_since: null, terminated_at: null, fault: null } : { vm_state: 'soft-delete' });
  });
export const softDeletePlans = plans(softDeletePlan, restorePlan);
