import { z } from 'zod';

/** Every API service, its classic port and its place in the catalogue. Volume appears under two types: old clients ask for volumev3, new ones for block-storage. */
export const services = {
  identity: { port: 5000, types: ['identity'], name: 'keystone' },
  image: { port: 9292, types: ['image'], name: 'glance' },
  compute: { port: 8774, types: ['compute'], name: 'nova' },
  volume: { port: 8776, types: ['volumev3', 'block-storage'], name: 'cinder' },
  network: { port: 9696, types: ['network'], name: 'neutron' },
  placement: { port: 8778, types: ['placement'], name: 'placement' },
  operations: { port: 8790, types: ['operations'], name: 'operations' },
  backupcatalogue: { port: 8791, types: ['backup-catalogue'], name: 'backup-catalogue' },
} as const;
export type ServiceName = keyof typeof services;

const port = z.coerce.number().int().min(1).max(65535);
const count = z.coerce.number().int().min(1);
const flag = z.union([z.boolean(), z.enum(['true', 'false', '1', '0', 'yes', 'no']).transform(v => ['true', '1', 'yes'].includes(v))]);

const blockBackend = z.strictObject({
  /** Shown as `host@NAME#pool`. */
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/i),
  driver: z.enum(['file', 'fake']),
  /** Directory or mounted share of the file driver; relative paths are below `home`. */
  path: z.string().optional(),
  format: z.enum(['raw', 'qcow2']).default('raw'),
  pool: z.string().optional(),
  /** Advertised to the scheduler's capability filter. */
  volumeBackendName: z.string().optional(),
  reservedPercentage: z.coerce.number().int().min(0).max(100).default(0),
  /** Thin over-subscription; cinder's default is 20. */
  maxOverSubscriptionRatio: z.union([z.literal('auto'), z.coerce.number().min(1)]).default(20),
  /** Only for `fake`: what the pool claims to hold, in GiB. */
  totalGiB: z.coerce.number().int().positive().default(10_000),
});

/** Those of nova's scheduler that mean something here: metrics, NUMA and PCI devices of hosts are not modelled. */
export const computeFilters = [
  'AllHostsFilter', 'ComputeFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter', 'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter', 'DifferentHostFilter', 'SameHostFilter', 'SimpleCIDRAffinityFilter', 'JsonFilter',
  'IsolatedHostsFilter', 'IoOpsFilter', 'NumInstancesFilter', 'AggregateInstanceExtraSpecsFilter', 'AggregateImagePropertiesIsolation', 'AggregateMultiTenancyIsolation', 'AggregateTypeAffinityFilter', 'AggregateIoOpsFilter', 'AggregateNumInstancesFilter',
] as const;

/** How an object store is signed in to: `v1` wants `authUrl`, `user` and `key`, `v3` also a project and domains. Without `auth` the URL says which. */
const swiftAccount = {
  auth: z.enum(['v1', 'v3']).optional(), authUrl: z.string(), user: z.string(), key: z.string(), project: z.string().optional(), userDomain: z.string().default('Default'), projectDomain: z.string().default('Default'),
  region: z.string().optional(), storageUrl: z.string().optional(),
};

const imageStore = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/i),
  driver: z.enum(['file', 'rbd', 'swift', 'cinder', 'http', 'fake']),
  /** file: the directory, relative paths are below `home` (glance: filesystem_store_datadir). */
  path: z.string().optional(),
  default: z.boolean().default(false),
  description: z.string().default(''),
  /** rbd: glance's rbd_store_ceph_conf, _user, _pool and _chunk_size (MiB, a power of two). */
  rbd: z.strictObject({ conf: z.string().optional(), user: z.string().optional(), pool: z.string().default('images'), chunkMiB: count.default(8) }).optional(),
  /**
   * swift: `reference` is the account's name in locations (default_swift_reference), `container` where images lie (swift_store_container), `segmentMiB` the size of
   * the pieces of a large image; an upload holds two of them in memory.
   */
  swift: z.strictObject({ ...swiftAccount, reference: z.string().regex(/^[a-z0-9][a-z0-9_.-]*$/i).default('ref1'), container: z.string().min(1).max(255).default('glance'), createContainer: flag.default(true), segmentMiB: count.default(16), retries: z.coerce.number().int().min(0).default(4) }).optional(),
  /** cinder: volumes of the project that is signed in to, of `volumeType`; without an account this cloud's own volume service, as the user `service`. */
  cinder: z.strictObject({ authUrl: z.string().optional(), user: z.string().default('service'), key: z.string().optional(), project: z.string().default('service'), userDomain: z.string().default('Default'), projectDomain: z.string().default('Default'), region: z.string().optional(), volumeType: z.string().optional() }).prefault({}),
});

