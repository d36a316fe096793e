import { plainCall } from '@cumulet/drivers';
import { makeApp as placementApp } from '@cumulet/placement';
import { newId } from '@cumulet/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing/cloud.ts';
import { proving } from '../testing/proving.ts';
import { asksOf } from './asks.ts';
import type { Candidate, SchedulerSettings, Wish } from './candidate.ts';
import { filters, NoValidHost, passing, type FilterName } from './filters.ts';
import { holds, meets } from './operators.ts';
import { ranked } from './weighers.ts';

const host = (o: Partial<Candidate> = {}): Candidate => ({
  host: 'h', node: 'h', disabled: false, forced_down: false, age: 1, vcpus: 8, memory_mb: 8_192, disk_gb: 100, cpu_ratio: 4, ram_ratio: 1, disk_ratio: 1, reserved_memory_mb: 0, used_vcpus: 0, used_memory_mb: 0, used_disk_gb: 0, build_failures: 0, servers: 0, busy: 0,
  facts: { type: 'QEMU', version: 7_002_000, arch: 'x86_64', address: '192.0.2.10', cpu: { arch: 'x86_64', features: ['avx', 'sse'] } }, zone: 'nova', aggregates: [], ...o,
});
const settings = (o: Partial<SchedulerSettings> = {}): SchedulerSettings => ({
  filters: ['ComputeFilter'], hostSubsetSize: 1, maxInstancesPerHost: 50, maxIoOpsPerHost: 8, isolatedHosts: [], isolatedImages: [], restrictIsolatedHostsToIsolatedImages: true,
  weights: { ram: 1, cpu: 1, disk: 1, ioOps: -1, numInstances: 0, softAffinity: 1, softAntiAffinity: 1, buildFailure: 1_000_000, hypervisorVersion: 1 }, ...o,
});
const want: Wish = { vcpus: 1, memory_mb: 512, disk_gb: 1 };

