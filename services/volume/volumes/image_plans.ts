import { need } from '@cumulet/drivers';
import { bytesOfVolume, copyContent, type Provided, type VolumeSpec } from '@cumulet/drivers/block';
import { images, type StoredImage } from '@cumulet/image';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Run } from '@cumulet/tasks';
import { bench, call, driverOf, plan, type VolumeDeps } from '../deps.ts';
import { imageOfVolume, volumeOfImage } from '../image_files.ts';
import { volumeRef, volumeSpec } from '../refs.ts';
import { keyOf, settleVolume, volumeOf } from './plans.ts';
import { byId, type VolumeRow } from './store.ts';

const was = z.enum(['available', 'in-use', 'error', 'reserved']);
const scratchFile = (t: { taskId: string; deps: { scratch: string } }) => join(t.deps.scratch, `${t.taskId}.image`);

/** Writes a volume's content into an image that is waiting for it. */
export const uploadImagePlan = plan('volume.upload_image', z.object({ volumeId: z.string(), imageId: z.string(), format: z.enum(['raw', 'vmdk', 'vdi', 'qcow2', 'vhd', 'vhdx']), was }))
  .step('export', async t => {
    const row = await volumeOf(t, t.input.volumeId);
    const driver = driverOf(t, row.host);
    // Raw bytes go straight through; any other format is made as a file first.
    if (t.input.format === 'raw') return;
    await rm(scratchFile(t), { force: true });
    await imageOfVolume(call(t), driver, volumeRef(row), { path: scratchFile(t), format: t.input.format }, bench(t));
  }, { undo: async t => { await rm(scratchFile(t), { force: true }); } })
  .step('upload', async (t): Promise<StoredImage> => {
    const row = await volumeOf(t, t.input.volumeId);
    if (t.input.format === 'raw') return t.deps.images.put(call(t), t.input.imageId, await driverOf(t, row.host).data.read(call(t), volumeRef(row)), { size: bytesOfVolume(volumeRef(row)) });
    const { size } = await stat(scratchFile(t));
    return t.deps.images.put(call(t), t.input.imageId, createReadStream(scratchFile(t)), { size });
  }, { undo: async t => { await t.deps.images.discard(call(t), t.input.imageId); } })
  .step('clean', async t => { await rm(scratchFile(t), { force: true }); })
  .settles(async (trx, how, t) => {
    if (how.state === 'done' && t.out.upload) await images.finish(trx, t.input.imageId, t.taskId, t.out.upload);
    else await images.fail(trx, t.input.imageId, t.taskId);
    await settleVolume(trx, how, t, { id: t.input.volumeId, from: ['uploading'], done: t.input.was, failed: t.input.was, action: 'copyToImage', detail: 'failedUpload', set: { previous_status: null }, setFailed: { previous_status: null } });
  });

/** The image beside the volume, in clear: that is what it is in the image service too. */
const fresh = (t: { taskId: string }, row: VolumeRow): VolumeSpec => { const { luks: _, ...spec } = volumeSpec(row); return { ...spec, name: `volume-${t.taskId}` }; };

interface OverStep { readonly volumeId: string; readonly imageId: string }
async function fetch(t: Run<OverStep, unknown, VolumeDeps>): Promise<Provided> {
  const row = await volumeOf(t, t.input.volumeId);
  const image = await t.deps.images.localCopy(call(t), t.input.imageId, t.deps.imageCache);
  return volumeOfImage(call(t), driverOf(t, row.host), fresh(t, row), { path: image.path, format: image.format }, bench(t));
}
async function unfetch(t: Run<OverStep, unknown, VolumeDeps>): Promise<void> {
  const row = await t.transaction(trx => byId(trx, t.input.volumeId));
  if (row?.host) await driverOf(t, row.host).volumes.delete(call(t), fresh(t, row));
}
async function write(t: Run<OverStep, { fetch: Provided }, VolumeDeps>): Promise<void> {
  const row = await volumeOf(t, t.input.volumeId);
  const driver = driverOf(t, row.host);
  const from = { ...fresh(t, row), ...t.out.fetch };
  if (row.encryption_key_id === null) return copyContent(call(t), { driver, ref: from }, { driver, volume: volumeRef(row) });
  const key = await keyOf(t, row);
  await copyContent(call(t), { driver: { data: { read: driver.data.read } }, ref: from }, { driver: { data: need(driver, 'encryption').data(key) }, volume: volumeRef(row) });
}
async function clean(t: Run<OverStep, { fetch: Provided }, VolumeDeps>): Promise<void> {
  const row = await volumeOf(t, t.input.volumeId);
  await driverOf(t, row.host).volumes.delete(call(t), { ...fresh(t, row), ...t.out.fetch });
}

/**
 * The same for a server's root volume while compute rebuilds the server (nova 2.93): a child of that task, which holds the server. The volume stays
 * in-use and attached; its lane keeps everybody else away from it.
 */
export const reimageForServerPlan = plan('volume.reimage_for_server', z.object({ volumeId: z.string(), imageId: z.string(), metadata: z.record(z.string(), z.string()) }))
  .step('fetch', fetch, { undo: unfetch }).step('write', write, { cancel: false }).step('clean', clean, { cancel: false })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') await trx('volumes').where({ id: t.input.volumeId }).update({ image_metadata: JSON.stringify(t.input.metadata), bootable: true, updated_at: trx.fn.now() });
  });

/** Puts an image over a volume's content (3.68). The image becomes a volume beside it first, so that a refused image harms nothing. */
export const reimagePlan = plan('volume.reimage', z.object({ volumeId: z.string(), imageId: z.string(), was, metadata: z.record(z.string(), z.string()) }))
  .step('fetch', fetch, { undo: unfetch }).step('write', write, { cancel: false }).step('clean', clean, { cancel: false })
  .settles(async (trx, how, t) => {
    // Once writing has begun the old content is gone: only then is a failure the volume's own error.
    const touched = t.out.fetch !== undefined;
    await settleVolume(trx, how, t, {
      id: t.input.volumeId, from: ['downloading'], done: t.input.was === 'error' ? 'available' : t.input.was, failed: touched ? 'error' : t.input.was, action: 'reimage', detail: 'imageTooBig',
      set: { previous_status: null, image_metadata: t.input.metadata, bootable: true }, setFailed: { previous_status: null },
    });
  });
