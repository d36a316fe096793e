import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { eventually } from '../harness/processes.ts';
import { glance, glanced, glancedAll, listed, shown } from './glance.ts';
import { json, properties, table } from './said.ts';

// Every command that Debian's glance and openstack have for images, and what the seeds show, on a cloud whose servers and networks are on paper; its
// images are in three stores, one of which keeps them on volumes.
let cloud: TestCloud;
let server: Server;
let demo = '';
let url = '';
const folder = mkdtempSync('/tmp/cumulet-image-clients-');
const file = join(folder, 'disk.raw');
const content = randomBytes(2_000_001);
const md5 = createHash('md5').update(content).digest('hex');
const raw = ['--disk-format', 'raw', '--container-format', 'bare'];
const bytesOf = (name: string) => readFileSync(join(folder, name));

beforeAll(async () => {
  writeFileSync(file, content);
  server = createServer((_req, res) => { res.writeHead(200, { 'content-length': content.length }).end(content); });
  await new Promise<void>((f) => { server.listen(0, '127.0.0.1', f); });
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}/disk.img`;
  cloud = await startCloud({ env: {
    CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_DEMO_ENABLED: 'false', CUMULET_TOKENS_BCRYPT_ROUNDS: '4',
    CUMULET_IMAGE_STORES: '[{id: file, driver: file, default: true, description: "Local disk"}, {id: spare, driver: file, path: spare}, {id: volumes, driver: cinder}, {id: web, driver: http}]',
    CUMULET_IMAGE_SHOW_MULTIPLE_LOCATIONS: 'true', CUMULET_IMAGE_FETCH_PORTS: `[${port}]`, CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]',
    CUMULET_VOLUME_IMAGE_UPLOAD_STORE: 'volumes',
  } });
  demo = await cloud.admin('project', 'show', 'demo', '-f', 'value', '-c', 'id');
});
afterAll(async () => {
  server?.close();
  await cloud?.end();
  rmSync(folder, { recursive: true, force: true });
});
const settled = (id: string, as: 'demo' | 'admin' = 'demo', wanted = 'active') => eventually(async () => (await shown(cloud, as, 'image-show', id))['status'] === wanted, 60_000, `image ${id} ${wanted}`);

test('seed 000, glance member: sharing as it is shown there', async () => {
  const [made = ''] = await glancedAll(cloud, 'admin', ['image-create', ...raw, '--name', 'cirror-3.0', '--file', file]);
  const { id = '' } = properties(made);
  expect(await listed(cloud, 'demo', 'image-list')).toEqual([]);
  expect(table((await glancedAll(cloud, 'admin', ['member-create', id, demo]))[0] ?? '')).toEqual([{ 'Image ID': id, 'Member ID': demo, Status: 'pending' }]);
  const [accepted = '', list = ''] = await glancedAll(cloud, 'demo', ['member-update', id, demo, 'accepted'], ['image-list']);
  expect(table(accepted)).toEqual([{ 'Image ID': id, 'Member ID': demo, Status: 'accepted' }]);
  expect(table(list)).toEqual([{ ID: id, Name: 'cirror-3.0' }]);
  const [one = '', of = ''] = await glancedAll(cloud, 'admin', ['member-get', id, demo], ['member-list', '--image-id', id]);
  expect(one).toContain('accepted');
  expect(table(of)).toEqual([{ 'Image ID': id, 'Member ID': demo, Status: 'accepted' }]);
  await glancedAll(cloud, 'admin', ['member-delete', id, demo], ['image-delete', id]);
  expect(await listed(cloud, 'demo', 'image-list')).toEqual([]);
});

test('seed 000, glance task: pending, processing, success, and the image', async () => {
  const input = { image_properties: { container_format: 'bare', disk_format: 'raw', name: 'cirros-0.3.5-x86_64' }, import_from: url, import_from_format: 'raw' };
  const made = await shown(cloud, 'admin', 'task-create', '--type', 'import', '--input', JSON.stringify(input));
  expect(made).toMatchObject({ status: expect.stringMatching(/pending|processing/), type: 'import', result: 'None', message: '' });
  const id = made['id'] as string;
  expect(table(await glanced(cloud, 'admin', 'task-list'))).toContainEqual({ ID: id, Type: 'import', Status: expect.stringMatching(/pending|processing|success/), Owner: made['owner'] });
  await eventually(async () => (await shown(cloud, 'admin', 'task-show', id))['status'] === 'success', 60_000, 'the task');
  const done = await shown(cloud, 'admin', 'task-show', id);
  const image = /"image_id": "([0-9a-f-]{36})"/.exec(done['result'] ?? '')?.[1] ?? '';
  expect(Date.parse(done['expires_at'] ?? '') - Date.parse(done['updated_at'] ?? '')).toBeGreaterThan(47 * 3_600_000);
  expect(await shown(cloud, 'admin', 'image-show', image)).toMatchObject({ name: 'cirros-0.3.5-x86_64', status: 'active', checksum: md5, size: String(content.length) });
  await glanced(cloud, 'admin', 'image-delete', image);
});

test('glance image-*: create, update, tags, download, deactivate', async () => {
  const { id = '' } = await shown(cloud, 'demo', 'image-create', ...raw, '--name', 'one', '--property', 'a=b', '--min-disk', '1', '--tags', 't1', '--file', file);
  const said = await glancedAll(cloud, 'demo',
    ['image-update', id, '--name', 'two', '--property', 'c=d', '--remove-property', 'a', '--os-distro', 'debian'], ['image-tag-update', id, 't2'], ['image-tag-delete', id, 't1'], ['image-show', id],
    ['image-download', id, '--file', join(folder, 'one')], ['image-list', '--property-filter', 'name=two', '--sort', 'name:desc', '--limit', '1'], ['image-tasks', id], ['usage'], ['explain', 'image'], ['import-info'], ['stores-info']);
  expect(properties(said[3] as string)).toMatchObject({ name: 'two', c: 'd', os_distro: 'debian', tags: '["t2"]', min_disk: '1', checksum: md5, status: 'active' });
  expect(bytesOf('one').equals(content)).toBe(true);
  expect(table(said[5] as string)).toMatchObject([{ ID: id, Name: 'two' }]);
  expect(said[7]).toContain('image_count_total');
  expect(said[9]).toContain('import-methods');
  expect(said[10]).toMatch(/volumes/);
  const off = await glancedAll(cloud, 'admin', ['image-deactivate', id], ['stores-info', '--detail']);
  expect(off[1]).toContain('data_dir');
  expect((await glance(cloud, 'demo', ['image-download', id, '--file', join(folder, 'off')]))[0]).toMatchObject({ code: 1, error: expect.stringContaining('403') });
  await glanced(cloud, 'admin', 'image-reactivate', id);
  await glanced(cloud, 'demo', 'image-delete', id);
  expect((await glance(cloud, 'demo', ['image-show', id]))[0]).toMatchObject({ code: 1, error: expect.stringMatching(/404|could not be found|No image found/) });
});

test('glance image-stage, image-import: every method, several stores, and out of one again', async () => {
  const { id: staged = '' } = await shown(cloud, 'demo', 'image-create', ...raw, '--name', 'staged');
  await glancedAll(cloud, 'demo', ['image-stage', staged, '--file', file], ['image-import', staged, '--import-method', 'glance-direct', '--stores', 'file,spare']);
  await settled(staged);
  expect(await shown(cloud, 'demo', 'image-show', staged)).toMatchObject({ checksum: md5, stores: 'file,spare' });
  const via = properties((await glancedAll(cloud, 'demo', ['image-create-via-import', ...raw, '--name', 'via', '--import-method', 'web-download', '--uri', url, '--store', 'spare']))[0] ?? '');
  await settled(via['id'] as string);
  expect(await shown(cloud, 'demo', 'image-show', via['id'] as string)).toMatchObject({ checksum: md5, stores: 'spare' });
  // A copy between stores of different kinds.
  await glanced(cloud, 'admin', 'image-import', staged, '--import-method', 'copy-image', '--stores', 'volumes');
  await eventually(async () => (await shown(cloud, 'demo', 'image-show', staged))['stores'] === 'file,spare,volumes', 60_000, 'the copy');
  for (const store of ['file', 'spare']) await glanced(cloud, 'admin', 'stores-delete', '--store', store, staged);
  expect(await shown(cloud, 'demo', 'image-show', staged)).toMatchObject({ stores: 'volumes', status: 'active' });
  await glanced(cloud, 'demo', 'image-download', staged, '--file', join(folder, 'from-volume'));
  expect(bytesOf('from-volume').equals(content)).toBe(true);
  expect((await glance(cloud, 'admin', ['stores-delete', '--store', 'volumes', staged]))[0]).toMatchObject({ code: 1, error: expect.stringContaining('403') });
  expect(table((await glancedAll(cloud, 'demo', ['image-tasks', staged]))[0] ?? '')).not.toEqual([]);
  const { id: sent = '' } = await shown(cloud, 'demo', 'image-create', ...raw, '--name', 'sent');
  await glanced(cloud, 'demo', 'image-upload', sent, '--file', file, '--store', 'volumes');
  expect(await shown(cloud, 'demo', 'image-show', sent)).toMatchObject({ status: 'active', stores: 'volumes', checksum: md5 });
  await glanced(cloud, 'demo', 'image-delete', staged, via['id'] as string, sent);
  await eventually(async () => await cloud.admin('volume', 'list', '--project', 'service', '-f', 'value') === '', 30_000, 'the volumes of deleted images gone');
});

test('glance location-*: web addresses; nobody else\'s volumes', async () => {
  const { id = '' } = await shown(cloud, 'admin', 'image-create', ...raw, '--name', 'far');
  await glancedAll(cloud, 'admin', ['location-add', id, '--url', url, '--metadata', '{"k": "v"}']);
  await settled(id, 'admin');
  await glancedAll(cloud, 'admin', ['location-add', id, '--url', `${url}?2`], ['location-update', id, '--url', url, '--metadata', '{"k": "w"}'], ['location-delete', id, '--url', `${url}?2`], ['image-download', id, '--file', join(folder, 'far')]);
  expect(bytesOf('far').equals(content)).toBe(true);
  await glanced(cloud, 'admin', 'image-delete', id);

  const volume = await json(cloud.admin('volume', 'create', '--size', '1', 'of-admin', '-f', 'json'));
  const { id: mine = '' } = await shown(cloud, 'demo', 'image-create', ...raw, '--name', 'mine');
  for (const bad of [`cinder://${String(volume['id'])}`, `cinder://volumes/${String(volume['id'])}`, 'file:///etc/passwd', 'swift+config://ref1/glance/x']) {
    expect((await glance(cloud, 'demo', ['location-add', mine, '--url', bad]))[0], bad).toMatchObject({ code: 1, error: expect.stringMatching(/400|403/) });
  }
  await glanced(cloud, 'demo', 'image-delete', mine);
  await cloud.admin('volume', 'delete', 'of-admin');
});

