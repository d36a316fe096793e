import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCloud, type TestCloud } from './testing/cloud.ts';

/** Recorded replies of the peer; they are beside the repository where development happens. */
const folder = new URL('../../../shared/peer/golden/compute/', import.meta.url);
const there = existsSync(folder);

interface Exchange { service: string; request: { method: string; path: string; headers: Record<string, string>; body: unknown }; response: { status: number; body: unknown } }
const load = (name: string): Exchange[] => (JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as { exchanges: Exchange[] }).exchanges.filter(e => e.service === 'compute');

const typeOf = (v: unknown) => (v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v);
/** Members whose names are data, or that the peer's state decides. */
const open = new Set(['metadata', 'addresses', 'extra_specs', 'rules', 'cpu_info', 'hosts', 'facts', 'image', 'fault', 'security_groups', 'log', 'properties']);
function differences(peer: unknown, ours: unknown, at = ''): string[] {
  if (typeOf(peer) === 'null' || typeOf(ours) === 'null') return [];
  if (typeOf(peer) !== typeOf(ours)) return [`${at}: ${typeOf(peer)} there, ${typeOf(ours)} here`];
  if (Array.isArray(peer) && Array.isArray(ours)) return peer.length > 0 && ours.length > 0 ? differences(peer[0], ours[0], `${at}[]`) : [];
  if (typeof peer !== 'object') return [];
  const [a, b] = [peer as Record<string, unknown>, ours as Record<string, unknown>];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap(key => {
    if (open.has(key)) return [];
    if (!(key in a)) return [`${at}.${key}: only here`];
    if (!(key in b)) return [`${at}.${key}: only there`];
    return differences(a[key], b[key], `${at}.${key}`);
  });
}

describe.runIf(there)('replies have the peer\'s keys and types', () => {
  let c: TestCloud;
  let id: string;
  beforeAll(async () => {
    c = await testCloud();
    id = await c.server({ who: 'admin' });
    await c.call('admin')('POST', '/v2.1/os-keypairs', { keypair: { name: 'gk' } });
    await c.act(id, { lock: null }, { who: 'admin' });
  }, 60_000);
  afterAll(() => c.close());

  const shows = ['2.1', '2.9', '2.19', '2.47', '2.71', '2.73', '2.93'].map(v => [`server_show_mv_${v}`, v] as const);
  test.each(shows)('%s', async (name, version) => {
    const peer = load(name).at(-1) as Exchange;
    const { body } = await c.call('admin')('GET', `/v2.1/servers/${id}`, undefined, version);
    expect(differences(peer.response.body, body)).toEqual([]);
  });
  const reads = ['flavors_detail_275', 'get_os-services', 'service_list', 'get_os-availability-zone', 'get_limits', 'get_os-quota-class-sets_default', 'quota_show', 'quota_class', 'keypair_list', 'keypair_show', 'hypervisor_stats', 'hypervisors_detail_288', 'get_os-instance_usage_audit_log', 'get_os-networks', 'get_os-tenant-networks', 'get_os-floating-ip-pools', 'get_os-security-groups', 'extensions', 'versions_root', 'versions_v21', 'server_list', 'interfaces', 'ips', 'topology', 'instance_actions_266', 'get_os-aggregates', 'get_os-agents', 'get_os-cells', 'get_os-baremetal-nodes', 'get_os-console-auth-tokens_x', 'err_404_flavor', 'err_404_metadata_item', 'err_400_marker', 'err_400_query'];
  test.each(reads)('%s', async name => {
    for (const peer of load(name)) {
      const version = /([0-9]+\.[0-9]+)$/.exec(peer.request.headers['OpenStack-API-Version'] ?? peer.request.headers['X-OpenStack-Nova-API-Version'] ?? '')?.[1] ?? (name.endsWith('_275') ? '2.75' : name.endsWith('_288') ? '2.88' : name === 'instance_actions_266' ? '2.66' : name === 'topology' ? '2.78' : undefined);
      const path = peer.request.path.replace(/\/servers\/[0-9a-f-]{36}/, `/servers/${id}`).replace(/os-quota-sets\/[0-9a-f]{32}/, `os-quota-sets/${'ad'.repeat(16)}`).replace('/flavors/40', '/flavors/nano').replace('/flavors/41', '/flavors/1');
      if (/flavors\/(42|43|44)/.test(path)) continue;
      const ours = await c.call('admin')(peer.request.method, path, peer.request.body ?? undefined, version);
      expect([path, ours.status]).toEqual([path, peer.response.status]);
      expect(differences(peer.response.body, ours.body), path).toEqual([]);
    }
  });
});
