import { need } from '@cumulet/drivers';
import { disconnectPlan } from '@cumulet/volume';
import { plans } from '@cumulet/tasks';
import { z } from 'zod';
import { callOf, plan } from '../deps.ts';
import type { BlockDevice, ServerRow } from '../servers/row.ts';
import { volumeDisk } from '../servers/spec.ts';
import { dropPorts } from './create.ts';
import { forServer } from './steps.ts';
import { connectOne, letGoPlan } from './volumes.ts';

const forDevice = forServer.extend({ deviceId: z.string() });
const deviceRow = async (t: { deps: { db: import('@cumulet/db').Db }; input: { deviceId: string } }): Promise<BlockDevice> => {
  const row: BlockDevice | undefined = await t.deps.db('block_devices').where({ id: t.input.deviceId }).first();
  if (!row) throw Object.assign(new Error('The volume is no longer the server\'s.'), { kind: 'absent' });
  return row;
};

/** The server rests meanwhile, as in Nova: the volume is what is being attached. */
export const attachVolumePlan = plan('server.attach_volume', forDevice)
  .step('connect', async t => { const d = await deviceRow(t); if (d.connection === null) await connectOne(t, d); })
  .step('attach', async t => {
    const d = await deviceRow(t);
    const facts = await t.deps.volumes.find(t.deps.db, { projectId: undefined, userId: '', admin: true }, d.volume_id as string);
    const { device } = await need(t.deps.hypervisor, 'volumes').attach(callOf(t), t.input.serverId, volumeDisk(d, { multiattach: facts.multiattach, qos: facts.qos }));
    return device;
  }, { undo: async t => { const d = await deviceRow(t); await t.deps.hypervisor.volumes?.detach(callOf(t), t.input.serverId, d.volume_id as string); } })
  .settles(async (trx, how, t) => {
    const d: BlockDevice | undefined = await trx('block_devices').where({ id: t.input.deviceId }).first();
    if (!d || d.attachment_id === null || d.volume_id === null) return;
    if (how.state === 'done') {
      const device = `/dev/${t.out.attach}`;
      await t.deps.volumes.complete(trx, d.attachment_id, { device });
      await trx('block_devices').where({ id: d.id }).update({ device_name: device });
      return;
    }
    await trx('block_devices').where({ id: d.id }).delete();
    await t.deps.tasks.enqueue(trx, letGoPlan, { attachmentId: d.attachment_id, volumeId: d.volume_id, remove: false }, { resource: { type: 'server', id: t.input.serverId }, lane: `let-go/${d.attachment_id}`, dedupe: `let-go/${d.attachment_id}`, by: { projectId: t.projectId ?? undefined, userId: t.userId ?? undefined, requestId: t.requestId ?? undefined } });
  });

export const detachVolumePlan = plan('server.detach_volume', forDevice.extend({ /** It is on no host. */ offloaded: z.boolean() })).uncancellable()
  .step('detach', async t => { const d = await deviceRow(t); if (!t.input.offloaded) await need(t.deps.hypervisor, 'volumes').detach(callOf(t), t.input.serverId, d.volume_id as string); })
  .step('disconnect', async t => { const d = await deviceRow(t); await t.child(disconnectPlan, { attachmentId: d.attachment_id as string }, await t.deps.volumes.at(t.deps.db, d.volume_id as string)); })
  .settles(async (trx, how, t) => {
    const d: BlockDevice | undefined = await trx('block_devices').where({ id: t.input.deviceId }).first();
    if (!d || d.attachment_id === null) return;
    if (how.state !== 'done') { await t.deps.volumes.rollDetach(trx, d.attachment_id); return; }
    await t.deps.volumes.release(trx, d.attachment_id);
    if (d.delete_on_termination && d.volume_id !== null) await t.deps.volumes.deleteFor(trx, t.deps.tasks, { projectId: t.projectId ?? undefined, userId: t.userId ?? undefined, requestId: t.requestId ?? undefined }, d.volume_id);
    await trx('block_devices').where({ id: d.id }).delete();
  });

const forPort = forServer.extend({ portId: z.string() });
export const attachPortPlan = plan('server.attach_interface', forPort)
  .step('plug', t => t.deps.networks.plug(callOf(t), t.input.portId), { undo: t => t.deps.networks.unplug(callOf(t), t.input.portId) })
  .step('attach', async t => {
    const port = (await t.deps.networks.ports(t.deps.db, [t.input.portId])).get(t.input.portId);
    if (!port) throw Object.assign(new Error('The port is gone.'), { kind: 'absent' });
    const row: ServerRow = await t.deps.db('servers').where({ id: t.input.serverId }).first();
    const model = row.image.properties?.['hw_vif_model'];
    await need(t.deps.hypervisor, 'nics').attach(callOf(t), t.input.serverId, { portId: port.id, mac: port.mac_address, ...t.out.plug, ...(model === undefined ? {} : { model }) });
  }, { undo: async t => { const port = (await t.deps.networks.ports(t.deps.db, [t.input.portId])).get(t.input.portId); if (port) await t.deps.hypervisor.nics?.detach(callOf(t), t.input.serverId, port.mac_address); } })
  .settles(async (trx, how, t) => { if (how.state !== 'done') await dropPorts(t.deps, trx, t.input.serverId, t.input.portId); });

export const detachPortPlan = plan('server.detach_interface', forPort).uncancellable()
  .step('detach', async t => { const port = (await t.deps.networks.ports(t.deps.db, [t.input.portId])).get(t.input.portId); if (port) await need(t.deps.hypervisor, 'nics').detach(callOf(t), t.input.serverId, port.mac_address); })
  .step('unplug', t => t.deps.networks.unplug(callOf(t), t.input.portId))
  .settles(async (trx, how, t) => { if (how.state === 'done') await dropPorts(t.deps, trx, t.input.serverId, t.input.portId); });
export const plugPlans = plans(attachVolumePlan, detachVolumePlan, attachPortPlan, detachPortPlan);
