import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { eventually } from '../harness/processes.ts';
import { properties, table } from './said.ts';
import { openShell, type Shell } from './shell.ts';

// What users and administrators do with Debian's openstack and nova, on a cloud whose guests and networks are simulated. Real guests: clients.test.ts; two hosts: nova.test.ts.
let cloud: TestCloud;
/** `openstack` keeps its first caller's connections, and their microversion, for as long as its process lives: each caller has a process, and the user speaks 2.92 in all of it. */
let s: Shell;
let a: Shell;
const admin = { as: 'admin' } as const;
const folder = mkdtempSync('/tmp/cumulet-compute-');
beforeAll(async () => {
  const file = openSync(join(folder, 'image.raw'), 'w');
  ftruncateSync(file, 2 ** 20);
  closeSync(file);
  writeFileSync(join(folder, 'user-data'), '#!/bin/sh\n');
  writeFileSync(join(folder, 'key.pub'), 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIHsW3pJGFVg4xrPcFTmZ5+3bUkLOWW9QF2kyOI9eYXK x@y\n');
  cloud = await startCloud({ env: { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_DEMO_IMAGE: join(folder, 'image.raw'), CUMULET_DEMO_IMAGE_FORMAT: 'raw', CUMULET_VOLUME_BACKENDS: '[{name: sim, driver: fake}]' } });
  [s, a] = await Promise.all([openShell(cloud.home), openShell(cloud.home)]);
}, 240_000);
afterAll(async () => { await s?.end(); await a?.end(); await cloud?.end(); rmSync(folder, { recursive: true, force: true }); });

const openstack = (args: string | readonly string[], o?: { as: 'admin' }): Promise<string> => (o ? a.openstack(args, o) : s.openstack(['--os-compute-api-version', '2.92', ...(typeof args === 'string' ? args.split(' ') : args)]));
const json = async (args: string | readonly string[], o?: { as: 'admin' }): Promise<any> => JSON.parse(await openstack([...(typeof args === 'string' ? args.split(' ') : args), '-f', 'json'], o));   // oxlint-disable-line no-explicit-any
const value = async (args: string, column: string, o?: { as: 'admin' }) => (await openstack([...args.split(' '), '-f', 'value', '-c', column], o)).trim();
const reaches = (name: string, wanted: string) => eventually(async () => { const is = await value(`server show ${name}`, 'status'); if (is === 'ERROR' && wanted !== 'ERROR') throw new Error(`${name} is in ERROR`); return is === wanted; }, 60_000, `${name} ${wanted}`);
const boot = async (name: string, ...more: string[]) => { const made = await json(['server', 'create', '--image', 'tiny', '--flavor', 'm1.nano', '--network', 'private', ...more, '--wait', name]); expect(made.status).toBe('ACTIVE'); return made as { id: string; addresses: Record<string, string[]> }; };

describe('openstack', () => {
  test('flavors, key pairs, groups, aggregates, zones', async () => {
    expect((await json('flavor create --ram 128 --disk 1 --vcpus 1 --property quota:x=1 f1', admin)).name).toBe('f1');
    expect((await json('flavor show f1')).properties).toMatchObject({});
    await openstack('flavor unset --property quota:x f1', admin);
    await openstack(`keypair create --public-key ${join(folder, 'key.pub')} k1`);
    expect((await json('keypair show k1')).name).toBe('k1');
    const group = await json('server group create --policy anti-affinity g1');
    expect(group).toMatchObject({ name: 'g1' });
    await openstack('aggregate create --zone z1 a1', admin);
    const [host] = await json('hypervisor list', admin) as { 'Hypervisor Hostname': string }[];
    expect((await json('compute service list', admin) as { Binary: string; State: string }[]).find(x => x.Binary === 'nova-compute')).toMatchObject({ State: 'up', Status: 'enabled' });
    expect(host).toHaveProperty('Hypervisor Hostname');
    expect((await json('hypervisor stats show', admin)).count).toBe(1);
    expect((await json('availability zone list --compute') as { 'Zone Name': string }[]).map(z => z['Zone Name'])).toContain('nova');
  });
  test('a server with everything, found by what it has', async () => {
    const { id } = await boot('full', '--key-name', 'k1', '--property', 'a=b', '--user-data', join(folder, 'user-data'), '--config-drive', 'True', '--security-group', 'default', '--description', 'd', '--tag', 't1');
    expect(await json('server show full')).toMatchObject({ id, description: 'd', key_name: 'k1', tags: ['t1'], properties: { a: 'b' } });
    for (const filter of ['--name full', '--status ACTIVE', '--flavor m1.nano', '--image tiny', '--long', '--all-projects']) expect([filter, await openstack(`server list ${filter} -f value -c ID`, filter === '--all-projects' ? admin : undefined)]).toEqual([filter, expect.stringContaining(id)]);
    expect(await openstack('server list --tags t1 -f value -c ID')).toContain(id);
    expect(await openstack('server list --name nothing -f value -c ID')).toBe('');
    await openstack('server set --property c=d --name full2 full');
    expect((await json('server show full2')).properties).toEqual({ a: 'b', c: 'd' });
    await openstack('server unset --property c full2');
    await openstack('server set --name full full2');
    expect(await openstack('console log show full')).toContain('');
    expect((await json('console url show --novnc full')).url).toMatch(/\/console\/vnc\.html\?path=console%2Fsocket%3Ftoken%3D/);
    expect((await json('server event list full') as { Action: string }[]).map(e => e.Action)).toContain('create');
  });
  test.each([
    [['pause'], 'PAUSED'], [['unpause'], 'ACTIVE'], [['suspend'], 'SUSPENDED'], [['resume'], 'ACTIVE'], [['stop'], 'SHUTOFF'], [['start'], 'ACTIVE'], [['reboot', '--hard', '--wait'], 'ACTIVE'], [['rescue'], 'RESCUE'], [['unrescue'], 'ACTIVE'], [['shelve'], 'SHELVED_OFFLOADED'], [['unshelve'], 'ACTIVE'], [['rebuild', '--image', 'tiny', '--wait'], 'ACTIVE'],
    [['resize', '--flavor', 'm1.tiny'], 'VERIFY_RESIZE'], [['resize', 'confirm'], 'ACTIVE'],
  ] as const)('server %s', async (command, status) => {
    await openstack(['server', ...command, 'full']);
    await reaches('full', status);
  });
  test('lock, images, backups', async () => {
    const id = await value('server show full', 'id');
    await openstack(`server lock ${id}`, admin);
    expect(await s.fails('openstack', '--os-compute-api-version 2.92 server stop full')).toMatch(/Instance [0-9a-f-]{36} is locked \(HTTP 409\)/);
    expect(await s.fails('openstack', '--os-compute-api-version 2.92 server unlock full')).toMatch(/Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed\. \(HTTP 403\)/);
    await openstack(`server unlock ${id}`, admin);
    // What the client prints is the image as it was before it waited.
    for (const [command, name] of [['server image create --name snap', 'snap'], ['server backup create --name bak --type daily --rotate 1', 'bak']] as const) {
      await openstack(`${command} --wait full`);
      expect(await value(`image show ${name}`, 'status')).toBe('active');
    }
  });
  test('ports, addresses, floating IPs, groups', async () => {
    const port = await json('port create --network private p1');
    await openstack(`server add port full ${port.id}`);
    await eventually(async () => (await json('port list --server full') as unknown[]).length === 2, 30_000, 'the second port');
    await openstack(`server remove port full ${port.id}`);
    await eventually(async () => (await json('port list --server full') as unknown[]).length === 1, 30_000, 'one port');
    const fip = (await json('floating ip create public')).floating_ip_address as string;
    await openstack(`server add floating ip full ${fip}`);
    expect(JSON.stringify((await json('server show full')).addresses)).toContain(fip);
    await openstack(`server remove floating ip full ${fip}`);
    await openstack('security group create web');
    await openstack('security group rule create --protocol tcp --dst-port 80:90 --remote-ip 10.2.3.124/24 web');
    expect(await openstack('security group rule list web -f value')).toContain('10.2.3.124/24');
    await openstack('server add security group full web');
    await openstack('server remove security group full web');
  });
  test('volumes at boot and later', async () => {
    await openstack('volume create --size 1 v1');
    await eventually(async () => await value('volume show v1', 'status') === 'available', 30_000, 'v1');
    await openstack('server add volume full v1');
    await eventually(async () => await value('volume show v1', 'status') === 'in-use', 30_000, 'v1 in-use');
    expect((await json('server volume list full') as unknown[])).toHaveLength(1);
    await openstack('server remove volume full v1');
    await eventually(async () => await value('volume show v1', 'status') === 'available', 30_000, 'v1 back');
    const bfv = await json('server create --flavor m1.nano --network private --image tiny --boot-from-volume 1 --wait bfv');
    expect(bfv.status).toBe('ACTIVE');
    expect((await json('server volume list bfv') as unknown[])).toHaveLength(1);
    await openstack('server delete --wait bfv');
  });
  test('networks of one\'s own', async () => {
    await openstack('network create n1');
    await openstack('subnet create --network n1 --subnet-range 10.88.0.0/24 s1');
    await openstack('router create r1');
    await openstack('router set --external-gateway public r1');
    await openstack('router add subnet r1 s1');
    expect((await json('router show r1')).interfaces_info).toHaveLength(1);
    await openstack('network set --name n2 n1');
    await openstack('network show n2');
    expect(await openstack('network auto allocated topology create -f value -c id')).toMatch(/[0-9a-f-]{36}/);
    expect(await s.fails('openstack', 'network rbac create --type network --action access_as_shared --target-all-projects n2')).toMatch(/disallowed by policy/);
    await openstack('network rbac create --type network --action access_as_shared --target-all-projects n2', admin);
    await openstack('address scope create --ip-version 6 six');
    await openstack('subnet pool create --pool-prefix fd00:77::/48 --default-prefix-length 64 --address-scope six p6');
    expect(await value('subnet create --network n2 --subnet-pool p6 --ip-version 6 --ipv6-ra-mode slaac --ipv6-address-mode slaac s6', 'cidr')).toBe('fd00:77::/64');
    await openstack('router remove subnet r1 s1');
    await openstack('router delete r1');
    await openstack('network delete n2');
  });
  test('QoS policies of networks and ports', async () => {
    expect(await s.fails('openstack', 'network qos policy create mine')).toMatch(/disallowed by policy/);
    await openstack('network qos policy create --share gold', admin);
    await openstack('network qos rule create --type bandwidth-limit --max-kbps 3000 --max-burst-kbits 300 --egress gold', admin);
    await openstack('network qos rule create --type dscp-marking --dscp-mark 26 gold', admin);
    const rules = await json('network qos rule list gold', admin) as { ID: string; 'Max Kbps': number | null }[];
    const limit = rules.find(r => r['Max Kbps'] === 3000)?.ID ?? '';
    await openstack(`network qos rule set --max-kbps 4000 gold ${limit}`, admin);
    expect(await json(`network qos rule show gold ${limit}`, admin)).toMatchObject({ max_kbps: 4000, max_burst_kbps: 300, direction: 'egress' });
    expect((await json('network qos rule type list') as { Type: string }[]).map(r => r.Type)).toEqual(['bandwidth_limit', 'dscp_marking']);
    expect((await json('network qos rule type show bandwidth_limit', admin))).toHaveProperty('drivers');
    const id = await value('network qos policy show gold', 'id');
    await openstack('network create --qos-policy gold q1');
    await openstack('port create --network q1 qp');
    expect(await json('port show qp')).toMatchObject({ qos_policy_id: null, qos_network_policy_id: id });
    await openstack('port set --qos-policy gold qp');
    expect(await value('port show qp', 'qos_policy_id')).toBe(id);
    await openstack('network set --no-qos-policy q1');
    await openstack('port unset --qos-policy qp');
    expect(await json('network show q1')).toMatchObject({ qos_policy_id: null });
    await openstack('network set --qos-policy gold q1');
    expect(await s.fails('openstack', 'network qos policy delete gold', admin)).toMatch(/is used by network|Conflict/);
    await openstack('port delete qp');
    await openstack('network delete q1');
    await openstack(`network qos rule delete gold ${limit}`, admin);
    await openstack('network qos policy delete gold', admin);
  });
  test('limits, quotas, usage', async () => {
    expect((await json('limits show --absolute') as { Name: string }[]).map(l => l.Name)).toContain('maxTotalInstances');
    await openstack('quota set --instances 20 demo', admin);
    expect(JSON.stringify(await json('quota show demo', admin))).toContain('20');
    expect((await json('usage show --start 2020-01-01 --end 2099-01-01'))).toHaveProperty('Servers');
    await openstack('server delete --wait full');
    expect(await s.fails('openstack', 'server show full')).toMatch(/No [Ss]erver/);
  });
});

describe('nova', () => {
  test('boot, list by fields, show, actions, delete', async () => {
    const net = await value('network show private', 'id');
    const image = await value('image show tiny', 'id');
    const made = properties(await s.nova(['boot', '--flavor', 'm1.nano', '--image', image, '--nic', `net-id=${net}`, '--meta', 'a=b', '--poll', 'n1']));
    expect(made['name']).toBe('n1');
    await reaches('n1', 'ACTIVE');
    const [row] = table(await s.nova('list --fields name,status,locked'));
    expect(row).toMatchObject({ Name: 'n1', Status: 'ACTIVE' });
    expect(properties(await s.nova('show n1'))['status']).toBe('ACTIVE');
    await s.nova('lock n1 --reason because');
    expect(properties(await s.nova('show n1'))).toMatchObject({ locked: 'True', locked_reason: 'because' });
    await s.nova('unlock n1');
    await s.nova('meta n1 set c=d');
    await s.nova('server-tag-add n1 t');
    expect(await s.nova('server-tag-list n1')).toContain('t');
    expect(await s.nova('instance-action-list n1')).toContain('lock');
    await s.nova('image-create --poll n1 image');
    await s.nova('update n1 --name n2');
    await s.nova('refresh-network n2', admin).catch(() => undefined);
    for (const list of ['flavor-list', 'keypair-list', 'server-group-list', 'availability-zone-list', 'limits', 'quota-show', 'version-list', 'usage']) expect([list, await s.nova(list)]).toEqual([list, expect.stringContaining('|')]);
    for (const list of ['service-list', 'hypervisor-list', 'aggregate-list', 'migration-list', 'list --all-tenants', 'usage-list', '--os-compute-api-version 2.87 hypervisor-stats']) expect([list, (await s.nova(list, admin)).length > 0]).toEqual([list, true]);
    await s.nova('force-delete n2');
    await eventually(async () => table(await s.nova('list')).length === 0, 30_000, 'the end of n2');
  });
});
