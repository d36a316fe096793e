import { transaction } from '@cumulet/db';
import { plainCall } from '@cumulet/drivers';
import { fakeNetwork } from '@cumulet/drivers/network';
import { newId } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers, testRuntime, type TestRuntime, type Who } from '../../../test/harness/service.ts';
import { makeApp, networksForCompute, plans } from '../index.ts';
import { reconcileHost } from '../wiring/host.ts';
import type { NetworkDeps } from '../wiring/deps.ts';

let t: TestRuntime;
let app: FastifyInstance;
let deps: NetworkDeps;
const driver = fakeNetwork();
const call = (who: Who) => as(app, who);
const other = callers.other.projectId as string;
beforeAll(async () => {
  t = await testRuntime();
  deps = { db: t.rt.db, driver, host: 'testhost', metadataSocket: null, hostAccess: true };
  t.serve({ plans, deps });
  app = await makeApp(t.rt);
});
afterAll(async () => { await app.close(); await t.close(); });
const fault = (answer: { status: number; body: { NeutronError?: { type: string } } }) => [answer.status, answer.body.NeutronError?.type];
const make = async (who: Who, addresses: string[], more: object = {}) => (await call(who)('POST', '/v2.0/address-groups', { address_group: { name: 'g', addresses, ...more } })).body.address_group as { id: string; addresses: string[] };

