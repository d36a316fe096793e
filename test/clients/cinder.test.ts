import { mkdtempSync, openSync, closeSync, ftruncateSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { runner } from '../harness/processes.ts';
import { table } from './said.ts';
import { openShell, type Shell } from './shell.ts';

// Cinder's command line, all of it, on a cloud whose servers and networks are simulated and whose volumes are files.
let cloud: TestCloud;
let s: Shell;
const folder = mkdtempSync('/tmp/cumulet-cinder-');
const sparse = (path: string, bytes: number) => { const f = openSync(path, 'w'); ftruncateSync(f, bytes); closeSync(f); };
const admin = { as: 'admin' } as const;
const host = 'storage1';
/** Until it is so. */
function soon<T>(look: () => T) { return expect.poll(look, { timeout: 60_000, interval: 200 }); }
const uuid = /^[0-9a-f-]{36}$/;

beforeAll(async () => {
  sparse(join(folder, 'image.raw'), 2 ** 20);
  cloud = await startCloud({ env: {
    CUMULET_HOST: host, CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_DEMO_IMAGE: join(folder, 'image.raw'), CUMULET_DEMO_IMAGE_FORMAT: 'raw', CUMULET_VOLUME_REPORT_SECONDS: '1',
    CUMULET_VOLUME_BACKENDS: '[{name: lvm-1, driver: file, path: vols1, volumeBackendName: LVM}, {name: lvm-2, driver: file, path: vols2, volumeBackendName: LVM}, {name: sim, driver: fake, volumeBackendName: sim}]',
    CUMULET_VOLUME_SCHEDULER_WEIGHERS: '[VolumeNumberWeigher]',
  } });
  s = await openShell(cloud.home);
  await s.cinder('type-create lvm', admin);
  await s.cinder('type-key lvm set volume_backend_name=LVM', admin);
  await s.cinder(`quota-update --volumes 50 --gigabytes 500 --snapshots 50 --groups 20 ${await project('demo')}`, admin);
}, 240_000);
afterAll(async () => {
  await s?.end();
  await cloud?.end();
  rmSync(folder, { recursive: true, force: true });
});
const project = async (name: string) => (await s.openstack(['project', 'show', name, '-f', 'value', '-c', 'id'], admin)).trim();
const files = (of: string) => readdirSync(join(cloud.home, of)).filter(f => !f.startsWith('.'));
const id = async (name: string, o = {}) => (await s.one(['show', name], o))['id'] as string;

describe('what few know (seed 000)', () => {
  test('manage: a volume that the storage has already, and back', async () => {
    sparse(join(cloud.home, 'vols1', 'int32bit-test-LV'), 2 ** 30);
    const managed = await s.one(`manage --name int32bit-test-manage ${host}@lvm-1#lvm-1 int32bit-test-LV`, admin);
    expect(Object.keys(managed)).toEqual(expect.arrayContaining([
      'attachments', 'availability_zone', 'bootable', 'consistencygroup_id', 'created_at', 'description', 'encrypted', 'id', 'metadata', 'migration_status', 'multiattach', 'name', 'os-vol-host-attr:host', 'os-vol-mig-status-attr:migstat',
      'os-vol-mig-status-attr:name_id', 'os-vol-tenant-attr:tenant_id', 'replication_status', 'size', 'snapshot_id', 'source_volid', 'status', 'updated_at', 'user_id', 'volume_type',
    ]));
    expect(managed).toMatchObject({ name: 'int32bit-test-manage', size: '0', bootable: 'false', availability_zone: 'nova', 'os-vol-host-attr:host': `${host}@lvm-1#lvm-1` });
    expect(await s.settled('int32bit-test-manage', 'available', admin)).toMatchObject({ size: '1' });
    expect(files('vols1')).toEqual([`volume-${managed['id']}`]);
    expect(await s.rows(`manageable-list --detailed True ${host}@lvm-1#lvm-1`, admin)).toMatchObject([{ size: '1', safe_to_manage: 'False', reason_not_safe: 'already managed', cinder_id: managed['id'] }]);
    await s.cinder('unmanage int32bit-test-manage', admin);
    await s.gone('int32bit-test-manage');
    expect(files('vols1')).toEqual([`volume-${managed['id']}`]);
    rmSync(join(cloud.home, 'vols1', `volume-${managed['id']}`));
  });

  test('local-attach: a volume on this host, with a file system on it', async () => {
    const made = await s.one('create --volume-type lvm --name int32bit-test-local-attach 1', { version: '3.0' });
    expect(Object.keys(made)).toEqual(expect.arrayContaining(['attachments', 'availability_zone', 'bootable', 'consistencygroup_id', 'created_at', 'description', 'encrypted', 'id', 'metadata', 'multiattach', 'name', 'replication_status', 'size', 'snapshot_id', 'source_volid', 'status', 'updated_at', 'user_id', 'volume_type']));
    expect(made).toMatchObject({ name: 'int32bit-test-local-attach', size: '1', status: 'creating', volume_type: 'lvm', encrypted: 'False' });
    await s.settled('int32bit-test-local-attach');
    const attached = await s.brick('local-attach', made['id'] as string, host);
    expect(attached).toMatchObject({ type: 'local', path: expect.stringContaining(`volume-${made['id']}`) as string });
    await runner.run('/usr/sbin/mkfs.ext4', ['-q', '-F', attached['path'] as string]);
    expect(await s.one('show int32bit-test-local-attach')).toMatchObject({ status: 'in-use' });
    expect(await s.refused('delete int32bit-test-local-attach')).toContain('Volume status must be available or error');
    await s.brick('local-detach', made['id'] as string, host);
    expect(await s.one('show int32bit-test-local-attach')).toMatchObject({ status: 'available' });
    await s.cinder('delete int32bit-test-local-attach');
  });

  test('transfer: a volume for another project', async () => {
    await s.cinder('create --name int32bit-test-transfer 1', admin);
    const volume = (await s.settled('int32bit-test-transfer', 'available', admin))['id'] as string;
    expect((await s.rows('list')).filter(row => row['ID'] === volume)).toEqual([]);
    const transfer = await s.one('transfer-create --name test-transfer int32bit-test-transfer', { ...admin, version: '3.0' });
    expect(Object.keys(transfer)).toEqual(['auth_key', 'created_at', 'id', 'name', 'volume_id']);
    expect(transfer).toMatchObject({ name: 'test-transfer', volume_id: volume, auth_key: expect.stringMatching(/^[0-9a-f]{16}$/) as string });
    expect((await s.one('show int32bit-test-transfer', admin))['status']).toBe('awaiting-transfer');
    expect(await s.one(`transfer-show ${transfer['id']}`, { ...admin, version: '3.0' })).not.toHaveProperty('auth_key');
    expect(await s.one(`transfer-accept ${transfer['id']} ${transfer['auth_key']}`, { version: '3.0' })).toEqual({ id: transfer['id'], name: 'test-transfer', volume_id: volume });
    expect(await s.rows('list')).toContainEqual(expect.objectContaining({ ID: volume, Status: 'available', Name: 'int32bit-test-transfer', Bootable: 'false', 'Attached to': '' }));
    expect(await s.rows('transfer-list', admin)).toEqual([]);
    expect(await s.refused(`transfer-accept ${transfer['id']} ${transfer['auth_key']}`)).toContain('could not be found');
    // The newer call, with snapshots along.
    await s.cinder(`snapshot-create --name with ${volume}`);
    await soon(async () => (await s.one('snapshot-show with'))['status']).toBe('available');
    const back = await s.one(`transfer-create ${volume}`);
    await s.cinder(`transfer-accept ${back['id']} ${back['auth_key']}`, admin);
    expect((await s.one('snapshot-show with', admin))['os-extended-snapshot-attributes:project_id']).toBe(await project('admin'));
    await s.cinder(`delete --cascade ${volume}`, admin);
    await s.gone(volume);
  });
});

describe('administration (seed 001)', () => {
  const six: string[] = [];
  test('six volumes by the volume number weigher: three and three', async () => {
    expect(await s.rows('extra-specs-list', admin)).toContainEqual(expect.objectContaining({ Name: 'lvm', extra_specs: "{'volume_backend_name': 'LVM'}" }));
    for (let n = 1; n <= 6; n++) six.push((await s.one(`create --volume-type lvm --name six-${n} 1`))['id'] as string);
    for (const volume of six) await s.settled(volume);
    expect([files('vols1'), files('vols2')].map(list => list.filter(f => six.some(v => f.includes(v))).length)).toEqual([3, 3]);
    const hosts = await Promise.all(six.map(async v => (await s.one(['show', v], admin))['os-vol-host-attr:host']));
    expect(hosts.toSorted()).toEqual([...Array<string>(3).fill(`${host}@lvm-1#lvm-1`), ...Array<string>(3).fill(`${host}@lvm-2#lvm-2`)]);
  });
  test('migrate: to the other backend and its pool, watched by show', async () => {
    expect((await s.rows('get-pools', admin)).filter(r => r['Property'] === 'name').map(r => r['Value']).toSorted()).toEqual([`${host}@lvm-1#lvm-1`, `${host}@lvm-2#lvm-2`, `${host}@sim#sim`]);
    const [volume = ''] = six;
    const { 'os-vol-host-attr:host': from } = await s.one(['show', volume], admin);
    const to = `${host}@${from?.includes('lvm-1') ? 'lvm-2#lvm-2' : 'lvm-1#lvm-1'}`;
    await s.cinder(`snapshot-create --name held ${volume}`);
    await soon(async () => (await s.one('snapshot-show held'))['status']).toBe('available');
    expect(await s.refused(`migrate ${volume} ${to}`, admin)).toContain('must not be migrating, have snapshots');
    await s.cinder('snapshot-delete held');
    await soon(async () => s.rows('snapshot-list')).toEqual([]);
    expect(await s.refused(`migrate ${volume} ${to}`)).toContain('Policy doesn\'t allow');
    await s.cinder(`migrate ${volume} ${to}`, admin);
    await soon(async () => s.one(['show', volume], admin)).toMatchObject({ 'os-vol-host-attr:host': to, migration_status: 'success', status: 'available' });
    await soon(() => [files('vols1').length, files('vols2').length].toSorted()).toEqual([2, 4]);
  });
  test('a consistency group, and what its volumes may not', async () => {
    const group = await s.one('consisgroup-create --name cg lvm', admin);
    expect(group).toMatchObject({ name: 'cg', id: expect.stringMatching(uuid) as string });
    await soon(async () => (await s.one(`consisgroup-show ${group['id']}`, admin))['status']).toBe('available');
    await s.cinder(`create --consisgroup-id ${group['id']} --volume-type lvm --name inside 1`, admin);
    await s.settled('inside', 'available', admin);
    const shot = await s.one(`cgsnapshot-create ${group['id']}`, admin);
    await soon(async () => (await s.one(`cgsnapshot-show ${shot['id']}`, admin))['status']).toBe('available');
    expect(await s.rows('cgsnapshot-list', admin)).toHaveLength(1);
    const { 'os-vol-host-attr:host': at } = await s.one('show inside', admin);
    expect(await s.refused(`migrate inside ${host}@${at?.includes('lvm-1') ? 'lvm-2#lvm-2' : 'lvm-1#lvm-1'}`, admin)).toContain('be part of a group');
    expect(await s.refused('retype inside __DEFAULT__', admin)).toMatch(/ERROR/);
    expect(await s.refused('delete inside', admin)).toContain('belong to a group');
    const copy = await s.one(`consisgroup-create-from-src --cgsnapshot ${shot['id']} --name copy`, admin);
    await soon(async () => (await s.one(`consisgroup-show ${copy['id']}`, admin))['status']).toBe('available');
    await s.cinder(`consisgroup-update --name renamed ${copy['id']}`, admin);
    expect((await s.rows('consisgroup-list', admin)).map(r => r['Name']).toSorted()).toEqual(['cg', 'renamed']);
    await s.cinder(`cgsnapshot-delete ${shot['id']}`, admin);
    await soon(() => s.rows('cgsnapshot-list', admin)).toEqual([]);
    await s.cinder(`consisgroup-delete --force ${group['id']} ${copy['id']}`, admin);
    await soon(() => s.rows('consisgroup-list', admin)).toEqual([]);
  });
  test('the six go', async () => { await s.cinder(['delete', ...six]); for (const volume of six) await s.gone(volume); });
});

describe('every command', () => {
  test('volumes: metadata, images, sources, sizes, states, hints', async () => {
    await s.cinder(['create', '--volume-type', 'lvm', '--name', 'base', '--description', 'Ünïcode 卷', '--metadata', 'a=1', 'b=2', '--availability-zone', 'nova', '1']);
    await s.settled('base');
    expect(await s.one('metadata-show base')).toEqual({ a: '1', b: '2' });
    await s.cinder('metadata base set c=3');
    await s.cinder('metadata base unset a');
    expect(await s.one('metadata-update-all base z=9')).toEqual({ z: '9' });
    expect(await s.rows(['list', '--metadata', 'z=9'])).toHaveLength(1);
    expect(await s.rows(['list', '--filters', 'name~=bas'])).toHaveLength(1);
    expect(await s.rows('list --sort size:asc,created_at:desc --limit 1')).toHaveLength(1);
    await s.cinder('image-metadata base set os=linux');
    expect(await s.one('image-metadata-show base')).toMatchObject({ os: 'linux' });
    await s.cinder('image-metadata base unset os');
    await s.cinder('set-bootable base True');
    await s.cinder('readonly-mode-update base True');
    expect(await s.one('show base')).toMatchObject({ bootable: 'true', description: 'Ünïcode 卷' });
    await s.cinder('readonly-mode-update base False');
    await s.cinder(['rename', 'base', 'based', '--description', 'new']);
    await s.cinder('rename based base');
    await s.cinder('extend base 2');
    expect(await s.settled('base')).toMatchObject({ size: '2' });
    await s.cinder(`create --source-volid ${await id('base')} --name clone`);
    await s.cinder('snapshot-create --name shot --description d base');
    await soon(async () => (await s.one('snapshot-show shot'))['status']).toBe('available');
    await s.cinder(`create --snapshot-id ${(await s.one('snapshot-show shot'))['id']} --name ofshot`);
    await s.settled('clone');
    await s.settled('ofshot');
    await s.cinder('revert-to-snapshot shot');
    await s.settled('base');
    await s.cinder('snapshot-rename shot shot2');
    await s.cinder('snapshot-metadata shot2 set k=v');
    expect(await s.one('snapshot-metadata-show shot2')).toEqual({ k: 'v' });
    await s.cinder('snapshot-metadata-update-all shot2 l=w');
    expect(await s.rows('snapshot-list --metadata l=w')).toHaveLength(1);
    await s.cinder('snapshot-reset-state --state error shot2', admin);
    await s.cinder('snapshot-reset-state shot2', admin);
    const { id: shot } = await s.one('snapshot-show shot2');
    expect(await s.rows(`snapshot-manageable-list --detailed True ${host}@${(await s.one('show base', admin))['os-vol-host-attr:host']?.split('@')[1]}`, admin)).toContainEqual(expect.objectContaining({ cinder_id: shot }));
    await s.cinder('snapshot-unmanage shot2', admin);
    await soon(() => s.rows('snapshot-list')).toEqual([]);
    await s.cinder(`snapshot-manage --name back base snapshot-${shot}`, admin);
    await soon(async () => (await s.one('snapshot-show back', admin))['status']).toBe('available');
    await s.cinder('snapshot-delete back', admin);
    expect(await s.one('summary')).toMatchObject({ total_count: '3', total_size: '6', metadata: "z : ['9']" });
    await s.cinder('reset-state --state error clone', admin);
    await s.cinder('delete clone');
    await s.cinder('force-delete ofshot', admin);
    await s.gone('clone');
    await s.gone('ofshot');
    const near = await s.one(['create', '--volume-type', 'lvm', '--name', 'apart', '--hint', `different_host=${await id('base')}`, '1']);
    await s.settled('apart');
    expect((await s.one(['show', near['id'] as string], admin))['os-vol-host-attr:host']).not.toBe((await s.one('show base', admin))['os-vol-host-attr:host']);
    expect(await s.refused('create --name none --image nothing 1')).toMatch(/No image|Invalid image|could not/i);
    await s.cinder('delete apart');
    await s.gone('apart');
  });
  test('images: of a volume, from an image, over a volume', async () => {
    await s.cinder(['create', '--volume-type', 'lvm', '--name', 'small', '1']);
    await s.settled('small');
    await s.cinder('upload-to-image --disk-format qcow2 --container-format bare small made-of-base');
    await s.settled('small');
    const image = table(await s.openstack('image list --name made-of-base')).map(r => r['ID'])[0] as string;
    await soon(async () => (await s.openstack(['image', 'show', image, '-f', 'value', '-c', 'status'])).trim()).toBe('active');
    await s.cinder(['create', '--image', 'tiny', '--volume-type', 'lvm', '--name', 'ofimage', '1']);
    expect(await s.settled('ofimage')).toMatchObject({ bootable: 'true' });
    await s.cinder(`reimage ofimage ${table(await s.openstack('image list --name tiny')).map(r => r['ID'])[0]}`);
    await s.settled('ofimage');
    await s.cinder('delete ofimage small');
    await s.openstack(['image', 'delete', image]);
    await s.gone('ofimage');
    await s.gone('small');
  });
  test('types: specs, access, encryption, defaults, retype', async () => {
    expect(await s.rows('type-list')).toContainEqual(expect.objectContaining({ Name: 'lvm' }));
    const secret = await s.rows('type-create --description d --is-public False secret', admin);
    const type = secret[0]?.['ID'] as string;
    expect((await s.rows('type-list')).map(r => r['Name'])).not.toContain('secret');
    const demo = await project('demo');
    await s.cinder(`type-access-add --volume-type secret --project-id ${demo}`, admin);
    expect(await s.rows('type-access-list --volume-type secret', admin)).toMatchObject([{ Project_ID: demo }]);
    expect((await s.rows('type-list')).map(r => r['Name'])).toContain('secret');
    await s.cinder(`type-access-remove --volume-type secret --project-id ${demo}`, admin);
    await s.cinder('encryption-type-create secret luks --cipher aes-xts-plain64 --key-size 256 --control-location front-end', admin);
    expect(await s.rows('encryption-type-list', admin)).toMatchObject([{ Provider: 'luks', 'Key Size': '256' }]);
    await s.cinder('encryption-type-update --key-size 512 secret', admin);
    await s.cinder('encryption-type-show secret', admin);
    await s.cinder('encryption-type-delete secret', admin);
    await s.cinder(`type-update --name secret2 ${type}`, admin);
    await s.cinder('type-show secret2', admin);
    await s.cinder('type-default');
    await s.cinder(`default-type-set lvm ${demo}`, admin);
    expect(await s.rows(`default-type-list --project-id ${demo}`, admin)).toContainEqual(expect.objectContaining({ Value: demo }));
    await s.cinder(`default-type-unset ${demo}`, admin);
    await s.cinder('type-create there', admin);
    await s.cinder('type-key there set volume_backend_name=sim', admin);
    await s.cinder('retype --migration-policy on-demand base there');
    await soon(async () => (await s.one('show base', admin))['os-vol-host-attr:host']).toBe(`${host}@sim#sim`);
    await s.cinder('retype --migration-policy on-demand base lvm');
    await soon(async () => (await s.one('show base', admin))['os-vol-host-attr:host']).toContain('lvm');
    await s.cinder('type-key there unset volume_backend_name', admin);
    await s.cinder('type-delete secret2 there', admin);
  });
  test('QoS, quotas, limits', async () => {
    const { id: qos } = await s.one('qos-create slow consumer=front-end read_iops_sec=100', admin);
    const lvm = (await s.rows('type-list', admin)).find(r => r['Name'] === 'lvm')?.['ID'] as string;
    await s.cinder(`qos-key ${qos} set write_iops_sec=50`, admin);
    await s.cinder(`qos-associate ${qos} ${lvm}`, admin);
    expect(await s.rows(`qos-get-association ${qos}`, admin)).toMatchObject([{ Name: 'lvm' }]);
    await s.cinder(`qos-disassociate ${qos} ${lvm}`, admin);
    await s.cinder(`qos-disassociate-all ${qos}`, admin);
    await s.cinder(`qos-key ${qos} unset write_iops_sec`, admin);
    expect((await s.one(`qos-show ${qos}`, admin))['specs']).toContain('read_iops_sec');
    expect(await s.rows('qos-list', admin)).toHaveLength(1);
    await s.cinder(`qos-delete ${qos}`, admin);
    const demo = await project('demo');
    await s.cinder(`quota-update --volume-type lvm --volumes 40 ${demo}`, admin);
    expect(await s.one(`quota-show ${demo}`)).toMatchObject({ volumes_lvm: '40' });
    expect((await s.rows(`quota-usage ${demo}`)).find(r => r['Type'] === 'volumes')).toMatchObject({ Limit: '50' });
    await s.cinder(`quota-defaults ${demo}`);
    await s.cinder('quota-class-show default', admin);
    await s.cinder('quota-class-update --snapshots 11 default', admin);
    await s.cinder(`quota-delete ${demo}`, admin);
    await s.cinder(`quota-update --volumes 50 --gigabytes 500 --snapshots 50 --groups 20 ${demo}`, admin);
    expect((await s.rows('absolute-limits')).map(r => r['Name'])).toEqual(expect.arrayContaining(['maxTotalVolumes', 'totalVolumesUsed']));
    await s.cinder('rate-limits');
    expect(await s.refused('create 400000')).toMatch(/exceeds allowed|larger than maximum/);
  });
  test('groups, their types and snapshots', async () => {
    await s.cinder('group-type-create --description d many', admin);
    await s.cinder(['group-type-key', 'many', 'set', 'consistent_group_snapshot_enabled=<is> False'], admin);
    await s.cinder('group-specs-list', admin);
    await s.cinder('group-type-show many', admin);
    const kind = (await s.rows('group-type-list', admin)).find(r => r['Name'] === 'many')?.['ID'] as string;
    await s.cinder(`group-type-update --name more --is-public True ${kind}`, admin);
    const made = await s.one(`group-create --name g ${kind} lvm`);
    await soon(async () => (await s.one(`group-show ${made['id']}`))['status']).toBe('available');
    await s.cinder(`create --group-id ${made['id']} --volume-type lvm --name member 1`);
    await s.settled('member');
    const shot = await s.one(`group-snapshot-create --name gs ${made['id']}`);
    await soon(async () => (await s.one(`group-snapshot-show ${shot['id']}`))['status']).toBe('available');
    const copy = await s.one(`group-create-from-src --name g2 --group-snapshot ${shot['id']}`);
    await soon(async () => (await s.one(`group-show ${copy['id']}`))['status']).toBe('available');
    await s.cinder(`group-update --name g3 ${copy['id']}`);
    expect(await s.rows('group-list')).toHaveLength(2);
    expect(await s.rows('group-snapshot-list')).toHaveLength(1);
    await s.cinder(`group-snapshot-delete ${shot['id']}`);
    await soon(() => s.rows('group-snapshot-list')).toEqual([]);
    await s.cinder(`group-delete --delete-volumes ${made['id']} ${copy['id']}`);
    await soon(() => s.rows('group-list')).toEqual([]);
    await s.cinder(`group-type-delete ${kind}`, admin);
  });
  test('services, pools, messages, zones, filters', async () => {
    expect((await s.rows('service-list', admin)).map(r => r['Binary'])).toEqual(expect.arrayContaining(['cinder-scheduler', 'cinder-volume']));
    await s.cinder(['service-disable', '--reason', 'for a test', `${host}@sim`, 'cinder-volume'], admin);
    await s.cinder('type-create onsim', admin);
    await s.cinder('type-key onsim set volume_backend_name=sim', admin);
    const { id: lost } = await s.one('create --volume-type onsim --name lost 1');
    await soon(async () => (await s.one(['show', lost as string]))['status']).toBe('error');
    const [message] = (await s.rows('message-list')).filter(m => m['Resource UUID'] === lost);
    expect(message?.['User Message']).toMatch(/Could not find any available weighted backend.*CapabilitiesFilter refused 2 of 2/);
    await s.cinder(`message-show ${message?.['ID']}`);
    await s.cinder(`message-delete ${message?.['ID']}`);
    await s.cinder(`service-enable ${host}@sim cinder-volume`, admin);
    await s.cinder(`freeze-host ${host}@sim`, admin);
    await s.cinder(`thaw-host ${host}@sim`, admin);
    expect(await s.refused(`failover-host ${host}@sim`, admin)).toMatch(/replicat|fail over/i);
    await s.cinder('get-pools --detail', admin);
    expect(await s.cinder(`get-capabilities ${host}@lvm-1`, admin)).toContain('thin_provisioning');
    expect(await s.rows('availability-zone-list')).toEqual([{ Name: 'nova', Status: 'available' }]);
    expect((await s.rows('list-filters')).map(r => r['Resource'])).toContain('volume');
    await s.cinder('service-set-log --binary cinder-volume INFO', admin);
    await s.cinder('service-get-log --binary cinder-volume', admin);
    await s.cinder('cluster-list', admin);
    await s.cinder('work-cleanup', admin);
    await s.cinder('version-list');
    await s.cinder('list-extensions');
    await s.cinder('api-version');
    await s.cinder('delete lost');
    await s.gone('lost');
    await s.cinder('type-delete onsim', admin);
  });
  test('attachments by hand, and a server that has a volume: grown, snapshotted and moved while it runs', async () => {
    const made = await s.one(`attachment-create ${await id('base')} --connect True --host ${host} --mode rw`);
    await s.cinder(`attachment-complete ${made['id'] ?? made['attachment_id']}`).catch(() => undefined);
    const [attachment] = await s.rows('attachment-list');
    expect(attachment).toMatchObject({ 'Volume ID': await id('base') });
    await s.cinder(`attachment-show ${attachment?.['ID']}`);
    await s.cinder(`attachment-delete ${attachment?.['ID']}`);
    await s.settled('base');
    await s.openstack('--os-compute-api-version 2.60 server create --image tiny --flavor m1.nano --nic none --wait web');
    await s.openstack('server add volume web base');
    await s.settled('base', 'in-use');
    expect(await s.refused('extend base 3', { version: '3.41' })).toContain('to extend');
    await s.cinder('extend base 3');
    await soon(async () => s.one('show base')).toMatchObject({ status: 'in-use', size: '3' });
    await s.cinder('snapshot-create --name live base');
    await soon(async () => (await s.one('snapshot-show live'))['status']).toBe('available');
    await s.cinder('snapshot-delete live');
    await soon(() => s.rows('snapshot-list')).toEqual([]);
    const { 'os-vol-host-attr:host': from } = await s.one('show base', admin);
    const to = `${host}@${from?.includes('lvm-1') ? 'lvm-2#lvm-2' : 'lvm-1#lvm-1'}`;
    await s.cinder(`migrate base ${to}`, admin);
    await soon(async () => s.one('show base', admin)).toMatchObject({ 'os-vol-host-attr:host': to, migration_status: 'success', status: 'in-use' });
    expect(await s.refused(`attachment-delete ${(await s.rows('attachment-list'))[0]?.['ID']}`)).toContain('using the Compute API');
    await s.openstack('server remove volume web base');
    await s.settled('base');
    // Volumes of the simulated backend are for simulated servers.
    await s.cinder('type-create onsim2', admin);
    await s.cinder('type-key onsim2 set volume_backend_name=sim', admin);
    await s.cinder('create --volume-type onsim2 --name simulated 1');
    await s.settled('simulated');
    await s.openstack('server add volume web simulated');
    await s.settled('simulated', 'in-use');
    await s.openstack('server delete --wait web');
    await s.settled('simulated');
    const base = await id('base');
    await s.cinder('delete base simulated');
    await s.gone('base');
    expect([...files('vols1'), ...files('vols2')].filter(f => f.includes(base))).toEqual([]);
  });
  test('openstack: volumes, snapshots, types, QoS, transfers, groups, services', async () => {
    const commands = [
      'volume create --size 1 --type lvm o1', 'volume set --property a=b --description d o1', 'volume unset --property a o1', 'volume show o1', 'volume list --long',
    ];
    for (const command of commands) await s.openstack(command);
    await s.settled('o1');
    for (const command of [
      'volume set --bootable --read-only o1', 'volume set --non-bootable --read-write o1', 'volume snapshot create --volume o1 os1', 'volume snapshot list --long', 'volume snapshot set --name os2 --property x=y os1', 'volume snapshot show os2',
    ]) await s.openstack(command);
    await soon(async () => (await s.one('snapshot-show os2'))['status']).toBe('available');
    await s.openstack('volume snapshot delete os2');
    await soon(() => s.rows('snapshot-list')).toEqual([]);
    await s.openstack('volume transfer request create o1 --name t');
    await s.openstack('volume transfer request list');
    await s.openstack('volume transfer request show t');
    await s.openstack('volume transfer request delete t');
    for (const command of [
      'volume type create --private --property k=v ot', 'volume type list --long', 'volume type set --description d ot', 'volume type show ot', 'volume type unset --property k ot', 'volume type delete ot', 'volume qos create --consumer both --property read_iops_sec=5 oq', 'volume qos list',
      'volume qos show oq', 'volume qos associate oq lvm', 'volume qos disassociate --all oq', 'volume qos set --property write_iops_sec=6 oq', 'volume qos unset --property write_iops_sec oq', 'volume qos delete oq', 'volume service list',
      `volume service set --disable ${host}@sim cinder-volume`, `volume service set --enable ${host}@sim cinder-volume`, 'quota show demo', 'quota set --volumes 60 demo', 'limits show --absolute', 'availability zone list --volume',
    ]) await s.openstack(command, admin);
    await s.openstack('volume delete o1');
    await s.gone('o1');
  });
});
