import { need } from '@cumulet/drivers';
import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import type { ServerImage } from '../servers/row.ts';
import { rescueSpec } from '../servers/spec.ts';
import { rest } from '../servers/store.ts';
import { forServer, notePower, places, restAsPowered, rowOf, spec } from './steps.ts';

const image = z.looseObject({ id: z.string() });
export const rescuePlan = plan('server.rescue', forServer.extend({ image, wasRunning: z.boolean() }))
  .step('image', async t => { await t.deps.cache.fetch(callOf(t), t.input.image as ServerImage); const row = await rowOf(t); if (row.image.id !== undefined && row.image.id !== t.input.image.id) return; })
  .step('plug', t => places(t))
  .step('domain', async t => {
    const row = await rowOf(t);
    await need(t.deps.hypervisor, 'rescue').start(callOf(t), await spec(t, t.out.plug), rescueSpec(t.deps, { ...row, rescue: t.input.image as ServerImage }));
  }, {
    undo: async t => {
      await t.deps.hypervisor.rescue?.stop(callOf(t), await spec(t));
      if (!t.input.wasRunning) await t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId, { timeoutSeconds: 0 });
      await notePower(t);
    },
  })
  .settles(async (trx, how, t) => {
    if (how.state !== 'done') return restAsPowered(trx, how, t as never);
    await rest(trx, t.input.serverId, t.taskId, { vm_state: 'rescued', power_state: 'running', wanted_power: 'running', rescue: JSON.stringify(t.input.image) });
  });

export const unrescuePlan = plan('server.unrescue', forServer)
  .step('plug', t => places(t))
  .step('domain', async t => {
    const { rescue: _, ...usual } = await spec(t, t.out.plug);
    await need(t.deps.hypervisor, 'rescue').stop(callOf(t), usual);
  }, { cancel: false })
  .settles(async (trx, how, t) => {
    // The rescue disk may be gone or not: a second unrescue finishes it either way.
    await rest(trx, t.input.serverId, t.taskId, how.state === 'done' ? { vm_state: 'active', power_state: 'running', wanted_power: 'running', rescue: null } : { vm_state: 'rescued' });
  });
export const rescuePlans = plans(rescuePlan, unrescuePlan);