describe('filters by upstream\'s names', () => {
  const aggregate = (...metadata: Record<string, string>[]) => host({ aggregates: metadata });
  test.for<[FilterName, Candidate, Partial<Wish>, Partial<SchedulerSettings>, boolean]>([
    ['AllHostsFilter', host({ disabled: true }), {}, {}, true],
    ['ComputeFilter', host(), {}, {}, true], ['ComputeFilter', host({ disabled: true }), {}, {}, false], ['ComputeFilter', host({ age: 100 }), {}, {}, false], ['ComputeFilter', host({ forced_down: true }), {}, {}, false],
    ['ComputeCapabilitiesFilter', host(), { extraSpecs: { 'capabilities:hypervisor_type': 's== QEMU', 'capabilities:cpu_info:features': '<in> avx', 'hw:cpu_cores': '2' } }, {}, true],
    ['ComputeCapabilitiesFilter', host(), { extraSpecs: { 'capabilities:hypervisor_version': '>= 9000000' } }, {}, false], ['ComputeCapabilitiesFilter', host(), { extraSpecs: { 'capabilities:unheard_of': '1' } }, {}, false],
    ['ImagePropertiesFilter', host(), { image: { hw_architecture: 'x86_64', img_hv_type: 'kvm', hw_vm_mode: 'hvm' } }, {}, true], ['ImagePropertiesFilter', host(), { image: { architecture: 'amd64' } }, {}, true],
    ['ImagePropertiesFilter', host(), { image: { hw_architecture: 'aarch64' } }, {}, false], ['ImagePropertiesFilter', host(), { image: { img_hv_type: 'xen' } }, {}, false], ['ImagePropertiesFilter', host(), { image: { hw_vm_mode: 'xen' } }, {}, false],
    ['ServerGroupAntiAffinityFilter', host(), { group: { policy: 'anti-affinity', hosts: ['h'], maxPerHost: 1 } }, {}, false], ['ServerGroupAntiAffinityFilter', host(), { group: { policy: 'anti-affinity', hosts: ['h'], maxPerHost: 2 } }, {}, true],
    ['ServerGroupAffinityFilter', host(), { group: { policy: 'affinity', hosts: ['x'], maxPerHost: 1 } }, {}, false], ['ServerGroupAffinityFilter', host(), { group: { policy: 'affinity', hosts: [], maxPerHost: 1 } }, {}, true],
    ['DifferentHostFilter', host(), { differentFrom: ['h'] }, {}, false], ['SameHostFilter', host(), { sameAs: ['h'] }, {}, true], ['SameHostFilter', host(), { sameAs: [] }, {}, false],
    ['SimpleCIDRAffinityFilter', host(), { near: { ip: '192.0.2.99', cidr: '/24' } }, {}, true], ['SimpleCIDRAffinityFilter', host(), { near: { ip: '192.0.2.99', cidr: '/29' } }, {}, false], ['SimpleCIDRAffinityFilter', host(), { near: { ip: 'x', cidr: '/99' } }, {}, false],
    ['JsonFilter', host(), { query: '["and", [">=", "$free_ram_mb", 1024], [">=", "$free_disk_mb", 2048]]' }, {}, true], ['JsonFilter', host(), { query: '[">=", "$free_ram_mb", 10240]' }, {}, false], ['JsonFilter', host(), { query: 'nonsense' }, {}, false],
    ['IsolatedHostsFilter', host(), { imageId: 'i' }, { isolatedHosts: ['h'], isolatedImages: ['i'] }, true], ['IsolatedHostsFilter', host(), { imageId: 'x' }, { isolatedHosts: ['h'], isolatedImages: ['i'] }, false],
    ['IoOpsFilter', host({ busy: 8 }), {}, {}, false], ['NumInstancesFilter', host({ servers: 50 }), {}, {}, false], ['NumInstancesFilter', host({ servers: 49 }), {}, {}, true],
    ['AggregateInstanceExtraSpecsFilter', aggregate({ ssd: 'true' }, { ssd: 'false' }), { extraSpecs: { 'aggregate_instance_extra_specs:ssd': 'true' } }, {}, true], ['AggregateInstanceExtraSpecsFilter', host(), { extraSpecs: { 'aggregate_instance_extra_specs:ssd': 'true' } }, {}, false],
    ['AggregateImagePropertiesIsolation', aggregate({ os_type: 'windows' }), { image: { os_type: 'linux' } }, {}, false], ['AggregateImagePropertiesIsolation', aggregate({ os_type: 'windows, linux' }), { image: { os_type: 'linux' } }, {}, true],
    ['AggregateMultiTenancyIsolation', aggregate({ filter_tenant_id: 'a,b' }), { projectId: 'b' }, {}, true], ['AggregateMultiTenancyIsolation', aggregate({ filter_tenant_id: 'a' }), { projectId: 'b' }, {}, false], ['AggregateMultiTenancyIsolation', aggregate({ filter_tenant_id3: 'b' }), { projectId: 'b' }, {}, true],
    ['AggregateTypeAffinityFilter', aggregate({ instance_type: 'm1.tiny' }), { flavorName: 'm1.tiny' }, {}, true], ['AggregateTypeAffinityFilter', aggregate({ instance_type: 'm1.tiny' }), { flavorName: 'm1.large' }, {}, false],
    ['AggregateIoOpsFilter', { ...aggregate({ max_io_ops_per_host: '2' }), busy: 2 }, {}, {}, false], ['AggregateNumInstancesFilter', { ...aggregate({ max_instances_per_host: '60' }), servers: 55 }, {}, {}, true],
  ])('%s', ([name, h, w, s, expected]) => { expect(filters[name](h, { ...want, ...w }, settings(s))).toBe(expected); });

  test('the little language of extra specs', () => {
    for (const [has, asked, yes] of [['2', '>= 1', true], [2, '= 3', false], ['abc', '<in> b', true], [['a', 'b'], '<all-in> a b', true], ['y', '<or> x <or> y', true], ['x', 's!= x', false], ['12', '12', true]] as const) expect(meets(has, asked), `${String(has)} ${asked}`).toBe(yes);
    expect(holds(['not', ['=', '$a.b', 2]], { a: { b: 1 } })).toBe(true);
    expect(holds(Array.from({ length: 100 }).reduce<unknown>(q => ['not', q], ['=', 1, 1]), {})).toBe(false);
  });
  test('says how many each filter let through', () => {
    expect(() => passing([host(), host({ disabled: true })], { ...want, memory_mb: 1 << 20 }, settings())).toThrow(NoValidHost);
    try { passing([host({ zone: 'x' }), host({ disabled: true })], { ...want, zone: 'nova' }, settings()); } catch (error) { expect((error as NoValidHost).details).toBe('Filter results: RequestedHost: (start: 2, end: 2), Resources: (start: 2, end: 2), AvailabilityZone: (start: 2, end: 1), ComputeFilter: (start: 1, end: 0)'); }
  });
});

