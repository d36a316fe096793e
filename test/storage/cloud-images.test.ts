import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSwift } from '../../packages/drivers/swift/index.ts';
import { plainCall } from '../../packages/drivers/index.ts';
import { glance, glanced, shown } from '../clients/glance.ts';
import { json } from '../clients/said.ts';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { eventually } from '../harness/processes.ts';
import { startCeph, type RealCeph } from './ceph.ts';
import { startSwift, type RealSwift } from './swift.ts';

// A whole cloud whose images lie in a real Ceph, in a real Swift and on volumes, driven by the unmodified clients; servers and networks are on paper.
const MiB = 1 << 20;
const home = mkdtempSync('/tmp/cumulet-cloud-images-');
const file = join(home, 'disk.raw');
const content = Buffer.concat([randomBytes(9 * MiB + 7), Buffer.alloc(40 * MiB), randomBytes(3 * MiB)]);
const md5 = createHash('md5').update(content).digest('hex');
let ceph: RealCeph;
let swift: RealSwift;
let cloud: TestCloud;
beforeAll(async () => {
  writeFileSync(file, content);
  [ceph, swift] = await Promise.all([startCeph(join(home, 'ceph')), startSwift(join(home, 'swift'))]);
  ceph.createPool('images');
  cloud = await startCloud({ home: join(home, 'cloud'), env: {
    CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_DEMO_ENABLED: 'false', CUMULET_TOKENS_BCRYPT_ROUNDS: '4',
    CUMULET_IMAGE_STORES: JSON.stringify([
      { id: 'ceph', driver: 'rbd', default: true, rbd: { conf: ceph.conf, user: 'admin', pool: 'images' } },
      { id: 'swift', driver: 'swift', swift: { authUrl: swift.authUrl, user: swift.user, key: swift.key, segmentMiB: 4 } },
      { id: 'volumes', driver: 'cinder' },
    ]),
  } });
});
afterAll(async () => {
  await cloud?.end();
  await swift?.stop();
  await ceph?.stop();
  rmSync(home, { recursive: true, force: true });
});

const raw = ['--disk-format', 'raw', '--container-format', 'bare'];
const storesOf = async (id: string) => ((await shown(cloud, 'admin', 'image-show', id))['stores'] ?? '').split(',').toSorted().join();
const inStores = (id: string, wanted: string) => eventually(async () => await storesOf(id) === wanted, 120_000, `image ${id} in ${wanted}`);
const saved = async (id: string): Promise<string> => {
  const to = join(home, 'saved');
  await cloud.openstack('image', 'save', '--file', to, id);
  const hash = createHash('md5');
  for await (const piece of createReadStream(to)) hash.update(piece as Buffer);
  return hash.digest('hex');
};
const inCeph = () => ceph.rbd('ls', 'images').split('\n').filter(Boolean);
const inSwift = async () => { const names: string[] = []; for await (const { name } of openSwift({ authUrl: swift.authUrl, user: swift.user, key: swift.key }).list(plainCall(), 'glance')) names.push(name); return names; };
const onVolumes = async () => (await cloud.admin('volume', 'list', '--all-projects', '-f', 'value', '-c', 'Name')).split('\n').filter(name => name.startsWith('image-'));

/** The first bytes of a volume's file: what a guest would boot from. */
async function volumeSum(id: string): Promise<string> {
  const folder = join(cloud.home, 'volumes');
  const name = readdirSync(folder, { recursive: true }).map(String).find(n => n.endsWith(`volume-${id}`));
  const hash = createHash('md5');
  for await (const piece of createReadStream(join(folder, name ?? ''), { end: content.length - 1 })) hash.update(piece as Buffer);
  return hash.digest('hex');
}

test('the default store is Ceph; what is saved is what was sent', async () => {
  expect(await glanced(cloud, 'demo', 'stores-info')).toMatch(/ceph(.|\n)*swift(.|\n)*volumes/);
  const { id } = await json<{ id: string }>(cloud.openstack('image', 'create', ...raw, '--file', file, 'first', '-f', 'json'));
  await inStores(id, 'ceph');
  expect(inCeph()).toContain(id);
  expect(await shown(cloud, 'demo', 'image-show', id)).toMatchObject({ status: 'active', checksum: md5, size: String(content.length) });
  expect(await saved(id)).toBe(md5);
  await cloud.openstack('image', 'delete', id);
  await eventually(() => !inCeph().includes(id), 60_000, 'an empty pool');
});

test.each(['ceph', 'swift', 'volumes'])('an image in %s: copied to all stores, byte-identical from each by itself', async (origin) => {
  const { id = '' } = await shown(cloud, 'admin', 'image-create', ...raw, '--name', `of-${origin}`, '--visibility', 'public', '--file', file, '--store', origin);
  await inStores(id, origin);
  expect(await saved(id)).toBe(md5);
  await glanced(cloud, 'admin', 'image-import', id, '--import-method', 'copy-image', '--all-stores', 'true');
  await inStores(id, 'ceph,swift,volumes');
  expect(inCeph()).toContain(id);
  expect((await inSwift()).some(name => name.startsWith(id))).toBe(true);
  expect(await onVolumes()).toContain(`image-${id}`);
  // Out of one after the other: each of the others holds all of it.
  const order = [origin, ...['ceph', 'swift', 'volumes'].filter(store => store !== origin)];
  for (const [n, store] of order.slice(0, 2).entries()) {
    await glanced(cloud, 'admin', 'stores-delete', '--store', store, id);
    await inStores(id, order.slice(n + 1).toSorted().join());
    expect(await saved(id)).toBe(md5);
  }
  expect((await glance(cloud, 'admin', ['stores-delete', '--store', order[2] ?? '', id]))[0]).toMatchObject({ code: 1, error: expect.stringContaining('403') });
  await cloud.admin('image', 'delete', id);
  await eventually(async () => !inCeph().includes(id) && !(await inSwift()).some(name => name.startsWith(id)) && !(await onVolumes()).includes(`image-${id}`), 60_000, 'every store empty');
});

test.each(['ceph', 'swift'])('a server boots from a volume of an image in %s', async (store) => {
  const { id = '' } = await shown(cloud, 'admin', 'image-create', ...raw, '--name', `boot-${store}`, '--visibility', 'public', '--file', file, '--store', store);
  await inStores(id, store);
  const { id: volume } = await json<{ id: string }>(cloud.openstack('volume', 'create', '--size', '1', '--image', id, `volume-${store}`, '-f', 'json'));
  await eventually(async () => await cloud.openstack('volume', 'show', volume, '-f', 'value', '-c', 'status') === 'available', 120_000, 'the volume');
  expect(await cloud.openstack('volume', 'show', volume, '-f', 'value', '-c', 'bootable')).toBe('true');
  expect(await volumeSum(volume)).toBe(md5);
  await cloud.openstack('server', 'create', '--flavor', 'm1.nano', '--volume', volume, '--network', 'private', '--wait', `server-${store}`);
  expect(await cloud.openstack('server', 'show', `server-${store}`, '-f', 'value', '-c', 'status')).toBe('ACTIVE');
  await cloud.openstack('server', 'delete', '--wait', `server-${store}`);
  // From the image itself: the host makes the volume.
  await cloud.openstack('server', 'create', '--flavor', 'm1.nano', '--image', id, '--boot-from-volume', '1', '--network', 'private', '--wait', `direct-${store}`);
  await cloud.openstack('server', 'delete', '--wait', `direct-${store}`);
  await cloud.admin('image', 'delete', id);
});
