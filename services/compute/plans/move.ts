import { plans } from '@cumulet/tasks';
import { disconnectPlan } from '@cumulet/volume';
import type { Knex } from 'knex';
import { z } from 'zod';
import { callOf, plan, type Step } from '../deps.ts';
import { amountsOf } from '../scheduler/claim.ts';
import { hostQueue, isVolumeBacked, type ServerRow } from '../servers/row.ts';
import { devicesOf, faultOf, rest } from '../servers/store.ts';
import { vmStateOfPower, type VmState } from '../servers/states.ts';
import { completeVolumes, connectAll } from './volumes.ts';
import { forServer, places, rowOf, show, spec, unplugAll, type ForServer } from './steps.ts';

const at = (host: string, id: string, what: string) => ({ queue: hostQueue(host), lane: `${what}/${id}`, resource: { type: 'server-host', id } });

/** On one host: the guest stops, or everything of it goes. */
export const standDownPlan = plan('server.stand_down', forServer.extend({ remove: z.boolean() })).uncancellable()
  .step('domain', async t => { if (t.input.remove) await t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId); else await t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId); })
  .step('unplug', async t => { if (t.input.remove) await unplugAll(t, { keepBound: true }); });

const moveInput = forServer.extend({ migration: z.number(), from: z.string(), zone: z.string(), node: z.string(), kind: z.enum(['cold', 'live', 'evacuate']), former: z.custom<VmState>(v => typeof v === 'string') });
const bindHere = (t: Step<ForServer>, host: string) => t.transaction(async trx => { for (const p of await trx('server_ports').where({ server_id: t.input.serverId })) await t.deps.networks.bind(trx, p.port_id, host); });
const migrated = (trx: Knex.Transaction, num: number, status: string) => trx('server_migrations').where({ num }).update({ status, updated_at: trx.fn.now() });

/**
 * To another host, run by that one. The guest's disks are on shared storage, are volumes, or exist on paper: whoever starts this has looked. A cold move
 * leaves the old place as it is until the user confirms; a live one and an evacuation do not.
 */
export const movePlan = plan('server.move', moveInput)
  .step('leave', async t => { if (t.input.kind === 'cold') await t.child(standDownPlan, { serverId: t.input.serverId, remove: false }, at(t.input.from, t.input.serverId, 'stand-down')); })
  .step('bind', t => bindHere(t, t.deps.host), { undo: t => bindHere(t, t.input.from) })
  .step('connect', async t => {
    // A connection belongs to a host: the old one goes first.
    for (const d of await devicesOf(t.deps.db, t.input.serverId)) if (d.attachment_id !== null && d.volume_id !== null && d.connection !== null && t.input.kind !== 'live') {
      await t.child(disconnectPlan, { attachmentId: d.attachment_id }, { ...await t.deps.volumes.at(t.deps.db, d.volume_id) });
      await t.deps.db('block_devices').where({ id: d.id }).update({ connection: null });
    }
  })
  .step('reconnect', t => connectAll(t, { again: true }))
  .step('image', async t => { const row = await rowOf(t); if (!isVolumeBacked(await devicesOf(t.deps.db, row.id))) await t.deps.cache.fetch(callOf(t), row.system.base_image ?? row.image); })
  .step('plug', t => places(t), { undo: t => unplugAll(t, { keepBound: true }) })
  .step('domain', async t => {
    await show(t, t.input.kind === 'cold' ? 'resize_finish' : t.input.kind === 'evacuate' ? 'rebuild_spawning' : 'migrating');
    await t.deps.hypervisor.servers.create(callOf(t), await spec(t, t.out.plug), { powerOn: t.input.former !== 'stopped' });
    if (t.input.former === 'paused') await t.deps.hypervisor.servers.pause(callOf(t), t.input.serverId);
  }, { undo: t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId) })
  .step('clean', async t => { if (t.input.kind === 'live') await t.child(standDownPlan, { serverId: t.input.serverId, remove: true }, at(t.input.from, t.input.serverId, 'clean')); }, { cancel: false })
  .settles(async (trx, how, t) => {
    const { serverId, migration, from, kind, former } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (!row) return;
    const power = former === 'stopped' ? 'shutdown' : former === 'paused' ? 'paused' : 'running';
    if (how.state !== 'done') {
      await trx('allocations').where({ server_id: serverId, held_for: 'migration' }).delete();
      await migrated(trx, migration, how.state === 'cancelled' ? 'cancelled' : kind === 'live' ? 'failed' : 'error');
      const stopped = kind === 'cold' && former === 'active';
      await rest(trx, serverId, t.taskId, { vm_state: kind === 'evacuate' ? 'error' : stopped ? 'stopped' : former, ...(stopped ? { power_state: 'shutdown' } : {}), ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'The migration failed.', t.deps.clock()) } : {}) });
      return;
    }
    await completeVolumes(t.deps, trx, serverId, {});
    const here = { host: t.deps.host, node: t.input.node, availability_zone: t.input.zone, power_state: power, wanted_power: power, fault: null };
    if (kind === 'cold') {
      await migrated(trx, migration, 'finished');
      // What the server holds is its share here; the old one is kept until the decision.
      await trx('allocations').where({ server_id: serverId }).update({ held_for: trx.raw(`case when host = ? then 'server' else 'migration' end`, [t.deps.host]) });
      await rest(trx, serverId, t.taskId, { ...here, vm_state: 'resized', old_flavor: JSON.stringify(row.flavor) });
      return;
    }
    await migrated(trx, migration, kind === 'live' ? 'completed' : 'done');
    await trx('allocations').where({ server_id: serverId, host: from }).delete();
    await trx('allocations').where({ server_id: serverId, host: t.deps.host }).update({ held_for: 'server' });
    await rest(trx, serverId, t.taskId, { ...here, vm_state: former === 'error' ? 'active' : former });
  });

