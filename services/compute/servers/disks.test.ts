import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as, callers } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing/cloud.ts';

let c: TestCloud;
let image: string;
let snapshot: string;
const project = callers.demo.projectId as string;
const cinder = (...args: Parameters<ReturnType<typeof as>>) => as(c.volumes, 'demo', 'volume')(...args);
beforeAll(async () => {
  c = await testCloud();
  await c.t.rt.db('quotas').insert(['instances', 'cores', 'ram'].map(resource => ({ service: 'compute', project_id: project, resource, hard_limit: -1 })).concat(['volumes', 'gigabytes', 'snapshots'].map(resource => ({ service: 'volume', project_id: project, resource, hard_limit: -1 }))));
  image = await c.image({ properties: { hw_disk_bus: 'virtio' } });
  await c.call('admin')('POST', '/v2.1/flavors', { flavor: { id: 'eph', name: 'eph', ram: 64, vcpus: 1, disk: 1, 'OS-FLV-EXT-DATA:ephemeral': 2, swap: 64 } });
  const id = await bootable();
  snapshot = (await cinder('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id;
  await c.t.drain();
}, 60_000);
afterAll(() => c.close());
async function bootable(): Promise<string> {
  await c.beat();
  const { id } = (await cinder('POST', '/v3/volumes', { volume: { size: 1, imageRef: image } })).body.volume;
  await c.t.drain();
  return id as string;
}
async function blank(): Promise<string> {
  const { id } = (await cinder('POST', '/v3/volumes', { volume: { size: 1 } })).body.volume;
  await c.t.drain();
  return id as string;
}
const boot = async (body: object, version = '2.93') => { await c.beat(); return c.call()('POST', '/v2.1/servers', { server: { name: 'b', flavorRef: 'nano', networks: 'none', ...body } }, version); };
const volumesOf = async (id: string) => (await c.call()('GET', `/v2.1/servers/${id}/os-volume_attachments`, undefined, '2.93')).body.volumeAttachments as { volumeId: string; device: string; delete_on_termination: boolean; tag: string | null }[];
const statusOf = async (volume: string) => { const { status, body } = await cinder('GET', `/v3/volumes/${volume}`); return status === 404 ? 'gone' : body.volume.status as string; };
async function running(answer: Awaited<ReturnType<typeof boot>>): Promise<string> {
  if (answer.status !== 202) throw new Error(JSON.stringify(answer.body));
  await c.t.drain();
  const server = await c.show(answer.body.server.id);
  if (server.status !== 'ACTIVE') throw new Error(JSON.stringify(server.fault));
  return server.id as string;
}
async function gone(id: string): Promise<void> { await c.call()('DELETE', `/v2.1/servers/${id}`); await c.t.drain(); expect((await c.call()('GET', `/v2.1/servers/${id}`)).status).toBe(404); }

describe('from each source to each destination', () => {
  test('image to a new root volume, which goes with the server', async () => {
    const id = await running(await boot({ block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: image, destination_type: 'volume', volume_size: 1, delete_on_termination: true }] }));
    const [root] = await volumesOf(id);
    expect(root).toMatchObject({ device: '/dev/vda', delete_on_termination: true });
    expect(await c.show(id, 'demo', '2.93')).toMatchObject({ image: '' });
    expect((await cinder('GET', `/v3/volumes/${root?.volumeId}`)).body.volume).toMatchObject({ status: 'in-use', size: 1, bootable: 'true', attachments: [{ server_id: id }] });
    await gone(id);
    expect(await statusOf(root?.volumeId as string)).toBe('gone');
  });
  test('a volume, which stays', async () => {
    const volume = await bootable();
    const id = await running(await boot({ block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: volume, destination_type: 'volume' }] }));
    expect(await statusOf(volume)).toBe('in-use');
    await gone(id);
    expect(await statusOf(volume)).toBe('available');
  });
  test('a snapshot to a new root volume', async () => {
    const id = await running(await boot({ block_device_mapping_v2: [{ boot_index: 0, source_type: 'snapshot', uuid: snapshot, destination_type: 'volume', delete_on_termination: true }] }));
    const [root] = await volumesOf(id);
    expect((await cinder('GET', `/v3/volumes/${root?.volumeId}`)).body.volume).toMatchObject({ snapshot_id: snapshot, size: 1 });
    await gone(id);
    expect(await statusOf(root?.volumeId as string)).toBe('gone');
  });
  test('image to local with blank volumes, a given one and one more image beside it', async () => {
    const extra = await blank();
    const id = await running(await boot({
      imageRef: image, block_device_mapping_v2: [
        { boot_index: 0, source_type: 'image', uuid: image, destination_type: 'local', delete_on_termination: true }, { boot_index: -1, source_type: 'blank', destination_type: 'volume', volume_size: 2, tag: 'scratch', delete_on_termination: true },
        { boot_index: -1, source_type: 'volume', uuid: extra, destination_type: 'volume', tag: 'data' }, { boot_index: -1, source_type: 'image', uuid: image, destination_type: 'volume', volume_size: 1, delete_on_termination: false },
      ],
    }));
    const volumes = await volumesOf(id);
    expect(volumes.map(v => [v.tag, v.delete_on_termination]).toSorted()).toEqual([[null, false], ['data', false], ['scratch', true]].toSorted());
    expect(new Set(volumes.map(v => v.device)).size).toBe(3);
    await gone(id);
    expect(await Promise.all(volumes.map(v => statusOf(v.volumeId)))).toEqual(volumes.map(v => (v.tag === 'scratch' ? 'gone' : 'available')));
  });
  test('ephemeral disks and swap, within what the flavor has', async () => {
    const disks = (...more: object[]) => boot({ flavorRef: 'eph', imageRef: image, block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: image, destination_type: 'local' }, ...more] });
    await gone(await running(await disks({ boot_index: -1, source_type: 'blank', destination_type: 'local', guest_format: 'ext4', volume_size: 1 }, { boot_index: -1, source_type: 'blank', destination_type: 'local', guest_format: 'swap', volume_size: 32 })));
    expect((await disks({ boot_index: -1, source_type: 'blank', destination_type: 'local', volume_size: 3 })).body.badRequest.message).toMatch(/^Block Device Mapping is Invalid: Ephemeral disks requested are larger/);
    expect((await disks({ boot_index: -1, source_type: 'blank', destination_type: 'local', guest_format: 'swap', volume_size: 65 })).body.badRequest.message).toMatch(/^Block Device Mapping is Invalid: Swap drive requested is larger/);
  });
  test('the first form of mappings', async () => {
    const volume = await bootable();
    const id = await running(await boot({ block_device_mapping: [{ volume_id: volume, device_name: 'vda' }], networks: undefined }, '2.1'));
    expect(await volumesOf(id)).toMatchObject([{ volumeId: volume }]);
    await gone(id);
    const other = await running(await boot({ block_device_mapping: [{ snapshot_id: snapshot, device_name: '/dev/vda', delete_on_termination: '1' }], networks: undefined }, '2.1'));
    const [made] = await volumesOf(other);
    await gone(other);
    expect(await statusOf(made?.volumeId as string)).toBe('gone');
  });
});

