import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime, type Who } from '../../../test/harness/service.ts';
import { makeApp } from '../index.ts';

let t: TestRuntime;
let app: FastifyInstance;
const call = (who: Who) => as(app, who);
beforeAll(async () => { t = await testRuntime(); app = await makeApp(t.rt); });
afterAll(async () => { await app.close(); await t.close(); });
const fault = (answer: { status: number; body: { NeutronError?: { type: string } } }) => [answer.status, answer.body.NeutronError?.type];
const pool = async (who: Who, more: object = {}) => (await call(who)('POST', '/v2.0/subnetpools', { subnetpool: { name: 'p', prefixes: ['10.50.0.0/16'], default_prefixlen: 24, ...more } })).body.subnetpool;
const network = async (who: Who, more: object = {}) => (await call(who)('POST', '/v2.0/networks', { network: { name: 'n', ...more } })).body.network.id as string;
const subnet = async (who: Who, more: object) => call(who)('POST', '/v2.0/subnets', { subnet: { network_id: await network(who), ip_version: 4, ...more } });

test('a pool is made, shown, changed and deleted as neutron does it', async () => {
  const made = await pool('demo', { prefixes: ['10.1.0.0/24', '10.1.1.0/24', '10.1.0.128/25'], min_prefixlen: 24 });
  expect(made).toMatchObject({ prefixes: ['10.1.0.0/23'], ip_version: 4, min_prefixlen: '24', max_prefixlen: '32', default_prefixlen: '24', default_quota: null, is_default: false, shared: false, address_scope_id: null, revision_number: 0 });
  const url = `/v2.0/subnetpools/${made.id}`;
  expect((await call('other')('GET', url)).status).toBe(404);
  expect((await call('demo')('PUT', url, { subnetpool: { name: 'q', prefixes: ['10.1.0.0/22'], default_quota: 10 } })).body.subnetpool).toMatchObject({ name: 'q', prefixes: ['10.1.0.0/22'], default_quota: 10, revision_number: 1 });
  expect(fault(await call('demo')('PUT', url, { subnetpool: { prefixes: ['10.2.0.0/22'] } }))).toEqual([400, 'IllegalSubnetPoolPrefixUpdate']);
  expect(fault(await call('demo')('PUT', url, { subnetpool: { is_default: true } }))).toEqual([403, 'HTTPForbidden']);
  expect((await call('demo')('PUT', `${url}/tags`, { tags: ['x'] })).status).toBe(200);
  expect((await call('demo')('GET', '/v2.0/subnetpools?tags=x&fields=id&ip_version=4')).body.subnetpools).toEqual([{ id: made.id }]);
  expect((await call('demo')('DELETE', url)).status).toBe(204);
});
test.each<[string, object, string]>([
  ['no prefix', { prefixes: [] }, 'EmptySubnetPoolPrefixList'], ['two families', { prefixes: ['10.0.0.0/8', 'fd00::/48'] }, 'PrefixVersionMismatch'],
  ['a smallest beyond the largest', { min_prefixlen: 30, max_prefixlen: 24 }, 'IllegalSubnetPoolPrefixBounds'], ['a length that the family has not', { max_prefixlen: 33 }, 'IllegalSubnetPoolPrefixBounds'],
  ['a usual length out of bounds', { min_prefixlen: 16, default_prefixlen: 8 }, 'IllegalSubnetPoolPrefixBounds'],
])('a pool with %s is refused', async (_what, more, type) => {
  expect(fault(await call('demo')('POST', '/v2.0/subnetpools', { subnetpool: { name: 'x', prefixes: ['10.0.0.0/8'], ...more } }))).toEqual([400, type]);
});
test('one default pool for a family, made by administrators', async () => {
  expect((await call('demo')('POST', '/v2.0/subnetpools', { subnetpool: { name: 'x', prefixes: ['10.0.0.0/8'], is_default: true } })).status).toBe(403);
  expect(fault(await subnet('demo', { use_default_subnetpool: true }))).toEqual([400, 'BadRequest']);
  const made = await pool('admin', { is_default: true, shared: true, prefixes: ['10.60.0.0/16'] });
  expect(fault(await call('admin')('POST', '/v2.0/subnetpools', { subnetpool: { name: 'x', prefixes: ['10.0.0.0/8'], is_default: true } }))).toEqual([400, 'InvalidInput']);
  expect((await subnet('demo', { use_default_subnetpool: true })).body.subnet).toMatchObject({ subnetpool_id: made.id, cidr: '10.60.0.0/24', gateway_ip: '10.60.0.1' });
});
test('subnets come from a pool one after the other, and give their prefix back', async () => {
  const { id } = await pool('demo', { prefixes: ['10.70.0.0/22'], min_prefixlen: 24, max_prefixlen: 26 });
  const first = (await subnet('demo', { subnetpool_id: id })).body.subnet;
  expect(first).toMatchObject({ cidr: '10.70.0.0/24', subnetpool_id: id });
  expect((await subnet('demo', { subnetpool_id: id, cidr: '10.70.3.0/26' })).status).toBe(201);
  expect((await subnet('demo', { subnetpool_id: id, prefixlen: 26 })).body.subnet.cidr).toBe('10.70.3.64/26');
  expect((await subnet('demo', { subnetpool_id: id, gateway_ip: '10.70.2.9' })).body.subnet).toMatchObject({ cidr: '10.70.2.0/24', gateway_ip: '10.70.2.9' });
  expect(fault(await subnet('demo', { subnetpool_id: id, cidr: '10.70.0.0/25' }))).toEqual([409, 'SubnetAllocationError']);
  expect(fault(await subnet('demo', { subnetpool_id: id, cidr: '10.99.0.0/24' }))).toEqual([409, 'SubnetAllocationError']);
  expect(fault(await subnet('demo', { subnetpool_id: id, prefixlen: 27 }))).toEqual([400, 'MaxPrefixSubnetAllocationError']);
  expect(fault(await subnet('demo', { subnetpool_id: id, prefixlen: 23 }))).toEqual([400, 'MinPrefixSubnetAllocationError']);
  expect(fault(await subnet('demo', { subnetpool_id: id, prefixlen: 24, cidr: '10.70.1.0/24' }))).toEqual([400, 'BadRequest']);
  expect((await subnet('demo', { subnetpool_id: id })).body.subnet.cidr).toBe('10.70.1.0/24');
  expect(fault(await subnet('demo', { subnetpool_id: id }))).toEqual([409, 'SubnetAllocationError']);
  expect(fault(await call('demo')('DELETE', `/v2.0/subnetpools/${id}`))).toEqual([400, 'SubnetPoolDeleteError']);
  expect((await call('demo')('DELETE', `/v2.0/subnets/${first.id}`)).status).toBe(204);
  expect((await subnet('demo', { subnetpool_id: id })).body.subnet.cidr).toBe('10.70.0.0/24');
  expect((await subnet('other', { subnetpool_id: id })).status).toBe(404);
});
test('ten at once get ten prefixes, and no project more than its share', async () => {
  const { id } = await pool('demo', { prefixes: ['10.80.0.0/16'], default_quota: 256 * 8 });
  const networks = await Promise.all(Array.from({ length: 10 }, () => network('demo')));
  const made = await Promise.all(networks.map(n => call('demo')('POST', '/v2.0/subnets', { subnet: { network_id: n, ip_version: 4, subnetpool_id: id } })));
  expect(made.map(m => m.status).toSorted()).toEqual([...Array(8).fill(201), 409, 409]);
  expect(new Set(made.map(m => m.body.subnet?.cidr)).size).toBe(9);
  expect(made.find(m => m.status === 409)?.body.NeutronError.type).toBe('SubnetPoolQuotaExceeded');
});
test('the subnets of a network are of one pool', async () => {
  const [a, b] = [await pool('demo', { prefixes: ['10.81.0.0/16'] }), await pool('demo', { prefixes: ['10.82.0.0/16'] })];
  const on = await network('demo');
  const add = (more: object) => call('demo')('POST', '/v2.0/subnets', { subnet: { network_id: on, ip_version: 4, ...more } });
  expect((await add({ subnetpool_id: a.id })).status).toBe(201);
  expect(fault(await add({ subnetpool_id: b.id }))).toEqual([400, 'NetworkSubnetPoolAffinityError']);
  expect(fault(await add({ cidr: '10.99.0.0/24' }))).toEqual([400, 'NetworkSubnetPoolAffinityError']);
  expect((await add({ subnetpool_id: a.id })).status).toBe(201);
});
test('prefixes are added and removed, and the subnets of a network taken in', async () => {
  const { id } = await pool('demo', { prefixes: ['10.83.0.0/24'] });
  const url = `/v2.0/subnetpools/${id}`;
  expect((await call('demo')('PUT', `${url}/add_prefixes`, { prefixes: ['10.83.1.0/24', '10.84.0.0/24'] })).body).toEqual({ prefixes: ['10.83.0.0/23', '10.84.0.0/24'] });
  expect((await subnet('demo', { subnetpool_id: id, cidr: '10.84.0.0/25' })).status).toBe(201);
  expect(fault(await call('demo')('PUT', `${url}/remove_prefixes`, { prefixes: ['10.84.0.0/24'] }))).toEqual([400, 'IllegalSubnetPoolPrefixUpdate']);
  expect((await call('demo')('PUT', `${url}/remove_prefixes`, { prefixes: ['10.83.0.0/25'] })).body).toEqual({ prefixes: ['10.83.0.128/25', '10.83.1.0/24', '10.84.0.0/24'] });
  const lone = (await subnet('demo', { cidr: '10.90.0.0/24' })).body.subnet;
  expect((await call('demo')('PUT', `${url}/onboard_network_subnets`, { network_id: lone.network_id })).body).toEqual([{ id: lone.id, cidr: '10.90.0.0/24' }]);
  expect((await call('demo')('GET', `/v2.0/subnets?subnetpool_id=${id}&cidr=10.90.0.0/24`)).body.subnets).toHaveLength(1);
  expect((await call('demo')('GET', url)).body.subnetpool.prefixes).toContain('10.90.0.0/24');
  const theirs = await network('admin', { shared: true });
  expect((await call('demo')('PUT', `${url}/onboard_network_subnets`, { network_id: theirs })).status).toBe(403);
});
test('address scopes', async () => {
  const scope = async (who: Who, more: object = {}) => (await call(who)('POST', '/v2.0/address-scopes', { address_scope: { name: 's', ip_version: 4, ...more } })).body.address_scope;
  const mine = await scope('demo');
  expect(Object.keys(mine).toSorted()).toEqual(['id', 'ip_version', 'name', 'project_id', 'shared', 'tenant_id']);
  expect((await call('demo')('POST', '/v2.0/address-scopes', { address_scope: { name: 's', ip_version: 4, shared: true } })).status).toBe(403);
  const shared = await scope('admin', { shared: true });
  expect(fault(await call('admin')('PUT', `/v2.0/address-scopes/${shared.id}`, { address_scope: { shared: false } }))).toEqual([400, 'AddressScopeUpdateError']);
  const inScope = await pool('demo', { prefixes: ['10.91.0.0/16'], address_scope_id: mine.id });
  expect(inScope.address_scope_id).toBe(mine.id);
  const attempt = (more: object) => call('demo')('POST', '/v2.0/subnetpools', { subnetpool: { name: 'x', prefixes: ['10.91.128.0/17'], ...more } });
  expect(fault(await attempt({ address_scope_id: mine.id }))).toEqual([409, 'AddressScopePrefixConflict']);
  expect(fault(await attempt({ address_scope_id: (await scope('demo', { ip_version: 6 })).id }))).toEqual([400, 'IllegalSubnetPoolIpVersionAssociationToAddressScope']);
  expect(fault(await attempt({ address_scope_id: (await scope('other')).id }))).toEqual([404, 'AddressScopeNotFound']);
  const inShared = (await attempt({ address_scope_id: shared.id })).body.subnetpool;
  expect(fault(await call('demo')('PUT', `/v2.0/subnetpools/${inShared.id}`, { subnetpool: { name: 'y' } }))).toEqual([400, 'IllegalSubnetPoolUpdate']);
  const second = await pool('demo', { prefixes: ['10.92.0.0/16'], address_scope_id: mine.id });
  const { network_id: on } = (await subnet('demo', { subnetpool_id: inScope.id })).body.subnet;
  expect((await call('demo')('POST', '/v2.0/subnets', { subnet: { network_id: on, ip_version: 4, subnetpool_id: second.id } })).status).toBe(201);
  expect(fault(await call('demo')('POST', '/v2.0/subnets', { subnet: { network_id: on, ip_version: 4, cidr: '10.93.0.0/24' } }))).toEqual([400, 'NetworkAddressScopeAffinityError']);
  expect((await call('demo')('GET', `/v2.0/networks/${on}`)).body.network).toMatchObject({ ipv4_address_scope: mine.id, ipv6_address_scope: null });
  expect(fault(await call('demo')('DELETE', `/v2.0/address-scopes/${mine.id}`))).toEqual([409, 'AddressScopeInUse']);
});
