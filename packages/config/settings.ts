import { z } from 'zod';
import { compute, consoles, hypervisor } from './settings/compute.ts';
import { identity, tokens } from './settings/identity.ts';
import { image } from './settings/image.ts';
import { count, flag, microversion, port } from './settings/kinds.ts';
import { network } from './settings/network.ts';
import { services, type ServiceName } from './settings/services.ts';
import { backup, volume } from './settings/volume.ts';

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
  /** The newest microversion that is offered; all that there are when absent. For clients that take an API's newest and know only an older one. */
  maxMicroversion: z.strictObject({ compute: microversion.optional(), volume: microversion.optional() }).prefault({}),
  tokens,
  identity,
  policyDir: z.string().optional(),
  worker: z.strictObject({
    /** Tasks at once for each queue of this host. */
    concurrency: count.default(8),
    leaseSeconds: count.default(30),
    sweepSeconds: count.default(5),
    /** Which jobs this worker takes. */
    roles: z.array(z.enum(['compute', 'volume', 'image', 'network'])).default(['compute', 'volume', 'image', 'network']),
  }).prefault({}),
  compute,
  hypervisor,
  consoles,
  network,
  volume,
  backup,
  image,
  demo: z.strictObject({
    enabled: flag.default(true),
    /** URL or file of the demo image; built from Debian packages when absent. */
    image: z.string().optional(),
    imageFormat: z.string().default('qcow2'),
    imageName: z.string().default('tiny'),
  }).prefault({}),
});

export type Settings = z.infer<typeof settingsSchema>;
