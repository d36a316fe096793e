import { need } from '@cumulet/drivers';
import { plans } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { newId } from '@cumulet/wire';
import { z } from 'zod';
import { callOf, plan, type ComputeDeps, type Step } from '../deps.ts';
import { amountsOf } from '../scheduler/claim.ts';
import { hostQueue, isVolumeBacked, laneOf, type ServerFlavor, type ServerRow } from '../servers/row.ts';
import { devicesOf, faultOf, rest } from '../servers/store.ts';
import { at, bindTo, disconnectVolumes, leftBehind, migrated, standDownPlan, standStillPlan, unbind } from './source.ts';
import { forServer, places, rowOf, show, spec, unplugAll, type ForServer } from './steps.ts';
import { completeVolumes, connectAll } from './volumes.ts';

export const resting = z.enum(['active', 'stopped', 'paused']);
export type Resting = z.output<typeof resting>;
const powers = { active: 'running', stopped: 'shutdown', paused: 'paused' } as const;
export const powered = (former: Resting) => ({ vm_state: former, power_state: powers[former], wanted_power: powers[former] });
export const flavorColumns = (f: ServerFlavor) => ({ flavor: JSON.stringify(f), vcpus: f.vcpus, memory_mb: f.memory_mb });

/** Where a server comes from and where it goes, and what it was before. */
export const journey = forServer.extend({ migration: z.number(), from: z.string(), node: z.string(), zone: z.string(), shared: z.boolean(), former: resting });
type Journey = z.output<typeof journey>;

/** The base of its root disk, if it has one; false when nobody has it any more, and its disk has to come whole. */
export async function fetchBase(t: Step<ForServer>): Promise<boolean> {
  const row = await rowOf(t);
  if (isVolumeBacked(await devicesOf(t.deps.db, row.id))) return true;
  try { await t.deps.cache.fetch(callOf(t), row.system.base_image ?? row.image); return true; } catch (error) {
    if ((error as { kind?: string }).kind !== 'absent') throw error;
    return false;
  }
}

/** Back to its own host after a move that failed: the server is not let go of, the next task has it. Nobody moves a server that a deletion has taken. */
export async function sendBack(trx: Knex.Transaction, deps: Pick<ComputeDeps, 'tasks'>, t: { taskId: string; projectId: string | null; userId: string | null; requestId: string | null; input: Journey }, o: { fault?: ReturnType<typeof faultOf>; row: ServerRow }): Promise<void> {
  const { serverId, from, former, shared, migration, node, zone } = t.input;
  const id = newId();
  const held = await trx('servers').where({ id: serverId, task_id: t.taskId }).update({ task_id: id, ...(o.fault ? { fault: JSON.stringify(o.fault) } : {}), ...(o.row.new_flavor ? { ...flavorColumns(o.row.flavor), new_flavor: null } : {}), updated_at: trx.fn.now() });
  if (held === 0) return;
  await deps.tasks.enqueue(trx, moveBackPlan, { serverId, migration, from, node, zone, shared, former, dest: null, revert: false }, {
    id, queue: hostQueue(from), lane: laneOf(serverId), resource: { type: 'server', id: serverId }, by: { projectId: t.projectId ?? undefined, userId: t.userId ?? undefined, requestId: t.requestId ?? undefined },
  });
}

/**
 * Cold, to another host, run by that one; with a new flavor when the server has one waiting (resize). The old place stays as it is, stopped, until the
 * user confirms. Disks on shared storage stay where they are, others travel.
 */
export const movePlan = plan('server.move', journey)
  .step('leave', async t => { await show(t, 'resize_migrating'); await t.child(standStillPlan, { serverId: t.input.serverId, shared: t.input.shared }, at(t.input.from, t.input.serverId, 'stand-still')); })
  .step('bind', t => t.transaction(trx => bindTo(t.deps, trx, t.input.serverId, t.deps.host)), { undo: t => unbind(t, t.input.from) })
  .step('disconnect', t => disconnectVolumes(t))
  .step('connect', t => connectAll(t, { again: true }))
  .step('image', t => fetchBase(t))
  .step('plug', t => places(t), { undo: t => unplugAll(t, { keepBound: true }) })
  .step('disks', async t => {
    if (t.input.shared) return;
    await show(t, 'resize_migrated');
    await need(t.deps.hypervisor, 'travel').receive(callOf(t), await spec(t, t.out.plug), () => t.deps.disks.fetch(callOf(t), t.input.from, t.input.serverId, { flat: !t.out.image }));
  }, { undo: t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId, { elsewhere: t.input.shared }) })
  .step('domain', async t => {
    await show(t, 'resize_finish');
    const row = await rowOf(t);
    const now = await spec(t, t.out.plug);
    const then = row.new_flavor ? await spec(t, t.out.plug, { flavor: row.new_flavor }) : now;
    if (row.new_flavor) await need(t.deps.hypervisor, 'resize').grow(callOf(t), now, then);
    await t.deps.hypervisor.servers.create(callOf(t), then, { powerOn: t.input.former !== 'stopped' });
  }, { undo: t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId, { elsewhere: t.input.shared }) })
  .settles(async (trx, how, t) => {
    const { serverId, migration, node, zone, former } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (!row) return;
    if (how.state !== 'done') {
      await trx('allocations').where({ server_id: serverId, host: t.deps.host }).delete();
      await migrated(trx, migration, how.state === 'cancelled' ? 'cancelled' : 'error');
      return sendBack(trx, t.deps, t, { row, ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'The migration failed.', t.deps.clock(), `step ${how.error?.step ?? '?'} on host ${t.deps.host}`) } : {}) });
    }
    await completeVolumes(t.deps, trx, serverId, {});
    await migrated(trx, migration, 'finished');
    // What the server holds is its share here; the old one is kept until the decision.
    await trx('allocations').where({ server_id: serverId }).update({ held_for: trx.raw(`case when host = ? then 'server' else 'migration' end`, [t.deps.host]) });
    await rest(trx, serverId, t.taskId, {
      ...powered(former), ...(row.new_flavor ? flavorColumns(row.new_flavor) : {}), vm_state: 'resized', old_flavor: JSON.stringify(row.flavor), new_flavor: null, host: t.deps.host, node, availability_zone: zone, fault: null, launched_at: trx.fn.now(),
      system: trx.raw(`system || ?::jsonb`, [JSON.stringify({ former_state: former, moved: { from: t.input.from, shared: t.input.shared } })]),
    });
  });

