import { setTimeout as pause } from 'node:timers/promises';
import type { Browser, Field, Page } from './browser.ts';
import type { Complaint } from './walk.ts';

interface Listed { readonly id: string; readonly name?: string; readonly status?: string }

/** The forms that people use every day, through one browser. What was made stays, so that the walk afterwards has something to look at. */
export class Forms {
  readonly complaints: Complaint[] = [];
  sent = 0;
  readonly #browser: Browser;
  constructor(browser: Browser) { this.#browser = browser; }

  async form(path: string, fields: Readonly<Record<string, Field>>): Promise<void> { this.#judge(path, await this.#browser.submit(path, fields)); }
  async act(path: string, action: string): Promise<void> { this.#judge(`${path} ${action}`, await this.#browser.act(path, action)); }

  #judge(where: string, page: Page): void {
    this.sent++;
    if (page.status >= 400) this.complaints.push({ where, said: `HTTP ${page.status}` });
    this.complaints.push(...page.messages.filter(m => /^(error|warning)/.test(m)).map(said => ({ where, said })));
  }

  /** A call of Horizon's scripts that must succeed. */
  async rest<T>(method: string, path: string, body?: object): Promise<T | undefined> {
    this.sent++;
    const { status, value, text } = await this.#browser.rest(method, path, body);
    if (status >= 300) this.complaints.push({ where: `${method} /api/${path}`, said: `HTTP ${status}: ${text.slice(0, 300)}` });
    return value as T | undefined;
  }

  async listed(path: string): Promise<readonly Listed[]> { return (await this.rest<{ items: Listed[] }>('GET', path))?.items ?? []; }

  /** The one of that name; waits until it rests in one of `states`. */
  async find(path: string, name: string, states?: readonly string[]): Promise<string> {
    for (let tries = 0; tries < 120; tries++) {
      const found = (await this.listed(path)).find(i => i.name === name);
      if (found !== undefined && (states === undefined || states.includes(found.status ?? ''))) return found.id;
      await pause(500);
    }
    this.complaints.push({ where: `/api/${path}`, said: `no “${name}”${states === undefined ? '' : ` that is ${states.join(' or ')}`}` });
    return 'none';
  }
}

/** A member's day: a network with a router, a volume with what hangs on it, a server with all of them. */
export async function memberForms(f: Forms): Promise<void> {
  await f.form('/project/networks/create', { net_name: 'hz-net', with_subnet: true, subnet_name: 'hz-subnet', cidr: '192.168.55.0/24', gateway_ip: '192.168.55.1', enable_dhcp: true, dns_nameservers: '192.168.55.2' });
  const network = await f.find('neutron/networks/', 'hz-net');
  await f.form('/project/routers/create/', { 'name': 'hz-router', 'external_network~': 'public' });
  await f.form('/project/security_groups/create/', { name: 'hz-group', description: 'from Horizon' });
  const group = await f.find('network/securitygroups/', 'hz-group');
  await f.form(`/project/security_groups/${group}/add_rule/`, { rule_menu: 'ssh', remote: 'cidr', cidr: '0.0.0.0/0', description: 'ssh' });
  await f.form(`/project/security_groups/${group}/add_rule/`, { rule_menu: 'tcp', direction: 'ingress', port_or_range: 'range', from_port: 8000, to_port: 8080, remote: 'cidr', cidr: '10.0.0.0/8' });
  await f.form(`/project/security_groups/${group}/add_rule/`, { rule_menu: 'icmp', direction: 'egress', icmp_type: 8, icmp_code: 0, remote: 'cidr', cidr: '0.0.0.0/0' });
  await f.form(`/project/security_groups/${group}/update/`, { name: 'hz-group', description: 'changed' });
  await f.form('/project/floating_ips/allocate/', { 'pool~': 'public', 'description': 'hz-address' });

  await f.rest('POST', 'nova/keypairs/', { name: 'hz-key', key_type: 'ssh' });
  await f.rest('POST', 'nova/servergroups/', { name: 'hz-servers', policies: ['soft-anti-affinity'] });
  const image = (await f.listed('glance/images/')).find(i => i.status === 'active')?.id ?? '';
  const flavor = await f.find('nova/flavors/', 'm1.nano');
  await f.rest('PUT', 'glance/images/', { name: 'hz-image', disk_format: 'qcow2', container_format: 'bare', visibility: 'private', protected: false, min_disk: 0, min_ram: 0, source_type: 'file-direct', description: 'from Horizon', architecture: 'x86_64' });
  const made = await f.find('glance/images/', 'hz-image');
  await f.rest('PATCH', `glance/images/${made}/`, { name: 'hz-image', disk_format: 'qcow2', container_format: 'bare', visibility: 'private', protected: false, min_disk: 1, min_ram: 64, description: 'changed' });
  await f.rest('PATCH', `glance/images/${made}/properties/`, { updated: { hw_disk_bus: 'virtio' }, removed: [] });

  await f.rest('POST', 'nova/servers/', {
    name: 'hz-server', source_id: image, flavor_id: flavor, key_name: 'hz-key', user_data: '#!/bin/sh\n', security_groups: ['hz-group'], nics: [{ 'net-id': network, 'v4-fixed-ip': '' }],
    availability_zone: 'nova', instance_count: 1, disk_config: 'AUTO', config_drive: true, meta: { from: 'horizon' }, description: 'from Horizon', scheduler_hints: {},
  });
  // The wizard's default: a new volume from the image, which the server keeps.
  await f.rest('POST', 'nova/servers/', {
    name: 'hz-volume-server', source_id: '', flavor_id: flavor, key_name: null, user_data: '', security_groups: ['default'], nics: [{ 'net-id': network, 'v4-fixed-ip': '' }], instance_count: 1,
    block_device_mapping_v2: [{ source_type: 'image', destination_type: 'volume', delete_on_termination: true, uuid: image, boot_index: '0', volume_size: 1 }],
  });
  const server = await f.find('nova/servers/', 'hz-server', ['ACTIVE']);
  await f.find('nova/servers/', 'hz-volume-server', ['ACTIVE']);
  for (const more of ['security-groups/', 'volumes/']) await f.rest('GET', `nova/servers/${server}/${more}`);
  await f.rest('POST', `nova/servers/${server}/console-output/`, { length: 20 });
  await f.rest('PATCH', `nova/servers/${server}/metadata`, { updated: { more: 'yes' }, removed: ['from'] });
  await f.form(`/project/instances/${server}/update`, { name: 'hz-server', description: 'changed' });

  await f.form('/project/volumes/create/', { name: 'hz-volume', description: 'from Horizon', size: 1 });
  await f.form('/project/volumes/create/', { 'name': 'hz-from-image', 'volume_source_type': 'image_source', 'image_source': image, 'size': 1 });
  const volume = await f.find('cinder/volumes/', 'hz-volume', ['available']);
  await f.form(`/project/volumes/${volume}/update/`, { name: 'hz-volume', description: 'changed', bootable: true });
  await f.form(`/project/volumes/${volume}/create_snapshot/`, { name: 'hz-snapshot', description: '' });
  await f.find('cinder/volumesnapshots/', 'hz-snapshot', ['available']);
  await f.form(`/project/volumes/${volume}/create_backup/`, { name: 'hz-backup', description: '', container_name: '' });
  await f.find('cinder/volumes/', 'hz-volume', ['available']);
  await f.form(`/project/volumes/${volume}/extend/`, { new_size: 2 });
  await f.find('cinder/volumes/', 'hz-volume', ['available']);
  await f.form(`/project/volumes/${volume}/attach/`, { 'instance': server, 'device': '/dev/vdb' });
  await f.find('cinder/volumes/', 'hz-volume', ['in-use']);
  const other = await f.find('cinder/volumes/', 'hz-from-image', ['available']);
  await f.form(`/project/volumes/${other}/upload_to_image/`, { image_name: 'hz-uploaded', disk_format: 'raw' });
  await f.find('cinder/volumes/', 'hz-from-image', ['available']);
  await f.form(`/project/volumes/${other}/create_transfer/`, { name: 'hz-transfer' });
  await f.act('/project/volumes/', `volumes__delete_transfer__${other}`);
  await f.form(`/project/instances/${server}/attach_volume/`, { volume: other });
  await f.find('cinder/volumes/', 'hz-from-image', ['in-use']);
  await f.form(`/project/instances/${server}/detach_volume/`, { volume: other });
  await f.form(`/project/instances/${server}/attach_interface`, { specification_method: 'network', network });

  for (const [action, state] of [['stop', 'SHUTOFF'], ['start', 'ACTIVE'], ['pause', 'PAUSED'], ['unpause', 'ACTIVE'], ['suspend', 'SUSPENDED'], ['resume', 'ACTIVE'], ['hard_reboot', 'ACTIVE']] as const) {
    await f.rest('POST', `nova/servers/${server}`, { operation: action });
    await f.find('nova/servers/', 'hz-server', [state]);
  }
  await f.rest('POST', 'nova/snapshots/', { instance_id: server, name: 'hz-server-image' });
  await f.find('glance/images/', 'hz-server-image', ['active']);
  await f.act('/project/instances/', `instances__lock__${server}`);
  await f.act('/project/instances/', `instances__unlock__${server}`);
  await f.act('/project/instances/', `instances__shelve__${server}`);
  await f.find('nova/servers/', 'hz-server', ['SHELVED_OFFLOADED', 'SHELVED']);
  // The same button: what it does depends on the server.
  await f.act('/project/instances/', `instances__shelve__${server}`);
  await f.find('nova/servers/', 'hz-server', ['ACTIVE']);
  await f.form('/identity/application_credentials/create/', { name: 'hz-credential', description: '', secret: 'verysecret', expiration_date: '', expiration_time: '', roles: [], access_rules: '', kubernetes_namespace: 'default' });
}

/** An administrator's: who and what there is, and limits. */
export async function administratorForms(f: Forms): Promise<void> {
  await f.form('/identity/create', { name: 'hz-project', description: 'from Horizon', enabled: true });
  const project = await f.find('keystone/projects/', 'hz-project');
  await f.form(`/identity/${project}/update/`, { name: 'hz-project', description: 'changed' });
  await f.form(`/identity/${project}/update_quotas/`, { instances: 7, volumes: 8, network: 9 });
  await f.form('/identity/users/create/', { 'name': 'hz-user', 'email': 'hz@example.org', 'password': 'S3cret-of-hz', 'confirm_password': 'S3cret-of-hz', 'project~': 'hz-project', 'role_id~': 'member', 'enabled': true });
  const user = await f.find('keystone/users/', 'hz-user');
  await f.form(`/identity/users/${user}/update/`, { name: 'hz-user', email: 'changed@example.org' });
  await f.form(`/identity/users/${user}/change_password/`, { password: 'An0ther-of-hz', confirm_password: 'An0ther-of-hz' });
  await f.act('/identity/users/', `users__toggle__${user}`);
  await f.act('/identity/users/', `users__toggle__${user}`);
  await f.rest('POST', 'keystone/groups/', { name: 'hz-people', description: 'from Horizon' });
  await f.rest('POST', 'keystone/roles/', { name: 'hz-role' });
  await f.rest('POST', 'keystone/domains/', { name: 'hz-domain', description: 'from Horizon', enabled: true });
  await f.form('/admin/flavors/create/', { name: 'hz.flavor', flavor_id: 'auto', vcpus: 1, memory_mb: 128, disk_gb: 1, eph_gb: 0, swap_mb: 0, rxtx_factor: 1 });
  const flavor = await f.find('nova/flavors/?is_public=true', 'hz.flavor');
  await f.rest('PATCH', `nova/flavors/${flavor}/extra-specs/`, { updated: { 'hw:cpu_policy': 'shared' }, removed: [] });
  await f.form('/admin/aggregates/create/', { name: 'hz-aggregate', availability_zone: 'hz-zone' });
  await f.form('/admin/volume_types/create_type', { name: 'hz-type', vol_type_description: 'from Horizon', is_public: true });
  const type = await f.find('cinder/volumetypes/', 'hz-type');
  await f.rest('PATCH', `cinder/volumetypes/${type}/metadata`, { updated: { one: 'two' }, removed: [] });
  await f.form(`/admin/volume_types/${type}/create_type_encryption/`, { provider: 'luks', control_location: 'front-end', cipher: 'aes-xts-plain64', key_size: 256 });
  await f.form('/admin/volume_types/create_qos_spec', { name: 'hz-qos', consumer: 'front-end' });
  await f.form('/admin/group_types/create_type', { name: 'hz-group-type', group_type_description: '', is_public: true });
  await f.form('/admin/networks/create/', { 'name': 'hz-shared', 'tenant_id~': 'demo', 'admin_state': true, 'shared': true, 'with_subnet': false });
  await f.form('/admin/defaults/update_defaults', { instances: 20 });
  await f.form('/admin/metadata_defs/create/', { source_type: 'raw', direct_input: JSON.stringify({ namespace: 'hz::space', display_name: 'from Horizon', visibility: 'public', properties: { one: { title: 'One', type: 'string' } } }), public: true });
}
