import { callers } from '../harness/service.ts';
import type { TestCloud } from '../../services/compute/testing/cloud.ts';
import { asking } from './asking.ts';

/** What asks for a reply that upstream documents with a sample, at a microversion. */
export type Ask = (version: string) => Promise<{ status: number; body: unknown }>;
const later = (version: string, than: string): boolean => Number(version.split('.')[1]) >= Number(than.split('.')[1]);

/** A server with everything that a reply may speak of, and for each sample the request whose reply it is. */
export async function sampleRequests(c: TestCloud): Promise<Record<string, Ask>> {
  const { project, nova, cinder, must, settled: settle } = asking(c);
  const fresh = (() => { let n = 0; return (stem: string) => `${stem}-${++n}`; })();
  const volume = async (): Promise<string> => (await settle(must(cinder('POST', `/v3/${project}/volumes`, { volume: { size: 1 } })))).volume.id as string;

  await must(nova('PUT', `/v2.1/os-quota-sets/${project}`, { quota_set: { instances: -1, cores: -1, ram: -1, key_pairs: -1, server_groups: -1, force: true } }, '2.36'));
  await must(nova('POST', '/v2.1/os-keypairs', { keypair: { name: 'sk' } }, '2.10'));
  const group = (await must(nova('POST', '/v2.1/os-server-groups', { server_group: { name: 'sg', policy: 'affinity' } }, '2.64'))).server_group.id as string;
  const image = await c.image({ properties: { hw_disk_bus: 'virtio', architecture: 'x86_64', auto_disk_config: 'True' } });
  await c.beat();
  const made = await settle(must(nova('POST', '/v2.1/servers', {
    server: { name: 'sample', flavorRef: 'nano', imageRef: image, networks: [{ uuid: c.networkId }], key_name: 'sk', metadata: { foo: 'v' }, tags: ['t'], user_data: 'Zm9v', config_drive: true, accessIPv4: '1.2.3.4', accessIPv6: '80fe::', description: 'd' },
    'os:scheduler_hints': { group },
  }, '2.90')));
  const id = made.server.id as string;
  const server = `/v2.1/servers/${id}`;
  const attached = await volume();
  await settle(must(nova('POST', `${server}/os-volume_attachments`, { volumeAttachment: { volumeId: attached, tag: 'x' } }, '2.89')));
  await must(nova('POST', `${server}/action`, { lock: { locked_reason: 'r' } }, '2.73'));
  await must(nova('POST', '/v2.1/flavors/nano/os-extra_specs', { extra_specs: { 'hw:numa_nodes': '1' } }));
  await must(nova('POST', '/v2.1/flavors', { flavor: { id: 'private', name: 'private', ram: 1, vcpus: 1, disk: 1, 'os-flavor-access:is_public': false } }));
  await must(nova('POST', '/v2.1/flavors/private/action', { addTenantAccess: { tenant: project } }));
  const aggregate = (await must(nova('POST', '/v2.1/os-aggregates', { aggregate: { name: 'agg', availability_zone: 'az' } }))).aggregate.id as number;
  const port = (await must(nova('GET', `${server}/os-interface`))).interfaceAttachments[0].port_id as string;
  const security = (await must(nova('POST', '/v2.1/os-security-groups', { security_group: { name: 'sec', description: 'd' } }))).security_group.id as string;
  await must(nova('POST', '/v2.1/os-security-group-rules', { security_group_rule: { parent_group_id: security, ip_protocol: 'tcp', from_port: 22, to_port: 22, cidr: '10.0.0.0/24' } }));
  await must(nova('POST', '/v2.1/os-floating-ips', { pool: 'public' }));
  const floating = (await must(nova('GET', '/v2.1/os-floating-ips'))).floating_ips[0].id as string;
  await must(nova('POST', `/v2.1/images/${image}/metadata`, { metadata: { kernel_id: 'k' } }));
  const older = (await must(nova('POST', '/v2.1/os-volumes', { volume: { size: 1, display_name: 'o', display_description: 'o', metadata: { a: 'b' } } }))).volume.id as string;
  await c.t.drain();
  const snapshot = (await must(nova('POST', '/v2.1/os-snapshots', { snapshot: { volume_id: older } }))).snapshot.id as string;
  await c.t.drain();
  // A server that was resized, so that there is a migration and a history with events.
  const moved = await settle(c.server({ who: 'admin', name: 'moved' }));
  if ((await c.show(moved)).status !== 'ACTIVE') throw new Error(JSON.stringify((await c.show(moved)).fault));
  await settle(must(nova('POST', `/v2.1/servers/${moved}/action`, { resize: { flavorRef: '1' } })));
  await c.t.rt.db('server_migrations').insert({ id: '11111111-2222-4333-8444-555555555555', server_id: moved, project_id: project, user_id: callers.admin.userId, type: 'live-migration', status: 'running', source_host: 'testhost', dest_host: 'testhost', flags: '{}' });
  const migration = (await c.t.rt.db('server_migrations').where({ type: 'live-migration' }).first('num') as { num: number }).num;
  const gone = await c.server({ who: 'admin', name: 'gone' });
  await settle(must(nova('DELETE', `/v2.1/servers/${gone}`)));
  const request = (await must(nova('GET', `${server}/os-instance-actions`))).instanceActions.at(-1).request_id as string;
  const newest = (await must(nova('GET', `${server}/os-instance-actions`))).instanceActions[0].request_id as string;
  const theirs = await c.server({ who: 'demo', name: 'theirs' });
  const theirRequest = (await must(c.call('demo')('GET', `/v2.1/servers/${theirs}/os-instance-actions`))).instanceActions[0].request_id as string;
  const rescued = await c.server({ who: 'admin', name: 'rescued' });
  await settle(must(nova('POST', `/v2.1/servers/${rescued}/action`, { rescue: {} })));
  const service = (await must(nova('GET', '/v2.1/os-services?binary=nova-compute', undefined, '2.53'))).services[0].id as string;
  const node = (await must(nova('GET', '/v2.1/os-hypervisors', undefined, '2.53'))).hypervisors[0] as { id: string; hypervisor_hostname: string };
  const console_ = (await c.asking(must(nova('POST', `${server}/remote-consoles`, { remote_console: { protocol: 'vnc', type: 'novnc' } }, '2.8')))).remote_console.url as string;
  const token = decodeURIComponent(console_).split('token=')[1] as string;

  const get = (path: string | ((v: string) => string), who: 'admin' | 'demo' = 'admin'): Ask => v => c.asking(c.call(who)('GET', `/v2.1${typeof path === 'string' ? path : path(v)}`, undefined, v));
  const post = (path: string, body: unknown | ((v: string) => unknown), method = 'POST'): Ask => v => c.asking(nova(method, `/v2.1${path}`, typeof body === 'function' ? (body as (v: string) => unknown)(v) : body, v));
  const key = (v: string) => ({ keypair: { name: fresh('key'), ...(later(v, '2.2') ? { type: 'ssh' } : {}), ...(later(v, '2.10') ? { user_id: callers.admin.userId } : {}) } });
  const publicKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIHsW3pJGFVg4xrPcFTmZ5+3bUkLOWW9QF2kyOI9eYXK x@y';
  const hypervisor = (v: string) => (later(v, '2.53') ? node.id : '1');
  const create = (v: string, more: object = {}) => ({ server: { name: fresh('s'), flavorRef: 'nano', imageRef: image, ...(later(v, '2.37') ? { networks: 'none' } : {}), ...more } });
  const action = (body: unknown | ((v: string) => unknown)): Ask => post(`/servers/${id}/action`, body);
  const serviceChange = (old: string, body: object, now: object): Ask => v => (later(v, '2.53') ? post(`/os-services/${service}`, now, 'PUT')(v) : post(`/os-services/${old}`, body, 'PUT')(v));
  const host = 'testhost';
  const quota = (more = '') => `/os-quota-sets/${project}${more}`;
  const usage = `start=2020-01-01T00:00:00&end=2099-01-01T00:00:00`;
  const created = async (ask: Ask, v: string) => { await c.beat(); const answer = await ask(v); await c.t.drain(); return answer; };
  const hostGroup = (name: string) => ({ server_group: { name: fresh('g'), policies: [name] } });

  return {
    'extension-info/extensions-get-resp': get('/extensions/os-agents'), 'extension-info/extensions-list-resp': get('/extensions'),
    'flavor-access/flavor-access-add-tenant-resp': post('/flavors/private/action', () => ({ addTenantAccess: { tenant: fresh('p') } })), 'flavor-access/flavor-access-list-resp': get('/flavors/private/os-flavor-access'),
    'flavor-access/flavor-access-remove-tenant-resp': async v => { await nova('POST', '/v2.1/flavors/private/action', { addTenantAccess: { tenant: 'other' } }, v); return nova('POST', '/v2.1/flavors/private/action', { removeTenantAccess: { tenant: 'other' } }, v); },
    'flavor-extra-specs/flavor-extra-specs-create-resp': post('/flavors/private/os-extra_specs', { extra_specs: { a: 'b' } }), 'flavor-extra-specs/flavor-extra-specs-get-resp': get('/flavors/nano/os-extra_specs/hw:numa_nodes'), 'flavor-extra-specs/flavor-extra-specs-list-resp': get('/flavors/nano/os-extra_specs'),
    'flavor-extra-specs/flavor-extra-specs-update-resp': post('/flavors/nano/os-extra_specs/hw:numa_nodes', { 'hw:numa_nodes': '1' }, 'PUT'),
    'flavor-manage/flavor-create-post-resp': post('/flavors', (v: string) => ({ flavor: { name: fresh('f'), ram: 1, vcpus: 1, disk: 1, id: fresh('f'), ...(later(v, '2.55') ? { description: 'd' } : {}) } })), 'flavor-manage/flavor-update-resp': post('/flavors/private', { flavor: { description: 'e' } }, 'PUT'),
    'flavors/flavor-get-resp': get('/flavors/nano'), 'flavors/flavors-detail-resp': get('/flavors/detail'), 'flavors/flavors-list-resp': get('/flavors'),
    'images/image-get-resp': get(`/images/${image}`), 'images/image-meta-key-get': get(`/images/${image}/metadata/kernel_id`), 'images/image-meta-key-put-resp': post(`/images/${image}/metadata/auto_disk_config`, { meta: { auto_disk_config: 'False' } }, 'PUT'),
    'images/image-metadata-get-resp': get(`/images/${image}/metadata`), 'images/image-metadata-post-resp': post(`/images/${image}/metadata`, { metadata: { kernel_id: 'x' } }), 'images/image-metadata-put-resp': post(`/images/${image}/metadata`, { metadata: { auto_disk_config: 'True', Label: 'x' } }, 'PUT'),
    'images/images-details-get-resp': get('/images/detail'), 'images/images-list-get-resp': get('/images'),
    'limits/limit-get-resp': get('/limits'),
    'os-aggregates/aggregate-post-resp': post('/os-aggregates', () => ({ aggregate: { name: fresh('a'), availability_zone: fresh('z') } })), 'os-aggregates/aggregate-update-post-resp': post(`/os-aggregates/${aggregate}`, () => ({ aggregate: { name: fresh('n') } }), 'PUT'),
    'os-aggregates/aggregates-add-host-post-resp': async v => { const answer = await nova('POST', `/v2.1/os-aggregates/${aggregate}/action`, { add_host: { host } }, v); if (answer.status < 400) await nova('POST', `/v2.1/os-aggregates/${aggregate}/action`, { remove_host: { host } }, v); return answer; },
    'os-aggregates/aggregates-get-resp': get(`/os-aggregates/${aggregate}`), 'os-aggregates/aggregates-list-get-resp': get('/os-aggregates'), 'os-aggregates/aggregates-metadata-post-resp': post(`/os-aggregates/${aggregate}/action`, { set_metadata: { metadata: { key: 'v' } } }),
    'os-aggregates/aggregates-remove-host-post-resp': async v => { await nova('POST', `/v2.1/os-aggregates/${aggregate}/action`, { add_host: { host } }, v); return nova('POST', `/v2.1/os-aggregates/${aggregate}/action`, { remove_host: { host } }, v); },
    'os-attach-interfaces/attach-interfaces-create-resp': v => created(post(`/servers/${id}/os-interface`, { interfaceAttachment: { net_id: c.networkId } }), v), 'os-attach-interfaces/attach-interfaces-list-resp': get(`/servers/${id}/os-interface`), 'os-attach-interfaces/attach-interfaces-show-resp': get(`/servers/${id}/os-interface/${port}`),
    'os-availability-zone/availability-zone-detail-resp': get('/os-availability-zone/detail'), 'os-availability-zone/availability-zone-list-resp': get('/os-availability-zone'),
    'os-console-auth-tokens/get-console-connect-info-get-resp': get(`/os-console-auth-tokens/${token}`), 'os-console-output/console-output-post-resp': action({ 'os-getConsoleOutput': { length: 5 } }),
    'os-create-backup/create-backup-resp': v => created(action({ createBackup: { name: 'b', backup_type: 'daily', rotation: 1 } }), v),
    'os-floating-ip-pools/floatingippools-list-resp': get('/os-floating-ip-pools'), 'os-floating-ips/floating-ips-create-resp': post('/os-floating-ips', { pool: 'public' }), 'os-floating-ips/floating-ips-get-resp': get(`/os-floating-ips/${floating}`), 'os-floating-ips/floating-ips-list-resp': get('/os-floating-ips'),
    'os-hosts/host-get-resp': get(`/os-hosts/${host}`), 'os-hosts/hosts-list-resp': get('/os-hosts'),
    'os-hypervisors/hypervisors-detail-resp': get('/os-hypervisors/detail'), 'os-hypervisors/hypervisors-detail-with-servers-resp': get('/os-hypervisors/detail?with_servers=1'), 'os-hypervisors/hypervisors-list-resp': get('/os-hypervisors'),
    'os-hypervisors/hypervisors-search-resp': get(v => (later(v, '2.53') ? `/os-hypervisors?hypervisor_hostname_pattern=${node.hypervisor_hostname}` : `/os-hypervisors/${node.hypervisor_hostname}/search`)),
    'os-hypervisors/hypervisors-show-resp': get(v => `/os-hypervisors/${hypervisor(v)}`), 'os-hypervisors/hypervisors-show-with-servers-resp': get(v => `/os-hypervisors/${hypervisor(v)}?with_servers=1`),
    'os-hypervisors/hypervisors-statistics-resp': get('/os-hypervisors/statistics'), 'os-hypervisors/hypervisors-uptime-resp': get(v => `/os-hypervisors/${hypervisor(v)}/uptime`),
    'os-hypervisors/hypervisors-with-servers-resp': get(v => (later(v, '2.53') ? '/os-hypervisors?with_servers=1' : `/os-hypervisors/${node.hypervisor_hostname}/servers`)),
    'os-instance-actions/instance-action-get-resp': get(`/servers/${id}/os-instance-actions/${request}`), 'os-instance-actions/instance-actions-list-resp': get(`/servers/${id}/os-instance-actions`),
    'os-instance-actions/instance-actions-list-with-changes-before': get(`/servers/${id}/os-instance-actions?changes-before=2099-01-01T00:00:00Z`), 'os-instance-actions/instance-actions-list-with-changes-since': get(`/servers/${id}/os-instance-actions?changes-since=2000-01-01T00:00:00Z`),
    'os-instance-actions/instance-actions-list-with-limit-resp': get(`/servers/${id}/os-instance-actions?limit=1`), 'os-instance-actions/instance-actions-list-with-marker-resp': get(`/servers/${id}/os-instance-actions?marker=${newest}`), 'os-instance-actions/instance-action-get-non-admin-resp': get(`/servers/${theirs}/os-instance-actions/${theirRequest}`, 'demo'),
    'os-instance-usage-audit-log/inst-usage-audit-log-index-get-resp': get('/os-instance_usage_audit_log'), 'os-instance-usage-audit-log/inst-usage-audit-log-show-get-resp': get('/os-instance_usage_audit_log/2020-01-01%2000:00:00'),
    'os-keypairs/keypairs-get-resp': get('/os-keypairs/sk'), 'os-keypairs/keypairs-list-resp': get('/os-keypairs'), 'os-keypairs/keypairs-list-user1-resp': get('/os-keypairs?limit=1'),
    'os-keypairs/keypairs-post-resp': post('/os-keypairs', key), 'os-keypairs/keypairs-import-post-resp': post('/os-keypairs', (v: string) => ({ keypair: { ...key(v).keypair, public_key: publicKey } })),
    'os-migrations/migrations-get': get('/os-migrations'), 'os-migrations/migrations-get-with-changes-before': get('/os-migrations?changes-before=2099-01-01T00:00:00Z'), 'os-migrations/migrations-get-with-changes-since': get('/os-migrations?changes-since=2000-01-01T00:00:00Z'),
    'os-migrations/migrations-get-with-limit': get('/os-migrations?limit=1'), 'os-migrations/migrations-get-with-marker': get('/os-migrations?marker=11111111-2222-4333-8444-555555555555'), 'os-migrations/migrations-get-with-user-or-project-id': get(`/os-migrations?project_id=${project}`),
    'os-multiple-create/multiple-create-no-resv-post-resp': v => created(post('/servers', create(v, { min_count: 2, max_count: 2 })), v), 'os-multiple-create/multiple-create-post-resp': v => created(post('/servers', create(v, { min_count: 2, max_count: 2, return_reservation_id: true })), v),
    'os-networks/network-show-resp': get(`/os-networks/${c.networkId}`), 'os-networks/networks-list-resp': get('/os-networks'), 'os-tenant-networks/networks-list-res': get('/os-tenant-networks'),
    'os-quota-class-sets/quota-classes-show-get-resp': get('/os-quota-class-sets/default'), 'os-quota-class-sets/quota-classes-update-post-resp': post('/os-quota-class-sets/some', { quota_class_set: { instances: 50 } }, 'PUT'),
    'os-quota-sets/quotas-show-defaults-get-resp': get(quota('/defaults')), 'os-quota-sets/quotas-show-detail-get-resp': get(quota('/detail')), 'os-quota-sets/quotas-show-get-resp': get(quota()), 'os-quota-sets/quotas-update-force-post-resp': post(quota(), { quota_set: { force: true, instances: -1 } }, 'PUT'),
    'os-quota-sets/quotas-update-post-resp': post(quota(), { quota_set: { instances: -1 } }, 'PUT'), 'os-quota-sets/user-quotas-show-get-resp': get(quota('?user_id=u')), 'os-quota-sets/user-quotas-update-post-resp': post(quota('?user_id=u'), { quota_set: { force: true, instances: -1 } }, 'PUT'),
    'os-remote-consoles/create-vnc-console-resp': post(`/servers/${id}/remote-consoles`, { remote_console: { protocol: 'vnc', type: 'novnc' } }), 'os-remote-consoles/get-vnc-console-post-resp': action({ 'os-getVNCConsole': { type: 'novnc' } }),
    'os-security-groups/security-group-rules-post-resp': post('/os-security-group-rules', () => ({ security_group_rule: { parent_group_id: security, ip_protocol: 'tcp', from_port: 1, to_port: 1000 + Number(fresh('n').slice(2)), cidr: '10.0.0.0/24' } })), 'os-security-groups/security-groups-create-resp': post('/os-security-groups', () => ({ security_group: { name: fresh('x'), description: 'd' } })),
    'os-security-groups/security-groups-get-resp': get(`/os-security-groups/${security}`), 'os-security-groups/security-groups-list-get-resp': get('/os-security-groups'), 'os-security-groups/server-security-groups-list-resp': get(`/servers/${id}/os-security-groups`),
    'os-server-diagnostics/server-diagnostics-get-resp': get(`/servers/${id}/diagnostics`), 'os-server-external-events/event-create-resp': post('/os-server-external-events', { events: [{ name: 'network-changed', tag: 'foo', status: 'completed', server_uuid: id }] }),
    'os-server-groups/server-groups-get-resp': get(`/os-server-groups/${group}`), 'os-server-groups/server-groups-list-resp': get('/os-server-groups'), 'os-server-groups/server-groups-post-resp': post('/os-server-groups', (v: string) => (later(v, '2.64') ? { server_group: { name: fresh('g'), policy: 'anti-affinity', rules: { max_server_per_host: 3 } } } : hostGroup('anti-affinity'))),
    'os-server-password/get-password-resp': get(`/servers/${id}/os-server-password`), 'os-server-shares/server-shares-list-resp': get(`/servers/${id}/shares`),
    'os-server-tags/server-tags-index-resp': get(`/servers/${id}/tags`), 'os-server-tags/server-tags-put-all-resp': post(`/servers/${id}/tags`, { tags: ['tag1', 'tag2'] }, 'PUT'), 'os-server-tags/server-tags-show-details-resp': get(`/servers/${id}`), 'os-server-tags/servers-tags-details-resp': get('/servers/detail'),
    'os-server-topology/servers-topology-resp': get(`/servers/${id}/topology`), 'os-server-topology/servers-topology-resp-user': get(`/servers/${theirs}/topology`, 'demo'),
    'os-rescue/server-get-resp-rescue': get(`/servers/${rescued}`), 'os-rescue/server-get-resp-unrescue': get(`/servers/${id}`),
    'os-services/service-disable-log-put-resp': serviceChange('disable-log-reason', { host, binary: 'nova-compute', disabled_reason: 'r' }, { status: 'disabled', disabled_reason: 'r' }), 'os-services/service-disable-put-resp': serviceChange('disable', { host, binary: 'nova-compute' }, { status: 'disabled' }),
    'os-services/service-enable-put-resp': serviceChange('enable', { host, binary: 'nova-compute' }, { status: 'enabled' }), 'os-services/service-force-down-put-resp': serviceChange('force-down', { host, binary: 'nova-compute', forced_down: false }, { forced_down: false }), 'os-services/services-list-get-resp': get('/os-services'),
    'os-simple-tenant-usage/simple-tenant-usage-get': get(`/os-simple-tenant-usage?${usage}`), 'os-simple-tenant-usage/simple-tenant-usage-get-all': get(`/os-simple-tenant-usage?${usage}&detailed=1&limit=1`), 'os-simple-tenant-usage/simple-tenant-usage-get-detail': get(`/os-simple-tenant-usage?${usage}&detailed=1`),
    'os-simple-tenant-usage/simple-tenant-usage-get-specific': get(`/os-simple-tenant-usage/${project}?${usage}`),
    'os-snapshots/snapshot-create-resp': v => created(post('/os-snapshots', { snapshot: { volume_id: older } }), v), 'os-snapshots/snapshots-detail-resp': get('/os-snapshots/detail'), 'os-snapshots/snapshots-list-resp': get('/os-snapshots'), 'os-snapshots/snapshots-show-resp': get(`/os-snapshots/${snapshot}`),
    'os-volume_attachments/attach-volume-to-server-resp': async v => created(post(`/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: await volume() } }), v),
    'os-volume_attachments/list-volume-attachments-resp': get(`/servers/${id}/os-volume_attachments`), 'os-volume_attachments/volume-attachment-detail-resp': get(`/servers/${id}/os-volume_attachments/${attached}`),
    'os-volumes/os-volumes-detail-resp': get('/os-volumes/detail'), 'os-volumes/os-volumes-get-resp': get(`/os-volumes/${attached}`), 'os-volumes/os-volumes-index-resp': get('/os-volumes'), 'os-volumes/os-volumes-post-resp': v => created(post('/os-volumes', { volume: { size: 1 } }), v),
    'server-ips/server-ips-network-resp': get(`/servers/${id}/ips/private`), 'server-ips/server-ips-resp': get(`/servers/${id}/ips`), 'server-metadata/server-metadata-all-resp': get(`/servers/${id}/metadata`), 'server-metadata/server-metadata-resp': get(`/servers/${id}/metadata/foo`),
    'server-migrations/migrations-get': get(`/servers/${moved}/migrations/${migration}`), 'server-migrations/migrations-index': get(`/servers/${moved}/migrations`),
    'servers-sort/server-sort-keys-list-resp': get('/servers?sort_key=display_name&sort_dir=asc'),
    'servers/server-action-create-image-resp': v => created(action({ createImage: { name: 'i' } }), v),
    'servers/server-action-rebuild-resp': v => created(action({ rebuild: { imageRef: image, name: 'sample', adminPass: 'x', metadata: { foo: 'v' } } }), v), 'os-preserve-ephemeral-rebuild/server-action-rebuild-preserve-ephemeral-resp': v => created(action({ rebuild: { imageRef: image, name: 'sample', metadata: { foo: 'v' }, preserve_ephemeral: false } }), v),
    'servers/server-create-resp': v => created(post('/servers', create(v)), v), 'servers/server-get-resp': get(`/servers/${id}`), 'servers/server-put-resp': post(`/servers/${id}`, { server: { description: 'd' } }, 'PUT'), 'servers/server-update-resp': post(`/servers/${id}`, { server: { accessIPv4: '4.3.2.1' } }, 'PUT'),
    'servers/servers-details-resp': get(`/servers/detail?name=sample`), 'servers/servers-details-with-changes-before': get('/servers/detail?changes-before=2099-01-01T00:00:00Z&limit=1'), 'servers/servers-list-resp': get('/servers'), 'servers/servers-list-status-resp': get('/servers?status=active'), 'servers/servers-list-with-changes-before': get('/servers?changes-before=2099-01-01T00:00:00Z'),
    'versions/v2-version-get-resp': v => nova('GET', '/v2', undefined, v), 'versions/v21-version-get-resp': v => nova('GET', '/v2.1', undefined, v), 'versions/versions-get-resp': v => nova('GET', '/', undefined, v),
  };
}
