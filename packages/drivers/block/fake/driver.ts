import { checkName } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import { scriptedFaults, type Faults } from '../../faults.ts';
import { bytesOfVolume, type BlockDriver, type Pool, type Provided, type SnapshotRef, type VolumeSpec } from '../contract.ts';
import { GiB, type FakeContext, type FakeVerb } from './context.ts';
import { fakeData } from './data.ts';
import { fakeEncryption } from './encryption.ts';
import { fakeManage, fakeManageSnapshots } from './manage.ts';
import { directoryState, memoryState, type FakeObject } from './state.ts';

export interface FakePool {
  readonly name: string;
  /** Default 100,000. */
  readonly totalGiB?: number;
  /** Default true; a thick pool is `full` when the sizes of its volumes reach its total. */
  readonly thin?: boolean;
  readonly reservedPercentage?: number;
  readonly maxOverSubscriptionRatio?: number | 'auto';
  readonly capabilities?: Pool['capabilities'];
}

export interface FakeBlockOptions {
  readonly name?: string;
  /** Default one pool with the driver's name. */
  readonly pools?: readonly FakePool[];
  /** Keep everything there, for several processes and restarts. Default: in memory. */
  readonly directory?: string;
  /** Capabilities that this one does not have. */
  readonly without?: readonly ('snapshots' | 'clone' | 'manage' | 'manageSnapshots' | 'rename' | 'migrate' | 'groups' | 'qos' | 'encryption')[];
}

export interface FakeBlockDriver extends BlockDriver {
  readonly faults: Faults<FakeVerb>;
  /** Names of all volumes, and `<volume>~<snapshot>` of all snapshots. */
  readonly held: readonly string[];
  /** Bytes of content that are kept. */
  readonly used: number;
  /** Connections that were made and not let go, as `<volume> <host>`. */
  readonly connections: ReadonlySet<string>;
  /** Something that an administrator put there. */
  plant(name: string, bytes: number, content?: Buffer): void;
}

const nothing: Provided = {};