const backupTarget = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/i),
  /** `posix`: a directory; `nfs`: a share that is mounted here; `swift`: an object store; `fake`: memory, for tests. */
  driver: z.enum(['posix', 'nfs', 'swift', 'fake']),
  /** posix: the directory, relative paths are below `home` (cinder: backup_posix_path). nfs: where the share is mounted. */
  path: z.string().optional(),
  /** posix: every host sees the same directory. Shares and object stores are shared by nature. */
  shared: flag.optional(),
  /** nfs: HOST:PATH (backup_share), and options of the mount (backup_mount_options). */
  share: z.string().optional(),
  mountOptions: z.string().optional(),
  /** Container of backups that name none (backup_container, backup_swift_container). */
  container: z.string().min(1).max(255).optional(),
  /** swift: how it is reached; version 1 when the URL says so. `v1` wants `authUrl`, `user`, `key`; `v3` also a project and domains. */
  swift: z.strictObject({
    auth: z.enum(['v1', 'v3']).optional(), authUrl: z.string(), user: z.string(), key: z.string(), project: z.string().optional(), userDomain: z.string().default('Default'), projectDomain: z.string().default('Default'),
    region: z.string().optional(), storageUrl: z.string().optional(), storagePolicy: z.string().optional(),
  }).optional(),
  /** backup_compression_algorithm */
  compression: z.enum(['none', 'zlib', 'zstd']).default('zlib'),
  /** Bytes of the largest object and of the grain of incremental backups (backup_file_size, backup_sha_block_size_bytes; swift has its own defaults). */
  objectBytes: count.optional(),
  blockBytes: count.optional(),
});

/**
 * Every setting of Cumulet. A setting is read from, in order: the environment (`CUMULET_` + the path in capitals,
 * `CUMULET_PORTS_COMPUTE`), the YAML file named by `CUMULET_CONFIG` (default `HOME/cumulet.yaml`), the default here.
 * `DATABASE_URL` and `REDIS_URL` are read by their customary names.
 */
