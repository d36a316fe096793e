import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import { isVolumeBacked, type ServerRow } from '../servers/row.ts';
import { devicesOf, faultOf, rest } from '../servers/store.ts';
import { journey, powered } from './move.ts';
import { bindTo, disconnectVolumes, migrated, unbind } from './source.ts';
import { forServer, places, rowOf, show, spec, unplugAll } from './steps.ts';
import { completeVolumes, connectAll } from './volumes.ts';

/**
 * A server of a host that is down, built again on this one: from its image, or with its disks where the storage is shared. The dead host cleans itself
 * when it comes back: it holds no share of the server any more.
 */
export const evacuatePlan = plan('server.evacuate', journey.extend({ ...forServer.shape, /** Upstream since 2.95: it waits for its user. */ stay: z.boolean() }))
  .step('bind', t => t.transaction(trx => bindTo(t.deps, trx, t.input.serverId, t.deps.host)), { undo: t => unbind(t, t.input.from) })
  .step('disconnect', t => disconnectVolumes(t))
  .step('connect', async t => { await show(t, 'rebuild_block_device_mapping'); await connectAll(t, { again: true }); })
  .step('image', async t => { const row = await rowOf(t); if (!isVolumeBacked(await devicesOf(t.deps.db, row.id))) await t.deps.cache.fetch(callOf(t), row.system.base_image ?? row.image); })
  .step('plug', t => places(t), { undo: t => unplugAll(t, { keepBound: true }) })
  .step('domain', async t => {
    await show(t, 'rebuild_spawning');
    await t.deps.hypervisor.servers.create(callOf(t), await spec(t, t.out.plug), { powerOn: t.input.former !== 'stopped' && !t.input.stay });
  }, { undo: t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId, { elsewhere: t.input.shared }) })
  .settles(async (trx, how, t) => {
    const { serverId, migration, from, node, zone, former, stay } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (!row) return;
    if (how.state !== 'done') {
      await trx('allocations').where({ server_id: serverId, host: t.deps.host }).delete();
      await migrated(trx, migration, how.state === 'cancelled' ? 'cancelled' : 'failed');
      await rest(trx, serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The evacuation failed.', t.deps.clock(), `step ${how.error?.step ?? '?'} on host ${t.deps.host}`) });
      return;
    }
    await completeVolumes(t.deps, trx, serverId, {});
    await migrated(trx, migration, 'done');
    await trx('allocations').where({ server_id: serverId, host: from }).delete();
    await trx('allocations').where({ server_id: serverId, host: t.deps.host }).update({ held_for: 'server' });
    await rest(trx, serverId, t.taskId, { ...powered(stay ? 'stopped' : former), host: t.deps.host, node, availability_zone: zone, fault: null, launched_at: trx.fn.now() });
  });
export const evacuatePlans = plans(evacuatePlan);
