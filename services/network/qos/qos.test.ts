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
let network: string;
const driver = fakeNetwork();
const call = (who: Who) => as(app, who);
const [demo, other] = [callers.demo.projectId as string, callers.other.projectId as string];
beforeAll(async () => {
  t = await testRuntime();
  deps = { db: t.rt.db, driver, host: 'testhost', metadataSocket: null, hostAccess: true };
  t.serve({ plans, deps });
  app = await makeApp(t.rt);
  network = await made('demo', 'networks', { network: { name: 'n' } });
  await call('demo')('POST', '/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.70.0.0/24' } });
});
afterAll(async () => { await app.close(); await t.close(); });
const fault = (answer: { status: number; body: { NeutronError?: { type: string } } }) => [answer.status, answer.body.NeutronError?.type];
const made = async (who: Who, path: string, body: object): Promise<string> => {
  const answer = await call(who)('POST', `/v2.0/${path}`, body);
  expect(answer).toMatchObject({ status: 201 });
  return answer.body[Object.keys(body)[0] as string].id;
};
const policy = (more: object = {}, who: Who = 'admin') => made(who, 'qos/policies', { policy: { name: 'p', ...more } });
const limit = (id: string, more: object = {}) => made('admin', `qos/policies/${id}/bandwidth_limit_rules`, { bandwidth_limit_rule: { max_kbps: 1000, ...more } });