describe('what is refused', () => {
  const volume = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
  const cases: [string, object, RegExp][] = [
    ['a volume that is not there', { block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: volume, destination_type: 'volume' }] }, /^Block Device Mapping is Invalid: failed to get volume/],
    ['a snapshot that is not there', { block_device_mapping_v2: [{ boot_index: 0, source_type: 'snapshot', uuid: volume, destination_type: 'volume' }] }, /^Block Device Mapping is Invalid: failed to get snapshot/],
    ['an image that is not there', { block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: volume, destination_type: 'volume', volume_size: 1 }] }, /^Block Device Mapping is Invalid: failed to get image/],
    ['volume to local', { block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: volume, destination_type: 'local' }] }, /^Block Device Mapping is Invalid/],
    ['an image to a volume without a size', { block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: volume, destination_type: 'volume' }] }, /need to have a non-zero size specified/],
    ['a blank volume without a size', { imageRef: 'IMAGE', block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: 'IMAGE', destination_type: 'local' }, { boot_index: -1, source_type: 'blank', destination_type: 'volume' }] }, /need to have non-zero size/],
    ['no disk to boot from', { block_device_mapping_v2: [{ boot_index: -1, source_type: 'blank', destination_type: 'volume', volume_size: 1 }] }, /Boot sequence/],
    ['two disks of one name', { imageRef: 'IMAGE', block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: 'IMAGE', destination_type: 'local' }, { boot_index: -1, source_type: 'blank', destination_type: 'volume', volume_size: 1, device_name: '/dev/vdb' }, { boot_index: -1, source_type: 'blank', destination_type: 'volume', volume_size: 1, device_name: '/dev/vdb' }] }, /same device name/],
    ['both forms at once', { imageRef: 'IMAGE', block_device_mapping: [{ volume_id: volume, device_name: 'vdb' }], block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: 'IMAGE', destination_type: 'local' }] }, /different block_device_mapping syntaxes/],
    ['no image and no disk', {}, /Invalid imageRef provided/],
    ['the type of a local disk', { imageRef: 'IMAGE', block_device_mapping_v2: [{ boot_index: 0, source_type: 'image', uuid: 'IMAGE', destination_type: 'local', volume_type: '__DEFAULT__' }] }, /volume_type with destination_type=local/],
  ];
  test.each(cases)('%s', async (_, body, words) => {
    const answer = await boot(JSON.parse(JSON.stringify(body).replaceAll('IMAGE', image)) as object);
    expect([answer.status, answer.body.badRequest?.message]).toEqual([400, expect.stringMatching(words)]);
  });
  test('one volume for two servers, and a volume that has no system', async () => {
    const mine = await bootable();
    expect((await boot({ min_count: 2, max_count: 2, block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: mine, destination_type: 'volume' }] })).body.badRequest.message).toBe('Cannot attach one or more volumes to multiple instances');
    const empty = await blank();
    expect((await boot({ block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: empty, destination_type: 'volume' }] })).body.badRequest.message).toBe(`Block Device Mapping is Invalid: Volume ${empty} is not bootable.`);
    // Nothing of what was refused holds a volume.
    expect([await statusOf(mine), await statusOf(empty)]).toEqual(['available', 'available']);
  });
});

