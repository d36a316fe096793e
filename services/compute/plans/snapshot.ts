import { need } from '@cumulet/drivers';
import { plans } from '@cumulet/tasks';
import { createReadStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import type { StoredImage } from '@cumulet/image';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { callOf, plan, type ComputeDeps, type Step } from '../deps.ts';
import { devicesOf, faultOf, rest } from '../servers/store.ts';
import { vmStateOfPower } from '../servers/states.ts';
import { disconnectPlan } from '@cumulet/volume';
import { forServer, places, rowOf, show, spec, unplugAll, type ForServer } from './steps.ts';
import { completeVolumes, connectAll } from './volumes.ts';

const folder = (deps: ComputeDeps) => resolve(deps.settings.home, 'snapshots');
const file = (deps: ComputeDeps, imageId: string) => join(folder(deps), `${imageId}.qcow2`);

async function takeSnapshot(t: Step<ForServer>, imageId: string): Promise<void> {
  await mkdir(folder(t.deps), { recursive: true, mode: 0o700 });
  await need(t.deps.hypervisor, 'snapshot').rootDisk(callOf(t), t.input.serverId, file(t.deps, imageId), { format: 'qcow2', quiesce: 'try' });
}
const dropFile = (t: Step<ForServer>, imageId: string) => rm(file(t.deps, imageId), { force: true });
async function upload(t: Step<ForServer>, imageId: string): Promise<StoredImage> {
  const { size } = await stat(file(t.deps, imageId));
  return t.deps.access.put(callOf(t), imageId, createReadStream(file(t.deps, imageId)), { size });
}

/** createImage of a root disk that is the server's own. The image was made by the request and waits for its bytes. */
export const snapshotPlan = plan('server.snapshot', forServer.extend({ imageId: z.string(), prune: z.array(z.string()).default([]) }))
  .step('snapshot', async t => { await show(t, 'image_pending_upload'); await takeSnapshot(t, t.input.imageId); }, { undo: t => dropFile(t, t.input.imageId) })
  .step('upload', async t => { await show(t, 'image_uploading'); return upload(t, t.input.imageId); }, { undo: t => t.deps.access.discard(callOf(t), t.input.imageId) })
  .step('clean', t => dropFile(t, t.input.imageId))
  .settles(async (trx, how, t) => {
    await rest(trx, t.input.serverId, t.taskId, {});
    if (how.state !== 'done') return t.deps.images.fail(trx, t.input.imageId, t.taskId);
    await t.deps.images.finish(trx, t.input.imageId, t.taskId, t.out.upload as StoredImage);
    // Rotation: only once the new backup is whole do the oldest ones go.
    for (const old of t.input.prune) await t.deps.images.remove(trx, t.deps, old, { projectId: t.projectId ?? undefined, userId: t.userId ?? undefined, requestId: t.requestId ?? undefined });
  });

const shelveInput = forServer.extend({ imageId: z.string().nullable(), offload: z.boolean(), wasRunning: z.boolean() });

async function depart(t: Step<ForServer>): Promise<void> {
  await t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId);
  await unplugAll(t);
}
/** The volumes stay the server's, reserved, without a connection to any host. */
async function disconnectAll(t: Step<ForServer>): Promise<void> {
  for (const d of await devicesOf(t.deps.db, t.input.serverId)) {
    if (d.attachment_id === null || d.volume_id === null || d.connection === null) continue;
    await t.child(disconnectPlan, { attachmentId: d.attachment_id }, await t.deps.volumes.at(t.deps.db, d.volume_id));
    await t.deps.db('block_devices').where({ id: d.id }).update({ connection: null });
  }
}

