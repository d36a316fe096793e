import { plans } from '@cumulet/tasks';
import { reimageForServerPlan } from '@cumulet/volume';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import { isVolumeBacked } from '../servers/row.ts';
import { openPassword } from '../servers/secrets.ts';
import { devicesOf, faultOf, rest } from '../servers/store.ts';
import { completeVolumes } from './volumes.ts';
import { forServer, places, rowOf, show, spec } from './steps.ts';

/** The same server on the same host with a fresh root disk. What was on the old one is gone from 'remove' on, as the user asked. */
export const rebuildPlan = plan('server.rebuild', forServer.extend({ stopped: z.boolean(), /** Of servers with a config drive: sealed. */ password: z.string().optional(), /** The root volume that gets the image's content (2.93). */ reimage: z.object({ volumeId: z.string(), imageId: z.string(), metadata: z.record(z.string(), z.string()) }).optional() }))
  .step('image', async t => { const row = await rowOf(t); if (!isVolumeBacked(await devicesOf(t.deps.db, row.id))) await t.deps.cache.fetch(callOf(t), row.image); })
  .step('plug', t => places(t))
  .step('remove', async t => { await show(t, 'rebuild_block_device_mapping'); await t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId); }, { cancel: false })
  .step('reimage', async t => { const { reimage } = t.input; if (reimage) await t.child(reimageForServerPlan, reimage, await t.deps.volumes.at(t.deps.db, reimage.volumeId)); }, { cancel: false })
  .step('spawn', async t => { await show(t, 'rebuild_spawning'); await t.deps.hypervisor.servers.create(callOf(t), await spec(t, t.out.plug, t.input.password === undefined ? {} : { adminPass: openPassword(t.deps.sealer(), t.input.serverId, t.input.password) }), { powerOn: !t.input.stopped }); }, { undo: t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId) })
  .settles(async (trx, how, t) => {
    const { serverId, stopped } = t.input;
    if (how.state === 'done') {
      await completeVolumes(t.deps, trx, serverId, {});
      await rest(trx, serverId, t.taskId, { ...(stopped ? { vm_state: 'stopped', power_state: 'shutdown', wanted_power: 'shutdown' } : { vm_state: 'active', power_state: 'running', wanted_power: 'running' }), launched_at: trx.fn.now(), fault: null });
    } else await rest(trx, serverId, t.taskId, { vm_state: 'error', power_state: 'nostate', fault: faultOf(how.error?.message ?? 'The rebuild failed.', t.deps.clock(), `step ${how.error?.step ?? '?'} on host ${t.deps.host}`) });
  });
export const rebuildPlans = plans(rebuildPlan);