describe('a server that boots from a volume is rebuilt (2.93)', () => {
  test('with another image, over the same volume', async () => {
    const volume = await bootable();
    const id = await running(await boot({ block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: volume, destination_type: 'volume' }] }));
    const other = await c.image({ name: 'other', properties: { os_distro: 'debian' } });
    expect(await c.act(id, { rebuild: { imageRef: other } }, { version: '2.92' })).toMatchObject({ status: 400, body: { badRequest: { message: 'Unable to rebuild with a different image for a volume-backed server.' } } });
    expect((await c.act(id, { rebuild: { imageRef: other } }, { version: '2.93' })).status).toBe(202);
    expect(await c.show(id)).toMatchObject({ status: 'REBUILD' });
    await c.t.drain();
    expect(await c.show(id, 'demo', '2.98')).toMatchObject({ status: 'ACTIVE', image: '' });
    expect(await volumesOf(id)).toMatchObject([{ volumeId: volume }]);
    expect((await cinder('GET', `/v3/volumes/${volume}`)).body.volume).toMatchObject({ status: 'in-use', volume_image_metadata: { image_id: other, os_distro: 'debian' } });
    await gone(id);
    expect(await statusOf(volume)).toBe('available');
  });
  test('not with one that is larger than the volume', async () => {
    const volume = await bootable();
    const id = await running(await boot({ block_device_mapping_v2: [{ boot_index: 0, source_type: 'volume', uuid: volume, destination_type: 'volume' }] }));
    const large = (await as(c.images, 'admin')('POST', '/v2/images', { name: 'large', disk_format: 'raw', container_format: 'bare', visibility: 'public', min_disk: 5 })).body.id as string;
    await as(c.images, 'admin')('PUT', `/v2/images/${large}/file`, Buffer.alloc(1024), undefined, { 'content-type': 'application/octet-stream' });
    expect((await c.act(id, { rebuild: { imageRef: large } }, { version: '2.93' })).status).toBe(400);
    expect(await c.show(id)).toMatchObject({ status: 'ACTIVE' });
    await gone(id);
  });
});
