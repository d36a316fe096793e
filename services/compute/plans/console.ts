import { need } from '@cumulet/drivers';
import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';

/** What the API asks a host about one of its servers. It changes nothing. */
export const consolePlan = plan('server.ask', z.object({ serverId: z.string(), what: z.enum(['force', 'log', 'diagnostics', 'vnc', 'serial']), lines: z.number().optional() }))
  .step('ask', async t => {
    const { hypervisor } = t.deps;
    const { serverId, what, lines } = t.input;
    if (what === 'force') { await need(need(hypervisor, 'migrate') as never as { name: string; force?: NonNullable<NonNullable<typeof hypervisor.migrate>['force']> }, 'force')(callOf(t), serverId); return null; }
    if (what === 'log') return need(hypervisor, 'console').log(callOf(t), serverId, lines === undefined ? {} : { lines });
    if (what === 'vnc') return need(hypervisor, 'console').vnc(callOf(t), serverId);
    if (what === 'serial') return need(need(hypervisor, 'console') as never as { name: string; serial?: NonNullable<NonNullable<typeof hypervisor.console>['serial']> }, 'serial')(callOf(t), serverId);
    return need(hypervisor, 'diagnostics')(callOf(t), serverId);
  }, { attempts: 2, timeoutMs: 15_000 });
export const consolePlans = plans(consolePlan);
