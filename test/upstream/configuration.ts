import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestCloud } from '../harness/cloud.ts';

/** Where Debian's python3-tempest is. */
const packages = '/usr/lib/python3/dist-packages';

type Section = Readonly<Record<string, string | number | boolean>>;
const ini = (sections: Readonly<Record<string, Section>>): string => Object.entries(sections).map(([name, of]) => `[${name}]\n${Object.entries(of).map(([k, v]) => `${k} = ${v}\n`).join('')}`).join('');

export interface Facts { readonly authUrl: string; readonly adminPassword: string; readonly images: readonly string[]; readonly flavors: readonly string[]; readonly publicNetwork: string; /** Of compute's scheduler. */ readonly filters: readonly string[]; /** Whether accounts are locked and passwords remembered. */ readonly compliance: boolean; /** Of volumes. */ readonly backends: number; /** That run servers; 1 unless given. */ readonly hosts?: number; readonly networkExtensions: readonly string[]; /** Guests are real: they have a screen and a serial port. */ readonly consoles?: boolean; /** Tempest is told that each service enforces scopes. */ readonly scopes?: boolean; /** Where an image can be fetched from. */ readonly httpImage?: string | undefined; /** The demo image's file, where guests boot for real and are logged into. */ readonly guestImage?: string | undefined }

/** What tempest must know of the cloud: images (the demo's first: it boots, and shuts down when it is told to), flavors, the public network. */
export async function factsOf(cloud: TestCloud, adminPassword: string): Promise<Facts> {
  const ids = async (...args: string[]) => (await cloud.admin(...args, '-f', 'value', '-c', 'ID')).split('\n').filter(line => line !== '');
  const { compute, identity } = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { compute: { scheduler: { filters: string[] } }; identity: { compliance: { lockoutFailureAttempts?: number } } };
  return {
    filters: compute.scheduler.filters, compliance: identity.compliance.lockoutFailureAttempts !== undefined,
    authUrl: `http://127.0.0.1:${cloud.ports.identity}/v3`, adminPassword, images: await ids('image', 'list', '--sort', 'created_at:asc'), flavors: await ids('flavor', 'list', '--all'), publicNetwork: (await ids('network', 'list', '--external'))[0] ?? '',
    backends: (await cloud.admin('volume', 'service', 'list', '--service', 'cinder-volume', '-f', 'value', '-c', 'Host')).split('\n').filter(line => line !== '').length,
    networkExtensions: (await cloud.admin('extension', 'list', '--network', '-f', 'value', '-c', 'Alias')).split('\n').filter(line => line !== ''),
  };
}

/** tempest.conf and .stestr.conf in a folder. */
export function writeConfiguration(folder: string, facts: Facts): void {
  for (const sub of ['etc', 'lock', 'logs']) mkdirSync(join(folder, sub), { recursive: true });
  const [image = '', alternative = image] = facts.images;
  const [flavor = '', larger = flavor] = facts.flavors;
  const guests = facts.guestImage !== undefined;
  const { hosts = 1 } = facts;
  const moves = hosts > 1;
  // block_migrate_cinder_iscsi: its test moves a guest whose kernel is still starting. Emulated (TCG), such a guest spins after the move and never comes up, so it gives no volume back either;
  // one that has booted does (test/clients/hosts.test.ts).
  writeFileSync(join(folder, 'etc', 'tempest.conf'), ini({
    DEFAULT: { log_file: 'tempest.log', log_dir: join(folder, 'logs') },
    oslo_concurrency: { lock_path: join(folder, 'lock') },
    auth: { use_dynamic_credentials: true, create_isolated_networks: true, admin_username: 'admin', admin_password: facts.adminPassword, admin_project_name: 'admin', admin_domain_name: 'Default', ...(facts.scopes === true ? {} : { tempest_roles: 'member' }) },
    identity: { uri_v3: facts.authUrl, auth_version: 'v3', region: 'RegionOne', v3_endpoint_type: 'public' },
    'identity-feature-enabled': { api_v2: false, api_v2_admin: false, trust: true, application_credentials: true, access_rules: true, project_tags: true, security_compliance: facts.compliance, enforce_scope: facts.scopes === true },
    service_available: { nova: true, neutron: true, cinder: true, glance: true, swift: false, horizon: false },
    compute: { image_ref: image, image_ref_alt: alternative, flavor_ref: flavor, flavor_ref_alt: larger, min_microversion: '2.1', max_microversion: 'latest', fixed_network_name: 'private', min_compute_nodes: hosts, build_interval: 1, build_timeout: guests ? 600 : 120 },
    // swap_volume: only Cinder may ask for it since 2025, as here. volume_multiattach: tempest 33 asks for it with a parameter that cinder has dropped; ours are services/compute/attachments' own tests.
    'compute-feature-enabled': { resize: true, cold_migration: true, live_migration: moves, block_migration_for_live_migration: moves, volume_backed_live_migration: moves, live_migrate_back_and_forth: moves, shelve_migrate: moves, change_password: facts.consoles !== true, hostname_fqdn_sanitization: true, block_migrate_cinder_iscsi: moves && facts.consoles !== true, scheduler_enabled_filters: facts.filters.join(','), console_output: true, vnc_console: facts.consoles === true, serial_console: facts.consoles === true, spice_console: false, rescue: true, stable_rescue: true, shelve: true, suspend: true, snapshot: true, interface_attach: true, volume_multiattach: false, config_drive: true, attach_encrypted_volume: true, personality: true },
    // The demo image's only user is root.
    validation: guests ? { run_validation: true, image_ssh_user: 'root', connect_timeout: 60, ssh_timeout: 600, ping_timeout: 600 } : { run_validation: false },
    scenario: guests ? { img_file: facts.guestImage ?? '', img_disk_format: 'qcow2', dhcp_client: 'udhcpc' } : {},
    network: { public_network_id: facts.publicNetwork, floating_network_name: 'public', project_network_cidr: '10.100.0.0/16' },
    'network-feature-enabled': { api_extensions: facts.networkExtensions.join(','), ipv6: true, ipv6_subnet_attributes: true, port_security: true, floating_ips: facts.publicNetwork !== '' },
    neutron_plugin_options: { agent_availability_zone: 'nova', create_shared_resources: true },
    image: { build_interval: 1, image_caching_enabled: true, ...(facts.httpImage === undefined ? {} : { http_image: facts.httpImage, alternate_image_endpoint: 'image_remote' }) },
    'image-feature-enabled': { import_image: true, os_glance_reserved: true, manage_locations: facts.httpImage !== undefined },
    volume: { min_microversion: '3.0', max_microversion: 'latest', volume_size: 1, build_interval: 1, build_timeout: guests ? 600 : 120, catalog_type: 'volumev3', storage_protocol: 'file', vendor_name: 'Cumulet', backend_names: 'file,file2', manage_snapshot_ref: 'source-name,snapshot-%s' },
    'volume-feature-enabled': { backup: true, snapshot: true, clone: true, multi_backend: facts.backends >= 2, manage_volume: true, manage_snapshot: true, extend_attached_volume: true, extend_attached_encrypted_volume: true, consistency_group: true, volume_revert: true, api_v3: true },
    ...(facts.scopes === true ? { enforce_scope: { keystone: true, glance: true, cinder: true } } : {}),
  }));
  discover(folder, 'tempest/test_discover', '([^\\.]*\\.)*');
}