test('addresses are kept as prefixes, added and removed', async () => {
  const { id, addresses } = await make('demo', ['192.168.0.10/24', '10.10.10.3/32', '2001:db8::f00/64', '192.168.0.0/24']);
  expect(addresses).toEqual(['10.10.10.3/32', '192.168.0.0/24', '2001:db8::/64']);
  const url = `/v2.0/address-groups/${id}`;
  expect(await call('demo')('PUT', url, { address_group: { description: 'd' } })).toMatchObject({ status: 200, body: { address_group: { name: 'g', description: 'd', addresses } } });
  expect((await call('demo')('PUT', `${url}/add_addresses`, { addresses: ['10.20.30.40'] })).body.address_group.addresses).toContain('10.20.30.40/32');
  expect(fault(await call('demo')('PUT', `${url}/add_addresses`, { addresses: ['10.20.30.40/32'] }))).toEqual([400, 'AddressesAlreadyExist']);
  expect(fault(await call('demo')('PUT', `${url}/remove_addresses`, { addresses: ['10.200.0.1'] }))).toEqual([404, 'AddressesNotFound']);
  expect((await call('demo')('PUT', `${url}/remove_addresses`, { addresses: ['10.20.30.40', '2001:db8:0::/64'] })).body.address_group.addresses).toEqual(['10.10.10.3/32', '192.168.0.0/24']);
  for (const bad of ['this is bad', '10.0.0.0/33', '', '10.0.0.1 }; drop']) {
    expect((await call('demo')('PUT', `${url}/add_addresses`, { addresses: [bad] })).status, bad).toBe(400);
    expect((await call('demo')('POST', '/v2.0/address-groups', { address_group: { addresses: [bad] } })).status, bad).toBe(400);
  }
  // At creation a length is asked for.
  expect((await call('demo')('POST', '/v2.0/address-groups', { address_group: { addresses: ['10.20.30.40'] } })).status).toBe(400);
  expect((await call('demo')('PUT', `${url}/add_addresses`, { addresses: Array.from({ length: 10_001 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`) })).status).toBe(400);
  expect((await call('demo')('GET', '/v2.0/address-groups?name=g&fields=id')).body.address_groups).toEqual([{ id }]);
  expect((await call('demo')('DELETE', url)).status).toBe(204);
  expect(fault(await call('demo')('GET', url))).toEqual([404, 'AddressGroupNotFound']);
});
test('who only shares one uses it in rules, and does not change it', async () => {
  const { id } = await make('demo', ['10.1.0.0/16']);
  expect((await call('other')('GET', `/v2.0/address-groups/${id}`)).status).toBe(404);
  const group = (await call('other')('POST', '/v2.0/security-groups', { security_group: { name: 'of other' } })).body.security_group.id as string;
  const rule = { security_group_id: group, direction: 'ingress', protocol: 'tcp', remote_address_group_id: id };
  const add = (more: object = {}) => call('other')('POST', '/v2.0/security-group-rules', { security_group_rule: { ...rule, ...more } });
  expect(fault(await add())).toEqual([404, 'AddressGroupNotFound']);
  const policy = (await call('demo')('POST', '/v2.0/rbac-policies', { rbac_policy: { object_type: 'address_group', object_id: id, action: 'access_as_shared', target_tenant: other } })).body.rbac_policy.id;
  expect((await call('other')('GET', '/v2.0/address-groups')).body.address_groups).toHaveLength(1);
  for (const [method, path, body] of [['PUT', '', { address_group: { name: 'x' } }], ['PUT', '/add_addresses', { addresses: ['10.2.0.0/16'] }], ['DELETE', '', undefined]] as const) expect((await call('other')(method, `/v2.0/address-groups/${id}${path}`, body)).status).toBe(404);
  const made = await add();
  expect(made).toMatchObject({ status: 201, body: { security_group_rule: { remote_address_group_id: id, remote_group_id: null, remote_ip_prefix: null, ethertype: 'IPv4' } } });
  expect(fault(await add())).toEqual([409, 'SecurityGroupRuleExists']);
  expect(fault(await add({ remote_ip_prefix: '10.0.0.0/8' }))).toEqual([400, 'SecurityGroupMultipleRemoteEntites']);
  expect((await call('other')('GET', `/v2.0/security-group-rules?remote_address_group_id=${id}`)).body.security_group_rules).toHaveLength(1);
  expect(fault(await call('demo')('DELETE', `/v2.0/rbac-policies/${policy}`))).toEqual([409, 'RbacPolicyInUse']);
  expect(fault(await call('demo')('DELETE', `/v2.0/address-groups/${id}`))).toEqual([409, 'AddressGroupInUse']);
  expect((await call('other')('DELETE', `/v2.0/security-group-rules/${made.body.security_group_rule.id}`)).status).toBe(204);
  expect((await call('demo')('DELETE', `/v2.0/rbac-policies/${policy}`)).status).toBe(204);
  expect((await call('demo')('DELETE', `/v2.0/address-groups/${id}`)).status).toBe(204);
});
test('the filters of ports follow the list', async () => {
  const network = (await call('demo')('POST', '/v2.0/networks', { network: {} })).body.network.id as string;
  await call('demo')('POST', '/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.60.0.0/24' } });
  const nets = networksForCompute({ db: t.rt.db, tasks: t.rt.tasks, host: deps });
  const port = await transaction(t.rt.db, async trx => {
    const made = await nets.createPort(trx, { who: { projectId: callers.demo.projectId as string, userId: 'u', admin: false }, serverId: newId(), networkId: network, zone: 'nova' });
    await nets.bind(trx, made.id, 'testhost');
    return made;
  });
  await nets.plug(plainCall(), port.id);
  const { id } = await make('demo', ['10.1.0.0/16']);
  const rule = await call('demo')('POST', '/v2.0/security-group-rules', { security_group_rule: { security_group_id: port.security_groups[0]?.id, direction: 'ingress', protocol: 'tcp', remote_address_group_id: id } });
  await t.drain();
  expect(driver.ports.get(port.id)?.rules).toContainEqual({ direction: 'ingress', ethertype: 'IPv4', protocol: 6, portMin: null, portMax: null, remote: { groupId: id } });
  expect(driver.groups.get(id)).toEqual(['10.1.0.0/16']);
  await call('demo')('PUT', `/v2.0/address-groups/${id}/add_addresses`, { addresses: ['2001:db8::/32'] });
  await t.drain();
  expect(driver.groups.get(id)).toEqual(['10.1.0.0/16', '2001:db8::/32']);
  await reconcileHost(deps, plainCall());
  expect(driver.groups.has(id)).toBe(true);
  await call('demo')('DELETE', `/v2.0/security-group-rules/${rule.body.security_group_rule.id}`);
  await call('demo')('DELETE', `/v2.0/address-groups/${id}`);
  await t.drain();
  await reconcileHost(deps, plainCall());
  expect(driver.groups.has(id)).toBe(false);
});