describe('seed 001: volume-backed images', () => {
  let volume = '';
  test('a volume becomes the location of an image, and the image a volume, without a copy', async () => {
    volume = (await json(cloud.openstack('volume', 'create', '--size', '1', 'base', '-f', 'json')))['id'] as string;
    await eventually(async () => await cloud.openstack('volume', 'show', volume, '-f', 'value', '-c', 'status') === 'available', 30_000, 'the volume');
    const { id = '' } = await shown(cloud, 'demo', 'image-create', ...raw, '--name', 'volume-backed');
    await glanced(cloud, 'demo', 'location-add', id, '--url', `cinder://${volume}`);
    await settled(id);
    expect(await shown(cloud, 'demo', 'image-show', id)).toMatchObject({ size: String(2 ** 30) });
    const made = (await json(cloud.openstack('volume', 'create', '--size', '2', '--image', id, 'from-image', '-f', 'json')))['id'] as string;
    await eventually(async () => await cloud.openstack('volume', 'show', made, '-f', 'value', '-c', 'status') === 'available', 30_000, 'the volume of the image');
    expect(await cloud.openstack('volume', 'show', made, '-f', 'value', '-c', 'bootable')).toBe('true');
    // It was cloned by the backend: no copy of the image was made on this host.
    expect(table((await glancedAll(cloud, 'admin', ['cache-list']))[0] ?? '').filter(r => r['ID'] === id)).toEqual([]);
    await cloud.openstack('volume', 'delete', made);
    await glanced(cloud, 'demo', 'image-delete', id);
    // The volume is its owner's.
    expect(await cloud.openstack('volume', 'show', volume, '-f', 'value', '-c', 'status')).toMatch(/available|in-use/);
  });

  test('cinder upload-to-image clones the volume, and the image is that clone', async () => {
    await eventually(async () => await cloud.openstack('volume', 'show', volume, '-f', 'value', '-c', 'status') === 'available', 30_000, 'the volume');
    const id = /image_id\s*\|\s*([0-9a-f-]{36})/.exec((await cloud.client('cinder', ['upload-to-image', '--disk-format', 'raw', volume, 'backed'])).stdout)?.[1] ?? '';
    await settled(id);
    expect(await shown(cloud, 'demo', 'image-show', id)).toMatchObject({ size: String(2 ** 30), disk_format: 'raw', stores: 'volumes' });
    const clone = /cinder:\/\/volumes\/([0-9a-f-]{36})/.exec((await shown(cloud, 'admin', 'image-show', id))['locations'] ?? '')?.[1] ?? '';
    expect(await json(cloud.openstack('volume', 'show', clone, '-f', 'json'))).toMatchObject({ name: `image-${id}`, status: 'available' });
    await glanced(cloud, 'demo', 'image-delete', id);
    await eventually(async () => !(await cloud.openstack('volume', 'list', '-f', 'value', '-c', 'ID')).includes(clone), 30_000, 'the clone gone with its image');
    await cloud.openstack('volume', 'delete', volume);
  });
});

