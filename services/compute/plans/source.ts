import { plans } from '@cumulet/tasks';
import { disconnectPlan } from '@cumulet/volume';
import type { Knex } from 'knex';
import { z } from 'zod';
import { callOf, plan, type ComputeDeps, type Step } from '../deps.ts';
import { hostQueue } from '../servers/row.ts';
import { devicesOf, portsOf } from '../servers/store.ts';
import { forServer, type ForServer } from './steps.ts';

/** Task that a host other than the server's own runs for it. */
export const at = (host: string, id: string, what: string) => ({ queue: hostQueue(host), lane: `${what}/${id}`, resource: { type: 'server-host', id } });

const leftHost = z.object({
  /** Its folder is also that of the host to which it has gone: only the domain is this host's. */
  shared: z.boolean(),
  /** As they were when it left: the rows may be gone by now. */
  ports: z.array(z.string()).default([]),
  attachments: z.array(z.object({ id: z.string(), volumeId: z.string() })).default([]),
  connector: z.string().optional(),
});

/** The guest stops, and its disks can travel. On shared storage a copy is kept for the way back. */
export const standStillPlan = plan('server.stand_still', forServer.extend({ shared: z.boolean() })).uncancellable()
  .step('domain', t => t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId))
  .step('copy', async t => { if (t.input.shared) await t.deps.hypervisor.resize?.keep(callOf(t), t.input.serverId); });

/** Whatever a host still has of a server that is elsewhere, or nowhere, goes. */
export const standDownPlan = plan('server.stand_down', forServer.extend(leftHost.shape)).uncancellable()
  .step('domain', t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId, { elsewhere: t.input.shared }), { attempts: 20 })
  .step('unplug', async t => { for (const port of t.input.ports) await t.deps.networks.unplug(callOf(t), port); }, { attempts: 20 })
  .step('disconnect', async t => {
    const { connector: host, serverId } = t.input;
    if (host === undefined) return;
    for (const a of t.input.attachments) await t.child(disconnectPlan, { attachmentId: a.id, connector: { host, instance: serverId } }, await t.deps.volumes.at(t.deps.db, a.volumeId));
  }, { attempts: 20 });

/** What `standDownPlan` has to know, from the rows as they are. */
export async function leftBehind(trx: Knex.Transaction | ComputeDeps['db'], serverId: string, shared: boolean, connector?: string) {
  const devices = await devicesOf(trx, serverId);
  return {
    serverId, shared, ports: (await portsOf(trx, serverId)).map(p => p.port_id),
    ...(connector === undefined ? {} : { connector, attachments: devices.flatMap(d => (d.attachment_id === null || d.volume_id === null ? [] : [{ id: d.attachment_id, volumeId: d.volume_id }])) }),
  };
}

export const bindTo = async (deps: Pick<ComputeDeps, 'networks'>, trx: Knex.Transaction, serverId: string, host: string): Promise<void> => {
  for (const { port_id } of await portsOf(trx, serverId)) await deps.networks.bind(trx, port_id, host);
};
/** The undo of a binding: theirs again, and no filter of it is left here (a change of a security group may have made one). */
export async function unbind(t: Step<ForServer>, from: string): Promise<void> {
  await t.transaction(trx => bindTo(t.deps, trx, t.input.serverId, from));
  for (const { port_id } of await portsOf(t.deps.db, t.input.serverId)) await t.deps.networks.unplug(callOf(t), port_id);
}
/** Connections are of one host: those that there are go, whoever has them. A volume that is gone, or was never connected, is no obstacle. */
export async function disconnectVolumes(t: Step<ForServer>): Promise<void> {
  for (const d of await devicesOf(t.deps.db, t.input.serverId)) {
    if (d.attachment_id === null || d.volume_id === null || d.connection === null) continue;
    await t.child(disconnectPlan, { attachmentId: d.attachment_id }, await t.deps.volumes.at(t.deps.db, d.volume_id));
    await t.deps.db('block_devices').where({ id: d.id }).update({ connection: null });
  }
}
export const migrated = (trx: Knex.Transaction, num: number, status: string): PromiseLike<number> => trx('server_migrations').where({ num }).update({ status, updated_at: trx.fn.now() });
export const sourcePlans = plans(standStillPlan, standDownPlan);
