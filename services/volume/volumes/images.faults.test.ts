import { expect, test } from 'vitest';
import { proving } from '../proving.ts';
import { transaction } from '@cumulet/db';
import { reimageForServerPlan, reimagePlan, uploadImagePlan } from './image_plans.ts';
import { laneOfVolume, queueOf } from './store.ts';

const p = proving();
const images = () => p.cloud.t.rt.db('images').select('id', 'status', 'size', 'disk_format') as Promise<{ id: string; status: string; size: number | null; disk_format: string }[]>;
/** An image, made of a volume. */
async function image(): Promise<string> {
  const id = await p.cloud.volume();
  const made = (await p.cloud.demo('POST', `/v3/volumes/${id}/action`, { 'os-volume_upload_image': { image_name: 'made' } }, '3.1')).body['os-volume_upload_image'];
  await p.cloud.t.drain();
  await p.cloud.demo('DELETE', `/v3/volumes/${id}`);
  await p.cloud.t.drain();
  return made.image_id as string;
}

p.proof(uploadImagePlan, async () => {
  const id = await p.cloud.volume();
  await p.cloud.demo('POST', `/v3/volumes/${id}/action`, { 'os-volume_upload_image': { image_name: 'i' } }, '3.1');
  return {
    taskId: await p.taskOf('volume', id),
    done: async () => { expect(await p.cloud.show(id)).toMatchObject({ status: 'available' }); expect(await images()).toMatchObject([{ status: 'active', size: 2 ** 30 }]); },
    // The image that could not be made is gone or queued, never half of something.
    clean: async () => { expect(await p.cloud.show(id)).toMatchObject({ status: 'available' }); expect((await images()).filter(i => ['active', 'saving', 'uploading', 'importing'].includes(i.status))).toEqual([]); },
  };
});
p.proof(reimagePlan, async () => {
  const imageId = await image();
  const id = await p.cloud.volume();
  expect((await p.cloud.demo('POST', `/v3/volumes/${id}/action`, { 'os-reimage': { image_id: imageId } }, '3.68')).status).toBe(202);
  return {
    taskId: await p.taskOf('volume', id),
    done: async () => { expect(await p.cloud.show(id)).toMatchObject({ status: 'available', bootable: 'true', volume_image_metadata: { image_id: imageId } }); expect(p.held()).toEqual([`volume-${id}`]); },
    clean: async () => { expect(['available', 'error']).toContain((await p.cloud.show(id))['status']); expect(p.held()).toEqual([`volume-${id}`]); },
  };
});

p.proof(reimageForServerPlan, async () => {
  const imageId = await image();
  const id = await p.cloud.volume();
  const { rt } = p.cloud.t;
  const volume = await rt.db('volumes').where({ id }).first('host') as { host: string };
  const taskId = await transaction(rt.db, trx => rt.tasks.enqueue(trx, reimageForServerPlan, { volumeId: id, imageId, metadata: { image_id: imageId } }, { queue: queueOf(volume.host), lane: laneOfVolume(id), resource: { type: 'volume', id } }));
  return {
    taskId,
    done: async () => { expect(await p.cloud.show(id)).toMatchObject({ bootable: 'true', volume_image_metadata: { image_id: imageId } }); expect(p.held()).toEqual([`volume-${id}`]); },
    clean: async () => { expect(await p.cloud.show(id)).toMatchObject({ status: 'available' }); expect(p.held()).toEqual([`volume-${id}`]); },
  };
});

test('a reimage brings the image\'s bytes, a refused one harms nothing', async () => {
  const imageId = await image();
  const small = await p.cloud.volume({ size: 1 });
  const version = '3.68';
  expect((await p.cloud.demo('POST', `/v3/volumes/${small}/action`, { 'os-reimage': { image_id: imageId } }, '3.67')).status).toBe(404);
  expect((await p.cloud.demo('POST', `/v3/volumes/${small}/action`, { 'os-reimage': { image_id: 'nothing' } }, version)).status).toBe(400);
  expect((await p.cloud.other('POST', `/v3/volumes/${small}/action`, { 'os-reimage': { image_id: imageId } }, version)).status).toBe(404);
  // Reserved for a server: with the flag, as compute's rebuild asks.
  await p.cloud.demo('POST', '/v3/attachments', { attachment: { volume_uuid: small } }, '3.54');
  expect((await p.cloud.demo('POST', `/v3/volumes/${small}/action`, { 'os-reimage': { image_id: imageId } }, version)).status).toBe(400);
  expect((await p.cloud.demo('POST', `/v3/volumes/${small}/action`, { 'os-reimage': { image_id: imageId, reimage_reserved: true } }, version)).status).toBe(202);
  expect(await p.cloud.show(small)).toMatchObject({ status: 'downloading' });
  await p.cloud.t.drain();
  expect(await p.cloud.show(small)).toMatchObject({ status: 'reserved', bootable: 'true' });
});
test('an image is named by id, URL or name; one of a volume-backed server stands for its boot snapshot (3.46)', async () => {
  const imageId = await image();
  const make = (imageRef: string, version = '3.70') => p.cloud.demo('POST', '/v3/volumes', { volume: { size: 1, imageRef } }, version);
  for (const ref of [imageId, `http://image/v2/images/${imageId}`, 'made']) expect((await make(ref)).status, ref).toBe(202);
  expect((await make('not made')).status).toBe(400);
  expect((await p.cloud.other('POST', '/v3/volumes', { volume: { size: 1, imageRef: 'made' } })).status).toBe(400);
  await image();
  expect((await make('made')).status).toBe(409);
  const id = await p.cloud.volume();
  const { snapshot } = (await p.cloud.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body;
  await p.cloud.t.drain();
  await p.cloud.t.rt.db('images').where({ id: imageId }).update({ properties: JSON.stringify({ block_device_mapping: JSON.stringify([{ source_type: 'snapshot', boot_index: 0, snapshot_id: snapshot.id }]) }) });
  expect((await make(imageId, '3.46')).body.volume).toMatchObject({ snapshot_id: snapshot.id });
  expect((await make(imageId, '3.45')).body.volume).toMatchObject({ snapshot_id: null });
});
