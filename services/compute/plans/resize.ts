import { need } from '@cumulet/drivers';
import { plans } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import { amountsOf } from '../scheduler/claim.ts';
import { isVolumeBacked, type ServerFlavor, type ServerRow } from '../servers/row.ts';
import { devicesOf, faultOf, rest } from '../servers/store.ts';
import { forServer, places, rowOf, show, spec } from './steps.ts';

const flavorColumns = (f: ServerFlavor) => ({ flavor: JSON.stringify(f), vcpus: f.vcpus, memory_mb: f.memory_mb });
const migrated = (trx: Knex.Transaction, num: number, status: string) => trx('server_migrations').where({ num }).update({ status, updated_at: trx.fn.now() });
const resizeInput = forServer.extend({ migration: z.number(), wasRunning: z.boolean() });

/** On its own host: a copy of the disks is kept aside until the user confirms. */
export const resizePlan = plan('server.resize', resizeInput)
  .step('plug', t => places(t))
  .step('apply', async t => {
    await show(t, 'resize_migrating');
    const row = await rowOf(t);
    const [from, to] = [await spec(t, t.out.plug), await spec(t, t.out.plug, { flavor: row.new_flavor as ServerFlavor })];
    await need(t.deps.hypervisor, 'resize').apply(callOf(t), from, to, { powerOn: t.input.wasRunning });
    await show(t, 'resize_finish');
  }, {
    undo: async t => {
      await t.deps.hypervisor.resize?.revert(callOf(t), await spec(t), { powerOn: t.input.wasRunning });
    },
  })
  .settles(async (trx, how, t) => {
    const { serverId, migration, wasRunning } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (!row) return;
    if (how.state === 'done') {
      await migrated(trx, migration, 'finished');
      await rest(trx, serverId, t.taskId, { vm_state: 'resized', ...flavorColumns(row.new_flavor ?? row.flavor), old_flavor: JSON.stringify(row.flavor), new_flavor: null, power_state: wasRunning ? 'running' : 'shutdown', launched_at: trx.fn.now() });
      return;
    }
    await migrated(trx, migration, how.state === 'cancelled' ? 'cancelled' : 'error');
    await trx('allocations').where({ server_id: serverId, held_for: 'migration' }).delete();
    await rest(trx, serverId, t.taskId, { vm_state: wasRunning ? 'active' : 'stopped', ...flavorColumns(row.flavor), new_flavor: null, ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'The resize failed.', t.deps.clock()) } : {}) });
  });

/** One flavor is left: the server's share of its host is that of this one again. */
async function settleShare(trx: Knex.Transaction, serverId: string, flavor: ServerFlavor): Promise<void> {
  await trx('allocations').where({ server_id: serverId, held_for: 'migration' }).delete();
  const backed = isVolumeBacked(await devicesOf(trx, serverId));
  await trx('allocations').where({ server_id: serverId, held_for: 'server' }).update({ ...amountsOf(flavor, backed) });
}

export const confirmPlan = plan('server.confirm_resize', forServer.extend({ migration: z.number() })).uncancellable()
  .step('confirm', async t => { await need(t.deps.hypervisor, 'resize').confirm(callOf(t), t.input.serverId); })
  .settles(async (trx, how, t) => {
    const { serverId, migration } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (how.state !== 'done') { await migrated(trx, migration, 'error'); await rest(trx, serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The confirmation failed.', t.deps.clock()) }); return; }
    await migrated(trx, migration, 'confirmed');
    if (row) await settleShare(trx, serverId, row.flavor);
    await rest(trx, serverId, t.taskId, { vm_state: row?.power_state === 'shutdown' ? 'stopped' : 'active', old_flavor: null, wanted_power: row?.power_state === 'shutdown' ? 'shutdown' : 'running' });
  });

export const revertPlan = plan('server.revert_resize', resizeInput).uncancellable()
  .step('plug', t => places(t))
  .step('revert', async t => {
    const row = await rowOf(t);
    await need(t.deps.hypervisor, 'resize').revert(callOf(t), await spec(t, t.out.plug, { flavor: row.old_flavor as ServerFlavor }), { powerOn: t.input.wasRunning });
  })
  .settles(async (trx, how, t) => {
    const { serverId, migration, wasRunning } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (how.state !== 'done' || !row?.old_flavor) { await rest(trx, serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The revert failed.', t.deps.clock()) }); return; }
    await migrated(trx, migration, 'reverted');
    await settleShare(trx, serverId, row.old_flavor);
    await rest(trx, serverId, t.taskId, { vm_state: wasRunning ? 'active' : 'stopped', power_state: wasRunning ? 'running' : 'shutdown', ...flavorColumns(row.old_flavor), old_flavor: null, launched_at: trx.fn.now() });
  });
export const resizePlans = plans(resizePlan, confirmPlan, revertPlan);