/** A backend that is not there: real semantics, little content, and it fails, hangs or dawdles as a test says. */
export function fakeBlockDriver(options: FakeBlockOptions = {}): FakeBlockDriver {
  const name = options.name ?? 'fake';
  const pools = options.pools ?? [{ name }];
  const state = options.directory === undefined ? memoryState() : directoryState(options.directory);
  const faults = scriptedFaults<FakeVerb>();
  const connections = new Set<string>();

  const context: FakeContext = {
    through: (verb, call, work) => faults.through(verb, call, work),
    keyOf: (ref) => ('volume' in ref ? `${checkName(ref.volume.name)}~${checkName(ref.name)}` : checkName(ref.name)),
    find(ref) {
      const found = state.get(context.keyOf(ref));
      if (!found) throw new DriverError('absent', `The ${'volume' in ref ? 'snapshot' : 'volume'} is not on the storage.`, { detail: ref.name });
      return found;
    },
    ...state,
    snapshotsOf: (volume) => state.keys().filter((key) => key.startsWith(`${volume}~`)),
  };

  function bytesOf(volume: { readonly sizeGiB: number; readonly luks?: boolean | undefined }): number {
    const { sizeGiB } = volume;
    if (!Number.isSafeInteger(sizeGiB) || sizeGiB <= 0 || sizeGiB > 2 ** 22) throw new DriverError('invalid', 'The size of a volume is a whole number of GiB.');
    return bytesOfVolume(volume);
  }
  function poolOf(wanted: string | undefined): FakePool {
    const pool = wanted === undefined ? pools[0] : pools.find((one) => one.name === wanted);
    if (!pool) throw new DriverError('absent', 'There is no such pool on this backend.', { detail: wanted ?? '' });
    return pool;
  }
  const provisioned = (pool: string) => state.keys().reduce((sum, key) => {
    const object = state.get(key);
    return object?.pool === pool ? sum + object.bytes : sum;
  }, 0);
  function room(pool: FakePool, more: number): void {
    if (pool.thin === false && provisioned(pool.name) + more > (pool.totalGiB ?? 100_000) * GiB) throw new DriverError('full', 'The volume cannot be created: there is no room left.');
  }

  function make(spec: VolumeSpec, source?: FakeObject): Provided {
    const bytes = bytesOf(spec);
    const key = checkName(spec.name);
    const there = state.get(key);
    if (there && there.bytes !== bytes) throw new DriverError('invalid', 'A volume of that name and another size exists.');
    if (there) return nothing;
    if (source && source.bytes > bytes) throw new DriverError('invalid', 'The new volume is smaller than its source.');
    const pool = poolOf(spec.pool);
    room(pool, bytes);
    state.put({ key, bytes, pool: pool.name, blocks: new Map(source?.blocks) });
    return nothing;
  }
  function snapshot(ref: SnapshotRef): Provided {
    const volume = context.find(ref.volume);
    const key = context.keyOf(ref);
    if (!state.get(key)) state.put({ ...volume, key, blocks: new Map(volume.blocks) });
    return nothing;
  }

  const full: FakeBlockDriver = {
    name,
    protocol: 'fake',
    faults,
    connections,
    get held() { return state.keys(); },
    get used() { return state.keys().reduce((sum, key) => sum + [...state.get(key)?.blocks.values() ?? []].reduce((all, block) => all + block.length, 0), 0); },
    plant(planted, bytes, content = Buffer.alloc(0)) {
      const blocks = new Map<number, Buffer>();
      for (let at = 0; at < content.length; at += 1 << 16) blocks.set(at / (1 << 16), Buffer.concat([content.subarray(at, at + (1 << 16)), Buffer.alloc(1 << 16)]).subarray(0, 1 << 16));
      state.put({ key: planted, bytes, pool: poolOf(undefined).name, blocks });
    },
    check: (call) => context.through('check', call, () => undefined),
    pools: (call) => context.through('pools', call, () => pools.map((pool) => {
      const [totalGiB, provisionedGiB, thin] = [pool.totalGiB ?? 100_000, provisioned(pool.name) / GiB, pool.thin ?? true];
      return {
        name: pool.name, totalGiB, provisionedGiB, thin, freeGiB: thin ? totalGiB : Math.max(0, totalGiB - provisionedGiB),
        reservedPercentage: pool.reservedPercentage ?? 0, maxOverSubscriptionRatio: pool.maxOverSubscriptionRatio ?? 20,
        capabilities: { vendor_name: 'Cumulet', driver_version: '1.0', storage_protocol: 'fake', thin_provisioning_support: thin, thick_provisioning_support: !thin, multiattach: true, QoS_support: true, encryption_support: true, ...pool.capabilities },
      };
    })),
    volumes: {
      create: (call, spec) => context.through('volumes.create', call, () => make(spec)),
      delete: (call, ref) => context.through('volumes.delete', call, () => {
        const key = context.keyOf(ref);
        if (context.snapshotsOf(key).length > 0) throw new DriverError('busy', 'The volume has snapshots.');
        state.delete(key);
      }),
      extend: (call, ref, sizeGiB) => context.through('volumes.extend', call, () => {
        const bytes = bytesOf({ sizeGiB, luks: ref.luks });
        const there = context.find(ref);
        if (bytes < there.bytes) throw new DriverError('invalid', 'A volume cannot become smaller.');
        room(poolOf(there.pool), bytes - there.bytes);
        state.put({ ...there, bytes });
      }),
      exists: (call, ref) => context.through('volumes.exists', call, () => state.get(context.keyOf(ref)) !== undefined),
    },
    data: fakeData(context),
    attach: {
      connect: (call, ref, connector, { mode = 'rw' } = {}) => context.through('attach.connect', call, () => {
        context.find(ref);
        connections.add(`${ref.name} ${connector.host}`);
        return { driver_volume_type: 'fake', data: { access_mode: mode, encrypted: false, name: ref.name } };
      }),
      disconnect: (call, ref, connector) => context.through('attach.disconnect', call, () => {
        for (const one of connections) if (connector ? one === `${ref.name} ${connector.host}` : one.startsWith(`${ref.name} `)) connections.delete(one);
      }),
    },
    snapshots: {
      create: (call, ref) => context.through('snapshots.create', call, () => snapshot(ref)),
      delete: (call, ref) => context.through('snapshots.delete', call, () => state.delete(context.keyOf(ref))),
      revert: (call, ref) => context.through('snapshots.revert', call, () => {
        const [volume, kept] = [context.find(ref.volume), context.find(ref)];
        state.put({ ...volume, bytes: Math.max(volume.bytes, kept.bytes), blocks: new Map(kept.blocks) });
      }),
      exists: (call, ref) => context.through('snapshots.exists', call, () => state.get(context.keyOf(ref)) !== undefined),
    },
    clone: {
      fromVolume: (call, source, spec) => context.through('clone.fromVolume', call, () => make(spec, context.find(source))),
      fromSnapshot: (call, source, spec) => context.through('clone.fromSnapshot', call, () => make(spec, context.find(source))),
    },
    encryption: fakeEncryption(context, (spec) => make({ ...spec, luks: true })),
    manage: fakeManage(context),
    manageSnapshots: fakeManageSnapshots(context),
    rename: (call, ref, to) => context.through('rename', call, () => {
      const [from, target] = [context.keyOf(ref), checkName(to)];
      if (from === target || (!state.get(from) && state.get(target))) return nothing;
      const there = context.find(ref);
      if (context.snapshotsOf(from).length > 0 || state.get(target)) throw new DriverError('busy', 'The volume cannot be renamed: it has snapshots, or the name is taken.');
      state.put({ ...there, key: target });
      state.delete(from);
      return nothing;
    }),
    migrate: (call, ref, pool) => context.through('migrate', call, () => {
      const there = context.find(ref);
      if (!pools.some((one) => one.name === pool)) return undefined;
      state.put({ ...there, pool });
      return nothing;
    }),
    groups: { snapshot: (call, pairs) => context.through('groups.snapshot', call, () => {
      for (const { volume } of pairs) context.find(volume);
      return pairs.map((pair) => snapshot(pair.snapshot));
    }) },
    qos: { apply: (call, ref, specs) => context.through('qos.apply', call, () => state.put({ ...context.find(ref), qos: specs })) },
  };
  const missing = new Set<string>(options.without);
  for (const capability of missing) Reflect.deleteProperty(full, capability);
  return full;
}
