import { ChildFailed, ChildLate, plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import { devicesOf, downAfterSeconds, faultOf, rest } from '../servers/store.ts';
import { dropPorts } from './create.ts';
import { at, leftBehind, standDownPlan } from './source.ts';
import { forServer, rowOf, unplugAll } from './steps.ts';
import { letGoOfVolumes, letGoPlan } from './volumes.ts';

const deleteInput = forServer.extend({
  /** Nothing is on this worker's host: only rows go. The host cleans itself when it comes back. */
  local: z.boolean(),
});

/** Milliseconds that a deletion waits for the backends of the server's volumes. */
const patienceMs = 20_000;

/** Whatever state it was in: afterwards there is no domain, disk, tap, port, attachment or share of a host. */
export const deletePlan = plan('server.delete', deleteInput).uncancellable()
  .step('domain', async t => { if (!t.input.local) await t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId); }, { attempts: 10 })
  // It may have moved on while the deletion waited, or have been moved and not decided yet: other hosts that are up clean up too.
  .step('elsewhere', async t => {
    const { serverId } = t.input;
    const others: { host: string }[] = await t.deps.db('compute_hosts').where({ forced_down: false }).where('seen_at', '>', t.deps.db.raw(`now() - interval '${downAfterSeconds} seconds'`)).where(w => { if (!t.input.local) w.whereNot({ host: t.deps.host }); })
      .whereRaw(`host in (select host from allocations where server_id = ? union select host from servers where id = ? and host is not null)`, [serverId, serverId]).orderBy('host').select('host');
    for (const { host } of others) await t.child(standDownPlan, await leftBehind(t.deps.db, serverId, false), at(host, serverId, `delete@${host}`));
  }, { attempts: 10 })
  .step('unplug', async t => {
    if (!t.input.local) await unplugAll(t);
    return { volumesUntil: new Date(Date.now() + patienceMs).toISOString() };
  }, { attempts: 10 })
  // Who sees that the server is gone may delete its volumes in the next moment (Terraform does); a backend that is away does not keep the server, though.
  .step('volumes', async t => {
    const { serverId } = t.input;
    for (const d of await devicesOf(t.deps.db, serverId)) {
      if (d.attachment_id === null || d.volume_id === null) continue;
      try {
        await t.child(letGoPlan, { attachmentId: d.attachment_id, volumeId: d.volume_id, remove: d.delete_on_termination }, { resource: { type: 'server', id: serverId }, lane: `let-go/${d.attachment_id}`, until: new Date(t.out.unplug.volumesUntil) });
      } catch (error) {
        if (error instanceof ChildLate || error instanceof ChildFailed) continue;
        throw error;
      }
      await t.deps.db('block_devices').where({ id: d.id }).update({ attachment_id: null, connection: null });
    }
  })
  .step('release', async t => {
    const row = await rowOf(t);
    await t.transaction(async trx => {
      await letGoOfVolumes(t.deps, trx, row.id, t);
      await dropPorts(t.deps, trx, row.id);
      if (row.shelved_image_id !== null) await t.deps.images.remove(trx, t.deps, row.shelved_image_id, {});
    });
  })
  .settles(async (trx, how, t) => {
    const { serverId } = t.input;
    if (how.state !== 'done') {
      await rest(trx, serverId, t.taskId, { vm_state: 'error', fault: faultOf(how.error?.message ?? 'The deletion failed.', t.deps.clock(), `step ${how.error?.step ?? '?'} on host ${t.deps.host}`) });
      return;
    }
    await trx('console_tokens').where({ server_id: serverId }).delete();
    await trx('server_migrations').where({ server_id: serverId }).whereIn('status', ['queued', 'preparing', 'running', 'migrating', 'finished', 'post-migrating', 'pre-migrating', 'accepted']).update({ status: 'done', updated_at: trx.fn.now() });
    // An administrator still finds it by deleted=true and changes-since; it keeps nothing but its story.
    await rest(trx, serverId, t.taskId, {
      vm_state: 'deleted', deleted: true, deleted_at: trx.fn.now(), terminated_at: trx.raw('coalesce(terminated_at, now())'), power_state: 'nostate', shelved_image_id: null, group_id: null, user_data: null, key_data: null, personality: '[]', locked_by: null,
    });
    // Last: a creation takes the project's usage first and a host's second, and so does everybody who may meet it.
    await trx('allocations').where({ server_id: serverId }).delete();
  });
export const deletePlans = plans(deletePlan);