test('policies are made by managers, and seen by whom they are shared with', async () => {
  expect((await call('demo')('POST', '/v2.0/qos/policies', { policy: { name: 'mine' } })).status).toBe(403);
  const { body: { policy: row } } = await call('admin')('POST', '/v2.0/qos/policies', { policy: { name: 'gold', description: 'd', project_id: demo } });
  expect(row).toMatchObject({ name: 'gold', description: 'd', shared: false, is_default: false, rules: [], tags: [], project_id: demo, tenant_id: demo });
  expect((await call('demo')('GET', `/v2.0/qos/policies/${row.id}`)).body.policy).toEqual(row);
  expect((await call('demo')('PUT', `/v2.0/qos/policies/${row.id}`, { policy: { name: 'x' } })).status).toBe(403);
  expect(fault(await call('other')('GET', `/v2.0/qos/policies/${row.id}`))).toEqual([404, 'QosPolicyNotFound']);
  const changed = await call('admin')('PUT', `/v2.0/qos/policies/${row.id}`, { policy: { shared: true, name: 'gold2' } });
  expect(changed.body.policy).toMatchObject({ shared: true, name: 'gold2' });
  expect(changed.body.policy.revision_number).toBeGreaterThan(row.revision_number);
  expect((await call('other')('GET', '/v2.0/qos/policies?name=gold2&shared=true&fields=name')).body.policies).toEqual([{ name: 'gold2' }]);
  expect((await call('other')('GET', `/v2.0/qos/policies/${row.id}/bandwidth_limit_rules`)).body).toEqual({ bandwidth_limit_rules: [] });
  const hidden = await limit(row.id);
  expect((await call('demo')('GET', `/v2.0/qos/policies/${row.id}/bandwidth_limit_rules/${hidden}`)).status).toBe(200);
  for (const path of [`policies/${row.id}/bandwidth_limit_rules`, 'alias_bandwidth_limit_rules']) expect(fault(await call('other')('GET', `/v2.0/qos/${path}/${hidden}`))).toEqual([404, 'QosRuleNotFound']);
  for (const path of ['qos/policies', 'policies']) {
    expect((await call('admin')('PUT', `/v2.0/${path}/${row.id}/tags/red`)).status).toBe(201);
    expect((await call('demo')('GET', `/v2.0/${path}/${row.id}/tags`)).body).toEqual({ tags: ['red'] });
  }
  expect((await call('demo')('GET', '/v2.0/qos/policies?tags=red')).body.policies).toHaveLength(1);
  expect((await call('admin')('DELETE', `/v2.0/qos/policies/${row.id}`)).status).toBe(204);
  expect((await call('admin')('DELETE', `/v2.0/qos/policies/${row.id}`)).status).toBe(404);
});
test('a rule of each kind and direction, by its policy or by its own path', async () => {
  const id = await policy({ project_id: demo });
  const url = `/v2.0/qos/policies/${id}/bandwidth_limit_rules`;
  const rule = await limit(id);
  expect((await call('demo')('GET', `${url}/${rule}`)).body).toEqual({ bandwidth_limit_rule: { id: rule, max_kbps: 1000, max_burst_kbps: 0, direction: 'egress' } });
  expect(fault(await call('admin')('POST', url, { bandwidth_limit_rule: { max_kbps: 1, direction: 'egress' } }))).toEqual([409, 'QoSRulesConflict']);
  const inward = await limit(id, { direction: 'ingress', max_burst_kbps: '5' });
  expect(fault(await call('admin')('PUT', `${url}/${inward}`, { bandwidth_limit_rule: { direction: 'egress' } }))).toEqual([409, 'QoSRulesConflict']);
  expect((await call('admin')('PUT', `${url}/${inward}`, { bandwidth_limit_rule: { max_kbps: 7 } })).body.bandwidth_limit_rule).toEqual({ id: inward, max_kbps: 7, max_burst_kbps: 5, direction: 'ingress' });
  expect((await call('demo')('GET', `${url}?direction=ingress`)).body.bandwidth_limit_rules).toHaveLength(1);
  const minimum = `/v2.0/qos/policies/${id}/minimum_bandwidth_rules`;
  expect(fault(await call('admin')('POST', minimum, { minimum_bandwidth_rule: { min_kbps: 1001 } }))).toEqual([409, 'QoSRuleParameterConflict']);
  expect((await call('admin')('POST', minimum, { minimum_bandwidth_rule: { min_kbps: 900 } })).status).toBe(201);
  expect(fault(await call('admin')('PUT', `${url}/${rule}`, { bandwidth_limit_rule: { max_kbps: 800 } }))).toEqual([409, 'QoSRuleParameterConflict']);
  const alias = `/v2.0/qos/alias_bandwidth_limit_rules/${rule}`;
  expect((await call('admin')('PUT', alias, { alias_bandwidth_limit_rule: { max_kbps: 2000 } })).body).toEqual({ alias_bandwidth_limit_rule: { id: rule, max_kbps: 2000, max_burst_kbps: 0, direction: 'egress' } });
  expect((await call('demo')('GET', alias)).body.alias_bandwidth_limit_rule).toMatchObject({ max_kbps: 2000 });
  expect((await call('demo')('PUT', alias, { alias_bandwidth_limit_rule: { max_kbps: 1 } })).status).toBe(403);
  expect((await call('other')('GET', alias)).status).toBe(404);
  expect((await call('demo')('GET', `/v2.0/qos/policies/${id}`)).body.policy.rules).toEqual([
    { id: rule, max_kbps: 2000, max_burst_kbps: 0, direction: 'egress', qos_policy_id: id, type: 'bandwidth_limit' },
    { id: inward, max_kbps: 7, max_burst_kbps: 5, direction: 'ingress', qos_policy_id: id, type: 'bandwidth_limit' }, expect.objectContaining({ min_kbps: 900, type: 'minimum_bandwidth' })]);
  expect((await call('admin')('DELETE', alias)).status).toBe(204);
  expect(fault(await call('admin')('DELETE', alias))).toEqual([404, 'QosRuleNotFound']);
  expect(fault(await call('admin')('GET', `${url}/${rule}`))).toEqual([404, 'QosRuleNotFound']);
  expect((await call('admin')('GET', `/v2.0/qos/policies/${id}/dscp_marking_rules/${inward}`)).status).toBe(404);
  const several = await call('admin')('POST', `/v2.0/qos/policies/${id}/dscp_marking_rules`, { dscp_marking_rules: [{ dscp_mark: 26 }, { dscp_mark: 28 }] });
  expect(fault(several)).toEqual([409, 'QoSRulesConflict']);
  expect((await call('demo')('GET', `/v2.0/qos/policies/${id}/dscp_marking_rules`)).body.dscp_marking_rules).toEqual([]);
  expect((await call('admin')('DELETE', `/v2.0/qos/policies/${id}`)).status).toBe(204);
});
test('what is no rule is refused', async () => {
  const id = await policy();
  for (const [kind, body] of [['bandwidth_limit', {}], ['bandwidth_limit', { max_kbps: -1 }], ['bandwidth_limit', { max_kbps: 2 ** 31 }], ['bandwidth_limit', { max_kbps: 'x' }], ['bandwidth_limit', { max_kbps: 1, direction: 'any' }], ['dscp_marking', { dscp_mark: 58 }], ['minimum_bandwidth', { min_kbps: 1, direction: 'any' }]] as const) {
    expect((await call('admin')('POST', `/v2.0/qos/policies/${id}/${kind}_rules`, { [`${kind}_rule`]: body })).status, JSON.stringify(body)).toBe(400);
  }
  const nowhere = { bandwidth_limit_rule: { max_kbps: 1 } };
  expect(fault(await call('admin')('POST', '/v2.0/qos/policies/policy/bandwidth_limit_rules', nowhere))).toEqual([404, 'QosPolicyNotFound']);
  expect((await call('demo')('POST', '/v2.0/qos/policies/policy/bandwidth_limit_rules', nowhere)).status).toBe(403);
  expect((await call('admin')('POST', `/v2.0/qos/policies/${id}/magic_rules`, {})).status).toBe(404);
  expect((await call('admin')('GET', `/v2.0/qos/alias_packet_rate_limit_rules/${newId()}`)).status).toBe(404);
  const packets = `/v2.0/qos/policies/${id}/minimum_packet_rate_rules`;
  const both = await call('admin')('POST', packets, { minimum_packet_rate_rule: { min_kpps: 1, direction: 'any' } });
  expect(both).toMatchObject({ status: 201, body: { minimum_packet_rate_rule: { min_kpps: 1, direction: 'any' } } });
  expect(fault(await call('admin')('POST', packets, { minimum_packet_rate_rule: { min_kpps: 1 } }))).toEqual([409, 'QoSRuleParameterConflict']);
  expect((await call('admin')('PUT', `${packets}/${both.body.minimum_packet_rate_rule.id}`, { minimum_packet_rate_rule: { direction: 'egress' } })).status).toBe(200);
  expect((await call('admin')('POST', `/v2.0/qos/policies/${id}/packet_rate_limit_rules`, { packet_rate_limit_rule: { max_kpps: 1 } })).body.packet_rate_limit_rule).toMatchObject({ max_kpps: 1, max_burst_kpps: 0, direction: 'egress' });
});
test('the kinds of rules that have an effect', async () => {
  const types = async (query = '') => (await call('demo')('GET', `/v2.0/qos/rule-types${query}`)).body.rule_types;
  expect(await types()).toEqual([{ type: 'bandwidth_limit' }, { type: 'dscp_marking' }]);
  expect(await types('?all_supported=true')).toHaveLength(2);
  expect(await types('?all_rules=true')).toHaveLength(5);
  for (const odd of ['?all_rules=true&all_supported=true', '?all_rules=perhaps', '?kind=x']) expect((await call('demo')('GET', `/v2.0/qos/rule-types${odd}`)).status, odd).toBe(400);
  expect((await call('demo')('GET', '/v2.0/qos/rule-types/bandwidth_limit')).status).toBe(403);
  expect((await call('admin')('GET', '/v2.0/qos/rule-types/dscp_marking')).body.rule_type).toMatchObject({ type: 'dscp_marking', drivers: [{ name: 'linuxbridge', supported_parameters: [{ parameter_name: 'dscp_mark', parameter_type: 'choices' }] }] });
  expect((await call('admin')('GET', '/v2.0/qos/rule-types/minimum_bandwidth')).body.rule_type.drivers).toEqual([]);
  expect((await call('admin')('GET', '/v2.0/qos/rule-types/magic')).status).toBe(404);
});
test('networks and ports have a policy that their project sees; it is not deleted meanwhile', async () => {
  const id = await policy();
  const port = await made('demo', 'ports', { port: { network_id: network } });
  const set = (who: Who, qos_policy_id: string | null) => call(who)('PUT', `/v2.0/ports/${port}`, { port: { qos_policy_id } });
  expect(fault(await set('demo', id))).toEqual([404, 'QosPolicyNotFound']);
  expect(fault(await call('demo')('POST', '/v2.0/networks', { network: { qos_policy_id: id } }))).toEqual([404, 'QosPolicyNotFound']);
  expect(fault(await call('demo')('POST', '/v2.0/ports', { port: { network_id: network, qos_policy_id: newId() } }))).toEqual([404, 'QosPolicyNotFound']);
  expect((await call('admin')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: id } })).body.network.qos_policy_id).toBe(id);
  // Not shared, it has nothing to lose, whoever uses it.
  expect((await call('admin')('PUT', `/v2.0/qos/policies/${id}`, { policy: { shared: false } })).status).toBe(200);
  const router = await made('demo', 'ports', { port: { network_id: network, device_owner: 'network:router_interface' } });
  expect(fault(await call('admin')('PUT', `/v2.0/ports/${router}`, { port: { qos_policy_id: id } }))).toEqual([400, 'InvalidInput']);
  await t.rt.db('ports').where({ id: router }).delete();
  // What an administrator gave is not a member's to take away.
  expect(fault(await call('demo')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: null } }))).toEqual([403, 'PolicyRemoveAuthorizationError']);
  const rbac = await made('admin', 'rbac-policies', { rbac_policy: { object_type: 'qos_policy', object_id: id, action: 'access_as_shared', target_tenant: demo } });
  expect((await set('demo', id)).body.port).toMatchObject({ qos_policy_id: id, qos_network_policy_id: id });
  expect((await set('demo', null)).body.port).toMatchObject({ qos_policy_id: null, qos_network_policy_id: id });
  expect(fault(await call('admin')('DELETE', `/v2.0/rbac-policies/${rbac}`))).toEqual([409, 'RbacPolicyInUse']);
  expect(fault(await call('admin')('DELETE', `/v2.0/qos/policies/${id}`))).toEqual([409, 'QosPolicyInUse']);
  expect((await call('demo')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: null } })).body.network.qos_policy_id).toBe(null);
  expect((await call('admin')('PUT', `/v2.0/qos/policies/${id}`, { policy: { shared: true } })).status).toBe(200);
  const elsewhere = await made('other', 'networks', { network: { qos_policy_id: id } });
  expect(fault(await call('admin')('PUT', `/v2.0/qos/policies/${id}`, { policy: { shared: false } }))).toEqual([409, 'RbacPolicyInUse']);
  expect((await call('other')('DELETE', `/v2.0/networks/${elsewhere}`)).status).toBe(204);
  expect((await call('admin')('DELETE', `/v2.0/qos/policies/${id}`)).status).toBe(204);
  expect((await call('admin')('GET', `/v2.0/rbac-policies/${rbac}`)).status).toBe(404);
  await call('demo')('DELETE', `/v2.0/ports/${port}`);
});
test('a project\'s default is for its new networks; there is one', async () => {
  const id = await policy({ project_id: other, is_default: true });
  expect(fault(await call('admin')('POST', '/v2.0/qos/policies', { policy: { project_id: other, is_default: true } }))).toEqual([409, 'QoSPolicyDefaultAlreadyExists']);
  const second = await policy({ project_id: other });
  expect(fault(await call('admin')('PUT', `/v2.0/qos/policies/${second}`, { policy: { is_default: true } }))).toEqual([409, 'QoSPolicyDefaultAlreadyExists']);
  const { body } = await call('other')('POST', '/v2.0/networks', { network: {} });
  expect(body.network.qos_policy_id).toBe(id);
  expect((await call('other')('POST', '/v2.0/networks', { network: { qos_policy_id: second } })).body.network.qos_policy_id).toBe(second);
  expect((await call('demo')('POST', '/v2.0/networks', { network: {} })).body.network.qos_policy_id).toBe(null);
  expect((await call('admin')('PUT', `/v2.0/qos/policies/${id}`, { policy: { is_default: false } })).body.policy.is_default).toBe(false);
  expect((await call('admin')('PUT', `/v2.0/qos/policies/${second}`, { policy: { is_default: true } })).body.policy.is_default).toBe(true);
});
test('a policy with rules that no bridge keeps is refused where it would be used', async () => {
  const id = await policy({ shared: true });
  const minimum = `/v2.0/qos/policies/${id}/minimum_bandwidth_rules`;
  const { body: { minimum_bandwidth_rule: rule } } = await call('admin')('POST', minimum, { minimum_bandwidth_rule: { min_kbps: 5 } });
  const port = await made('demo', 'ports', { port: { network_id: network } });
  expect(fault(await call('demo')('PUT', `/v2.0/ports/${port}`, { port: { qos_policy_id: id } }))).toEqual([409, 'QosRuleNotSupported']);
  expect(fault(await call('demo')('POST', '/v2.0/ports', { port: { network_id: network, qos_policy_id: id } }))).toEqual([409, 'QosRuleNotSupported']);
  expect(fault(await call('demo')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: id } }))).toEqual([409, 'QosRuleNotSupportedByNetwork']);
  expect((await call('admin')('DELETE', `${minimum}/${rule.id}`)).status).toBe(204);
  expect((await call('demo')('PUT', `/v2.0/ports/${port}`, { port: { qos_policy_id: id } })).status).toBe(200);
  expect(fault(await call('admin')('POST', minimum, { minimum_bandwidth_rule: { min_kbps: 5 } }))).toEqual([409, 'QosRuleNotSupported']);
  await call('demo')('DELETE', `/v2.0/ports/${port}`);
  const empty = await made('demo', 'networks', { network: { qos_policy_id: id } });
  expect(fault(await call('admin')('POST', minimum, { minimum_bandwidth_rule: { min_kbps: 5 } }))).toEqual([409, 'QosRuleNotSupportedByNetwork']);
  await call('demo')('DELETE', `/v2.0/networks/${empty}`);
});
test('the same at once: one rule, and a policy is used or gone', async () => {
  const id = await policy({ shared: true });
  const rules = await Promise.all(Array.from({ length: 6 }, (_, i) => call('admin')('POST', `/v2.0/qos/policies/${id}/bandwidth_limit_rules`, { bandwidth_limit_rule: { max_kbps: 100 + i } })));
  expect(rules.map(r => r.status).toSorted()).toEqual([201, 409, 409, 409, 409, 409]);
  const [used, gone] = await Promise.all([call('demo')('POST', '/v2.0/ports', { port: { network_id: network, qos_policy_id: id } }), call('admin')('DELETE', `/v2.0/qos/policies/${id}`)]);
  expect([[201, 409], [404, 204]]).toContainEqual([used.status, gone.status]);
  const defaults = await Promise.all(Array.from({ length: 4 }, () => call('admin')('POST', '/v2.0/qos/policies', { policy: { project_id: 'd'.repeat(32), is_default: true } })));
  expect(defaults.map(r => r.status).toSorted()).toEqual([201, 409, 409, 409]);
});
test('a plugged port has the limits of its policy, else of its network\'s, as they are now', async () => {
  const nets = networksForCompute({ db: t.rt.db, tasks: t.rt.tasks, host: deps });
  const own = await policy({ project_id: demo });
  const ofNetwork = await policy({ project_id: demo });
  await limit(ofNetwork, { max_kbps: 8000, max_burst_kbps: 100, direction: 'ingress' });
  await call('demo')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: ofNetwork } });
  const port = await transaction(t.rt.db, async trx => {
    const one = await nets.createPort(trx, { who: { projectId: demo, userId: 'u', admin: false }, serverId: newId(), networkId: network, zone: 'nova' });
    await nets.bind(trx, one.id, 'testhost');
    return one;
  });
  await nets.plug(plainCall(), port.id);
  const qos = async () => { await t.drain(); return driver.ports.get(port.id)?.qos; };
  expect(await qos()).toEqual({ ingress: { kbps: 8000, burstKb: 100 } });
  const rule = await limit(own);
  await call('demo')('PUT', `/v2.0/ports/${port.id}`, { port: { qos_policy_id: own } });
  expect(await qos()).toEqual({ egress: { kbps: 1000, burstKb: 800 } });
  const mark = await made('admin', `qos/policies/${own}/dscp_marking_rules`, { dscp_marking_rule: { dscp_mark: 46 } });
  await call('admin')('PUT', `/v2.0/qos/policies/${own}/bandwidth_limit_rules/${rule}`, { bandwidth_limit_rule: { max_kbps: 500 } });
  expect(await qos()).toEqual({ egress: { kbps: 500, burstKb: 400 }, dscp: 46 });
  await call('admin')('PUT', `/v2.0/qos/alias_bandwidth_limit_rules/${rule}`, { alias_bandwidth_limit_rule: { max_kbps: 0 } });
  expect(await qos()).toEqual({ dscp: 46 });
  await call('admin')('DELETE', `/v2.0/qos/policies/${own}/dscp_marking_rules/${mark}`);
  expect(await qos()).toEqual({});
  await call('demo')('PUT', `/v2.0/ports/${port.id}`, { port: { qos_policy_id: null } });
  expect(await qos()).toEqual({ ingress: { kbps: 8000, burstKb: 100 } });
  await call('demo')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: null } });
  expect(await qos()).toBeUndefined();
  await call('demo')('PUT', `/v2.0/networks/${network}`, { network: { qos_policy_id: ofNetwork } });
  await t.drain();
  // Rules that somebody flushed come back with their limits.
  await driver.unplugPort(plainCall(), port.id);
  await reconcileHost(deps, plainCall());
  expect(await qos()).toEqual({ ingress: { kbps: 8000, burstKb: 100 } });
  // Routers and DHCP servers are not of the network's guests.
  await t.rt.db('ports').where({ id: port.id }).update({ device_owner: 'network:router_interface' });
  await call('admin')('PUT', `/v2.0/qos/policies/${ofNetwork}`, { policy: { name: 'renamed' } });
  await limit(ofNetwork, { max_kbps: 3 });
  await call('admin')('PUT', `/v2.0/ports/${port.id}`, { port: { name: 'x' } });
  expect(await qos()).toBeUndefined();
});