/** Stopped, its disk in an image, and (at once or later) gone from the host with nothing left there. */
export const shelvePlan = plan('server.shelve', shelveInput)
  .step('stop', async t => { await t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId); }, {
    undo: async t => {
      if (t.input.wasRunning) await t.deps.hypervisor.servers.powerOn(callOf(t), await spec(t));
      await t.deps.db('servers').where({ id: t.input.serverId, task_id: t.taskId }).update({ power_state: await t.deps.hypervisor.servers.powerState(callOf(t), t.input.serverId) });
    },
  })
  .step('snapshot', async t => { if (t.input.imageId !== null) { await show(t, 'shelving_image_pending_upload'); await takeSnapshot(t, t.input.imageId); } }, { undo: async t => { if (t.input.imageId !== null) await dropFile(t, t.input.imageId); } })
  .step('upload', async t => {
    if (t.input.imageId === null) return null;
    await show(t, 'shelving_image_uploading');
    return upload(t, t.input.imageId);
  }, { undo: async t => { if (t.input.imageId !== null) await t.deps.access.discard(callOf(t), t.input.imageId); } })
  .step('clean', async t => { if (t.input.imageId !== null) await dropFile(t, t.input.imageId); })
  // From here on the image is the server: going back would lose nothing, but there is no need to.
  .step('offload', async t => { if (t.input.offload) { await show(t, 'shelving_offloading'); await depart(t); } }, { cancel: false, attempts: 20 })
  .step('disconnect', async t => { if (t.input.offload) await disconnectAll(t); }, { cancel: false, attempts: 20 })
  .settles(async (trx, how, t) => {
    const { serverId, imageId, offload } = t.input;
    if (imageId !== null) { if (how.state === 'done') await t.deps.images.finish(trx, imageId, t.taskId, t.out.upload as StoredImage); else await t.deps.images.fail(trx, imageId, t.taskId); }
    if (how.state !== 'done') {
      const row = await trx('servers').where({ id: serverId }).first('power_state') as { power_state: string } | undefined;
      await rest(trx, serverId, t.taskId, { vm_state: vmStateOfPower[row?.power_state ?? 'nostate'] ?? 'error', ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'Shelving failed.', t.deps.clock()) } : {}) });
      return;
    }
    if (!offload) { await rest(trx, serverId, t.taskId, { vm_state: 'shelved', power_state: 'shutdown', wanted_power: 'shutdown', shelved_image_id: imageId, shelved_at: trx.fn.now() }); return; }
    if (await rest(trx, serverId, t.taskId, { vm_state: 'shelved_offloaded', power_state: 'nostate', host: null, node: null, shelved_image_id: imageId, shelved_at: trx.fn.now() })) await trx('allocations').where({ server_id: serverId }).delete();
  });

/** What a shelved server still has on its host goes. */
export const offloadPlan = plan('server.shelve_offload', forServer).uncancellable()
  .step('offload', t => depart(t), { attempts: 20 })
  .step('disconnect', t => disconnectAll(t), { attempts: 20 })
  .settles(async (trx, how, t) => {
    const gone = how.state === 'done';
    const held = await rest(trx, t.input.serverId, t.taskId, gone ? { vm_state: 'shelved_offloaded', power_state: 'nostate', host: null, node: null } : { vm_state: 'shelved', fault: faultOf(how.error?.message ?? 'Offloading failed.', t.deps.clock()) });
    if (gone && held) await trx('allocations').where({ server_id: t.input.serverId }).delete();
  });

/** Back on a host, built from its image (or started where it stayed); afterwards the image is gone. */
export const unshelvePlan = plan('server.unshelve', forServer.extend({ offloaded: z.boolean() }))
  .step('bind', async t => {
    if (!t.input.offloaded) return;
    await show(t, 'spawning');
    await t.transaction(async trx => { for (const p of await trx('server_ports').where({ server_id: t.input.serverId })) await t.deps.networks.bind(trx, p.port_id, t.deps.host); });
  }, { undo: async t => { if (t.input.offloaded) await unplugAll(t); } })
  .step('connect', async t => { if (t.input.offloaded) await connectAll(t, { again: true }); })
  .step('image', async t => {
    const row = await rowOf(t);
    if (t.input.offloaded && row.shelved_image_id !== null) await t.deps.cache.fetch(callOf(t), row.system.base_image ?? row.image);
  })
  .step('plug', t => places(t))
  .step('domain', async t => {
    const built = await spec(t, t.out.plug);
    if (t.input.offloaded) await t.deps.hypervisor.servers.create(callOf(t), built); else await t.deps.hypervisor.servers.powerOn(callOf(t), built);
  }, { undo: async t => { if (t.input.offloaded) await t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId); else await t.deps.hypervisor.servers.powerOff(callOf(t), t.input.serverId, { timeoutSeconds: 0 }); } })
  .settles(async (trx, how, t) => {
    const { serverId, offloaded } = t.input;
    const row = await trx('servers').where({ id: serverId }).first('shelved_image_id', 'system') as { shelved_image_id: string | null; system: Record<string, unknown> } | undefined;
    if (how.state === 'done') {
      if (!await rest(trx, serverId, t.taskId, { vm_state: 'active', power_state: 'running', wanted_power: 'running', shelved_image_id: null, shelved_at: null, fault: null, launched_at: trx.fn.now() })) return;
      await completeVolumes(t.deps, trx, serverId, {});
      if (row?.shelved_image_id) await t.deps.images.remove(trx, t.deps, row.shelved_image_id, {});
      return;
    }
    const held = await rest(trx, serverId, t.taskId, offloaded
      ? { vm_state: 'shelved_offloaded', host: null, node: null, power_state: 'nostate', system: trx.raw(`system - 'base_image' || coalesce(system -> 'former_base', '{}')`), ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'Unshelving failed.', t.deps.clock()) } : {}) }
      : { vm_state: 'shelved', power_state: 'shutdown', ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'Unshelving failed.', t.deps.clock()) } : {}) });
    if (held && offloaded) await trx('allocations').where({ server_id: serverId }).delete();
  });
export const snapshotPlans = plans(snapshotPlan, shelvePlan, offloadPlan, unshelvePlan);
