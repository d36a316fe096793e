import { DriverError, need } from '@cumulet/drivers';
import type { ConnectionInfo, Connector, Provided } from '@cumulet/drivers/block';
import type { Outcome, Run, TaskFacts } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { z } from 'zod';
import { described } from '../attachments/plans.ts';
import { attachmentById, followAttachments } from '../attachments/store.ts';
import { copied, recrypted } from '../copying.ts';
import { call, driverOf, plan, type VolumeDeps } from '../deps.ts';
import { swapGuestPlan } from '../host/guest_plans.ts';
import { tell } from '../messages/store.ts';
import { provided, volumeRef, volumeSpec } from '../refs.ts';
import { keyOf, limited } from '../volumes/plans.ts';
import { byId, encode, hostParts, type VolumeRow } from '../volumes/store.ts';
import { dropTarget, hasSwitched, switchPlaces, type Places } from './places.ts';

const move = { volumeId: z.string(), targetId: z.string(), to: z.string(), inPlace: z.boolean().default(false), newTypeId: z.string().nullable(), was: z.string() };
type Moving = Places & { was: string };
type Step = Pick<Run<Moving, unknown, VolumeDeps>, 'taskId' | 'input' | 'deps' | 'transaction' | 'signal' | 'log' | 'progress'>;

/**
 * Moves a volume to another pool. Its new place is held by a hidden volume row, which counts in the pool and not in the quota. The rows change places in one
 * transaction, `switch`; before it a failure leaves the volume where it was, after it the move has succeeded and a task of its own removes the old copy.
 */
export const migratePlan = plan('volume.migrate', z.object({ ...move, forceCopy: z.boolean() }))
  .revised(3)
  .step('copy', async (t): Promise<{ provided: Provided; moved: boolean }> => {
    const { source, target } = await both(t);
    await underWay(t);
    const from = driverOf(t, source.host);
    const to = driverOf(t, target.host);
    const pool = hostParts(t.input.to).pool;
    const changes = source.encryption_key_id !== target.encryption_key_id;
    if (!changes && !t.input.forceCopy && from === to && from.migrate && pool !== undefined) {
      const given = await from.migrate(call(t), volumeRef(source), pool);
      if (given) return { provided: given, moved: true };
    }
    const key = async (row: VolumeRow) => (row.encryption_key_id === null ? undefined : keyOf(t, row));
    const given = changes ? await recrypted(call(t), { driver: from, ref: volumeRef(source), key: await key(source) }, { driver: to, spec: volumeSpec(target), key: await key(target) })
      : await copied(call(t), { driver: from, ref: volumeRef(source) }, to, volumeSpec(target));
    await limited(t as never, { ...target, ...provided(given) });
    return { provided: given, moved: false };
  }, { undo: async t => { if (!t.out.copy?.moved) await removeTarget(t); } })
  .step('switch', async t => { await t.transaction(trx => switchPlaces(trx, { ...t.input, ...t.out.copy })); }, { cancel: false })
  .settles((trx, how, t) => settle(trx, how, t, { oldCopy: t.out.copy?.moved !== true, attached: false }));

