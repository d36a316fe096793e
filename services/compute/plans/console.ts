import { need, Unsupported } from '@cumulet/drivers';
import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';

/** What the API asks a host about one of its servers. It changes nothing. */
export const consolePlan = plan('server.ask', z.object({ serverId: z.string(), what: z.enum(['force', 'log', 'diagnostics', 'vnc', 'serial']), lines: z.number().optional() }))
  .step('ask', async t => {
    const { hypervisor } = t.deps;
    const { serverId, what, lines } = t.input;
    if (what === 'force') {
      const { force } = need(hypervisor, 'migrate');
      if (!force) throw new Unsupported(hypervisor.name, 'completing live migrations by force');
      await force(callOf(t), serverId);
      return null;
    }
    if (what === 'log') return need(hypervisor, 'console').log(callOf(t), serverId, lines === undefined ? {} : { lines });
    if (what === 'vnc') return need(hypervisor, 'console').vnc(callOf(t), serverId);
    if (what === 'serial') {
      const { serial } = need(hypervisor, 'console');
      if (!serial) throw new Unsupported(hypervisor.name, 'serial consoles');
      return serial(callOf(t), serverId);
    }
    return need(hypervisor, 'diagnostics')(callOf(t), serverId);
  }, { attempts: 2, timeoutMs: 15_000 });
export const consolePlans = plans(consolePlan);
