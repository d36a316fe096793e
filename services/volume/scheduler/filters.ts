import { specIsTrue } from '../types/store.ts';
import { freeNow, provisionedNow, ratioOf, type PoolState } from './pools.ts';
import { evaluate } from './formula.ts';
import { matches } from './specs.ts';

/** What is to be placed. */
export interface Wish {
  readonly sizeGiB: number;
  readonly extraSpecs: Readonly<Record<string, string>>;
  readonly zone?: string | undefined;
  /** Only pools of this service (`host@backend`): copies stay where their source is. */
  readonly service?: string | undefined;
  /** Only this pool. */
  readonly pool?: string | undefined;
  /** Pools that are out of the question: where it is now, or where it failed. */
  readonly not?: readonly string[];
  /** Only pools to which the volume's bytes can get. */
  readonly reachable?: ((pool: PoolState) => boolean) | undefined;
  /** Services of the volumes that the hints name. */
  readonly sameAs?: readonly (string | null)[] | undefined;
  readonly differentFrom?: readonly (string | null)[] | undefined;
  /** Host of the server that the volume shall be near to; null when there is no such server. */
  readonly localTo?: string | null | undefined;
  /** Its type has limits that the backend alone would keep. */
  readonly backendQos?: boolean | undefined;
  /** Who is to encrypt it, `front-end` or `back-end`; undefined: nobody. */
  readonly encryption?: string | undefined;
}
export type Filter = (pool: PoolState, wish: Wish) => boolean;

export const thinFor = (pool: PoolState, wish: Wish): boolean => (wish.extraSpecs['provisioning:type'] === 'thick' ? false : pool.thin);

/** Room, thin or thick, with the reserve kept free. */
export const hasRoom: Filter = (pool, wish) => {
  if (!Number.isFinite(pool.total_gb) || !Number.isFinite(pool.free_gb)) return true;
  if (pool.total_gb <= 0 || wish.sizeGiB > pool.total_gb * (thinFor(pool, wish) ? ratioOf(pool) : 1)) return false;
  const free = Math.floor(freeNow(pool) - pool.total_gb * pool.reserved_percentage / 100);
  if (!thinFor(pool, wish)) return free >= wish.sizeGiB && provisionedNow(pool) + wish.sizeGiB <= pool.total_gb * (1 - pool.reserved_percentage / 100);
  const ratio = ratioOf(pool);
  if ((provisionedNow(pool) + wish.sizeGiB) / pool.total_gb > ratio) return false;
  return free * ratio >= wish.sizeGiB;
};

/** Extra specs without a scope, and those of `capabilities:`; other scopes (`qos:`, `provisioning:`, `RESKEY:`) are for others. */
const capable: Filter = (pool, wish) => Object.entries(wish.extraSpecs).every(([key, wanted]) => {
  const [scope, ...rest] = key.split(':');
  if (rest.length > 0 && scope !== 'capabilities') return true;
  const name = rest.length > 0 ? rest.join(':') : key;
  if (name === 'multiattach' && !specIsTrue(wanted)) return true;
  return matches(pool.capabilities[name], wanted);
});

const zones: Filter = (pool, wish) => {
  const reserved = wish.extraSpecs['RESKEY:availability_zones'];
  if (reserved !== undefined && !reserved.split(',').map(z => z.trim()).includes(pool.availability_zone)) return false;
  return wish.zone === undefined || wish.zone === pool.availability_zone;
};

export const filters: Readonly<Record<string, Filter>> = {
  /** Not upstream's: limits that nobody would keep are refused, not forgotten. */
  QosSupport: (pool, wish) => wish.backendQos !== true || pool.capabilities['QoS_support'] === true,
  /** Not upstream's: no driver here encrypts by itself, and not every one keeps what the hypervisor encrypts. */
  EncryptionSupport: (pool, wish) => wish.encryption === undefined || (wish.encryption === 'front-end' && pool.capabilities['encryption_support'] === true),
  AvailabilityZoneFilter: zones,
  CapacityFilter: hasRoom,
  CapabilitiesFilter: capable,
  SameBackendFilter: (pool, wish) => wish.sameAs === undefined || wish.sameAs.includes(pool.service_host),
  DifferentBackendFilter: (pool, wish) => wish.differentFrom === undefined || !wish.differentFrom.includes(pool.service_host),
  InstanceLocalityFilter: (pool, wish) => wish.localTo === undefined || pool.service_host.split('@')[0] === wish.localTo,
  DriverFilter: (pool, wish) => {
    const formula = pool.capabilities['filter_function'];
    return typeof formula !== 'string' || formula === '' || formula === 'None' || evaluate(formula, facts(pool, wish)) > 0;
  },
};
/** What the formulas of filter_function and goodness_function may name. */
export const facts = (pool: PoolState, wish: Wish): Record<string, Record<string, unknown>> => ({
  volume: { size: wish.sizeGiB }, extra: wish.extraSpecs, stats: { ...pool.capabilities, total_capacity_gb: pool.total_gb, free_capacity_gb: pool.free_gb, allocated_capacity_gb: pool.allocated_gb },
  capabilities: { ...pool.capabilities, total_volumes: pool.volume_count }, qos: {},
});
