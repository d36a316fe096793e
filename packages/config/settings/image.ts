import { z } from 'zod';
import { count, flag, port, swiftAccount } from './kinds.ts';

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

export const image = z.strictObject({
  stores: z.array(imageStore).min(1).prefault([{ id: 'file', driver: 'file', path: 'images', default: true, description: 'Local file system' }]),
  /** Bytes; 0 is unlimited (glance: image_size_cap is 1 TiB). */
  sizeCapBytes: z.coerce.number().int().min(0).default(1_099_511_627_776),
  requireFormatMatch: flag.default(true),
  /** Folder where staged and resumable uploads wait for their import; all image workers of a cloud share it. */
  stagingPath: z.string().default('staging'),
  /** Folder of metadata definition namespaces in upstream's JSON form, loaded at a start, each once; default upstream's own, where Debian's glance-common has put them. */
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
  /** Of one project, -1 is unlimited; sizes in MiB. What Identity's unified limits have registered for the service comes before these. */
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
}).prefault({});
