import type { Operation } from '@cumulet/http';
import { makeApp as placementApp } from '@cumulet/placement';
import { testCloud } from '../../services/compute/testing/cloud.ts';
import { identityCloud } from '../harness/identity.ts';
import { as, callers } from '../harness/service.ts';
import { refusals } from './dress.ts';
import type { Target } from './engine.ts';
import { watchRows } from './rows.ts';

const project = callers.admin.projectId as string;
type Call = (method: string, url: string, body?: unknown, version?: string, headers?: Record<string, string>) => Promise<{ status: number; body: any }>;   // oxlint-disable-line no-explicit-any
/** Asks for what has to be there. */
const needs = (call: Call) => async (...args: Parameters<Call>): Promise<any> => {   // oxlint-disable-line no-explicit-any
  const r = await call(...args);
  if (r.status >= 400) throw new Error(`${args[0]} ${args[1]}: ${r.status} ${JSON.stringify(r.body)}`);
  return r.body;
};
/** Longest beginning first. */
const byPath = (values: Readonly<Record<string, string>>) => (op: Operation) => Object.entries(values).toSorted(([a], [b]) => b.length - a.length).find(([start]) => op.path.startsWith(start))?.[1];

export interface Targets { readonly targets: Readonly<Record<'compute' | 'volume' | 'image' | 'network' | 'placement' | 'identity', Target>>; close(): Promise<void> }

/** A simulated cloud in which something of every kind is there. */
export async function openTargets(): Promise<Targets> {
  const [cloud, identity] = await Promise.all([openCloud(), openIdentity()]);
  return { targets: { ...cloud.targets, identity: identity.target }, close: async () => { await cloud.close(); await identity.close(); } };
}

