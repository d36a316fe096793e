import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import { makeApp } from './app.ts';

const host = { one: '11111111-1111-4111-8111-111111111111', two: '22222222-2222-4222-8222-222222222222' };
const pool = '33333333-3333-4333-8333-333333333333';
const nth = (n: number) => `44444444-4444-4444-8444-${String(n).padStart(12, '0')}`;

describe('what administrators write', () => {
  let t: TestRuntime;
  let app: FastifyInstance;
  const call = (method: string, path: string, body?: unknown, version = '1.39') => as(app, 'service', 'placement')(method, path, body, version);
  const ok = async (method: string, path: string, body?: unknown, version?: string) => { const a = await call(method, path, body, version); expect([a.status, a.body], `${method} ${path}`).toEqual([expect.any(Number), a.body]); expect(a.status, `${method} ${path} ${JSON.stringify(a.body)}`).toBeLessThan(300); return a.body; };
  const refused = async (status: number, said: string, code: string | undefined, method: string, path: string, body?: unknown) => {
    const a = await call(method, path, body);
    expect([a.status, a.body?.errors?.[0]?.detail, a.body?.errors?.[0]?.code], `${method} ${path}`).toEqual([status, expect.stringContaining(said), code ?? 'placement.undefined_code']);
  };
  const generation = async (id: string) => (await ok('GET', `/resource_providers/${id}`)).generation as number;
  const has = async (id: string, inventories: Record<string, object>) => ok('PUT', `/resource_providers/${id}/inventories`, { resource_provider_generation: await generation(id), inventories });
  const marks = async (id: string, traits: string[]) => ok('PUT', `/resource_providers/${id}/traits`, { resource_provider_generation: await generation(id), traits });
  const belongs = async (id: string, aggregates: string[]) => ok('PUT', `/resource_providers/${id}/aggregates`, { resource_provider_generation: await generation(id), aggregates });
  const wants = (allocations: Record<string, Record<string, number>>, consumer_generation: number | null = null) => ({ allocations: Object.fromEntries(Object.entries(allocations).map(([id, resources]) => [id, { resources }])), project_id: 'p', user_id: 'u', consumer_generation, consumer_type: 'BLOB' });
  const candidates = async (query: string) => (await ok('GET', `/allocation_candidates?${query}`)).allocation_requests.map((r: { allocations: Record<string, { resources: object }> }) => Object.fromEntries(Object.entries(r.allocations).map(([id, a]) => [id, a.resources])));

  beforeAll(async () => { t = await testRuntime(); app = await makeApp(t.rt); });
  afterAll(async () => { await app.close(); await t.close(); });
  beforeEach(async () => {
    await t.rt.db.raw('truncate compute_hosts, placement_providers, placement_consumers, placement_classes, placement_traits, servers, aggregates cascade');
    const row = { vcpus: 4, memory_mb: 8192, disk_gb: 100, cpu_ratio: 4, ram_ratio: 1, disk_ratio: 1, reserved_memory_mb: 0 };
    await t.rt.db('compute_hosts').insert([{ ...row, id: host.one, host: 'one', node: 'node-one' }, { ...row, id: host.two, host: 'two', node: 'node-two' }]);
  });

  test('who is no provider is called as the caller did', async () => {
    for (const [method, path] of [['DELETE', 'traits'], ['DELETE', 'inventories'], ['DELETE', 'inventories/VCPU'], ['PUT', 'traits']] as const) {
      await refused(404, 'No resource provider with uuid Not-One found', undefined, method, `/resource_providers/Not-One/${path}`, method === 'PUT' ? { resource_provider_generation: 0, traits: [] } : undefined);
    }
  });
  test('a host has the traits that it says itself, and those that are given to it', async () => {
    await ok('PUT', '/traits/CUSTOM_GOLD');
    const computed = (await ok('GET', `/resource_providers/${host.one}/traits`)).traits as string[];
    await refused(409, 'Please update the generation', 'placement.concurrent_update', 'PUT', `/resource_providers/${host.one}/traits`, { resource_provider_generation: 99, traits: ['CUSTOM_GOLD'] });
    await refused(400, 'No such trait CUSTOM_TIN', undefined, 'PUT', `/resource_providers/${host.one}/traits`, { resource_provider_generation: await generation(host.one), traits: ['CUSTOM_TIN'] });
    // What it says itself may be named or left out.
    expect((await marks(host.one, ['CUSTOM_GOLD', 'COMPUTE_NODE'])).traits).toEqual([...computed, 'CUSTOM_GOLD']);
    expect(await candidates('resources=VCPU:1&required=CUSTOM_GOLD')).toEqual([{ [host.one]: { VCPU: 1 } }]);
    expect(await candidates('resources=VCPU:1&required=!CUSTOM_GOLD')).toEqual([{ [host.two]: { VCPU: 1 } }]);
    expect((await ok('GET', '/resource_providers?required=CUSTOM_GOLD')).resource_providers.map((p: { uuid: string }) => p.uuid)).toEqual([host.one]);
    await refused(409, 'is in use by a resource provider', undefined, 'DELETE', '/traits/CUSTOM_GOLD');
    await ok('DELETE', `/resource_providers/${host.one}/traits`);
    expect((await ok('GET', `/resource_providers/${host.one}/traits`)).traits).toEqual(computed);
    await ok('DELETE', '/traits/CUSTOM_GOLD');
  });

  test('a host is in the aggregates of compute and in those that it is put into', async () => {
    await t.rt.db('aggregates').insert({ id: nth(1), name: 'a', hosts: ['one'] });
    expect((await belongs(host.one, [nth(2)])).aggregates).toEqual([nth(2), nth(1)]);
    for (const aggregate of [1, 2]) expect(await candidates(`resources=VCPU:1&member_of=${nth(aggregate)}`)).toEqual([{ [host.one]: { VCPU: 1 } }]);
    await belongs(host.one, [nth(1)]);
    await t.rt.db('aggregates').update({ hosts: [] });
    expect((await ok('GET', `/resource_providers/${host.one}/aggregates`)).aggregates).toEqual([]);
  });

  test('providers are made, named, moved and deleted; trees have no loops', async () => {
    await ok('POST', '/resource_providers', { name: 'a', uuid: nth(1), parent_provider_uuid: host.one });
    expect(await ok('POST', '/resource_providers', { name: 'b', uuid: nth(2).replaceAll('-', ''), parent_provider_uuid: nth(1) })).toMatchObject({ uuid: nth(2), generation: 0, parent_provider_uuid: nth(1), root_provider_uuid: host.one });
    await refused(409, 'name: a', 'placement.duplicate_name', 'POST', '/resource_providers', { name: 'a' });
    await refused(409, 'name: node-two', 'placement.duplicate_name', 'POST', '/resource_providers', { name: 'node-two' });
    await refused(409, `uuid: ${nth(1)}`, 'placement.duplicate_name', 'POST', '/resource_providers', { name: 'c', uuid: nth(1) });
    await refused(400, 'does not exist', undefined, 'POST', '/resource_providers', { name: 'c', parent_provider_uuid: nth(9) });
    await refused(409, 'b already exists', 'placement.duplicate_name', 'PUT', `/resource_providers/${nth(1)}`, { name: 'b' });
    await refused(400, 'loop', undefined, 'PUT', `/resource_providers/${nth(1)}`, { name: 'a', parent_provider_uuid: nth(2) });
    expect((await call('PUT', `/resource_providers/${nth(1)}`, { name: 'a', parent_provider_uuid: host.two }, '1.36')).status).toBe(400);
    await refused(409, 'child resource providers', 'placement.resource_provider.cannot_delete_parent', 'DELETE', `/resource_providers/${host.one}`);
    await ok('PUT', `/resource_providers/${nth(1)}`, { name: 'a2', parent_provider_uuid: host.two });
    expect(await ok('GET', `/resource_providers/${nth(2).replaceAll('-', '')}`)).toMatchObject({ root_provider_uuid: host.two });
    await marks(nth(2).replaceAll('-', ''), []);
    expect((await ok('GET', `/resource_providers?in_tree=${nth(2)}`)).resource_providers.map((p: { name: string }) => p.name)).toEqual(['node-two', 'a2', 'b']);
    await ok('PUT', `/resource_providers/${nth(1)}`, { name: 'a2', parent_provider_uuid: null });
    expect(await ok('GET', `/resource_providers/${nth(2)}`)).toMatchObject({ root_provider_uuid: nth(1) });
    await refused(409, 'child resource providers', 'placement.resource_provider.cannot_delete_parent', 'DELETE', `/resource_providers/${nth(1)}`);
    for (const n of [2, 1]) await ok('DELETE', `/resource_providers/${nth(n)}`);
    await refused(409, 'computed', undefined, 'PUT', `/resource_providers/${host.one}`, { name: 'node-one', parent_provider_uuid: host.two });
  });

  test('two who move each other below themselves make no loop', async () => {
    for (const n of [1, 2]) await ok('POST', '/resource_providers', { name: `p${n}`, uuid: nth(n) });
    const answers = await Promise.all([[1, 2], [2, 1]].map(([a, b]) => call('PUT', `/resource_providers/${nth(a as number)}`, { name: `p${a}`, parent_provider_uuid: nth(b as number) })));
    expect(answers.map(a => a.status).toSorted()).toEqual([200, 400]);
    expect((await Promise.all(Array.from({ length: 6 }, () => call('POST', '/resource_providers', { name: 'same' })))).map(a => a.status).toSorted()).toEqual([200, 409, 409, 409, 409, 409]);
    expect((await Promise.all(Array.from({ length: 4 }, () => call('PUT', '/traits/CUSTOM_NEW')))).map(a => a.status).toSorted()).toEqual([201, 204, 204, 204]);
  });

  test('inventories have rules, and what is in use stays', async () => {
    await ok('POST', '/resource_providers', { name: 'pool', uuid: pool });
    const path = `/resource_providers/${pool}/inventories`;
    await refused(400, 'No such resource class CUSTOM_GOLD', undefined, 'PUT', path, { resource_provider_generation: 0, inventories: { CUSTOM_GOLD: { total: 1 } } });
    await ok('POST', '/resource_classes', { name: 'CUSTOM_GOLD' });
    await refused(400, 'greater than total', undefined, 'PUT', path, { resource_provider_generation: 0, inventories: { CUSTOM_GOLD: { total: 1, reserved: 2 } } });
    expect((await call('PUT', path, { resource_provider_generation: 0, inventories: { CUSTOM_GOLD: { total: 1, reserved: 1 } } }, '1.25')).status).toBe(400);
    expect(await has(pool, { CUSTOM_GOLD: { total: 10, min_unit: 2, max_unit: 6, step_size: 2, allocation_ratio: 1.5 }, DISK_GB: { total: 5 } })).toMatchObject({ resource_provider_generation: 1, inventories: { DISK_GB: { total: 5, reserved: 0, min_unit: 1, max_unit: 2_147_483_647, step_size: 1, allocation_ratio: 1 } } });
    await refused(409, 'Update conflict', 'placement.concurrent_update', 'POST', path, { resource_class: 'DISK_GB', total: 1 });
    expect((await call('POST', path, { resource_class: 'VGPU', total: 1 })).headers['location']).toMatch(new RegExp(`^http://.*${path}/VGPU$`));
    for (const [amount, said] of [[1, 'violate'], [3, 'violate'], [8, 'violate']] as const) await refused(409, said, undefined, 'PUT', `/allocations/${nth(1)}`, wants({ [pool]: { CUSTOM_GOLD: amount } }));
    await refused(409, 'invalid', undefined, 'PUT', `/allocations/${nth(1)}`, wants({ [pool]: { VCPU: 1 } }));
    await refused(400, 'No such resource class CUSTOM_TIN', undefined, 'PUT', `/allocations/${nth(1)}`, wants({ [pool]: { CUSTOM_TIN: 1 } }));
    expect(await t.rt.db('placement_consumers')).toEqual([]);
    for (const n of [1, 2]) await ok('PUT', `/allocations/${nth(n)}`, wants({ [pool]: { CUSTOM_GOLD: 6 } }));
    await refused(409, 'exceed the capacity', undefined, 'PUT', `/allocations/${nth(3)}`, wants({ [pool]: { CUSTOM_GOLD: 4 } }));
    expect((await ok('GET', `/resource_providers/${pool}/usages`)).usages).toEqual({ CUSTOM_GOLD: 12, DISK_GB: 0, VGPU: 0 });
    await refused(409, 'in use', 'placement.inventory.inuse', 'PUT', path, { resource_provider_generation: await generation(pool), inventories: {} });
    await refused(409, 'in use', 'placement.inventory.inuse', 'DELETE', path);
    await refused(409, 'in use', 'placement.concurrent_update', 'DELETE', `${path}/CUSTOM_GOLD`);
    await refused(409, 'has allocations', 'placement.resource_provider.inuse', 'DELETE', `/resource_providers/${pool}`);
    await refused(409, 'Class is in use in inventory', undefined, 'DELETE', '/resource_classes/CUSTOM_GOLD');
    // Less than is taken may be there; then nobody gets more, and who gives back something may.
    await has(pool, { CUSTOM_GOLD: { total: 4 } });
    await refused(409, 'exceed the capacity', undefined, 'PUT', `/allocations/${nth(3)}`, wants({ [pool]: { CUSTOM_GOLD: 1 } }));
    await ok('PUT', `/allocations/${nth(1)}`, wants({ [pool]: { CUSTOM_GOLD: 5 } }, 1));
    for (const n of [1, 2]) await ok('DELETE', `/allocations/${nth(n)}`);
    await refused(404, 'No allocations', undefined, 'DELETE', `/allocations/${nth(1)}`);
    for (const gone of [path, `/resource_providers/${pool}`, '/resource_classes/CUSTOM_GOLD']) await ok('DELETE', gone);
  });

  test('consumers have generations and types', async () => {
    await ok('POST', '/resource_providers', { name: 'pool', uuid: pool });
    await has(pool, { DISK_GB: { total: 10 } });
    await refused(409, 'expected null but got 3', 'placement.concurrent_update', 'PUT', `/allocations/${nth(1)}`, wants({ [pool]: { DISK_GB: 1 } }, 3));
    await ok('PUT', `/allocations/${nth(1)}`, wants({ [pool]: { DISK_GB: 1 } }));
    await refused(409, 'expected 1 but got None', 'placement.concurrent_update', 'PUT', `/allocations/${nth(1)}`, wants({ [pool]: { DISK_GB: 1 } }));
    expect(await ok('GET', `/allocations/${nth(1)}`)).toMatchObject({ consumer_generation: 1, consumer_type: 'BLOB', project_id: 'p', user_id: 'u', allocations: { [pool]: { resources: { DISK_GB: 1 } } } });
    await ok('PUT', `/allocations/${nth(2)}`, { allocations: [{ resource_provider: { uuid: pool }, resources: { DISK_GB: 2 } }] }, '1.0');
    expect(await ok('GET', `/allocations/${nth(2)}`)).toMatchObject({ project_id: '00000000-0000-0000-0000-000000000000', consumer_type: 'unknown' });
    expect(await ok('GET', '/usages?project_id=p&consumer_type=BLOB')).toEqual({ usages: { BLOB: { DISK_GB: 1, consumer_count: 1 } } });
    // One takes over what another had: all or nothing.
    await refused(409, 'consumer generation conflict', 'placement.concurrent_update', 'POST', '/allocations', { [nth(1)]: wants({}, 1), [nth(3)]: wants({ [pool]: { DISK_GB: 1 } }, 7) });
    await ok('POST', '/allocations', { [nth(1)]: wants({}, 1), [nth(3)]: wants({ [pool]: { DISK_GB: 8 } }) });
    expect((await ok('GET', `/allocations/${nth(1)}`)).allocations).toEqual({});
    await ok('PUT', `/allocations/${nth(3)}`, wants({}, 1));
    expect(await t.rt.db('placement_consumers').select('id')).toEqual([{ id: nth(2) }]);
  });

  test('many who want the last of it at once: it is given away once', async () => {
    await ok('POST', '/resource_providers', { name: 'pool', uuid: pool });
    await has(pool, { DISK_GB: { total: 10 } });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => call('PUT', `/allocations/${nth(i)}`, wants({ [pool]: { DISK_GB: 3 } }))));
    expect(answers.map(a => a.status).toSorted()).toEqual([...Array.from({ length: 3 }, () => 204), ...Array.from({ length: 17 }, () => 409)]);
    expect((await ok('GET', `/resource_providers/${pool}/usages`)).usages).toEqual({ DISK_GB: 9 });
    // The same one twice at once, of a host and of the pool in either order.
    const both = await Promise.all(Array.from({ length: 8 }, (_, i) => call('PUT', `/allocations/${nth(100 + i)}`, wants(i % 2 === 0 ? { [pool]: { DISK_GB: 1 }, [host.one]: { VCPU: 1 } } : { [host.one]: { VCPU: 1 }, [pool]: { DISK_GB: 1 } }))));
    expect(both.filter(a => a.status === 204)).toHaveLength(1);
    expect((await Promise.all(Array.from({ length: 6 }, () => call('PUT', `/allocations/${nth(200)}`, wants({ [host.two]: { VCPU: 1 } }))))).map(a => a.status).toSorted()).toEqual([204, 409, 409, 409, 409, 409]);
    const posts = await Promise.all(Array.from({ length: 6 }, () => call('POST', `/resource_providers/${host.two}/inventories`, { resource_class: 'VGPU', total: 4 })));
    expect(posts.map(a => a.status).toSorted()).toEqual([201, 409, 409, 409, 409, 409]);
  });

  test('what others hold of a host counts for the scheduler, and goes with the host', async () => {
    await ok('PUT', `/allocations/${nth(1)}`, wants({ [host.one]: { VCPU: 2, MEMORY_MB: 1024, DISK_GB: 10 } }));
    const row = () => t.rt.db('compute_hosts').where({ host: 'one' }).first('used_vcpus', 'used_memory_mb', 'used_disk_gb');
    expect(await row()).toEqual({ used_vcpus: 2, used_memory_mb: 1024, used_disk_gb: 10 });
    await refused(409, 'exceed the capacity', undefined, 'PUT', `/allocations/${nth(2)}`, wants({ [host.one]: { MEMORY_MB: 7200 } }));
    await refused(409, 'violate', undefined, 'PUT', `/allocations/${nth(2)}`, wants({ [host.one]: { VCPU: 5 } }));
    await ok('PUT', `/allocations/${nth(1)}`, wants({ [host.one]: { VCPU: 1 } }, 1));
    expect(await row()).toEqual({ used_vcpus: 1, used_memory_mb: 0, used_disk_gb: 0 });
    await ok('POST', '/resource_providers', { name: 'card', uuid: nth(7), parent_provider_uuid: host.one });
    await ok('POST', '/resource_providers', { name: 'port', uuid: nth(8), parent_provider_uuid: nth(7) });
    await t.rt.db('compute_hosts').where({ host: 'one' }).update({ deleted: true });
    expect([await row(), (await call('GET', `/resource_providers/${host.one}`)).status]).toEqual([{ used_vcpus: 0, used_memory_mb: 0, used_disk_gb: 0 }, 404]);
    expect(await ok('GET', `/resource_providers/${nth(8)}`)).toMatchObject({ parent_provider_uuid: nth(7), root_provider_uuid: nth(7) });
    await t.rt.db('compute_hosts').where({ host: 'one' }).update({ deleted: false });
    expect((await ok('GET', `/resource_providers/${host.one}`)).generation).toBe(0);
    await t.rt.db('compute_hosts').where({ host: 'one' }).update({ vcpus: 8 });
    expect((await ok('GET', `/resource_providers/${host.one}`)).generation).toBe(1);
  });

  test('candidates are of hosts, of what is below them, and of what is shared with them', async () => {
    await ok('PUT', '/resource_classes/CUSTOM_FPGA');
    await ok('PUT', '/traits/CUSTOM_FAST');
    for (const n of [1, 2]) { await ok('POST', '/resource_providers', { name: `card${n}`, uuid: nth(n), parent_provider_uuid: host.one }); await has(nth(n), { CUSTOM_FPGA: { total: 1 } }); }
    await marks(nth(2), ['CUSTOM_FAST']);
    expect(await candidates('resources=VCPU:1,CUSTOM_FPGA:1')).toEqual([1, 2].map(n => ({ [host.one]: { VCPU: 1 }, [nth(n)]: { CUSTOM_FPGA: 1 } })));
    expect(await candidates('resources=VCPU:1&resources1=CUSTOM_FPGA:1&required1=CUSTOM_FAST')).toEqual([{ [host.one]: { VCPU: 1 }, [nth(2)]: { CUSTOM_FPGA: 1 } }]);
    expect(await candidates('resources1=CUSTOM_FPGA:1&resources2=CUSTOM_FPGA:1&group_policy=isolate')).toHaveLength(2);
    expect(await candidates('resources1=CUSTOM_FPGA:1&resources2=CUSTOM_FPGA:1&group_policy=none&limit=1')).toHaveLength(1);
    expect((await call('GET', '/allocation_candidates?resources=VCPU:1,CUSTOM_FPGA:1', undefined, '1.28')).body.allocation_requests).toEqual([]);
    expect(await candidates('resources_A=VCPU:1&resources_B=CUSTOM_FPGA:1&group_policy=none&same_subtree=_A,_B')).toHaveLength(2);
    expect(await candidates('resources_A=CUSTOM_FPGA:1&resources_B=CUSTOM_FPGA:1&group_policy=isolate&same_subtree=_A,_B')).toEqual([]);
    await ok('POST', '/resource_providers', { name: 'share', uuid: pool });
    await has(pool, { CUSTOM_FPGA: { total: 4 } });
    await marks(pool, ['MISC_SHARES_VIA_AGGREGATE']);
    for (const id of [pool, host.two]) await belongs(id, [nth(50)]);
    expect(await candidates('resources=VCPU:1,CUSTOM_FPGA:2')).toEqual([{ [host.two]: { VCPU: 1 }, [pool]: { CUSTOM_FPGA: 2 } }]);
    expect(await candidates(`resources=VCPU:1,CUSTOM_FPGA:1&in_tree=${host.one}`)).toHaveLength(2);
    expect(Object.keys((await ok('GET', '/allocation_candidates?resources=VCPU:1,CUSTOM_FPGA:1&required=CUSTOM_FAST')).provider_summaries)).toEqual([host.one, nth(1), nth(2)]);
  });

  test('inventories move with what is held of them', async () => {
    await ok('POST', '/resource_providers', { name: 'card', uuid: nth(1), parent_provider_uuid: host.one });
    await has(host.one, { VGPU: { total: 4 } });
    expect(Object.keys((await ok('GET', `/resource_providers/${host.one}/inventories`)).inventories).toSorted()).toEqual(['DISK_GB', 'MEMORY_MB', 'VCPU', 'VGPU']);
    await ok('PUT', `/allocations/${nth(9)}`, wants({ [host.one]: { VGPU: 2 } }));
    const moved = async (generationOfHost: number, allocations: object) => ({ inventories: { [host.one]: { resource_provider_generation: generationOfHost, inventories: {} }, [nth(1)]: { resource_provider_generation: await generation(nth(1)), inventories: { VGPU: { total: 4 } } } }, allocations });
    const now = await generation(host.one);
    await refused(409, 'in use', 'placement.inventory.inuse', 'POST', '/reshaper', await moved(now, {}));
    await refused(409, 'generation conflict', 'placement.concurrent_update', 'POST', '/reshaper', await moved(now + 1, { [nth(9)]: wants({ [nth(1)]: { VGPU: 2 } }, 1) }));
    expect((await ok('GET', `/resource_providers/${host.one}/usages`)).usages.VGPU).toBe(2);
    await ok('POST', '/reshaper', await moved(now, { [nth(9)]: wants({ [nth(1)]: { VGPU: 2 } }, 1) }));
    expect((await ok('GET', `/allocations/${nth(9)}`)).allocations).toEqual({ [nth(1)]: { generation: expect.any(Number), resources: { VGPU: 2 } } });
    expect((await ok('GET', `/resource_providers/${host.one}/inventories`)).inventories).not.toHaveProperty('VGPU');
  });

  test('until 1.6 a class could get another name', async () => {
    await ok('POST', '/resource_classes', { name: 'CUSTOM_OLD' });
    await ok('POST', '/resource_providers', { name: 'pool', uuid: pool });
    await has(pool, { CUSTOM_OLD: { total: 2 } });
    await ok('PUT', `/allocations/${nth(1)}`, wants({ [pool]: { CUSTOM_OLD: 1 } }));
    expect(await ok('PUT', '/resource_classes/CUSTOM_OLD', { name: 'CUSTOM_NEW' }, '1.6')).toMatchObject({ name: 'CUSTOM_NEW' });
    expect((await ok('GET', `/resource_providers/${pool}/usages`)).usages).toEqual({ CUSTOM_NEW: 1 });
    expect((await call('GET', '/resource_classes/CUSTOM_OLD')).status).toBe(404);
  });
});
