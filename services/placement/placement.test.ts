import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime } from '../../test/harness/service.ts';
import { makeApp } from './app.ts';

const ids = { one: '11111111-1111-4111-8111-111111111111', two: '22222222-2222-4222-8222-222222222222', server: '33333333-3333-4333-8333-333333333333', aggregate: '44444444-4444-4444-8444-444444444444' };

describe('placement', () => {
  let t: TestRuntime;
  let app: FastifyInstance;
  const get = (path: string, version?: string, who: keyof typeof callers = 'admin') => as(app, who, 'placement')('GET', path, undefined, version);

  beforeAll(async () => {
    t = await testRuntime();
    const host = { vcpus: 4, memory_mb: 8192, disk_gb: 100, cpu_ratio: 4, ram_ratio: 1, disk_ratio: 1, reserved_memory_mb: 512 };
    await t.rt.db('compute_hosts').insert([{ ...host, id: ids.one, host: 'one', node: 'node-one' }, { ...host, id: ids.two, host: 'two', node: 'node-two', disabled: true, facts: { traits: ['HW_CPU_X86_AVX'] } }]);
    await t.rt.db('servers').insert({ id: ids.server, project_id: callers.demo.projectId, user_id: callers.demo.userId, name: 's', hostname: 's', reservation_id: 'r-1', vm_state: 'active', flavor: '{}', vcpus: 1, memory_mb: 64, host: 'one' });
    await t.rt.db('allocations').insert({ server_id: ids.server, host: 'one', vcpus: 1, memory_mb: 64, disk_gb: 0 });
    await t.rt.db('aggregates').insert({ id: ids.aggregate, name: 'a', hosts: ['two'] });
    app = await makeApp(t.rt);
  });
  afterAll(async () => {
    await app.close();
    await t.close();
  });

  test.each([
    ['placement_versions', '/', undefined],
    ['placement_rp', '/resource_providers', '1.39'],
    ['placement_inv', `/resource_providers/${ids.one}/inventories`, undefined],
    ['placement_usages', `/resource_providers/${ids.one}/usages`, undefined],
    ['placement_candidates', '/allocation_candidates?resources=VCPU:1,MEMORY_MB:64', '1.39'],
  ])('%s has the keys, types, status and headers of the recorded reply', async (name, path, version) => {
    const recorded = JSON.parse(readFileSync(new URL(`../../../shared/peer/golden/network/${name}.json`, import.meta.url), 'utf8')).exchanges[0].response;
    const mine = await get(path, version);
    expect(mine.status).toBe(recorded.status);
    expect(form(mine.body)).toEqual(form(recorded.body));
    for (const header of Object.keys(recorded.headers).map(h => h.toLowerCase())) expect(mine.headers, header).toHaveProperty(header);
    expect(mine.headers['openstack-api-version']).toBe(recorded.headers['openstack-api-version']);
  });

  test('candidates are hosts with room and with what is asked of them', async () => {
    const found = async (query: string) => Object.keys((await get(`/allocation_candidates?${query}`, '1.39')).body.provider_summaries).map(id => (id === ids.one ? 'one' : 'two'));
    expect(await found('resources=VCPU:1')).toEqual(['one', 'two']);
    expect(await found('resources=VCPU:1&limit=1')).toEqual(['one']);
    // A unit larger than the host, and one that is free no more.
    expect(await found('resources=VCPU:5')).toEqual([]);
    expect(await found('resources=MEMORY_MB:7680')).toEqual(['two']);
    expect(await found('resources=VCPU:1&required=HW_CPU_X86_AVX')).toEqual(['two']);
    expect(await found('resources=VCPU:1&required=!COMPUTE_STATUS_DISABLED')).toEqual(['one']);
    expect(await found('resources=VCPU:1&required=in:HW_CPU_X86_AVX,HW_CPU_X86_AVX2')).toEqual(['two']);
    expect(await found(`resources=VCPU:1&member_of=${ids.aggregate}`)).toEqual(['two']);
    expect(await found(`resources=VCPU:1&member_of=!${ids.aggregate}`)).toEqual(['one']);
    expect(await found(`resources=VCPU:1&in_tree=${ids.one}`)).toEqual(['one']);
    expect(await found('resources1=VCPU:1&resources_b=MEMORY_MB:7600&group_policy=none')).toEqual(['one', 'two']);
    expect(await found('resources1=VCPU:1&resources2=VCPU:1&group_policy=isolate')).toEqual([]);
  });

  test('older versions have older forms', async () => {
    const candidate = (await get('/allocation_candidates?resources=VCPU:1', '1.10')).body;
    expect(candidate.allocation_requests[0]).toEqual({ allocations: [{ resource_provider: { uuid: ids.one }, resources: { VCPU: 1 } }] });
    expect(candidate.provider_summaries[ids.one]).toEqual({ resources: { VCPU: { capacity: 16, used: 1 } } });
    expect((await get('/allocation_candidates?resources=VCPU:1', '1.9')).status).toBe(404);
    expect((await get('/resource_providers')).body.resource_providers[0].links.map((l: { rel: string }) => l.rel)).toEqual(['self', 'inventories', 'usages']);
    expect((await get(`/allocations/${ids.server}`)).body).toEqual({ allocations: { [ids.one]: { generation: expect.any(Number), resources: { VCPU: 1, MEMORY_MB: 64 } } } });
    expect((await get(`/allocations/${ids.server}`, '1.38')).body).toMatchObject({ project_id: callers.demo.projectId, user_id: callers.demo.userId, consumer_generation: 1, consumer_type: 'unknown' });
    expect((await get(`/usages?project_id=${callers.demo.projectId}`, '1.9')).body).toEqual({ usages: { VCPU: 1, MEMORY_MB: 64 } });
    expect((await get(`/usages?project_id=${callers.demo.projectId}`, '1.38')).body).toEqual({ usages: { unknown: { VCPU: 1, MEMORY_MB: 64, consumer_count: 1 } } });
    expect((await get('/', '1.40')).status).toBe(406);
  });

  test('the rest of the view', async () => {
    expect((await get(`/resource_providers/${ids.two}/aggregates`, '1.18')).body).toEqual({ aggregates: [ids.aggregate] });
    expect((await get(`/resource_providers/${ids.two}/aggregates`, '1.19')).body).toEqual({ aggregates: [ids.aggregate], resource_provider_generation: expect.any(Number) });
    expect((await get(`/resource_providers/${ids.two}/traits`, '1.6')).body.traits).toContain('HW_CPU_X86_AVX');
    expect((await get(`/resource_providers/${ids.one}/allocations`)).body.allocations).toEqual({ [ids.server]: { resources: { VCPU: 1, MEMORY_MB: 64 } } });
    expect((await get(`/resource_providers/${ids.one}/allocations`, '1.28')).body.allocations).toEqual({ [ids.server]: { resources: { VCPU: 1, MEMORY_MB: 64 }, consumer_generation: 1 } });
    expect((await get(`/resource_providers/${ids.one}/inventories/VCPU`)).body).toMatchObject({ total: 4, allocation_ratio: 4 });
    expect((await get('/resource_classes', '1.2')).body.resource_classes.map((c: { name: string }) => c.name)).toEqual(expect.arrayContaining(['VCPU', 'MEMORY_MB', 'DISK_GB', 'PCPU', 'VGPU']));
    expect((await get('/resource_classes/VGPU', '1.2')).body).toEqual({ name: 'VGPU', links: [{ rel: 'self', href: '/resource_classes/VGPU' }] });
    expect((await get('/allocation_candidates?resources=VCPU:1,VGPU:1', '1.39')).body).toEqual({ allocation_requests: [], provider_summaries: {} });
    expect((await get('/traits?name=startswith:HW_CPU_X86_AVX&associated=true', '1.6')).body).toEqual({ traits: ['HW_CPU_X86_AVX'] });
    expect((await get('/traits?name=startswith:HW_CPU_X86_SSE4', '1.6')).body).toEqual({ traits: ['HW_CPU_X86_SSE41', 'HW_CPU_X86_SSE42', 'HW_CPU_X86_SSE4A'] });
    expect((await get('/traits/HW_CPU_X86_AVX', '1.6')).status).toBe(204);
    expect((await get('/resource_providers?name=node-two')).body.resource_providers).toHaveLength(1);
    expect((await get(`/allocations/${ids.one}`)).body).toEqual({ allocations: {} });
  });

  test.each([
    ['/allocation_candidates', 400], ['/allocation_candidates?resources=VCPU', 400], ['/allocation_candidates?resources=VCPU:0', 400], ['/allocation_candidates?resources=VCPU:99999999999999999999', 400],
    ['/allocation_candidates?resources=GOLD:1', 400], ['/allocation_candidates?resources=VCPU:1&required=x', 400], ['/allocation_candidates?resources=VCPU:1&limit=-1', 400],
    ['/allocation_candidates?resources1=VCPU:1&resources2=VCPU:1', 400], ['/allocation_candidates?resources=VCPU:1&nonsense=1', 400], ['/allocation_candidates?resources=VCPU:1&member_of=x', 400],
    ['/resource_providers?uuid=x', 400], ['/resource_providers?in_tree=x', 400], ['/resource_providers/x', 404], [`/resource_providers/${ids.server}`, 404], [`/resource_providers/${ids.one}/inventories/GOLD`, 404],
    ['/usages', 400], ['/traits/NONE', 404], ['/traits?name=x', 400], ['/resource_classes/GOLD', 404],
  ])('%s is answered with %i in the dress of placement', async (path, status) => {
    const answer = await get(path, '1.39');
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({ errors: [expect.objectContaining({ status, title: expect.any(String), detail: expect.any(String) })] });
  });

  test('what there is to say of a refusal is the last line, which osc-placement shows', async () => {
    const { body } = await get('/resource_classes/GOLD', '1.39');
    expect(body.errors[0].detail).toBe('The resource could not be found.\n\n No such resource class GOLD.  ');
  });
  test('errors have a code since 1.23', async () => {
    const code = async (path: string, version?: string) => (await get(path, version)).body.errors[0].code;
    expect(await code('/resource_classes/GOLD', '1.22')).toBeUndefined();
    expect(await code('/resource_classes/GOLD', '1.23')).toBe('placement.undefined_code');
    expect(await code('/allocation_candidates', '1.36')).toBe('placement.query.missing_value');
    expect((await as(app, 'admin', 'placement')('DELETE', `/resource_providers/${ids.one}/inventories`, undefined, '1.4')).status).toBe(405);
    expect((await get('/', '1.40')).body.errors[0]).toMatchObject({ status: 406, max_version: '1.39', min_version: '1.0' });
  });

  test('an unknown path is answered in placement\'s own form', async () => {
    for (const path of ['/bogus', '/resource_providers/x/y/z', '//evil.example']) {
      const { status, body, headers } = await get(path);
      expect([path, status, body]).toEqual([path, 404, { errors: [{ status: 404, request_id: headers['x-openstack-request-id'], title: 'Not Found', detail: 'The resource could not be found.\n\n   ' }] }]);
    }
  });
  test('what hosts are and what servers hold is not written here; the rest is for administrators, and a project sees its own usage', async () => {
    const { generation } = (await get(`/resource_providers/${ids.one}`)).body;
    const rp = `/resource_providers/${ids.one}`;
    const computed: [string, string, unknown?][] = [
      ['PUT', rp, { name: 'new' }], ['DELETE', `/resource_providers/${ids.two}`], ['DELETE', `/resource_providers/${ids.two}/inventories`], ['POST', `${rp}/inventories`, { resource_class: 'VCPU', total: 1 }],
      ['PUT', `${rp}/inventories`, { resource_provider_generation: generation, inventories: { VCPU: { total: 1 } } }], ['PUT', `${rp}/inventories/VCPU`, { resource_provider_generation: generation, total: 1 }], ['DELETE', `${rp}/inventories/DISK_GB`],
      ['PUT', `/allocations/${ids.server}`, { allocations: { [ids.one]: { resources: { VCPU: 1 } } }, project_id: 'p', user_id: 'u', consumer_generation: null, consumer_type: 'INSTANCE' }], ['DELETE', `/allocations/${ids.server}`],
      ['POST', '/allocations', { [ids.server]: { allocations: {}, project_id: 'p', user_id: 'u', consumer_generation: 1, consumer_type: 'INSTANCE' } }],
    ];
    for (const [method, path, body] of computed) {
      const answer = await as(app, 'admin', 'placement')(method, path, body, '1.39');
      expect([answer.status, answer.body.errors[0].detail], `${method} ${path}`).toEqual([409, expect.stringContaining('computed from its compute hosts and servers')]);
    }
    expect((await get(rp)).body.generation).toBe(generation);
    for (const [method, path] of [
      ...computed, ['POST', '/resource_providers'], ['DELETE', rp], ['DELETE', `${rp}/inventories`], ['PUT', `${rp}/aggregates`], ['PUT', `${rp}/traits`], ['DELETE', `${rp}/traits`],
      ['PUT', '/traits/CUSTOM_X'], ['DELETE', '/traits/CUSTOM_X'], ['POST', '/resource_classes'], ['PUT', '/resource_classes/CUSTOM_GOLD'], ['DELETE', '/resource_classes/CUSTOM_GOLD'], ['POST', '/reshaper'],
    ] as const) expect((await as(app, 'demo', 'placement')(method, path, method === 'DELETE' ? undefined : {}, '1.39')).status, `${method} ${path}`).toBe(403);
    expect((await get('/resource_providers', undefined, 'demo')).status).toBe(403);
    expect((await get(`/usages?project_id=${callers.demo.projectId}`, '1.9', 'demo')).status).toBe(200);
    expect((await get(`/usages?project_id=${callers.demo.projectId}`, '1.9', 'other')).status).toBe(403);
    expect((await as(app, 'nobody' as never)('GET', '/resource_providers')).status).toBe(401);
  });
  const absent = '55555555-5555-4555-8555-555555555555';
  const one = `/resource_providers/${ids.one}`;
  test.each<[string, string, unknown, number, string, string?]>([
    ['PUT', `/resource_providers/${absent}`, { name: 'x' }, 404, `No resource provider with uuid ${absent} found`],
    ['DELETE', `/resource_providers/${absent}`, undefined, 404, `No resource provider with uuid ${absent} found for delete`],
    ['PUT', `/resource_providers/${absent}/traits`, { traits: [], resource_provider_generation: 0 }, 404, `No resource provider with uuid ${absent} found`],
    ['DELETE', `/resource_providers/${absent}/inventories`, undefined, 404, `No resource provider with uuid ${absent} found`],
    ['GET', `/resource_providers/${absent}/allocations`, undefined, 404, `Resource provider '${absent}' not found: No resource provider with uuid ${absent} found`],
    ['POST', '/resource_providers', { name: 'node-one' }, 409, 'Conflicting resource provider name: node-one already exists.', 'placement.duplicate_name'],
    ['POST', '/resource_providers', { uuid: 'x' }, 400, 'JSON does not validate: '],
    ['DELETE', one, undefined, 409, `Unable to delete resource provider ${ids.one}: Resource provider has allocations.`, 'placement.resource_provider.inuse'],
    ['PUT', `${one}/aggregates`, { aggregates: ['x'], resource_provider_generation: 0 }, 400, "is not a 'uuid'"],
    ['PUT', `${one}/aggregates`, { aggregates: [], resource_provider_generation: 99 }, 409, 'Please update the generation and try again.', 'placement.concurrent_update'],
    ['PUT', `${one}/inventories`, { inventories: {}, resource_provider_generation: 99 }, 409, 'resource provider generation conflict', 'placement.concurrent_update'],
    ['DELETE', `${one}/inventories/VGPU`, undefined, 404, 'No inventory of class VGPU found for delete'],
    ['POST', '/resource_classes', { name: 'fake_class' }, 400, 'JSON does not validate'],
    ['PUT', '/resource_classes/CUSTOM_lower', undefined, 400, 'JSON does not validate'],
    ['DELETE', '/resource_classes/UNKNOWN', undefined, 404, 'No such resource class UNKNOWN.'],
    ['DELETE', '/resource_classes/VCPU', undefined, 400, 'Cannot delete standard resource class VCPU.'],
    ['PUT', '/traits/HW_X', undefined, 400, 'The trait is invalid.'],
    ['DELETE', '/traits/CUSTOM_NONE', undefined, 404, 'No such trait(s): CUSTOM_NONE.'],
    ['DELETE', '/traits/COMPUTE_NODE', undefined, 400, 'Cannot delete standard trait COMPUTE_NODE.'],
    ['PUT', '/allocations/x', { allocations: {} }, 400, 'Malformed consumer_uuid: x'],
    ['PUT', `/allocations/${absent}`, { allocations: { [absent]: { resources: { VCPU: 1 } } }, project_id: 'p', user_id: 'u', consumer_generation: null, consumer_type: 'X' }, 400, `Allocation for resource provider '${absent}' that does not exist.`],
    ['DELETE', `/allocations/${absent}`, undefined, 404, `No allocations for consumer '${absent}'`],
  ])('%s %s of what is not so is answered as upstream does', async (method, path, body, status, said, code) => {
    const answer = await as(app, 'admin', 'placement')(method, path, body, '1.39');
    expect([answer.status, answer.body.errors[0].detail]).toEqual([status, expect.stringContaining(said)]);
    expect(answer.body.errors[0].code).toBe(code ?? 'placement.undefined_code');
  });
});

/** Keys and types of a reply; members whose keys are names of things count as one. */
function form(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [form(value[0])];
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value;
  const entries = Object.entries(value).map(([k, v]) => [/^[0-9a-f-]{36}$/.test(k) ? 'uuid' : k, form(v)]);
  return Object.fromEntries(entries);
}