async function openCloud() {
  // Downloads of imports are refused at once, where nobody listens.
  const c = await testCloud({ CUMULET_IMAGE_FETCH_PORTS: '[1]', CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]' });
  const { db } = c.t.rt;
  const placement = await placementApp(c.t.rt);
  // Nobody waits for the answer of a backend: none is at work while requests are sent.
  Object.assign(c.t.rt.settings.http, { requestTimeoutMs: 1 });
  for (const [service, resources] of Object.entries({ compute: ['instances', 'cores', 'ram'], network: ['port', 'network', 'subnet', 'router', 'security_group', 'security_group_rule', 'floatingip', 'subnetpool', 'rbac_policy'], volume: ['volumes', 'gigabytes', 'snapshots', 'backups', 'backup_gigabytes', 'groups'] })) {
    await db('quotas').insert(resources.map(resource => ({ service, project_id: project, resource, hard_limit: -1 }))).onConflict().ignore();
  }
  const headers = { 'x-auth-token': 'admin' };
  const rows = await watchRows(db);

  const nova = needs(c.call('admin'));
  const image = await c.image();
  const server = await c.server({ who: 'admin', imageRef: image });
  const aggregate = String((await nova('POST', '/v2.1/os-aggregates', { aggregate: { name: 'a' } })).aggregate.id);
  await nova('POST', '/v2.1/os-keypairs', { keypair: { name: 'k' } });

  const cinder = needs(as(c.volumes, 'admin', 'volume'));
  const make = async (path: string, body: Record<string, object>, version = '3.71') => { const made = await cinder('POST', `/v3/${path}`, body, version); await c.t.drain(); return (made[Object.keys(body)[0] as string]?.id ?? Object.values(made as Record<string, { id: string }>)[0]?.id) as string; };
  const volume = await make('volumes', { volume: { size: 1 } });
  const spare = await make('volumes', { volume: { size: 1 } });
  const snapshot = await make('snapshots', { snapshot: { volume_id: volume } });
  const type = await make('types', { volume_type: { name: 'hostile', 'os-volume-type-access:is_public': false } as object });
  const qos = await make('qos-specs', { qos_specs: { name: 'hostile' } });
  const groupType = await make('group_types', { group_type: { name: 'hostile' } });
  const group = await make('groups', { group: { group_type: groupType, volume_types: [type] } });
  await make('volumes', { volume: { size: 1, volume_type: type, group_id: group } });
  const groupSnapshot = await make('group_snapshots', { group_snapshot: { group_id: group } });
  const attachment = await make('attachments', { attachment: { volume_uuid: await make('volumes', { volume: { size: 1 } }) } });
  const transfer = await make('volume-transfers', { transfer: { volume_id: await make('volumes', { volume: { size: 1 } }) } });
  const backup = await make('backups', { backup: { volume_id: spare } });
  // What is uploaded to an image is read to its end: nothing is.
  const broken = await make('volumes', { volume: { size: 1 } });
  await db('volumes').where({ id: broken }).update({ status: 'error' });
  const ofCinder = byPath({ '/volumes': volume, '/snapshots': snapshot, '/types': type, '/qos-specs': qos, '/group_types': groupType, '/groups': group, '/group_snapshots': groupSnapshot, '/attachments': attachment, '/volume-transfers': transfer, '/os-volume-transfer': transfer, '/backups': backup, '/consistencygroups': group, '/cgsnapshots': groupSnapshot, '/os-quota-sets': project, '/os-quota-class-sets': 'default' });

  const neutron = needs(as(c.networks, 'admin'));
  const net = async (path: string, name: string, body: object) => (await neutron('POST', `/v2.0/${path}`, { [name]: body }))[name].id as string;
  const network = await net('networks', 'network', { name: 'n' });
  const subnet = await net('subnets', 'subnet', { network_id: network, ip_version: 4, cidr: '10.30.0.0/24' });
  const port = await net('ports', 'port', { network_id: network });
  const inside = (await neutron('GET', `/v2.0/ports/${port}`)).port.fixed_ips[0].ip_address as string;
  const securityGroup = await net('security-groups', 'security_group', { name: 'g' });
  const rule = await net('security-group-rules', 'security_group_rule', { security_group_id: securityGroup, direction: 'ingress', protocol: 'tcp', port_range_min: 1, port_range_max: 2 });
  const router = await net('routers', 'router', {});
  const external = (await neutron('GET', '/v2.0/networks?router:external=true')).networks[0].id as string;
  const fip = await net('floatingips', 'floatingip', { floating_network_id: external });
  await neutron('GET', '/v2.0/security-groups');
  const scope = await net('address-scopes', 'address_scope', { name: 's', ip_version: 4 });
  const pool = await net('subnetpools', 'subnetpool', { name: 'p', prefixes: ['10.90.0.0/16'], default_prefixlen: 26 });
  const addresses = await net('address-groups', 'address_group', { name: 'a', addresses: ['10.0.0.0/8'] });
  const shared = await net('rbac-policies', 'rbac_policy', { object_type: 'network', object_id: network, action: 'access_as_shared', target_tenant: 'c'.repeat(32) });
  const qosPolicy = await net('qos/policies', 'policy', { name: 'q' });
  const qosRule = async (kind: string, body: object) => (await neutron('POST', `/v2.0/qos/policies/${qosPolicy}/${kind}_rules`, { [`${kind}_rule`]: body }))[`${kind}_rule`].id as string;
  const [limit, mark, minimum] = [await qosRule('bandwidth_limit', { max_kbps: 1000 }), await qosRule('dscp_marking', { dscp_mark: 26 }), await qosRule('minimum_bandwidth', { min_kbps: 1 })];
  const ofQos = Object.fromEntries(([['bandwidth_limit', limit], ['dscp_marking', mark], ['minimum_bandwidth', minimum]] as const).flatMap(([kind, of]) => [[`/qos/policies/:policy_id/${kind}_rules`, of], [`/qos/alias_${kind}_rules`, of]]));
  const ofNeutron = byPath({ ...ofQos, '/qos/policies': qosPolicy, '/policies': qosPolicy,  '/networks': network, '/subnets': subnet, '/subnetpools': pool, '/ports': port, '/routers': router, '/security-groups': securityGroup, '/security-group-rules': rule, '/floatingips': fip, '/address-scopes': scope, '/address-groups': addresses, '/rbac-policies': shared });

  const glance = needs(as(c.images, 'admin'));
  const queued = (await glance('POST', '/v2/images', { name: 'queued', disk_format: 'raw', container_format: 'bare' })).id as string;
  await db('images').where({ id: image }).update({ visibility: 'shared', owner: project });
  await glance('POST', `/v2/images/${image}/members`, { member: 'm' });
  await glance('POST', '/v2/metadefs/namespaces', { namespace: 'NS' });
  await glance('POST', '/v2/metadefs/namespaces/NS/objects', { name: 'o' });
  await glance('POST', '/v2/metadefs/namespaces/NS/properties', { name: 'p', title: 'P', type: 'string' });
  await glance('POST', '/v2/metadefs/namespaces/NS/tags/t');
  const task = (await glance('POST', '/v2/tasks', { type: 'import', input: { import_from: 'http://127.0.0.1:1/x', import_from_format: 'raw', image_properties: { name: 'x', disk_format: 'raw', container_format: 'bare' } } })).id as string;
  await c.t.drain();
  await rows.changed();

  const atRest = async (op: Operation) => {
    if (/\/servers\/|os-/.test(op.path)) await db.raw(`update servers set vm_state = 'active', task_state = null, task_id = null, locked_by = null where id = ?`, [server]);
  };
  const targets = {
    compute: {
      app: c.app, prefix: '/v2.1', fault: refusals.compute, headers, oddHeaders: /^servers\.(list|show)/, micro: ['compute', '2.104'] as const, restore: atRest, rows: await watchRows(db, ['instance_actions', 'instance_action_events']),
      known: { imageRef: image, flavorRef: 'nano', networks: [{ uuid: c.networkId }], volumeId: volume, volume_id: volume, host: 'testhost', key_name: 'k', server_uuid: server, port_id: port, size: 1 },
      param: (op: Operation, name: string) => ({ server_id: server, flavor_id: 'nano', image_id: image, volume_id: volume, port_id: port, project_id: project, id: op.path.startsWith('/os-aggregates') ? aggregate : op.path.startsWith('/os-security-groups') ? securityGroup : ofCinder(op) ?? ofNeutron(op) ?? aggregate, key: 'k', label: 'private', host_name: 'testhost', keypair_name: 'k' })[name],
      // Answers of the host take a worker; what they do with odd bodies is asked before.
      skip: (op: Operation) => ['servers.console_output', 'remote_consoles.create', 'servers.diagnostics', 'servers.os-getVNCConsole', 'servers.os-getSerialConsole'].includes(op.id),
    },
    volume: {
      app: c.volumes, prefix: '/v3', fault: refusals.compute, headers, oddHeaders: /^volumes\.(list|show)/, micro: ['volume', '3.71'] as const, rows: await watchRows(db), meant: [503],
      known: { volume_id: volume, volume_uuid: volume, source_volid: volume, snapshot_id: snapshot, volume_type: type, 'volume.volume_type': null, group_id: group, group_type: groupType, volume_types: [type], backup_id: null, size: 1, new_size: 2, instance_uuid: server, connector: { host: 'h', ip: '10.0.0.1', initiator: 'iqn.1:x', platform: 'x86_64', os_type: 'linux' }, consistencygroup_id: null, imageRef: image, host: 'testhost@one#one', status: 'available', attach_status: 'detached', availability_zone: 'nova', project: project, scheduler_hints: {}, key_size: 256, cipher: 'aes-xts-plain64', provider: 'luks', control_location: 'front-end', mode: 'rw' },
      bodies: {
        'volumes.create': [{ volume: { size: 1, name: 'v', description: 'd', metadata: { a: 'b' }, availability_zone: 'nova', multiattach: false }, 'OS-SCH-HNT:scheduler_hints': { same_host: [] } }, { volume: { size: 1, snapshot_id: snapshot } }, { volume: { size: 1, imageRef: image } }, { volume: { size: 1, source_volid: spare, volume_type: type } }],
        'backups.create': [{ backup: { volume_id: spare, name: 'b', description: 'd', incremental: false, force: true, metadata: { a: 'b' }, container: 'c', snapshot_id: null } }],
      },
      param: (op: Operation, name: string) => ({ volume_id: op.id === 'volumes.volume_upload_image' ? broken : volume, snapshot_id: snapshot, type_id: type, qos_id: qos, group_type_id: groupType, group_id: group, attachment_id: attachment, transfer_id: transfer, backup_id: backup, project, host: 'testhost', encryption_id: type, key: 'a', id: ofCinder(op) ?? volume })[name],
      queries: ['offset', 'sort', 'all_tenants', 'name~', 'status', 'metadata', 'created_at', 'bootable', 'host', 'with_count', 'size', 'id', 'group_id', 'glance_metadata', 'consumes_quota', 'migration_status', 'created_at~', 'detail', 'usage', 'extra_specs', 'is_public', 'list_volume', 'resource_uuid'],
      async restore() {
        await c.t.drain();
        await db('volumes').whereIn('id', [volume, spare]).whereNull('task_id').update({ status: 'available', migration_status: null });
        await db('volume_snapshots').where({ id: snapshot }).whereNull('task_id').update({ status: 'available' });
      },
    },
    image: {
      app: c.images, prefix: '/v2', fault: refusals.image, headers, oddHeaders: /^images\.(upload|download|stage|show)|^images\.upload_|^cache\.clear/, rows: await watchRows(db),
      known: { id: null, created_at: undefined, updated_at: undefined, self: undefined, schema: undefined, 'association.name': 'OS::Nova::Server', member: 'm2', status: 'accepted', disk_format: 'raw', container_format: 'bare', kernel_id: null, ramdisk_id: null, namespace: 'NS', visibility: 'private', owner: project },
      bodies: {
        'images.create': [{ name: 'n', visibility: 'private', protected: false, os_hidden: false, owner: project, disk_format: 'raw', container_format: 'bare', tags: ['a', 'b'], min_ram: 1, min_disk: 1, kernel_id: null, os_distro: 'x' }],
        'images.update': [
          [{ op: 'add', path: '/x', value: 'y' }, { op: 'replace', path: '/name', value: 'n' }], [{ op: 'replace', path: '/tags', value: ['a'] }], [{ op: 'replace', path: '/min_ram', value: 1 }, { op: 'replace', path: '/protected', value: false }, { op: 'replace', path: '/visibility', value: 'shared' }],
          [{ op: 'add', path: '/locations/-', value: { url: 'http://127.0.0.1:1/x', metadata: {}, validation_data: { os_hash_algo: 'sha512', os_hash_value: 'a'.repeat(128) } } }], [{ op: 'remove', path: '/locations/0' }], [{ op: 'replace', path: '/locations', value: [] }], [{ op: 'replace', path: '/owner', value: project }], [{ op: 'replace', path: '/kernel_id', value: queued }], [{ op: 'replace', path: '/os_hidden', value: true }, { op: 'replace', path: '/disk_format', value: 'raw' }],
        ],
        'images.import': [
          { method: { name: 'web-download', uri: 'http://127.0.0.1:1/x' }, stores: ['file'], all_stores: false, all_stores_must_succeed: true }, { method: { name: 'glance-direct' } }, { method: { name: 'copy-image' }, stores: ['file'] },
          { method: { name: 'glance-download', glance_image_id: image, glance_region: 'RegionOne', glance_service_interface: 'public' } },
        ],
        'locations.add': [{ url: 'http://127.0.0.1:1/x', validation_data: { os_hash_algo: 'sha512', os_hash_value: 'a'.repeat(128) } }],
        'tasks.create': [{ type: 'import', input: { import_from: 'http://127.0.0.1:1/x', import_from_format: 'raw', image_properties: { name: 'x', disk_format: 'raw', container_format: 'bare' } } }],
        'metadefs.namespaces.create': [{ namespace: 'NS3', display_name: 'd', description: 'd', visibility: 'private', protected: false, owner: project, resource_type_associations: [{ name: 'OS::Nova::Server', prefix: 'p', properties_target: 't' }], properties: { a: { title: 'A', type: 'string', enum: ['x'], minimum: 1 } }, objects: [{ name: 'o', description: 'd', required: [], properties: { b: { title: 'B', type: 'integer' } } }], tags: [{ name: 't' }] }],
      },
      param: (op: Operation, name: string) => ({ image_id: /import|stage|locations$|file/.test(op.path) && op.method !== 'GET' ? queued : image, member_id: 'm', tag: 'a', task_id: task, namespace: 'NS', object_name: 'o', property_name: 'p', name: op.path.includes('resource_types') ? 'OS::Nova::Server' : op.path.includes('tags') ? 't' : op.path.includes('objects') ? 'o' : 'p', store_id: 'file' })[name],
      queries: ['sort', 'visibility', 'member_status', 'tag', 'owner', 'status', 'size_min', 'size_max', 'created_at', 'updated_at', 'id', 'protected', 'os_hidden', 'min_ram', 'checksum', 'disk_format', 'resource_types', 'type', 'x'],
      async restore() { await c.t.drain(); await db('images').whereIn('id', [image]).update({ visibility: 'shared', protected: false, owner: project, os_hidden: false }); await db('metadef_namespaces').whereNot({ namespace: 'NS' }).where({ owner: project }).update({ namespace: 'NS' }).catch(() => undefined); await db('metadef_namespaces').where({ namespace: 'NS' }).update({ protected: false }); },
    },
    network: {
      app: c.networks, prefix: '/v2.0', fault: refusals.network, headers, oddHeaders: /^ports\.(list|update)/, rows: await watchRows(db),
      known: { network_id: network, subnet_id: subnet, port_id: port, security_group_id: securityGroup, remote_group_id: securityGroup, floating_network_id: external, cidr: '10.31.0.0/24', ip_version: 4, protocol: 'tcp', direction: 'ingress', ethertype: 'IPv4' },
      param: (op: Operation, name: string) => ({ network_id: network, subnet_id: subnet, port_id: port, router_id: router, floatingip_id: fip, security_group_id: securityGroup, policy_id: qosPolicy, type: 'dscp_marking', project_id: project, id: ofNeutron(op) ?? network })[name] ?? ofNeutron(op),
      // What every project has is made when it is first looked for.
      makes: /^topology\.get|^security_groups\.list/,
      bodies: {
        'networks.create': [{ network: { name: 'n', description: 'd', admin_state_up: true, shared: false, 'router:external': false, is_default: false, mtu: 1450, port_security_enabled: true, dns_domain: 'd.', project_id: project, tags: ['a'], availability_zone_hints: [] } }, { networks: [{ name: 'n' }, { name: 'm' }] }],
        'networks.update': [{ network: { name: 'n', description: 'd', admin_state_up: true, shared: false, mtu: 1450, port_security_enabled: true } }],
        'subnets.create': [
          { subnet: { network_id: network, ip_version: 4, cidr: '10.60.0.0/24', name: 's', description: 'd', enable_dhcp: true, gateway_ip: '10.60.0.1', allocation_pools: [{ start: '10.60.0.10', end: '10.60.0.20' }], dns_nameservers: ['8.8.8.8'], host_routes: [{ destination: '10.9.0.0/16', nexthop: '10.60.0.2' }], service_types: [], tags: ['a'] } },
          { subnet: { network_id: network, ip_version: 6, cidr: 'fd00:60::/64', ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' } }, { subnet: { network_id: network, ip_version: 4, subnetpool_id: pool, prefixlen: 28 } }, { subnets: [{ network_id: network, ip_version: 4, cidr: '10.61.0.0/24' }, { network_id: network, ip_version: 4, cidr: '10.62.0.0/24' }] },
        ],
        'subnets.update': [{ subnet: { name: 's', description: 'd', enable_dhcp: true, gateway_ip: '10.30.0.1', allocation_pools: [{ start: '10.30.0.2', end: '10.30.0.200' }], dns_nameservers: ['8.8.8.8'], host_routes: [{ destination: '10.9.0.0/16', nexthop: '10.30.0.2' }], service_types: ['compute:nova'] } }],
        'subnetpools.create': [{ subnetpool: { name: 'p', description: 'd', prefixes: ['10.91.0.0/16'], default_prefixlen: 26, min_prefixlen: 20, max_prefixlen: 30, default_quota: 1000, is_default: false, address_scope_id: scope, shared: false, tags: ['a'] } }, { subnetpools: [{ name: 'p', prefixes: ['10.92.0.0/16'] }] }],
        'subnetpools.update': [{ subnetpool: { name: 'p', description: 'd', prefixes: ['10.90.0.0/16', '10.93.0.0/16'], default_prefixlen: 26, min_prefixlen: 20, max_prefixlen: 30, default_quota: 1000, is_default: false, address_scope_id: scope } }],
        'subnetpools.add_prefixes': [{ prefixes: ['10.94.0.0/16'] }], 'subnetpools.remove_prefixes': [{ prefixes: ['10.94.0.0/16'] }],
        'address_groups.create': [{ address_group: { name: 'a', description: 'd', addresses: ['10.0.0.0/8', '::/0'] } }], 'address_groups.add': [{ addresses: ['11.0.0.0/8'] }], 'address_groups.remove': [{ addresses: ['11.0.0.0/8'] }],
        'rbac_policies.create': [{ rbac_policy: { object_type: 'network', object_id: network, action: 'access_as_shared', target_tenant: 'f'.repeat(32) } }, { rbac_policy: { object_type: 'security_group', object_id: securityGroup, action: 'access_as_shared', target_tenant: '*' } }],
        'policies.create': [{ policy: { name: 'q', description: 'd', shared: false, is_default: false, project_id: project } }], 'policies.update': [{ policy: { name: 'q', description: 'd', shared: false, is_default: false } }],
        'bandwidth_limit_rules.create': [{ bandwidth_limit_rule: { max_kbps: 2000, max_burst_kbps: 5, direction: 'ingress' } }], 'bandwidth_limit_rules.update': [{ bandwidth_limit_rule: { max_kbps: 2000, max_burst_kbps: 5, direction: 'egress' } }],
        'alias_bandwidth_limit_rules.update': [{ alias_bandwidth_limit_rule: { max_kbps: 2000, max_burst_kbps: 5, direction: 'egress' } }],
        'ports.create': [
          { port: { network_id: network, name: 'p', description: 'd', admin_state_up: true, fixed_ips: [{ subnet_id: subnet, ip_address: '10.30.0.50' }], security_groups: [securityGroup], allowed_address_pairs: [{ ip_address: '10.30.0.60', mac_address: 'fa:16:3e:00:00:01' }], extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1400', ip_version: 4 }], mac_address: 'fa:16:3e:11:22:33', device_id: 'd', device_owner: 'x:y', port_security_enabled: true, dns_name: 'p', tags: ['a'], 'binding:vnic_type': 'normal', 'binding:host_id': 'testhost', 'binding:profile': { a: 'b' } } },
          { ports: [{ network_id: network }, { network_id: network, name: 'b' }] },
        ],
        'ports.update': [{ port: { name: 'p', description: 'd', admin_state_up: true, fixed_ips: [{ subnet_id: subnet, ip_address: '10.30.0.51' }], security_groups: [securityGroup], allowed_address_pairs: [{ ip_address: '10.30.0.60' }], extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1400' }], device_id: 'd', device_owner: 'x:y', port_security_enabled: true, dns_name: 'p', 'binding:vnic_type': 'normal', 'binding:profile': {} } }],
        'security_groups.create': [{ security_group: { name: 'g', description: 'd', stateful: true, project_id: project, tags: ['a'] } }, { security_groups: [{ name: 'g' }] }],
        'security_group_rules.create': [
          { security_group_rule: { security_group_id: securityGroup, direction: 'ingress', ethertype: 'IPv4', protocol: 'udp', port_range_min: 10, port_range_max: 20, remote_ip_prefix: '10.0.0.0/8', description: 'd' } },
          { security_group_rules: [{ security_group_id: securityGroup, direction: 'egress', ethertype: 'IPv4', protocol: 'icmp', port_range_min: 8, port_range_max: 0 }, { security_group_id: securityGroup, direction: 'ingress', protocol: '47', remote_group_id: securityGroup }] },
        ],
        'routers.create': [{ router: { name: 'r', description: 'd', admin_state_up: true, external_gateway_info: { network_id: external, enable_snat: true, external_fixed_ips: [] }, distributed: false, ha: false, tags: ['a'] } }],
        'routers.update': [{ router: { name: 'r', description: 'd', admin_state_up: true, external_gateway_info: { network_id: external, enable_snat: true }, routes: [] } }],
        'routers.add_interface': [{ subnet_id: subnet }, { port_id: port }], 'routers.remove_interface': [{ subnet_id: subnet }, { port_id: port }],
        'routers.add_routes': [{ router: { routes: [{ destination: '10.8.0.0/16', nexthop: '10.30.0.9' }] } }], 'routers.remove_routes': [{ router: { routes: [{ destination: '10.8.0.0/16', nexthop: '10.30.0.9' }] } }],
        'floatingips.create': [{ floatingip: { floating_network_id: external, description: 'd', project_id: project, tags: ['a'] } }, { floatingip: { floating_network_id: external, port_id: port, fixed_ip_address: '10.30.0.2' } }],
        'floatingips.update': [{ floatingip: { port_id: null, description: 'd' } }, { floatingip: { port_id: port, fixed_ip_address: '10.30.0.2' } }],
        'port_forwardings.create': [{ port_forwarding: { protocol: 'tcp', internal_port_id: port, internal_ip_address: inside, internal_port: 25, external_port: 2229, description: 'd' } }, { port_forwarding: { protocol: 'udp', internal_port_id: port, internal_ip_address: inside, internal_port_range: '100:110', external_port_range: '200:210' } }],
      },
      queries: ['id', 'status', 'admin_state_up', 'shared', 'fixed_ips', 'tags', 'tags-any', 'not-tags', 'project_id', 'mac_address', 'router:external', 'cidr', 'ip_version', 'page_reverse', 'changed_since', 'device_owner', 'mtu'],
      restore: () => c.t.drain(),
    },
    placement: { app: placement, prefix: '', fault: refusals.placement, headers, oddHeaders: /resource_providers/, micro: ['placement', '1.39'] as const, known: {}, param: () => undefined, rows: await watchRows(db), queries: ['resources', 'required', 'member_of', 'in_tree', 'resources1', 'required1', 'group_policy', 'same_subtree', 'project_id', 'user_id', 'consumer_type', 'uuid'] },
  } satisfies Record<string, Target>;
  return { targets, async close() { await placement.close(); await c.close(); } };
}

async function openIdentity() {
  const cloud = await identityCloud();
  const { db } = cloud.rt;
  const keystone = needs((method, url, body, _version, headers) => cloud.as(cloud.adminToken)(method, `/v3${url}`, body, headers));
  const make = async (path: string, name: string, body: object) => (await keystone('POST', path, { [name]: body }))[name].id as string;
  const domain = await make('/domains', 'domain', { name: 'hostile' });
  const victim = await make('/projects', 'project', { name: 'victim', domain_id: domain });
  const user = await make('/users', 'user', { name: 'victim', domain_id: domain, password: 'secret', default_project_id: victim });
  const group = await make('/groups', 'group', { name: 'victims', domain_id: domain });
  const role = await make('/roles', 'role', { name: 'odd' });
  const implied = await make('/roles', 'role', { name: 'implied' });
  const region = await make('/regions', 'region', { id: 'odd' });
  const service = await make('/services', 'service', { type: 'odd', name: 'odd' });
  const endpoint = await make('/endpoints', 'endpoint', { interface: 'public', url: 'http://x', service_id: service, region_id: region });
  const filter = await make('/OS-EP-FILTER/endpoint_groups', 'endpoint_group', { name: 'odd', filters: { interface: 'public' } });
  const policy = await make('/policies', 'policy', { blob: '{}', type: 'application/json' });
  const credential = await make('/credentials', 'credential', { type: 'totp', blob: 'x', user_id: user });
  await keystone('PUT', `/projects/${victim}/users/${user}/roles/${role}`);
  const token = await cloud.login({ id: user }, 'secret', { project: { id: victim } });
  const own = needs((method, url, body) => cloud.as(token)(method, `/v3${url}`, body));
  const trust = (await own('POST', '/OS-TRUST/trusts', { trust: { trustor_user_id: user, trustee_user_id: user, impersonation: true, project_id: victim, roles: [{ id: role }] } })).trust.id as string;
  const appCred = (await own('POST', `/users/${user}/application_credentials`, { application_credential: { name: 'odd', access_rules: [{ path: '/x', method: 'GET', service: 'odd' }] } })).application_credential;
  const registered = (await keystone('POST', '/registered_limits', { registered_limits: [{ service_id: service, resource_name: 'odd', default_limit: 1 }] })).registered_limits[0].id as string;
  const limit = (await keystone('POST', '/limits', { limits: [{ service_id: service, resource_name: 'odd', resource_limit: 2, project_id: victim }] })).limits[0].id as string;
  const ec2 = (await keystone('POST', `/users/${user}/credentials/OS-EC2`, { tenant_id: victim })).credential.access as string;
  const password = { user: { name: 'victim', domain: { id: domain }, password: 'secret' } };
  const target: Target = {
    app: cloud.app, prefix: '/v3', fault: refusals.identity, oddHeaders: /^tokens\.|^users.list/, headers: { 'x-auth-token': cloud.adminToken, 'x-subject-token': token }, rows: await watchRows(db),
    known: { domain_id: domain, project_id: victim, user_id: user, group_id: group, role_id: role, region_id: region, parent_region_id: null, service_id: service, parent_id: domain, default_project_id: victim, tenant_id: victim, interface: 'public', url: 'http://x', enabled: true, trustor_user_id: user, trustee_user_id: user, roles: [{ id: role }], expires_at: '2030-01-01T00:00:00.000000Z', resource_limit: 1, default_limit: 1, resource_name: 'odd', type: 'odd', blob: 'x', is_domain: false, tags: ['a'], original_password: 'secret', remaining_uses: 1, redelegation_count: 1, impersonation: true },
    bodies: {
      'tokens.issue': [
        { auth: { identity: { methods: ['password'], password }, scope: { project: { id: victim } } } }, { auth: { identity: { methods: ['password'], password: { user: { id: user, password: 'secret' } } }, scope: { project: { name: 'victim', domain: { name: 'hostile' } } } } },
        { auth: { identity: { methods: ['token'], token: { id: token } }, scope: { 'OS-TRUST:trust': { id: trust } } } }, { auth: { identity: { methods: ['application_credential'], application_credential: { id: appCred.id, secret: appCred.secret } } } }, { auth: { identity: { methods: ['application_credential'], application_credential: { name: 'odd', secret: appCred.secret, user: { name: 'victim', domain: { id: domain } } } } } },
        { auth: { identity: { methods: ['totp', 'password'], password, totp: { user: { id: user, passcode: '123456' } } }, scope: { system: { all: true } } } }, { auth: { identity: { methods: ['password'], password }, scope: { domain: { id: domain } } } }, { auth: { identity: { methods: ['password'], password }, scope: 'unscoped' } },
      ],
      'credentials.create': [{ credential: { type: 'ec2', blob: '{"access":"a","secret":"b"}', user_id: user, project_id: victim } }, { credential: { type: 'cert', blob: 'x', user_id: user } }],
    },
    param(op, name) {
      if (name === 'user_id' && op.path.includes('application_credentials') && op.method === 'POST') return cloud.users.admin;
      return ({ domain_id: domain, project_id: victim, user_id: user, group_id: group, role_id: role, prior_role_id: role, implied_role_id: implied, region_id: region, service_id: service, endpoint_id: endpoint, endpoint_group_id: filter, policy_id: policy, credential_id: op.path.includes('OS-EC2') ? ec2 : credential, trust_id: trust, registered_limit_id: registered, limit_id: limit, application_credential_id: appCred.id as string, access_rule_id: appCred.access_rules[0].id as string, value: 'a', group: 'identity', option: 'driver' } as Record<string, string>)[name];
    },
    queries: ['domain_id', 'enabled', 'parent_id', 'tags', 'tags-any', 'not-tags', 'name__contains', 'name__nope', 'password_expires_at', 'user.id', 'scope.project.id', 'effective', 'include_names', 'unique_id', 'is_domain', 'type', 'key'],
    // A login is recorded, a refused one too.
    async restore() { await db('users').where({ id: user }).update({ enabled: true }); await db('projects').whereIn('id', [victim]).update({ enabled: true }); },
  };
  return { target, close: () => cloud.close() };
}