test('glance cache-*', async () => {
  const { id = '' } = await shown(cloud, 'admin', 'image-create', ...raw, '--name', 'cached', '--file', file);
  await glanced(cloud, 'admin', 'cache-queue', id);
  await eventually(async () => /cached/i.test((await glanced(cloud, 'admin', 'cache-list')).split('\n').find(l => l.includes(id)) ?? ''), 30_000, 'the copy in the cache');
  await glancedAll(cloud, 'admin', ['cache-delete', id], ['cache-clear', '--target', 'both']);
  await eventually(async () => !(await glanced(cloud, 'admin', 'cache-list')).includes(id), 30_000, 'an empty cache');
  expect((await glance(cloud, 'demo', ['cache-list']))[0]).toMatchObject({ code: 1 });
  await glanced(cloud, 'admin', 'image-delete', id);
});

test('glance md-*', async () => {
  const imported = join(folder, 'namespace.json');
  writeFileSync(imported, JSON.stringify({ namespace: 'Test::Imported', display_name: 'x', visibility: 'public', properties: { p: { title: 'P', type: 'string' } } }));
  const ns = 'Test::One';
  const schema = JSON.stringify({ properties: { p: { title: 'P', type: 'string', description: 'd' } } });
  const said = await glancedAll(cloud, 'admin',
    ['md-namespace-create', ns, '--display-name', 'one', '--visibility', 'public'], ['md-namespace-import', '--file', imported], ['md-namespace-list'], ['md-namespace-update', ns, '--description', 'text'], ['md-namespace-show', ns],
    ['md-property-create', ns, '--name', 'cores', '--title', 'Cores', '--schema', JSON.stringify({ type: 'integer', minimum: 1 })], ['md-property-show', ns, 'cores'], ['md-property-update', ns, 'cores', '--title', 'More'], ['md-property-list', ns],
    ['md-object-create', ns, '--name', 'box', '--schema', schema], ['md-object-show', ns, 'box'], ['md-object-property-show', ns, 'box', 'p'], ['md-object-update', ns, 'box', '--name', 'chest'], ['md-object-list', ns],
    ['md-tag-create', ns, '--name', 'red'], ['md-tag-create-multiple', ns, '--names', 'green,blue'], ['md-tag-list', ns], ['md-tag-show', ns, 'green'], ['md-tag-update', ns, 'green', '--name', 'lime'], ['md-tag-delete', ns, 'lime'],
    ['md-resource-type-list'], ['md-resource-type-associate', ns, '--name', 'OS::Glance::Image', '--prefix', 'hw_'], ['md-namespace-resource-type-list', ns], ['md-resource-type-deassociate', ns, 'OS::Glance::Image'],
    ['md-object-delete', ns, 'chest'], ['md-property-delete', ns, 'cores'], ['md-namespace-objects-delete', ns], ['md-namespace-properties-delete', ns], ['md-namespace-tags-delete', ns], ['md-namespace-delete', ns], ['md-namespace-delete', 'Test::Imported']);
  expect(said[2]).toMatch(/Test::Imported(.|\n)*Test::One|Test::One(.|\n)*Test::Imported/);
  expect(said[4]).toContain('text');
  expect(said[8]).toContain('More');
  expect(said[13]).toContain('chest');
  expect(said[16]).toMatch(/green(.|\n)*blue/); // newest first
  expect(said[22]).toContain('hw_');
  expect((await glance(cloud, 'admin', ['md-namespace-show', ns]))[0]).toMatchObject({ code: 1 });
});