/** `.stestr.conf`: where tests are, and which must stay together. */
function discover(folder: string, path: string, group: string): void {
  writeFileSync(join(folder, '.stestr.conf'), `[DEFAULT]\ntest_path=${packages}/${path}\ntop_dir=${packages}\ngroup_regex=${group}\n`);
}

/** What clients' own tests read: `clouds.yaml` with the names that their gate gives its clouds. Returns the variables that lead there. */
export function writeClouds(folder: string, suite: string, o: { readonly authUrl: string; readonly password: string }): Readonly<Record<string, string>> {
  const cloud = (who: string) => ({ auth: { auth_url: o.authUrl, username: who, password: o.password, project_name: who, user_domain_id: 'default', project_domain_id: 'default' }, region_name: 'RegionOne', identity_api_version: 3 });
  const file = join(folder, 'clouds.yaml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ clouds: { 'devstack-admin': cloud('admin'), devstack: cloud('demo'), 'devstack-alt': cloud('alt_demo'), functional_admin: cloud('admin'), 'devstack-system-admin': { ...cloud('admin'), auth: { auth_url: o.authUrl, username: 'admin', password: o.password, user_domain_id: 'default', system_scope: 'all' } } } }));
  // A file of the sdk's source tree, which its tests upload.
  writeFileSync(join(folder, 'CONTRIBUTING.rst'), 'text\n');
  discover(folder, `${suite}/tests/functional`, '([^\\.]+\\.)+');
  const commands = Object.fromEntries(['NOVACLIENT', 'CINDERCLIENT', 'NEUTRONCLIENT', 'GLANCECLIENT'].map(client => [`OS_${client}_EXEC_DIR`, '/usr/bin']));
  // cinderclient's tests know no clouds.yaml; the others would mix these with theirs.
  const variables: Record<string, string> = suite === 'cinderclient' ? { OS_AUTH_URL: o.authUrl, OS_USERNAME: 'admin', OS_PASSWORD: o.password, OS_PROJECT_NAME: 'admin', OS_USER_DOMAIN_ID: 'default', OS_PROJECT_DOMAIN_ID: 'default' } : { OS_CLIENT_CONFIG_FILE: file, ...(repair(folder, suite) ? { PYTHONPATH: folder } : {}) };
  return { ...commands, ...variables, OS_NOVACLIENT_NETWORK: 'private', OPENSTACKSDK_FLAVOR: 'm1.tiny', OPENSTACKSDK_IMAGE: 'tiny', OS_TEST_TIMEOUT: '600', OPENSTACKSDK_FUNC_TEST_TIMEOUT: '600' };
}

/** What Debian's packages leave out and tests import: `sitecustomize.py` in a folder for PYTHONPATH. Whether there is any. */
function repair(folder: string, suite: string): boolean {
  const constructors = join(folder, 'constructors.json');
  const missing: Readonly<Record<string, string>> = {
    // os-client-config's map of clients' classes, which keystoneclient's tests ask for theirs.
    keystoneclient: `import os_client_config.constructors\nos_client_config.constructors._json_path = ${JSON.stringify(constructors)}\n`,
    // openstacksdk's examples: tests of them are not asked for, but all tests are imported.
    openstack: `import importlib.machinery, sys\nclass Examples:\n    def find_spec(self, name, path=None, target=None):\n        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split('.')[0] == 'examples' else None\n    def create_module(self, spec): return None\n    def exec_module(self, module): module.__getattr__ = lambda name: None\nsys.meta_path.append(Examples())\n`,
  };
  if (missing[suite] === undefined) return false;
  writeFileSync(constructors, JSON.stringify({ identity: 'keystoneclient.client.Client' }));
  writeFileSync(join(folder, 'sitecustomize.py'), missing[suite]);
  return true;
}