/** The old place of a moved server goes. Runs there. */
export const confirmMovePlan = plan('server.confirm_move', forServer.extend({ migration: z.number(), shared: z.boolean() })).uncancellable()
  .step('domain', t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId, { elsewhere: t.input.shared }), { attempts: 20 })
  .step('copy', async t => { if (t.input.shared) await t.deps.hypervisor.resize?.confirm(callOf(t), t.input.serverId); }, { attempts: 20 })
  .step('unplug', async t => { for (const p of (await leftBehind(t.deps.db, t.input.serverId, t.input.shared)).ports) await t.deps.networks.unplug(callOf(t), p); }, { attempts: 20 })
  .settles(async (trx, how, t) => {
    const row: ServerRow | undefined = await trx('servers').where({ id: t.input.serverId }).first();
    if (how.state !== 'done' || !row) { await migrated(trx, t.input.migration, 'error'); await rest(trx, t.input.serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The confirmation failed.', t.deps.clock()) }); return; }
    await migrated(trx, t.input.migration, 'confirmed');
    await trx('allocations').where({ server_id: row.id, held_for: 'migration' }).delete();
    const backed = isVolumeBacked(await devicesOf(trx, row.id));
    await trx('allocations').where({ server_id: row.id, held_for: 'server' }).update({ ...amountsOf(row.flavor, backed) });
    await rest(trx, row.id, t.taskId, { vm_state: row.power_state === 'shutdown' ? 'stopped' : 'active', old_flavor: null, system: trx.raw(`system - 'former_state' - 'moved'`) });
  });

/** Home again, after a move that failed or that its user takes back. Runs at home; what is at `dest` goes first. */
export const moveBackPlan = plan('server.move_back', journey.extend({ dest: z.string().nullable(), revert: z.boolean() })).uncancellable()
  .step('leave', async t => { if (t.input.dest !== null) await t.child(standDownPlan, await leftBehind(t.deps.db, t.input.serverId, t.input.shared), at(t.input.dest, t.input.serverId, 'stand-down')); })
  .step('bind', t => t.transaction(trx => bindTo(t.deps, trx, t.input.serverId, t.deps.host)))
  .step('disconnect', t => disconnectVolumes(t))
  .step('connect', t => connectAll(t, { again: true }))
  .step('plug', t => places(t))
  .step('domain', async t => {
    const row = await rowOf(t);
    const home = await spec(t, t.out.plug, { flavor: t.input.revert ? row.old_flavor ?? row.flavor : row.flavor });
    // On shared storage the disks are what they were before the move: the copy that was kept aside.
    if (t.input.shared && t.input.former !== 'paused') await t.deps.hypervisor.resize?.revert(callOf(t), home, { powerOn: t.input.former === 'active' });
    await t.deps.hypervisor.servers.restore(callOf(t), home, powers[t.input.former]);
  }, { attempts: 10 })
  .settles(async (trx, how, t) => {
    const { serverId, migration, dest, revert, former, node, zone } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (!row) return;
    if (how.state !== 'done') { await rest(trx, serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The server could not be brought back.', t.deps.clock()) }); return; }
    const flavor = revert ? row.old_flavor ?? row.flavor : row.flavor;
    if (revert) await migrated(trx, migration, 'reverted');
    if (dest !== null) await trx('allocations').where({ server_id: serverId, host: dest }).delete();
    await trx('allocations').where({ server_id: serverId, host: t.deps.host }).update({ held_for: 'server', ...amountsOf(flavor, isVolumeBacked(await devicesOf(trx, serverId))) });
    await completeVolumes(t.deps, trx, serverId, {});
    await rest(trx, serverId, t.taskId, { ...powered(former), ...flavorColumns(flavor), host: t.deps.host, node, availability_zone: zone, old_flavor: null, new_flavor: null, system: trx.raw(`system - 'former_state' - 'moved'`) });
  });
export const movePlans = plans(movePlan, confirmMovePlan, moveBackPlan);
