import type { FastifyInstance } from 'fastify';
import type { Operation } from '@cumulet/http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCloud, type TestCloud } from '../../services/compute/testing/cloud.ts';
import { makeApp as placementApp } from '../../services/placement/app.ts';
import { as, callers } from '../harness/service.ts';
import { bodiesOf, queriesOf } from './inputs.ts';

/** Whatever is sent, nothing ends in a 500: an answer below 500, or 501 and 503 where they are meant. */
let c: TestCloud;
let placement: FastifyInstance;
let known: Record<string, unknown>;
let params: Record<string, string>;
beforeAll(async () => {
  c = await testCloud();
  placement = await placementApp(c.t.rt);
  const nova = c.call('admin');
  for (const service of ['compute', 'network']) await c.t.rt.db('quotas').insert(['instances', 'cores', 'ram', 'port', 'network', 'subnet', 'router', 'security_group', 'security_group_rule'].map(resource => ({ service, project_id: callers.admin.projectId, resource, hard_limit: -1 }))).onConflict().ignore();
  const image = await c.image();
  const id = await c.server({ who: 'admin', imageRef: image });
  const volume = (await as(c.volumes, 'admin', 'volume')('POST', `/v3/${callers.admin.projectId ?? ''}/volumes`, { volume: { size: 1 } })).body.volume.id as string;
  await c.t.drain();
  const net = as(c.networks, 'admin');
  const network = (await net('POST', '/v2.0/networks', { network: { name: 'n' } })).body.network.id as string;
  const subnet = (await net('POST', '/v2.0/subnets', { subnet: { network_id: network, ip_version: 4, cidr: '10.30.0.0/24' } })).body.subnet.id as string;
  const port = (await net('POST', '/v2.0/ports', { port: { network_id: network } })).body.port.id as string;
  const group = (await net('POST', '/v2.0/security-groups', { security_group: { name: 'g' } })).body.security_group.id as string;
  const router = (await net('POST', '/v2.0/routers', { router: {} })).body.router.id as string;
  const external = (await net('GET', '/v2.0/networks?router:external=true')).body.networks[0].id as string;
  const fip = (await net('POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external } })).body.floatingip.id as string;
  const aggregate = (await nova('POST', '/v2.1/os-aggregates', { aggregate: { name: 'a' } })).body.aggregate.id as number;
  await nova('POST', '/v2.1/os-keypairs', { keypair: { name: 'k' } });
  known = { imageRef: image, flavorRef: 'nano', networks: [{ uuid: c.networkId }], network_id: network, subnet_id: subnet, port_id: port, security_group_id: group, floating_network_id: external, volumeId: volume, volume_id: volume, cidr: '10.31.0.0/24', ip_version: 4, protocol: 'tcp', direction: 'ingress', ethertype: 'IPv4', server_uuid: id, host: 'testhost', key_name: 'k', size: 1 };
  params = { server_id: id, flavor_id: 'nano', image_id: image, volume_id: volume, port_id: port, project_id: callers.admin.projectId ?? '', id: aggregate.toString(), key: 'k', label: 'private', host_name: 'testhost', keypair_name: 'k' };
  byPath = [['/networks', network], ['/subnets', subnet], ['/ports', port], ['/routers', router], ['/security-groups', group], ['/security_groups', group], ['/floatingips', fip], ['/os-security-groups', group], ['/os-volumes', volume]];
}, 120_000);
afterAll(async () => { await placement?.close(); await c?.close(); });
let byPath: [string, string][];

const nowhere = ['%00', '%ff', '..%2f..', 'x'.repeat(300), '💥', `'--`, '00000000-0000-0000-0000-000000000000', '9999999999999999999', '-1'];
function path(op: Operation, at?: string): string {
  return op.path.replaceAll(/:([a-z_]+)/g, (_, name: string) => (at === undefined ? encodeURIComponent((name === 'id' ? byPath.find(([start]) => op.path.startsWith(`${start}/`))?.[1] : undefined) ?? params[name] ?? '1') : at.includes('%') ? at : encodeURIComponent(at)));
}
/** Answers of the host take a worker; what they do with odd bodies is asked before. */
const asksHost = new Set(['servers.console_output', 'remote_consoles.create', 'servers.diagnostics', 'servers.os-getVNCConsole', 'servers.os-getSerialConsole']);

async function sweep(app: FastifyInstance, prefix: string, service: string | undefined): Promise<{ wrong: string[]; sent: number }> {
  const wrong = new Set<string>();
  let sent = 0;
  const send = async (op: Operation, url: string, body?: unknown) => {
    sent++;
    const version = op.until ?? (service === 'compute' ? '2.104' : service === 'placement' ? '1.39' : undefined);
    const r = await app.inject({
      method: op.method as 'GET', url: `${op.root ? '' : prefix}${url}`, headers: { 'x-auth-token': 'admin', accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(version === undefined || service === undefined ? {} : { 'openstack-api-version': `${service} ${version}` }) },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    });
    if (r.statusCode >= 500 && r.statusCode !== 501) wrong.add(`${op.id}: ${r.statusCode} to ${url.slice(0, 120)} ${JSON.stringify(body)?.slice(0, 160)}: ${r.body.slice(0, 120)}`);
  };
  for (const op of app.operations) {
    if (op.upload) continue;
    for (const bad of op.path.includes(':') ? nowhere : []) await send(op, path(op, bad), op.method === 'GET' || op.method === 'DELETE' ? undefined : op.action === undefined ? {} : { [op.action]: {} });
    if (op.method === 'DELETE' || asksHost.has(op.id)) continue;
    if (op.method === 'GET' || op.method === 'HEAD') { for (const query of queriesOf(op.query?.newest)) await send(op, `${path(op)}?${query}`); continue; }
    for (const body of bodiesOf(op.body?.newest, { known, ...(op.action === undefined ? {} : { action: op.action }) })) await send(op, path(op), body);
    // So that the next one finds the server at rest again.
    if (op.path.includes('/servers/')) await c.t.rt.db.raw(`update servers set vm_state = 'active', task_state = null, task_id = null, locked_by = null where id = ?`, [params['server_id'] ?? '']);
  }
  return { wrong: [...wrong], sent };
}

describe('no odd input is a 500', () => {
  test('compute', async () => { const { wrong, sent } = await sweep(c.app, '/v2.1', 'compute'); expect(wrong).toEqual([]); expect(sent).toBeGreaterThan(3_000); }, 300_000);
  test('network', async () => { const { wrong, sent } = await sweep(c.networks, '/v2.0', undefined); expect(wrong).toEqual([]); expect(sent).toBeGreaterThan(1_000); }, 300_000);
  test('placement', async () => { const { wrong, sent } = await sweep(placement, '', 'placement'); expect(wrong).toEqual([]); expect(sent).toBeGreaterThan(500); }, 300_000);
});
