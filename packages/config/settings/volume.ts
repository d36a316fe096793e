import { z } from 'zod';
import { count, flag, swiftAccount } from './kinds.ts';

const blockBackend = z.strictObject({
  /** Shown as `host@NAME#pool`. */
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/i),
  driver: z.enum(['file', 'fake']),
  /** Directory or mounted share of the file driver; relative paths are below `home`. */
  path: z.string().optional(),
  /** file: every host sees the same directory under the same path (a mounted share), so that guests of any host may have its volumes. */
  shared: flag.optional(),
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
  swift: z.strictObject({ ...swiftAccount, storagePolicy: z.string().optional() }).optional(),
  /** backup_compression_algorithm */
  compression: z.enum(['none', 'zlib', 'zstd']).default('zlib'),
  /** Bytes of the largest object and of the grain of incremental backups (backup_file_size, backup_sha_block_size_bytes; swift has its own defaults). */
  objectBytes: count.optional(),
  blockBytes: count.optional(),
});

export const volume = z.strictObject({
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
}).prefault({});

export const backup = z.strictObject({
  /** Where backups go: the first one is for new backups, the others for those that lie there. None: no cinder-backup runs here. */
  targets: z.array(backupTarget).default([{ name: 'backups', driver: 'posix', path: 'backups', compression: 'zlib' }]),
  /** Public keys (Ed25519, SPKI, base64) of other clouds whose records are as good as our own. */
  trustedKeys: z.array(z.string()).default([]),
  /** Refuses records that no trusted key has signed; upstream's are never signed. */
  requireSignedRecords: flag.default(false),
  /** Seconds between looks at schedules. */
  scheduleSeconds: count.default(15),
}).prefault({});
