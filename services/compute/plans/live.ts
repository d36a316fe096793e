import { need } from '@cumulet/drivers';
import type { MigrationTarget } from '@cumulet/drivers/hypervisor';
import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import type { ServerRow } from '../servers/row.ts';
import { faultOf, rest } from '../servers/store.ts';
import { journey, fetchBase, powered, sendBack } from './move.ts';
import { at, bindTo, leftBehind, migrated, standDownPlan } from './source.ts';
import { forServer, places, spec, unplugAll } from './steps.ts';
import { completeVolumes, connectAll } from './volumes.ts';

/** On the host that the guest leaves. */
export const leaveLivePlan = plan('server.leave_live', forServer.extend({ target: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])), shared: z.boolean() }))
  .step('move', async t => need(t.deps.hypervisor, 'migrate').live(callOf(t), await spec(t), t.input.target as MigrationTarget, { sharedDisks: t.input.shared }), { timeoutMs: 24 * 3_600_000 });

/**
 * A running server to another host, run by that one. Up to `go` nothing of the guest has changed; after it there is no way back and nothing that can
 * fail: what the old host still has goes by a task of its own.
 */
export const livePlan = plan('server.live_migrate', journey)
  .step('image', t => fetchBase(t))
  .step('connect', t => connectAll(t, { again: true }))
  .step('plug', t => places(t), { undo: t => unplugAll(t, { keepBound: true }) })
  .step('prepare', async t => {
    if (!t.out.image) throw Object.assign(new Error('The image of the server is gone: its disk cannot be copied while it runs.'), { kind: 'invalid' });
    return need(t.deps.hypervisor, 'migrate').prepare(callOf(t), await spec(t, t.out.plug), { sharedDisks: t.input.shared });
  }, {
    undo: async t => {
      const gone = await need(t.deps.hypervisor, 'migrate').abandon(callOf(t), t.input.serverId, { sharedDisks: t.input.shared });
      // The guest was faster than the failure: it is here, and here it stays.
      if (gone.arrived) await t.deps.db('server_migrations').where({ num: t.input.migration }).update({ flags: t.deps.db.raw(`flags || '{"arrived": true}'`) });
    },
  })
  .step('go', async t => {
    await t.transaction(async trx => migrated(trx, t.input.migration, 'running'));
    await t.child(leaveLivePlan, { serverId: t.input.serverId, target: t.out.prepare, shared: t.input.shared }, at(t.input.from, t.input.serverId, 'live'));
  })
  .settles(async (trx, how, t) => {
    const { serverId, migration, from, node, zone, shared, former } = t.input;
    const row: ServerRow | undefined = await trx('servers').where({ id: serverId }).first();
    if (!row) return;
    const { flags } = await trx('server_migrations').where({ num: migration }).first('flags') as { flags: { arrived?: boolean } };
    if (how.state !== 'done' && !flags.arrived) {
      await trx('allocations').where({ server_id: serverId, host: t.deps.host }).delete();
      await migrated(trx, migration, how.state === 'cancelled' ? 'cancelled' : 'failed');
      return sendBack(trx, t.deps, t, { row, ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'The migration failed.', t.deps.clock(), `step ${how.error?.step ?? '?'} on host ${t.deps.host}`) } : {}) });
    }
    await bindTo(t.deps, trx, serverId, t.deps.host);
    await completeVolumes(t.deps, trx, serverId, {});
    await migrated(trx, migration, 'completed');
    await trx('allocations').where({ server_id: serverId, host: from }).delete();
    await trx('allocations').where({ server_id: serverId, host: t.deps.host }).update({ held_for: 'server' });
    await t.deps.tasks.enqueue(trx, standDownPlan, await leftBehind(trx, serverId, shared, from), at(from, serverId, 'clean'));
    // A deletion that waits finds the server where it is now.
    if (!await rest(trx, serverId, t.taskId, { ...powered(former), host: t.deps.host, node, availability_zone: zone, fault: null })) await trx('servers').where({ id: serverId }).update({ host: t.deps.host, node, availability_zone: zone });
  });
export const livePlans = plans(leaveLivePlan, livePlan);