export const settingsSchema = z.strictObject({
  /** State folder: database, images, volumes, logs, pids, credentials. */
  home: z.string().default('.cumulet'),
  /** Folder for what was downloaded or built once, shared by all state folders; default /var/cache/cumulet, or the user's cache. */
  cache: z.string(),
  /** This host's name in services, hypervisors and volume hosts. */
  host: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/i),
  bind: z.string().default('127.0.0.1'),
  /** Host name or address in the catalogue and links; default is `bind`. */
  publicHost: z.string().optional(),
  region: z.string().default('RegionOne'),
  databaseUrl: z.string().optional(),
  databasePool: count.default(10),
  redisUrl: z.string().optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  ports: z.strictObject(Object.fromEntries(Object.entries(services).map(([name, s]) => [name, port.default(s.port)])) as Record<ServiceName, z.ZodDefault<typeof port>>).prefault({}),
  passwords: z.strictObject({ admin: z.string().min(1).optional(), demo: z.string().min(1).optional(), service: z.string().min(1).optional() }).prefault({}),
  http: z.strictObject({
    /** Bytes of a JSON body. Uploads are streamed and not bound by it. */
    maxBodyBytes: count.default(1_048_576),
    requestTimeoutMs: count.default(60_000),
    /** Above this event-loop delay requests are answered 503 with Retry-After. */
    maxEventLoopDelayMs: count.default(2_000),
    /** Largest `limit` and default page (osapi_max_limit). */
    maxLimit: count.default(1_000),
  }).prefault({}),
  tokens: z.strictObject({
    /** Seconds a token lives (keystone: [token] expiration). */
    lifetimeSeconds: count.default(3_600),
    /** Seconds after its end in which a service may still validate it with allow_expired (keystone: allow_expired_window). */
    allowExpiredWindowSeconds: count.default(172_800),
    bcryptRounds: z.coerce.number().int().min(4).max(31).default(12),
    /** Passwords hashed at once; the rest wait in line. */
    hashConcurrency: count.default(2),
  }).prefault({}),
  identity: z.strictObject({
    /** YAML file of domains, projects, users, groups and roles, read at the first start (see docs/identity.md). */
    usersFile: z.string().optional(),
    /** Days after which the key that signs tokens gives way to the next; 0 only by hand. */
    keyRotationDays: z.coerce.number().min(0).default(30),
    /** Failed logins that one name from one address may have in hand, and the seconds in which it regains one. */
    failedLogins: count.default(30),
    failedLoginRefillSeconds: z.coerce.number().positive().default(2),
    maxPasswordLength: z.coerce.number().int().min(1).max(4_096).default(4_096),
    maxProjectTreeDepth: count.default(5),
    limitModel: z.enum(['flat', 'strict_two_level']).default('flat'),
    /** -1 is unlimited. */
    applicationCredentialsPerUser: z.coerce.number().int().min(-1).default(-1),
    credentialsPerUser: z.coerce.number().int().min(-1).default(-1),
    maxRedelegationCount: z.coerce.number().int().min(0).default(3),
    /** Whether a project that still holds servers, volumes or images may be deleted, which orphans them, as in keystone. */
    deleteProjectsInUse: flag.default(false),
    /** keystone's [security_compliance]; each is off by default, as there. */
    compliance: z.strictObject({
      lockoutFailureAttempts: count.optional(),
      lockoutDurationSeconds: z.coerce.number().int().min(0).default(1_800),
      disableUserDaysInactive: count.optional(),
      passwordExpiresDays: count.optional(),
      uniqueLastPasswordCount: z.coerce.number().int().min(0).default(0),
      minimumPasswordAgeDays: z.coerce.number().int().min(0).default(0),
      passwordRegex: z.string().optional(),
      passwordRegexDescription: z.string().optional(),
      changePasswordUponFirstUse: flag.default(false),
    }).prefault({}),
  }).prefault({}),
  policyDir: z.string().optional(),
  worker: z.strictObject({
    /** Tasks at once for each queue of this host. */
    concurrency: count.default(8),
    leaseSeconds: count.default(30),
    sweepSeconds: count.default(5),
    /** Which jobs this worker takes. */
    roles: z.array(z.enum(['compute', 'volume', 'image', 'network'])).default(['compute', 'volume', 'image', 'network']),
  }).prefault({}),
  compute: z.strictObject({
    /** Seconds after which a resize that nobody decided is confirmed; 0 never (nova: resize_confirm_window). */
    resizeConfirmSeconds: z.coerce.number().int().min(0).default(0),
    /** Seconds that a deleted server can be restored; 0 deletes at once (nova: reclaim_instance_interval). */
    reclaimSeconds: z.coerce.number().int().min(0).default(0),
    /** Whether a resize may stay on its host, which is tried first then (nova: allow_resize_to_same_host, off there). */
    resizeToSameHost: flag.default(true),
    /** Hosts that a new server is tried on, one after the other, when a hypervisor fails (nova: scheduler max_attempts). */
    maxAttempts: count.default(3),
    scheduler: z.strictObject({
      /** Upstream's names, in order ([filter_scheduler] enabled_filters). The zone and the room on the host are always asked for. */
      filters: z.array(z.enum(computeFilters)).default(['ComputeFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter', 'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter', 'DifferentHostFilter', 'SameHostFilter', 'AggregateInstanceExtraSpecsFilter', 'AggregateMultiTenancyIsolation', 'AggregateImagePropertiesIsolation']),
      /** How much each of upstream's weighers counts; negative turns it round, 0 off. */
      weights: z.strictObject({ ram: z.coerce.number().default(1), cpu: z.coerce.number().default(1), disk: z.coerce.number().default(1), ioOps: z.coerce.number().default(-1), numInstances: z.coerce.number().default(0), softAffinity: z.coerce.number().default(1), softAntiAffinity: z.coerce.number().default(1), buildFailure: z.coerce.number().default(1_000_000), hypervisorVersion: z.coerce.number().default(1) }).prefault({}),
      /** One of so many best hosts is taken at random (host_subset_size). */
      hostSubsetSize: count.default(1),
      maxInstancesPerHost: count.default(50),
      maxIoOpsPerHost: count.default(8),
      isolatedHosts: z.array(z.string()).default([]),
      isolatedImages: z.array(z.string()).default([]),
      restrictIsolatedHostsToIsolatedImages: flag.default(true),
    }).prefault({}),
  }).prefault({}),
  hypervisor: z.strictObject({
    driver: z.enum(['auto', 'libvirt', 'fake']).default('auto'),
    /** Socket of the libvirtd to use; the all-in-one fills it in. */
    libvirtSocket: z.string().optional(),
    virtType: z.enum(['auto', 'kvm', 'qemu']).default('auto'),
    cpuAllocationRatio: z.coerce.number().positive().default(4),
    ramAllocationRatio: z.coerce.number().positive().default(1),
    diskAllocationRatio: z.coerce.number().positive().default(1),
    reservedHostMemoryMiB: z.coerce.number().int().min(0).default(512),
    /** Seconds between shelve and its offload: 0 at once, -1 never (nova: shelved_offload_time). */
    shelvedOffloadSeconds: z.coerce.number().int().min(-1).default(0),
    /** Where other hosts fetch the disks of servers that move to them; 0 is any free port of `bind`. */
    disksPort: z.coerce.number().int().min(0).max(65_535).default(0),
    /** How the libvirtd of another host reaches this one's for live migration, e.g. `qemu+tls://HOST/system`. Absent: it cannot. */
    migrationUri: z.string().optional(),
    /** Fake driver only: what each call and a live migration take, and what its host has. */
    fakeDelayMs: z.coerce.number().int().min(0).default(0),
    fakeLiveMs: z.coerce.number().int().min(0).default(0),
  }).prefault({}),
  consoles: z.strictObject({
    /** Seconds in which the one-time key of a console must be used (nova: token_ttl). */
    tokenSeconds: count.default(600),
    /** Pages other than the API's own from which a browser may open a console, such as `https://panel.example` (nova: allowed_origins). */
    allowedOrigins: z.array(z.url().refine(u => new URL(u).origin === u, 'scheme, host and port only')).default([]),
    /** Where this host's worker listens for the API of other hosts (0: any free port), and the address that those reach it by; default is `publicHost`, else `bind`. */
    port: z.coerce.number().int().min(0).max(65535).default(0),
    address: z.string().optional(),
  }).prefault({}),
  network: z.strictObject({
    driver: z.enum(['auto', 'linuxbridge', 'fake']).default('auto'),
    /** First letters of every bridge, tap and namespace, so that two clouds on a machine do not collide. */
    prefix: z.string().regex(/^[a-z][a-z0-9]{1,4}$/).default('cum'),
    /** Lets this host reach guests by their fixed addresses. */
    hostAccess: flag.default(true),
    /** What this host forwards between guests and the networks beyond it: nothing, what guests begin (`out`, masqueraded: the internet for guests with a router), or both ways. */
    forward: z.enum(['none', 'out', 'both']).default('none'),
    /** CIDRs that guests never reach by it; default: private, shared and link-local ranges. The host's own networks are always among them. */
    forwardDeny: z.array(z.cidrv4()).optional(),
    privateCidr: z.string().default('10.77.0.0/24'),
    publicCidr: z.string().default('172.31.99.0/24'),
    mtu: z.coerce.number().int().min(576).max(9000).default(1450),
  }).prefault({}),
  volume: z.strictObject({
    backends: z.array(blockBackend).min(1).default([{ name: 'file', driver: 'file', path: 'volumes', format: 'raw', reservedPercentage: 0, maxOverSubscriptionRatio: 20, totalGiB: 10_000 }]),
    defaultType: z.string().default('__DEFAULT__'),
    /** Id of the `cinder` image store into which raw images of volumes are cloned by the backend instead of copied (cinder: image_upload_use_cinder_backend). */
    imageUploadStore: z.string().optional(),
    /** Zone of this host's backends, and of volumes that name none (cinder: storage_availability_zone). */
    availabilityZone: z.string().min(1).max(255).default('nova'),
    /** Seconds between reports of the backends' capabilities, and after how many silent ones a backend counts as down (cinder: service_down_time). */
    reportSeconds: count.default(10),
    serviceDownSeconds: count.default(60),
    scheduler: z.strictObject({
      /** Upstream's names, in order (scheduler_default_filters). */
      filters: z.array(z.enum(['AvailabilityZoneFilter', 'CapacityFilter', 'CapabilitiesFilter', 'SameBackendFilter', 'DifferentBackendFilter', 'DriverFilter', 'InstanceLocalityFilter'])).default(['AvailabilityZoneFilter', 'CapacityFilter', 'CapabilitiesFilter', 'SameBackendFilter', 'DifferentBackendFilter']),
      /** scheduler_default_weighers */
      weighers: z.array(z.enum(['CapacityWeigher', 'AllocatedCapacityWeigher', 'VolumeNumberWeigher', 'GoodnessWeigher', 'ChanceWeigher'])).default(['CapacityWeigher']),
      capacityWeightMultiplier: z.coerce.number().default(1),
      allocatedCapacityWeightMultiplier: z.coerce.number().default(-1),
      volumeNumberMultiplier: z.coerce.number().default(-1),
      /** Backends that a new volume is tried on, one after the other, when a driver fails (scheduler_max_attempts). */
      maxAttempts: count.default(3),
    }).prefault({}),
  }).prefault({}),
  backup: z.strictObject({
    /** Where backups go: the first one is for new backups, the others for those that lie there. None: no cinder-backup runs here. */
    targets: z.array(backupTarget).default([{ name: 'backups', driver: 'posix', path: 'backups', compression: 'zlib' }]),
    /** Public keys (Ed25519, SPKI, base64) of other clouds whose records are as good as our own. */
    trustedKeys: z.array(z.string()).default([]),
    /** Refuses records that no trusted key has signed; upstream's are never signed. */
    requireSignedRecords: flag.default(false),
    /** Seconds between looks at schedules. */
    scheduleSeconds: count.default(15),
  }).prefault({}),
  image: z.strictObject({
    stores: z.array(imageStore).min(1).prefault([{ id: 'file', driver: 'file', path: 'images', default: true, description: 'Local file system' }]),
    /** Bytes; 0 is unlimited (glance: image_size_cap is 1 TiB). */
    sizeCapBytes: z.coerce.number().int().min(0).default(1_099_511_627_776),
    requireFormatMatch: flag.default(true),
    /** Folder where staged and resumable uploads wait for their import; all image workers of a cloud share it. */
    stagingPath: z.string().default('staging'),
    /** Folder of metadata definition namespaces in upstream's JSON form (Debian: /usr/share/glance-common/metadefs), loaded at each start. */
    metadefsPath: z.string().optional(),
    /** Bytes of copies that pruning leaves to each host (glance: image_cache_max_size). */
    cacheMaxBytes: z.coerce.number().int().min(0).default(10_737_418_240),
    /** Images of one page of a list without `limit` (glance: limit_param_default). */
    pageSize: count.default(25),
    /** Of one image; -1 is unlimited. */
    memberQuota: z.coerce.number().int().min(-1).default(128),
    propertyQuota: z.coerce.number().int().min(-1).default(128),
    tagQuota: z.coerce.number().int().min(-1).default(128),
    locationQuota: z.coerce.number().int().min(-1).default(10),
    /** Of one project, -1 is unlimited; sizes in MiB. A project's own limits come from the identity service's unified limits. */
    limits: z.strictObject({
      image_count_total: z.coerce.number().int().min(-1).default(-1), image_size_total: z.coerce.number().int().min(-1).default(-1),
      image_stage_total: z.coerce.number().int().min(-1).default(-1), image_count_uploading: z.coerce.number().int().min(-1).default(-1),
    }).prefault({}),
    /** Shows and takes `locations` (glance: show_multiple_locations). Off, since who knows a location may reach the bytes behind the API's back (OSSN-0090). */
    showMultipleLocations: flag.default(false),
    /** Shows `direct_url` to those who may see locations. */
    showDirectUrl: flag.default(false),
    importMethods: z.array(z.enum(['glance-direct', 'web-download', 'copy-image', 'glance-download'])).default(['glance-direct', 'web-download', 'copy-image', 'glance-download']),
    /** Hours that a finished image task is shown (glance: task_time_to_live). */
    taskHours: count.default(48),
    import: z.strictObject({
      /** Format to which imported disks are converted (glance: image_conversion output_format). */
      convertTo: z.enum(['raw', 'qcow2', 'vmdk']).optional(),
      /** Unpacks a gzip before it is stored (glance: image_decompression). */
      decompress: flag.default(false),
      /** Properties that every imported image gets (glance: inject_metadata_properties). */
      injectProperties: z.record(z.string(), z.string()).default({}),
    }).prefault({}),
    /** What may be fetched for an import. Addresses that are not public are refused at connect time, unless listed. */
    fetch: z.strictObject({
      schemes: z.array(z.enum(['http', 'https'])).default(['http', 'https']),
      ports: z.array(port).default([80, 443]),
      /** Names that are refused, beside every address that is not public. */
      disallowedHosts: z.array(z.string()).default([]),
      /** CIDRs of one's own networks that may be fetched from all the same. */
      allowedNetworks: z.array(z.string()).default([]),
      idleTimeoutSeconds: count.default(60),
    }).prefault({}),
  }).prefault({}),
  demo: z.strictObject({
    enabled: flag.default(true),
    /** URL or file of the demo image; built from Debian packages when absent. */
    image: z.string().optional(),
    imageFormat: z.string().default('qcow2'),
    imageName: z.string().default('tiny'),
  }).prefault({}),
});

export type Settings = z.infer<typeof settingsSchema>;
