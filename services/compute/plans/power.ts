import { need } from '@cumulet/drivers';
import type { PowerState } from '@cumulet/drivers/hypervisor';
import type { AnyPlan, Plan } from '@cumulet/tasks';
import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan, type ComputeDeps, type Step } from '../deps.ts';
import type { VmState } from '../servers/states.ts';
import { openPassword } from '../servers/secrets.ts';
import { faultOf, rest } from '../servers/store.ts';
import { forServer, notePower, restAsPowered, spec, type ForServer } from './steps.ts';

/** Plans of one driver call: done, the server rests in a new state; failed, in what the hypervisor says of it. */
function power(kind: string, to: { vm_state: VmState; power_state: PowerState }, run: (t: Step<ForServer>) => Promise<void>, input: z.ZodType<ForServer> = forServer): Plan<ForServer, { domain: void }, ComputeDeps> {
  return plan(kind, input)
    .step('domain', async t => { await run(t as never); }, { undo: t => notePower(t as never) })
    .settles(async (trx, how, t) => {
      if (how.state !== 'done') return restAsPowered(trx, how, t);
      await rest(trx, t.input.serverId, t.taskId, { ...to, wanted_power: to.power_state, fault: null, ...(to.vm_state === 'active' ? { launched_at: trx.raw('coalesce(launched_at, now())') } : {}) });
    }) as never;
}
const hv = (t: Step<ForServer>) => t.deps.hypervisor.servers;
const running = { vm_state: 'active', power_state: 'running' } as const;

export const stopPlan = power('server.stop', { vm_state: 'stopped', power_state: 'shutdown' }, t => hv(t).powerOff(callOf(t), t.input.serverId));
export const startPlan = power('server.start', running, async t => hv(t).powerOn(callOf(t), await spec(t)));
export const pausePlan = power('server.pause', { vm_state: 'paused', power_state: 'paused' }, t => hv(t).pause(callOf(t), t.input.serverId));
export const unpausePlan = power('server.unpause', running, t => hv(t).unpause(callOf(t), t.input.serverId));
export const suspendPlan = power('server.suspend', { vm_state: 'suspended', power_state: 'suspended' }, t => hv(t).suspend(callOf(t), t.input.serverId));
export const resumePlan = power('server.resume', running, async t => hv(t).resume(callOf(t), await spec(t)));
const rebootInput = z.object({ serverId: z.string(), type: z.enum(['SOFT', 'HARD']) });
export const rebootPlan = power('server.reboot', running, async t => hv(t).reboot(callOf(t), await spec(t), (t.input as z.output<typeof rebootInput>).type), rebootInput) as unknown as Plan<z.output<typeof rebootInput>, { domain: void }, ComputeDeps>;

const passwordInput = z.object({ serverId: z.string(), /** As `sealPassword` made it. */ sealed: z.string() });
export const passwordPlan = plan('server.password', passwordInput)
  .step('agent', async t => {
    const { agent } = t.deps.hypervisor;
    if (!agent) throw Object.assign(new Error('Password setting is not supported by this hypervisor.'), { kind: 'unsupported' });
    await agent.setPassword(callOf(t), t.input.serverId, 'root', openPassword(t.deps.sealer(), t.input.serverId, t.input.sealed));
  })
  .settles(async (trx, how, t) => { await rest(trx, t.input.serverId, t.taskId, how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'The password could not be set.', t.deps.clock()) } : {}); });

/** The guest's own business from here on: it may dump, reboot or hang, and whoever follows events tells. */
export const crashPlan = plan('server.crash_dump', forServer).uncancellable()
  .step('domain', t => need(t.deps.hypervisor, 'crashDump')(callOf(t), t.input.serverId))
  .settles(async (trx, how, t) => { if (how.state === 'failed') await trx('servers').where({ id: t.input.serverId }).update({ fault: JSON.stringify(faultOf(how.error?.message ?? 'The crash dump could not be triggered.', t.deps.clock())) }); });

export const powerPlans: readonly AnyPlan[] = plans(stopPlan, startPlan, pausePlan, unpausePlan, suspendPlan, resumePlan, rebootPlan, passwordPlan, crashPlan);
