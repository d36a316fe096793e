import { luksHeaderBytes, type LuksCipher } from '@cumulet/diskimage';
import type { Readable, Writable } from 'node:stream';
import type { Call } from '../call.ts';

/**
 * What a block backend does. Core verbs are always there; a capability that is absent is unsupported (`need()` answers so).
 *
 * Rules that every driver keeps and `blockConformance()` tests:
 * - every verb can be repeated: creating what exists succeeds, deleting what is gone succeeds;
 * - an object is either complete under its name or not there: work in progress is invisible and is removed on failure or abort;
 * - a new volume reads as zeros, also where an older volume was;
 * - on abort of `call.signal` the call stops and throws `signal.reason`; every other failure is a DriverError;
 * - sizes are GiB and whole; offsets and lengths are bytes.
 */
export interface BlockDriver {
  /** The configured backend's name, as in `host@NAME#pool`. */
  readonly name: string;
  /** Cinder's `storage_protocol`. */
  readonly protocol: 'file' | 'nfs' | 'iscsi' | 'ceph' | 'fake';
  /** Is the backend there and usable? Throws a DriverError that says what is wrong. Makes nothing but its own directories. */
  check(call: Call): Promise<void>;
  pools(call: Call): Promise<Pool[]>;

  readonly volumes: {
    /** An empty volume. An existing one of that name is success when its size is the same, else `invalid`. */
    create(call: Call, volume: VolumeSpec): Promise<Provided>;
    /** `busy` when snapshots of it (or clones that depend on it) exist. */
    delete(call: Call, volume: VolumeRef): Promise<void>;
    /** Grow to `sizeGiB`; already that large is success; smaller is `invalid`. Data is kept, the new part reads as zeros. */
    extend(call: Call, volume: VolumeRef, sizeGiB: number): Promise<void>;
    exists(call: Call, volume: VolumeRef): Promise<boolean>;
  };

  readonly data: BlockData;
  readonly attach: Attach;

  readonly snapshots?: Snapshots;
  readonly clone?: {
    /** An independent volume, `volume.sizeGiB` >= the source's. `inUse` as in `snapshots.create`. */
    fromVolume(call: Call, source: VolumeRef, volume: VolumeSpec, options?: { readonly inUse?: boolean }): Promise<Provided>;
    fromSnapshot(call: Call, source: SnapshotRef, volume: VolumeSpec): Promise<Provided>;
  };
  readonly image?: Images;
  readonly manage?: Manage;
  readonly manageSnapshots?: ManageSnapshots;
  /** Give a volume another name (the end of a migration). Done already is success; a taken name is `busy`. */
  readonly rename?: (call: Call, volume: VolumeRef, name: string) => Promise<Provided>;
  /** Move within the backend, without copying through this host. `undefined`: cannot for this target, copy instead. */
  readonly migrate?: (call: Call, volume: VolumeRef, pool: string) => Promise<Provided | undefined>;
  readonly groups?: { snapshot(call: Call, pairs: readonly { volume: VolumeRef; snapshot: SnapshotRef }[]): Promise<Provided[]> };
  readonly encryption?: Encryption;
  readonly qos?: { apply(call: Call, volume: VolumeRef, specs: Readonly<Record<string, string>>): Promise<void> };
}

export interface VolumeSpec {
  /** The service's name for it, `volume-<uuid>`: the key of idempotence. Letters, digits, `_`, `-`, `.` only. */
  readonly name: string;
  readonly sizeGiB: number;
  /** One of `pools()`; absent: the driver's only or first pool. */
  readonly pool?: string;
  /** Its bytes are a LUKS container (`encryption`). */
  readonly luks?: boolean;
}

export interface VolumeRef {
  readonly name: string;
  readonly sizeGiB: number;
  readonly pool?: string;
  readonly luks?: boolean;
  /** What `Provided` gave when the object was made, handed back untouched. */
  readonly providerId?: string;
  readonly meta?: Readonly<Record<string, unknown>>;
}

export interface SnapshotRef {
  /** `snapshot-<uuid>`. */
  readonly name: string;
  readonly volume: VolumeRef;
  /** The volume's size when the snapshot was taken. */
  readonly sizeGiB: number;
  readonly providerId?: string;
  readonly meta?: Readonly<Record<string, unknown>>;
}

