import { newId } from '@cumulet/wire';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { sentence, testCloud, type TestCloud } from '../testing.ts';
import { specsForHypervisor } from '../types/qos.ts';

const all = ['AvailabilityZoneFilter', 'CapacityFilter', 'CapabilitiesFilter', 'InstanceLocalityFilter'];
let c: TestCloud;
beforeAll(async () => { c = await testCloud({ backends: ['one', 'two', 'three', 'four'].map(name => ({ name })), scheduler: { filters: all, weighers: ['VolumeNumberWeigher'] } }); await c.admin('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set: { volumes: -1, gigabytes: -1, groups: -1 } }); });
afterAll(() => c.close());
beforeEach(() => { for (const d of c.drivers.values()) d.faults.clear(); });
const messages = async () => ((await c.demo('GET', '/v3/messages', undefined, '3.5')).body.messages as { user_message: string; resource_uuid: string }[]);
const hostOf = async (id: string) => String((await c.show(id))['os-vol-host-attr:host']);

describe('a backend that cannot make a volume', () => {
  test('is given up for another one', async () => {
    // Equal in number, so the order is that of their names.
    for (const name of ['four', 'one']) c.drivers.get(name)?.faults.failAt('volumes.create', 1, name === 'four' ? 'broken' : 'full');
    const id = await c.volume();
    expect(await c.show(id)).toMatchObject({ status: 'available', 'os-vol-host-attr:host': 'testhost@three#three' });
    expect([...c.drivers].flatMap(([name, d]) => d.held.map(() => name))).toEqual(['three']);
    await c.demo('DELETE', `/v3/volumes/${id}`);
    await c.t.drain();
  });
  test('and at most three are tried; what is left is nothing', async () => {
    for (const d of c.drivers.values()) d.faults.failAt('volumes.create');
    const id = await c.volume();
    expect(await c.show(id)).toMatchObject({ status: 'error' });
    expect([...c.drivers.values()].filter(d => (d.faults.calls['volumes.create'] ?? 0) > 0)).toHaveLength(3);
    expect([...c.drivers.values()].flatMap(d => d.held)).toEqual([]);
    expect((await messages()).find(m => m.resource_uuid === id)?.user_message).toContain('The fake was told to fail volumes.create');
    await c.demo('DELETE', `/v3/volumes/${id}`);
    await c.t.drain();
    // The pools' books are straight again.
    expect(await c.t.rt.db('volume_pools').sum('allocated_gb as gb').first()).toEqual({ gb: 0 });
  });
  test('one that asks for patience is asked again first; a refusal of the request itself moves nothing', async () => {
    for (const d of c.drivers.values()) d.faults.failAt('volumes.create', 1, 'transient');
    expect(await c.show(await c.volume())).toMatchObject({ status: 'available' });
    expect([...c.drivers.values()].filter(d => (d.faults.calls['volumes.create'] ?? 0) > 0)).toHaveLength(1);
    for (const d of c.drivers.values()) { d.faults.clear(); d.faults.failAt('volumes.create', 1, 'invalid'); }
    expect(await c.show(await c.volume())).toMatchObject({ status: 'error' });
    expect([...c.drivers.values()].filter(d => (d.faults.calls['volumes.create'] ?? 0) > 0)).toHaveLength(1);
  });
});

test('InstanceLocalityFilter: near a server of the caller\'s, and nowhere when there is no such server', async () => {
  const { db } = c.t.rt;
  const [columns] = [await db('information_schema.columns').where({ table_name: 'servers', is_nullable: 'NO' }).whereNull('column_default').where({ is_generated: 'NEVER', is_identity: 'NO' }).select('column_name', 'data_type')];
  const row = (project: string, host: string) => Object.fromEntries((columns as { column_name: string; data_type: string }[]).map(({ column_name: n, data_type: t }) => [n, n === 'project_id' ? project : t === 'uuid' ? newId() : t === 'jsonb' ? '{}' : /int|numeric|double/.test(t) ? 1 : t === 'boolean' ? false : t.startsWith('time') ? new Date() : host])) as { id: string };
  const [here, there, foreign] = [row(callers.demo.projectId as string, 'testhost'), row(callers.demo.projectId as string, 'otherhost'), row(callers.other.projectId as string, 'testhost')];
  await db.raw('alter table servers disable trigger user');
  for (const [r, host] of [[here, 'testhost'], [there, 'otherhost'], [foreign, 'testhost']] as const) await db('servers').insert({ ...r, host, vm_state: 'active', task_state: null });
  const hinted = (server: string) => c.demo('POST', '/v3/volumes', { volume: { size: 1 }, 'OS-SCH-HNT:scheduler_hints': { local_to_instance: server } });
  expect((await c.show((await hinted(here.id)).body.volume.id))['os-vol-host-attr:host']).toMatch(/^testhost@/);
  expect((await hinted('nonsense')).status).toBe(400);
  for (const wrong of [there.id, foreign.id, newId()]) {
    const { id } = (await hinted(wrong)).body.volume;
    expect(await c.show(id), wrong).toMatchObject({ status: 'error' });
    expect((await messages())[0]?.user_message).toContain('InstanceLocalityFilter refused 4 of 4');
  }
  await c.t.drain();
});

describe('limits of a type', () => {
  const limited = async (name: string, consumer: string, specs: object) => {
    const type = (await c.admin('POST', '/v3/types', { volume_type: { name } })).body.volume_type.id as string;
    const { qos_specs: qos } = (await c.admin('POST', '/v3/qos-specs', { qos_specs: { name, consumer, ...specs } })).body;
    expect((await c.admin('GET', `/v3/qos-specs/${qos.id}/associate?vol_type_id=${type}`)).status).toBe(202);
    return type;
  };
  test('that only the backend keeps: applied by one that can, refused where none can', async () => {
    await limited('slow', 'back-end', { maxIOPS: '100' });
    const id = await c.volume({ volume_type: 'slow' });
    expect(await c.show(id)).toMatchObject({ status: 'available' });
    expect([...c.drivers.values()].reduce((n, d) => n + (d.faults.calls['qos.apply'] ?? 0), 0)).toBe(1);
    await c.t.rt.db.raw(`update volume_pools set capabilities = capabilities || '{"QoS_support": false}'`);
    const refused = await c.volume({ volume_type: 'slow' });
    expect(await c.show(refused)).toMatchObject({ status: 'error' });
    expect((await messages()).find(m => m.resource_uuid === refused)?.user_message).toContain('QosSupport refused 4 of 4');
    await c.report();
  });
  test('that the hypervisor keeps go with the connection, and grow with the volume', async () => {
    const type = await limited('fast', 'front-end', { read_iops_sec: '200', total_bytes_sec_per_gb: '1000', total_bytes_sec_per_gb_min: '2500', write_iops_sec_per_gb: '10', write_iops_sec_max: '15' });
    expect(await specsForHypervisor(c.t.rt.db, type, 2)).toEqual({ read_iops_sec: '200', total_bytes_sec: '2500', write_iops_sec: '15' });
    expect(await specsForHypervisor(c.t.rt.db, type, 10)).toMatchObject({ total_bytes_sec: '10000', write_iops_sec: '15' });
    const id = await c.volume({ volume_type: 'fast' });
    const asked = c.demo('POST', `/v3/volumes/${id}/action`, { 'os-initialize_connection': { connector: { host: 'testhost' } } });
    await new Promise(go => setTimeout(go, 100));
    await c.t.drain();
    expect((await asked).body.connection_info.data.qos_specs).toEqual({ read_iops_sec: '200', total_bytes_sec: '2500', write_iops_sec: '10' });
  });
});

test('a group made of a source is creating until its last volume is there', async () => {
  const type = (await c.admin('GET', '/v3/types/default')).body.volume_type.id;
  const group = (await c.demo('POST', '/v3/groups', { group: { group_type: 'default_cgsnapshot_type', volume_types: [type] } }, '3.13')).body.group.id as string;
  for (let i = 0; i < 2; i++) await c.volume({ group_id: group }, '3.13');
  const status = async (id: string) => (await c.demo('GET', `/v3/groups/${id}`, undefined, '3.13')).body.group.status;
  const copy = async () => (await c.demo('POST', '/v3/groups/action', { 'create-from-src': { name: 'copy', source_group_id: group } }, '3.14')).body.group.id as string;
  const first = await copy();
  expect(await status(first)).toBe('creating');
  expect(sentence(await c.demo('POST', `/v3/groups/${first}/action`, { delete: { 'delete-volumes': true } }, '3.13'))).toContain('creating');
  await c.t.drain();
  expect(await status(first)).toBe('available');
  for (const d of c.drivers.values()) d.faults.failAt('clone.fromVolume', 2, 'invalid');
  const second = await copy();
  await c.t.drain();
  expect(await status(second)).toBe('error');
  expect(await hostOf((await c.demo('GET', `/v3/volumes?limit=1`)).body.volumes[0].id)).toMatch(/^testhost@/);
});