describe('weighers', () => {
  const first = (hosts: Candidate[], w: Partial<Wish> = {}, s: Partial<SchedulerSettings> = {}) => ranked(hosts, { ...want, ...w }, settings(s))[0]?.host;
  const weights = settings().weights;
  test('the emptiest host, unless the multiplier says the fullest', () => {
    const hosts = [host({ host: 'full', used_memory_mb: 4_096 }), host({ host: 'empty' })];
    expect(first(hosts)).toBe('empty');
    expect(first(hosts, {}, { weights: { ...weights, ram: -1 } })).toBe('full');
  });
  test('soft policies of groups prefer and do not insist', () => {
    const hosts = [host({ host: 'a' }), host({ host: 'b' })];
    expect(first(hosts, { group: { policy: 'soft-anti-affinity', hosts: ['a'], maxPerHost: 1 } })).toBe('b');
    expect(first(hosts, { group: { policy: 'soft-affinity', hosts: ['a'], maxPerHost: 1 } })).toBe('a');
  });
  test('a host whose builds fail comes last, a busy one later', () => {
    expect(first([host({ host: 'fails', build_failures: 1 }), host({ host: 'works', used_memory_mb: 4_096 })])).toBe('works');
    expect(first([host({ host: 'busy', busy: 5 }), host({ host: 'idle' })])).toBe('idle');
  });
});

