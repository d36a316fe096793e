import { expect } from 'vitest';
import { proving } from '../proving.ts';
import { cloneToImagePlan } from './image_volumes.ts';

const p = proving();

p.proof(cloneToImagePlan, async () => {
  const { rt } = p.cloud.t;
  Object.assign(rt.settings.volume, { imageUploadStore: 'volumes' });
  const id = await p.cloud.volume();
  await p.cloud.demo('POST', `/v3/volumes/${id}/action`, { 'os-volume_upload_image': { image_name: 'i' } }, '3.1');
  const images = () => rt.db('images').select('id', 'status', 'size', 'locations') as Promise<{ id: string; status: string; size: number | null; locations: { url: string }[] }[]>;
  return {
    taskId: await p.taskOf('volume', id),
    async done() {
      expect(await p.cloud.show(id)).toMatchObject({ status: 'available' });
      const [image] = await images();
      const clone = await rt.db('volumes').whereNot({ id }).first() as { id: string; status: string; metadata: Record<string, string> };
      expect(clone).toMatchObject({ status: 'available', metadata: { glance_image_id: image?.id, image_size: String(2 ** 30) } });
      expect(image).toMatchObject({ status: 'active', size: 2 ** 30, locations: [{ url: `cinder://volumes/${clone.id}` }] });
      expect(p.held().toSorted()).toEqual([`volume-${id}`, `volume-${clone.id}`].toSorted());
    },
    async clean() {
      expect(await p.cloud.show(id)).toMatchObject({ status: 'available' });
      expect((await images()).filter(i => ['active', 'saving'].includes(i.status))).toEqual([]);
      expect(await rt.db('volumes').whereNot({ id })).toEqual([]);
      expect(p.held()).toEqual([`volume-${id}`]);
    },
  };
});
