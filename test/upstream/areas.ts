/** What a whole run of the same tests against real OpenStack (Zed) gave. */
interface Counts { readonly passed: number; readonly failed: number; readonly skipped: number }

/** A part of upstream's tests, and the cloud that it wants. */
export interface Area {
  /** `tempest`, or the tests that a client brings with it: they drive its commands and its library against a cloud. */
  readonly suite: 'tempest' | 'openstackclient' | 'novaclient' | 'cinderclient' | 'keystoneclient' | 'neutronclient' | 'glanceclient' | 'openstack';
  readonly regex: string;
  readonly peer?: Counts;
  /** Settings of the cloud. */
  readonly env: Readonly<Record<string, string>>;
  /** The tests that ask what each role may do in each scope. */
  readonly scopes?: true;
  /** A second worker beside that of `npm start`: servers move between two. */
  readonly hosts?: 2;
  /** Tests at once; 2 unless given. 1 where they disturb each other, more where they mostly sleep. */
  readonly concurrency?: number;
  /** What the admin does first: `openstack` commands. */
  readonly prepare?: readonly (readonly string[])[];
  /** Guests boot for real, and tempest logs into them. */
  readonly guests?: true;
}

/** Of everybody. */
export const password = 'upstream';
/** Where no test logs into a guest, none has to boot. */
const simulated = { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake' };
/** Volumes that both hosts reach. */
const anywhere = { CUMULET_VOLUME_BACKENDS: '[{name: sim, driver: fake}]' };
/** What tempest takes for granted where accounts are locked and passwords remembered. */
const compliance = { CUMULET_IDENTITY_COMPLIANCE_LOCKOUT_FAILURE_ATTEMPTS: '2', CUMULET_IDENTITY_COMPLIANCE_LOCKOUT_DURATION_SECONDS: '5', CUMULET_IDENTITY_COMPLIANCE_UNIQUE_LAST_PASSWORD_COUNT: '2' };
/** A network that makes itself needs a pool to take its subnet from, and an external network that is the default. */
const ownNetworks = [['network', 'set', '--default', 'public'], ['subnet', 'pool', 'create', '--default', '--share', '--pool-prefix', '10.111.0.0/16', '--default-prefix-length', '24', 'shared-default']];
/** For tests that ask for two. */
const twoBackends = { CUMULET_VOLUME_BACKENDS: '[{name: file, driver: file, path: volumes}, {name: file2, driver: file, path: volumes2}]' };

export const areas: Readonly<Record<string, Area>> = {
  identity: { suite: 'tempest', regex: '^tempest\\.api\\.identity', peer: { passed: 132, failed: 2, skipped: 20 }, env: { ...simulated, ...compliance, CUMULET_DEMO_ENABLED: 'false' } },
  image: { suite: 'tempest', regex: '^tempest\\.api\\.image', peer: { passed: 64, failed: 2, skipped: 16 }, env: simulated },
  volume: { suite: 'tempest', regex: '^tempest\\.api\\.volume', peer: { passed: 186, failed: 0, skipped: 5 }, env: { ...simulated, ...twoBackends } },
  compute: { suite: 'tempest', regex: '^tempest\\.api\\.compute', peer: { passed: 248, failed: 1, skipped: 25 }, hosts: 2, env: { ...simulated, ...anywhere } },
  // Networks that make themselves are for projects that see none.
  autoallocate: { suite: 'tempest', regex: '^tempest\\.api\\.compute\\.admin\\.test_auto_allocate', env: simulated, prepare: [
    ['network', 'set', '--no-share', 'private'], ...ownNetworks,
  ] },
  // What moves servers and asks their consoles, on two libvirtds of one machine.
  hosts: { suite: 'tempest', regex: '^tempest\\.(api\\.compute\\.(admin\\.test_(live_migration|migrations|servers_on_multinodes)|servers\\.test_(novnc|delete_server|server_actions))|scenario\\.test_server_multinode)', hosts: 2, env: { CUMULET_HYPERVISOR_DRIVER: 'libvirt', CUMULET_HYPERVISOR_VIRT_TYPE: 'qemu', CUMULET_NETWORK_DRIVER: 'linuxbridge', CUMULET_NETWORK_HOST_ACCESS: 'false', CUMULET_VOLUME_BACKENDS: '[{name: file, driver: file, path: volumes, shared: true}]' } },
  // Its client sleeps ten seconds before it deletes a subnet.
  network: { suite: 'tempest', regex: '^tempest\\.api\\.network', env: simulated, concurrency: 6 },
  scenario: { suite: 'tempest', regex: '^tempest\\.scenario', env: twoBackends, guests: true, prepare: ['image_count_total', 'image_count_uploading', 'image_size_total', 'image_stage_total'].map(resource => ['registered', 'limit', 'create', '--service', 'glance', '--region', 'RegionOne', '--default-limit', '100000', resource]) },
  // Debian's *-tempest-plugin: who may do what, and what tempest itself leaves out.
  identityplugin: { suite: 'tempest', regex: '^keystone_tempest_plugin', env: { ...simulated, CUMULET_DEMO_ENABLED: 'false' }, scopes: true },
  imageplugin: { suite: 'tempest', regex: '^glance_tempest_plugin', env: simulated, scopes: true },
  volumeplugin: { suite: 'tempest', regex: '^cinder_tempest_plugin\\.(api|rbac)', env: { ...simulated, ...twoBackends }, scopes: true },
  networkplugin: { suite: 'tempest', regex: '^neutron_tempest_plugin\\.api', env: simulated, prepare: ownNetworks },
  // The command's older versions of an API (volume v1, identity v2) are of services that are gone.
  openstackclient: { suite: 'openstackclient', regex: 'functional\\.(compute|image|volume\\.v[23]|network|identity\\.v3|common)', env: simulated },
  // They count what the project has, and resize to a flavor that tempest's gate makes.
  novaclient: { suite: 'novaclient', regex: 'functional', env: simulated, concurrency: 1, prepare: [['flavor', 'create', '--ram', '256', '--disk', '1', '--vcpus', '1', 'm1.micro']] },
  cinderclient: { suite: 'cinderclient', regex: 'functional', env: simulated },
  keystoneclient: { suite: 'keystoneclient', regex: 'functional', env: simulated },
  // What is beside `core` are services of their own: VPN, firewalls.
  neutronclient: { suite: 'neutronclient', regex: 'functional\\.core', env: simulated },
  // The first version of the Image API is gone, upstream too; its tests are those of the client's help.
  glanceclient: { suite: 'glanceclient', regex: 'functional\\.v2', env: simulated },
  // It looks for devstack's flavors, of which m1.tiny is the smallest, and empties a project which must be no other test's. Its gate runs one test at a time: networks of one are in another's way.
  sdk: { suite: 'openstack', concurrency: 1, regex: 'functional\\.(compute|cloud|network|image|block_storage|identity|placement)', env: simulated, prepare: [
    ['flavor', 'delete', 'm1.nano'], ['project', 'create', 'alt_demo'], ['user', 'create', '--password', password, 'alt_demo'], ['role', 'add', '--user', 'alt_demo', '--project', 'alt_demo', 'member'],
  ] },
};