describe('on real rows', () => {
  let c: TestCloud;
  const lab = proving(() => c);
  beforeAll(async () => { c = await testCloud({ CUMULET_VOLUME_BACKENDS: JSON.stringify([{ name: 'fake', driver: 'fake' }]) }, { hosts: ['second', 'third'] }); await lab.open(); }, 60_000);
  afterAll(() => c.close());
  /** `quiet`: the hosts say nothing new of themselves in between. */
  const boot = async (o: { count?: number; group?: string; flavor?: string; hints?: object; who?: 'admin'; more?: object; quiet?: true } = {}) => (o.quiet ? undefined : await c.beat(), c.call(o.who ?? 'demo')('POST', '/v2.1/servers', {
    server: { name: 's', flavorRef: o.flavor ?? 'nano', imageRef: lab.image, networks: 'none', ...(o.count === undefined ? {} : { min_count: o.count }), ...o.more }, 'os:scheduler_hints': { ...(o.group === undefined ? {} : { group: o.group }), ...o.hints },
  }, '2.74'));
  const group = async (policy: string, rules?: object) => (await c.call()('POST', '/v2.1/os-server-groups', { server_group: { name: policy, policy, ...(rules ? { rules } : {}) } }, '2.64')).body.server_group.id as string;
  const places = async (groupId: string) => (await c.t.rt.db('servers').where({ group_id: groupId, deleted: false }).whereNotNull('host').select('host')).map((r: { host: string }) => r.host) as string[];

  test('a group\'s policy holds for many boots at once', async () => {
    await c.beat();
    const anti = await group('anti-affinity');
    await Promise.all(Array.from({ length: 6 }, () => boot({ group: anti })));
    expect((await places(anti)).toSorted()).toEqual(['second', 'testhost', 'third']);
    expect(await c.t.rt.db('servers').where({ group_id: anti, vm_state: 'error' })).toHaveLength(3);
    const two = await group('anti-affinity', { max_server_per_host: 2 });
    await Promise.all(Array.from({ length: 7 }, () => boot({ group: two })));
    expect((await places(two)).toSorted()).toEqual(['second', 'second', 'testhost', 'testhost', 'third', 'third']);
    const together = await group('affinity');
    await Promise.all(Array.from({ length: 5 }, () => boot({ group: together })));
    expect(new Set(await places(together)).size).toBe(1);
    await c.t.drain();
  });
  test('nobody is promised what is promised to another', async () => {
    // Room for five on every host, and twice as many boots.
    await c.t.rt.db('compute_hosts').update({ memory_mb: c.t.rt.db.raw('used_memory_mb + reserved_memory_mb + 192 * 5'), seen_at: c.t.rt.db.fn.now() });
    const answers = await Promise.all(Array.from({ length: 30 }, () => boot({ quiet: true })));
    expect(answers.filter(a => a.status === 202)).toHaveLength(30);
    const rows: { host: string; memory_mb: number; reserved_memory_mb: number; used_memory_mb: string }[] = await c.t.rt.db('compute_hosts');
    for (const h of rows) expect(Number(h.used_memory_mb), h.host).toBe(Number(h.memory_mb) - h.reserved_memory_mb);
    const failed: { fault: { message: string; details: string } }[] = await c.t.rt.db('servers').where({ vm_state: 'error' }).whereRaw(`fault ->> 'message' like 'No valid host%'`).whereNull('group_id');
    expect(failed).toHaveLength(15);
    // Why is for administrators.
    const [one] = await c.t.rt.db('servers').where({ vm_state: 'error' }).whereNull('group_id').select('id') as { id: string }[];
    expect((await c.show(one?.id as string, 'demo')).fault).toMatchObject({ code: 500, message: 'No valid host was found. There are not enough hosts available.' });
    expect((await c.show(one?.id as string, 'demo')).fault.details).toBeUndefined();
    expect((await c.show(one?.id as string, 'admin')).fault.details).toMatch(/Resources: \(start: 3, end: 0\)/);
    await c.t.drain();
    for (const { id } of await c.t.rt.db('servers').where({ deleted: false }).select('id') as { id: string }[]) await c.call('admin')('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    expect(await c.t.rt.db('compute_hosts').whereRaw('used_memory_mb <> 0 or used_vcpus <> 0 or used_disk_gb <> 0')).toEqual([]);
  });
  test('a hypervisor\'s failure leads to the next host, and no further than the settings say', async () => {
    await c.t.rt.db('compute_hosts').update({ memory_mb: 262_144 });
    const hypervisors = ['testhost', 'second', 'third'].map(h => c.hosts.get(h)?.hypervisor as TestCloud['hypervisor']);
    const tries = () => hypervisors.reduce((sum, h) => sum + (h.faults.calls['servers.create'] ?? 0), 0);
    const clear = () => { for (const h of hypervisors) h.faults.clear(); };
    for (const broken of [1, 2, 3]) {
      clear();
      await c.beat();
      await c.t.rt.db('compute_hosts').update({ build_failures: 0 });
      let failures = 0;
      for (const h of hypervisors) if (failures++ < broken) h.faults.failAt('servers.create');
      // The broken ones look best.
      for (const [i, name] of ['testhost', 'second', 'third'].entries()) await c.t.rt.db('compute_hosts').where({ host: name }).update({ memory_mb: i < broken ? 524_288 : 262_144 });
      const id = (await c.call()('POST', '/v2.1/servers', { server: { name: 'r', flavorRef: 'nano', imageRef: lab.image, networks: [{ uuid: c.networkId }] } })).body.server.id as string;
      await c.t.drain();
      const row = await lab.rowOf(id);
      expect(tries()).toBe(Math.min(broken + 1, 3));
      for (const [name, h] of c.hosts) expect((await h.hypervisor.list(plainCall())).filter(d => d.id === id), name).toHaveLength(row.host === name ? 1 : 0);
      expect(await c.t.rt.db('allocations').where({ server_id: id })).toHaveLength(row.host === null ? 0 : 1);
      expect(await c.t.rt.db('ports').where({ device_id: id })).toHaveLength(row.host === null ? 0 : 1);
      if (broken < 3) expect(row).toMatchObject({ vm_state: 'active', fault: null });
      else { expect(row).toMatchObject({ vm_state: 'error', host: null }); expect(row.fault?.message).toMatch(/^Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance/); expect(row.fault?.details).toMatch(/on host \w+, after \w+, \w+/); }
      // One line of history, with what was tried on each host.
      const [action, ...others] = await c.t.rt.db('server_actions').where({ server_id: id, action: 'create' }) as { request_id: string }[];
      expect(others).toEqual([]);
      const { events } = (await c.call('admin')('GET', `/v2.1/servers/${id}/os-instance-actions/${action?.request_id}`)).body.instanceAction as { events: { event: string; result: string; host: string }[] };
      const spawned = events.filter(e => e.event === 'compute_spawn');
      expect(spawned.map(e => e.result)).toEqual([...Array.from({ length: broken }, () => 'Error'), ...(broken < 3 ? ['Success'] : [])]);
      await c.call('admin')('DELETE', `/v2.1/servers/${id}`);
      await c.t.drain();
    }
    clear();
    // Asked for by name, it is that host or none.
    hypervisors[0]?.faults.failAt('servers.create');
    const forced = (await boot({ who: 'admin', more: { availability_zone: 'nova:testhost' } })).body.server.id as string;
    await c.t.drain();
    expect(await lab.rowOf(forced)).toMatchObject({ vm_state: 'error', host: null });
    clear();
  });
  test('zones are aggregates; hints name hosts by servers', async () => {
    const made = await c.call('admin')('POST', '/v2.1/os-aggregates', { aggregate: { name: 'west', availability_zone: 'west' } });
    await c.call('admin')('POST', `/v2.1/os-aggregates/${made.body.aggregate.id}/action`, { add_host: { host: 'third' } });
    const one = (await boot({ more: { availability_zone: 'west' } })).body.server.id as string;
    await c.t.drain();
    expect(await lab.rowOf(one)).toMatchObject({ host: 'third', availability_zone: 'west' });
    const other = (await boot({ hints: { different_host: [one] } })).body.server.id as string;
    const same = (await boot({ hints: { same_host: one } })).body.server.id as string;
    await c.t.drain();
    expect((await lab.rowOf(other)).host).not.toBe('third');
    expect((await lab.rowOf(same)).host).toBe('third');
    expect(await boot({ more: { availability_zone: 'east' } })).toMatchObject({ status: 400 });
    // What was asked at the beginning holds for a move too.
    expect(await c.act(one, { migrate: null }, { who: 'admin' })).toMatchObject({ status: 400, body: { badRequest: { message: expect.stringContaining('No valid host') } } });
    await c.beat();
    expect((await c.act(other, { migrate: { host: 'third' } }, { who: 'admin', version: '2.56' })).body.badRequest.message).toMatch(/DifferentHostFilter: \(start: 1, end: 0\)/);
  });
  test('traits and further resources are asked of the host, and nobody gets what another has', async () => {
    const { db } = c.t.rt;
    for (const { id } of await db('servers').where({ deleted: false }).select('id') as { id: string }[]) await c.call('admin')('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    await c.beat();
    await db('compute_hosts').update({ build_failures: 0 });
    const idOf = async (name: string) => (await db('compute_hosts').where({ host: name }).first('id')).id as string;
    await db('placement_traits').insert([{ name: 'CUSTOM_GOLD' }]);
    await db('placement_classes').insert([{ name: 'CUSTOM_CARD' }]);
    await db('placement_provider_traits').insert({ provider_id: await idOf('second'), trait: 'CUSTOM_GOLD' });
    for (const name of ['second', 'third']) await db('placement_inventories').insert({ provider_id: await idOf(name), class: 'CUSTOM_CARD', total: 4, reserved: 0, min_unit: 1, max_unit: 2, step_size: 1, allocation_ratio: 1 });
    const flavor = async (extraSpecs: Record<string, string>) => {
      const { id } = (await c.call('admin')('POST', '/v2.1/flavors', { flavor: { name: JSON.stringify(extraSpecs).slice(0, 80), vcpus: 1, ram: 64, disk: 1 } })).body.flavor;
      expect((await c.call('admin')('POST', `/v2.1/flavors/${id}/os-extra_specs`, { extra_specs: extraSpecs })).status).toBe(200);
      return id as string;
    };
    const hostOf = async (answer: { body: { server: { id: string } } }) => { expect(answer.body, JSON.stringify(answer)).toHaveProperty('server'); return (await lab.rowOf(answer.body.server.id)).host; };
    const [gold, base, cards] = [await flavor({ 'trait:CUSTOM_GOLD': 'required' }), await flavor({ 'trait:CUSTOM_GOLD': 'forbidden' }), await flavor({ 'resources:CUSTOM_CARD': '1' })];
    for (let i = 0; i < 3; i++) {
      expect(await hostOf(await boot({ flavor: gold }))).toBe('second');
      expect(await hostOf(await boot({ flavor: base }))).not.toBe('second');
    }
    for (const nobody of [{ 'trait:CUSTOM_TIN': 'required' }, { 'resources:VGPU': '1' }, { 'resources:CUSTOM_CARD': '3' }, { 'resources1:CUSTOM_CARD': '1', 'resources2:CUSTOM_CARD': '1', 'group_policy': 'isolate' }] as Record<string, string>[]) {
      const id = (await boot({ flavor: await flavor(nobody) })).body.server.id as string;
      expect(await lab.rowOf(id), JSON.stringify(nobody)).toMatchObject({ host: null, vm_state: 'error', fault: { message: 'No valid host was found. There are not enough hosts available.', details: expect.stringMatching(/Placement: \(start: 3, end: 0\)/) } });
    }
    // Eight cards on two hosts, and half again as many boots.
    await c.t.drain();
    const booted = await Promise.all(Array.from({ length: 12 }, () => boot({ flavor: cards, quiet: true })));
    const hosts = await Promise.all(booted.map(hostOf));
    expect(['second', 'third', null].map(h => hosts.filter(x => x === h).length)).toEqual([4, 4, 4]);
    const held = await db('allocations').whereRaw(`resources <> '{}'`).select('host', 'resources') as { host: string; resources: object }[];
    expect(held.map(h => h.resources)).toEqual(Array.from({ length: 8 }, () => ({ CUSTOM_CARD: 1 })));
    await c.t.drain();
    const at = hosts.findIndex(h => h !== null);
    expect((await c.act(booted[at]?.body.server.id as string, { migrate: null }, { who: 'admin' })).body.badRequest.message).toMatch(/No valid host/);
    await c.call('admin')('DELETE', `/v2.1/servers/${booted[at]?.body.server.id}`);
    await c.t.drain();
    expect(await hostOf(await boot({ flavor: cards }))).toBe(hosts[at]);
    // Boots and others who take the same cards by placement, all at once.
    for (const { id } of await db('servers').where({ deleted: false }).select('id') as { id: string }[]) await c.call('admin')('DELETE', `/v2.1/servers/${id}`);
    await c.t.drain();
    await c.beat();
    const placement = await placementApp(c.t.rt);
    const put = async (n: number) => as(placement, 'service', 'placement')('PUT', `/allocations/${newId()}`, { allocations: { [await idOf(n % 2 === 0 ? 'second' : 'third')]: { resources: { CUSTOM_CARD: 1 } } }, project_id: 'p', user_id: 'u', consumer_generation: null, consumer_type: 'OTHER' }, '1.39');
    const [servers, others] = await Promise.all([Promise.all(Array.from({ length: 8 }, () => boot({ flavor: cards, quiet: true }))), Promise.all(Array.from({ length: 8 }, (_, n) => put(n)))]);
    const taken = (await Promise.all(servers.map(hostOf))).filter(h => h !== null).length + others.filter(o => o.status === 204).length;
    expect(taken).toBe(8);
    for (const name of ['second', 'third']) expect((await as(placement, 'service', 'placement')('GET', `/resource_providers/${await idOf(name)}/usages`)).body.usages.CUSTOM_CARD).toBe(4);
    await c.t.drain();
    // What the flavor says of a class by name takes the place of its own number.
    const light = await boot({ flavor: await flavor({ 'resources:VCPU': '0', 'resources:MEMORY_MB': '16' }) });
    expect(await db('allocations').where({ server_id: light.body.server.id })).toMatchObject([{ vcpus: 0, memory_mb: 16, resources: {} }]);
    await c.t.drain();
  });
});

test('what extra specs and images ask by the names of placement', () => {
  expect(asksOf({ 'resources:CUSTOM_A': '2', 'resources_x:CUSTOM_A': '1', 'resources:VCPU': '0', 'trait:CUSTOM_T': 'required', 'trait2:CUSTOM_U': 'forbidden', 'trait:CUSTOM_V': 'liked', 'hw:cpu_cores': '2', 'resources:custom': '1', 'resources:CUSTOM_B': 'x' }, { 'trait:CUSTOM_I': 'required', 'os_type': 'linux' }))
    .toEqual({ resources: { CUSTOM_A: 3, VCPU: 0 }, required: ['CUSTOM_T', 'CUSTOM_I'], forbidden: ['CUSTOM_U'], torn: false });
  const provider = (traits: string[]) => host({ provider: { uuid: 'u', name: 'h', host: 'h', generation: 0, changedAt: new Date(0), parent: null, root: 'u', inventories: {}, used: {}, aggregates: [], traits } });
  const wish = { ...want, asks: asksOf({}, { 'trait:CUSTOM_I': 'required' }) };
  expect(passing([provider(['CUSTOM_I']), provider([])], wish, settings())).toHaveLength(1);
  expect(() => passing([provider([])], wish, settings())).toThrow(NoValidHost);
});