test('openstack image *', async () => {
  const said = await cloud.openstack('image', 'create', 'os', '--file', file, ...raw, '--property', 'x=y', '--tag', 'one', '--min-ram', '64', '-f', 'json');
  const { id } = JSON.parse(said) as { id: string };
  await cloud.openstack('image', 'set', id, '--name', 'os2', '--property', 'z=1', '--tag', 'two', '--os-version', '12');
  await cloud.openstack('image', 'unset', id, '--property', 'x', '--tag', 'one');
  expect(await json(cloud.openstack('image', 'show', id, '-f', 'json'))).toMatchObject({ name: 'os2', tags: ['two'], min_ram: 64, properties: expect.objectContaining({ z: '1', os_version: '12' }) });
  // An ordinary user cannot look up another project by its name.
  const admin = await cloud.admin('project', 'show', 'admin', '-f', 'value', '-c', 'id');
  await cloud.openstack('image', 'add', 'project', id, admin);
  expect(await json<object[]>(cloud.openstack('image', 'member', 'list', id, '-f', 'json'))).toMatchObject([{ Status: 'pending' }]);
  await cloud.admin('image', 'set', '--accept', id);
  await cloud.openstack('image', 'remove', 'project', id, admin);
  await cloud.openstack('image', 'save', id, '--file', join(folder, 'os'));
  expect(bytesOf('os').equals(content)).toBe(true);
  expect(await json<object[]>(cloud.openstack('image', 'list', '--long', '--name', 'os2', '-f', 'json'))).toMatchObject([{ ID: id, Checksum: md5 }]);
  await cloud.admin('image', 'set', '--deactivate', id);
  await cloud.admin('image', 'set', '--activate', id);
  await cloud.openstack('image', 'delete', id);
  expect(await cloud.openstack('image', 'list', '-f', 'value')).not.toContain(id);
});