/** Data can be read from either; a SnapshotRef is the one with `volume`. */
export type DataRef = VolumeRef | SnapshotRef;

/** To be stored with the object and given back in its ref. Both absent when the name alone is enough. */
export interface Provided {
  readonly providerId?: string;
  readonly meta?: Readonly<Record<string, unknown>>;
}

export interface Pool {
  readonly name: string;
  /** Infinity is allowed: upstream's `infinite`. */
  readonly totalGiB: number;
  readonly freeGiB: number;
  /** Sum of the sizes of all volumes and snapshots' volumes there, whoever made them. */
  readonly provisionedGiB: number;
  readonly thin: boolean;
  readonly reservedPercentage: number;
  readonly maxOverSubscriptionRatio: number | 'auto';
  /** Reported for the capabilities filter; `multiattach`, `vendor_name`, `driver_version` … in upstream's names. */
  readonly capabilities: Readonly<Record<string, string | number | boolean>>;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

export interface Extent extends Range {
  /** Reads as zeros and holds no data: never read it. */
  readonly hole: boolean;
}

export interface BlockData {
  /** Bytes of a volume or snapshot, in order; default the whole. Closing the stream frees what it holds. */
  read(call: Call, ref: DataRef, range?: Partial<Range>): Promise<Readable>;
  /**
   * Bytes into a volume from `offset` (default 0). Blocks of zeros stay holes where they can. `finish` comes after the data
   * is on stable storage. Passing the end of the volume is `invalid`.
   */
  write(call: Call, volume: VolumeRef, range?: { readonly offset?: number }): Promise<Writable>;
  /** Make a range read as zeros and free its space where the backend can. */
  zero(call: Call, volume: VolumeRef, range: Range): Promise<void>;
  /** All of the range (default the whole), in order, without gaps. Absent: every byte has to be read. */
  extents?(call: Call, ref: DataRef, range?: Partial<Range>): AsyncIterable<Extent>;
  /** Extents of `ref` that may differ from the older snapshot `since` (rbd diff). `hole`: now zeros. */
  changes?(call: Call, ref: DataRef, since: SnapshotRef): AsyncIterable<Extent>;
}

/** Who wants the volume, as Cinder's clients send it. */
export interface Connector {
  readonly host: string;
  readonly initiator?: string;
  readonly ip?: string;
  readonly platform?: string;
  readonly os_type?: string;
  readonly multipath?: boolean;
  readonly mountpoint?: string;
  readonly instance?: string;
}

/** Cinder's connection_info, ready for the wire and for the hypervisor drivers. */
export interface ConnectionInfo {
  /**
   * `local`: `data.device_path` is a file or block device on the connector's host, of format `data.format` (`raw` or `qcow2`).
   * `nfs`: `data.export`, `data.name`, `data.options`, `data.format` and the top-level `mount_point_base`.
   */
  readonly driver_volume_type: 'local' | 'nfs' | 'iscsi' | 'rbd' | 'fake';
  readonly data: {
    readonly access_mode: 'rw' | 'ro';
    readonly encrypted: boolean;
    readonly device_path?: string;
    readonly format?: 'raw' | 'qcow2';
    readonly [key: string]: unknown;
  };
  readonly mount_point_base?: string;
}

/** How many bytes a volume has: an encrypted one also a header, so that whoever opens it sees all of its size. */
export const bytesOfVolume = (volume: { readonly sizeGiB: number; readonly luks?: boolean | undefined }): number => volume.sizeGiB * 2 ** 30 + (volume.luks === true ? luksHeaderBytes : 0);
export const bytesOfData = (ref: DataRef): number => ('volume' in ref ? bytesOfVolume({ sizeGiB: ref.sizeGiB, luks: ref.volume.luks }) : bytesOfVolume(ref));

export interface LuksKey {
  readonly passphrase: string;
  /** For a new container. */
  readonly cipher: LuksCipher;
}

/**
 * Volumes whose bytes are a LUKS container: a header of `luksHeaderBytes`, and after it the content, encrypted. Their specs and refs have `luks: true`. Everything else that a driver does
 * with them (data, snapshots, clones, growth, attaching) is about those bytes and needs no key; the copies open with the key of what they were made of.
 */
export interface Encryption {
  /** A new container. What its content reads as is not defined. An existing volume of that name and size is success. */
  create(call: Call, volume: VolumeSpec, key: LuksKey): Promise<Provided>;
  /** The content of encrypted volumes: offsets are without the header. A key that does not open the volume is `invalid`. */
  data(key: LuksKey): Pick<BlockData, 'read' | 'write' | 'zero'>;
}

export interface Attach {
  connect(call: Call, volume: VolumeRef, connector: Connector, options?: { readonly mode?: 'rw' | 'ro' }): Promise<ConnectionInfo>;
  /** `undefined` connector: every host (force detach). Not connected is success. */
  disconnect(call: Call, volume: VolumeRef, connector: Connector | undefined): Promise<void>;
  /** Make connections work again after a restart of the host (iSCSI targets); called at worker start. */
  restore?(call: Call, volume: VolumeRef): Promise<void>;
}

export interface Snapshots {
  /**
   * A frozen copy. `inUse: true` says that somebody may be writing: a driver that can do that crash-consistently does, another
   * throws `busy`; the caller may then stop the writer (pause or freeze the guest) and ask again with `inUse: false`.
   */
  create(call: Call, snapshot: SnapshotRef, options?: { readonly inUse?: boolean }): Promise<Provided>;
  /** `busy` when something depends on it that the driver cannot untie, or when it needs the volume at rest and `inUse` is true. */
  delete(call: Call, snapshot: SnapshotRef, options?: { readonly inUse?: boolean }): Promise<void>;
  /** Put the volume back to its *newest* snapshot, which stays. The volume must be at rest; its size becomes the larger of both. */
  revert?(call: Call, snapshot: SnapshotRef): Promise<void>;
  exists(call: Call, snapshot: SnapshotRef): Promise<boolean>;
}

/** A disk image file on this host whose bytes have passed `@cumulet/diskimage` as that format. */
export interface ImageFile {
  readonly path: string;
  readonly format: 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vhd' | 'vhdx' | 'iso';
}

export interface Images {
  /** A new volume with the image's content, converted as needed. The image's virtual size over `sizeGiB` is `invalid`. */
  fromFile?(call: Call, volume: VolumeSpec, image: ImageFile): Promise<Provided>;
  /** Clone inside the backend. `undefined`: this location cannot be cloned here, use `fromFile` or a stream. */
  fromLocation?(call: Call, volume: VolumeSpec, image: { readonly url: string; readonly format: string }): Promise<Provided | undefined>;
  /** Write the content as an image file; `path` must not exist, and exists only when complete. */
  toFile?(call: Call, ref: DataRef, image: { readonly path: string; readonly format: 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vhd' | 'vhdx' }): Promise<void>;
}

/** `{'source-name': …}` or `{'source-id': …}`, as manage requests carry it. */
export type Reference = Readonly<Record<string, string>>;

export interface Manageable {
  readonly reference: Reference;
  /** Rounded up. */
  readonly sizeGiB: number;
  readonly safe: boolean;
  readonly reason?: string;
  readonly extra?: Readonly<Record<string, unknown>>;
}

export interface Manage {
  /** Everything on the backend that could be a volume, our own included (the caller knows which are already managed by name). */
  list(call: Call): AsyncIterable<Manageable>;
  /** GiB, rounded up; `absent` when there is nothing, `invalid` when the reference is malformed or leads elsewhere. */
  size(call: Call, reference: Reference): Promise<number>;
  /** Rename the object to `volume.name`; already so named is success. */
  adopt(call: Call, volume: VolumeSpec, reference: Reference): Promise<Provided>;
  /** Forget it; data stays where it is. */
  release(call: Call, volume: VolumeRef): Promise<void>;
}

export interface ManageSnapshots {
  list(call: Call): AsyncIterable<Manageable & { readonly source: Reference }>;
  size(call: Call, volume: VolumeRef, reference: Reference): Promise<number>;
  adopt(call: Call, snapshot: SnapshotRef, reference: Reference): Promise<Provided>;
  release(call: Call, snapshot: SnapshotRef): Promise<void>;
}