const decided = forServer.extend({ migration: z.number(), source: z.string() });
/** The old place of a moved server goes. Runs there. */
export const confirmMovePlan = plan('server.confirm_move', decided).uncancellable()
  .step('domain', async t => { await t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId); })
  .settles(async (trx, how, t) => {
    const row: ServerRow | undefined = await trx('servers').where({ id: t.input.serverId }).first();
    if (how.state !== 'done') { await rest(trx, t.input.serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The confirmation failed.', t.deps.clock()) }); return; }
    await migrated(trx, t.input.migration, 'confirmed');
    await trx('allocations').where({ server_id: t.input.serverId, held_for: 'migration' }).delete();
    await rest(trx, t.input.serverId, t.taskId, { vm_state: vmStateOfPower[row?.power_state ?? 'running'] ?? 'active', old_flavor: null });
  });

/** Back to where it was. Runs there. */
export const revertMovePlan = plan('server.revert_move', decided.extend({ dest: z.string(), wasRunning: z.boolean(), node: z.string() })).uncancellable()
  .step('leave', async t => { await t.child(standDownPlan, { serverId: t.input.serverId, remove: true }, at(t.input.dest, t.input.serverId, 'revert')); })
  .step('bind', t => bindHere(t, t.deps.host))
  .step('connect', t => connectAll(t, { again: true }))
  .step('plug', t => places(t))
  .step('domain', async t => { if (t.input.wasRunning) await t.deps.hypervisor.servers.powerOn(callOf(t), await spec(t, t.out.plug)); })
  .settles(async (trx, how, t) => {
    const { serverId, wasRunning } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (how.state !== 'done' || !row) { await rest(trx, serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The revert failed.', t.deps.clock()) }); return; }
    await migrated(trx, t.input.migration, 'reverted');
    await trx('allocations').where({ server_id: serverId, host: t.input.dest }).delete();
    await trx('allocations').where({ server_id: serverId, host: t.deps.host }).update({ held_for: 'server', ...amountsOf(row.flavor, isVolumeBacked(await devicesOf(trx, serverId))) });
    const power = wasRunning ? 'running' : 'shutdown';
    await rest(trx, serverId, t.taskId, { vm_state: wasRunning ? 'active' : 'stopped', power_state: power, wanted_power: power, host: t.deps.host, node: t.input.node, old_flavor: null });
  });
export const movePlans = plans(standDownPlan, movePlan, confirmMovePlan, revertMovePlan);