/** The same for a volume that a server has: the hypervisor copies it while the guest goes on writing. Nothing here reads the guest's volume. */
export const migrateAttachedPlan = plan('volume.migrate_attached', z.object({ ...move, attachmentId: z.string(), serverId: z.string(), serverHost: z.string() }))
  .step('make', async (t): Promise<Provided> => {
    const { target } = await both(t);
    await underWay(t);
    // The guest's host writes through its own encryption: it needs a container to write into.
    const driver = driverOf(t, target.host);
    const given = target.encryption_key_id === null ? await driver.volumes.create(call(t), volumeSpec(target)) : await need(driver, 'encryption').create(call(t), volumeSpec(target), await keyOf(t, target));
    await limited(t as never, { ...target, ...provided(given) });
    // Kept at once: the undo of this and the next step name it by what the driver gave.
    await t.transaction(trx => trx('volumes').where({ id: target.id, task_id: t.taskId }).update(encode(provided(given))));
    return given;
  }, { undo: removeTarget })
  .step('connect', async (t): Promise<{ from: ConnectionInfo; into: ConnectionInfo }> => {
    const { source, target } = await both(t);
    const attachment = await t.transaction(trx => attachmentById(trx, t.input.attachmentId));
    if (!attachment?.connector || !attachment.connection_info) throw new DriverError('invalid', `Volume ${source.id} is not connected to the server any more.`);
    const mode = attachment.mode === 'ro' || source.admin_metadata['readonly'] === 'True' ? 'ro' : 'rw';
    return { from: attachment.connection_info as unknown as ConnectionInfo, into: await described(t, target, await driverOf(t, target.host).attach.connect(call(t), volumeRef(target), attachment.connector as unknown as Connector, { mode })) };
  }, { undo: async t => {
    const target = await untouched(t);
    if (target) await driverOf(t, target.host).attach.disconnect(call(t), volumeRef(target), undefined);
  } })
  .step('swap', async t => {
    const { volumeId, targetId, to, inPlace, newTypeId, serverId, attachmentId } = t.input;
    await t.child(swapGuestPlan, { serverId, attachmentId, places: { volumeId, targetId, to, inPlace, newTypeId }, ...t.out.connect, provided: { ...t.out.make, ...(t.out.make.meta ? { meta: { ...t.out.make.meta } } : {}) } as { providerId?: string; meta?: Record<string, unknown> }, }, { queue: `host/${t.input.serverHost}`, lane: `swap/${attachmentId}`, resource: { type: 'server', id: serverId } });
  })
  .settles((trx, how, t) => settle(trx, how, t, { oldCopy: true, attached: true }));

async function both(t: Pick<Step, 'input' | 'transaction'>): Promise<{ source: VolumeRow; target: VolumeRow }> {
  const source = await t.transaction(trx => byId(trx, t.input.volumeId));
  const target = await t.transaction(trx => byId(trx, t.input.targetId));
  if (!source || !target) throw new DriverError('absent', `Volume ${t.input.volumeId} could not be found.`);
  return { source, target };
}
const underWay = (t: Step) => t.transaction(trx => trx('volumes').where({ id: t.input.volumeId, migration_task_id: t.taskId }).update({ migration_status: 'migrating' }));
/** The hidden row while it stands for the new copy. After the switch it is the old one, and the new one is the volume: nothing of it is taken back. */
const untouched = (t: Pick<Step, 'input' | 'transaction'>): Promise<VolumeRow | undefined> => t.transaction(async trx => (hasSwitched(await byId(trx, t.input.volumeId), t.input) ? undefined : byId(trx, t.input.targetId)));
async function removeTarget(t: Step): Promise<void> {
  const target = await untouched(t);
  if (target) await driverOf(t, target.host).volumes.delete(call(t), volumeRef(target));
}

async function settle(trx: Knex.Transaction, how: Outcome, t: TaskFacts & { readonly input: Moving; readonly deps: VolumeDeps }, o: { oldCopy: boolean; attached: boolean }): Promise<void> {
  const row = await byId(trx, t.input.volumeId);
  const moved = hasSwitched(row, t.input);
  await dropTarget(trx, t.deps.tasks, { targetId: t.input.targetId, taskId: t.taskId, oldCopy: o.oldCopy && moved, attached: o.attached });
  if (!row || row.migration_task_id !== t.taskId) return;
  await trx('volumes').where({ id: row.id }).update({ migration_status: moved ? 'success' : 'error', migration_task_id: null, ...(row.task_id === t.taskId || row.status === 'maintenance' ? { status: t.input.was, task_id: null, previous_status: null } : {}), updated_at: trx.fn.now() });
  await followAttachments(trx, row.id);
  if (how.state === 'failed' && !moved) await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME', id: row.id }, action: t.input.newTypeId === null ? 'migrate' : 'retype', detail: 'unknown', why: how.error?.message });
}
