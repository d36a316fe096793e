import type { Readable, Writable } from 'node:stream';
import type { Call } from '../call.ts';
import type { Extent, Range } from '../block/contract.ts';

/**
 * What a backup target does (a Swift account, a directory, an NFS share). It knows nothing of volumes' rows or projects: it keeps
 * backups' objects, in upstream's chunked layout, under the container and prefix that the caller has written down beforehand.
 *
 * Rules that every driver keeps and `backupConformance()` tests:
 * - every verb can be repeated: a backup that was cut short goes on behind the objects that are stored; one that is complete is success;
 *   deleting what is gone is success;
 * - a backup has its `_metadata` object, the last that is written, or it is not one: `backup` returns when everything is on stable storage;
 * - a damaged, missing or foreign object is `invalid` and the message names the object; nothing that a target holds is trusted;
 * - on abort of `call.signal` the call stops and throws `signal.reason`; what was stored stays, for going on or for `delete`;
 * - sizes of volumes are bytes here; memory is at most 256 MiB for each call.
 */
export interface BackupDriver {
  /** The configured target's name. */
  readonly name: string;
  /** Upstream's name of the driver: a record's `service`, an export's `backup_service`. */
  readonly service: string;
  readonly capabilities: Capabilities;
  /** Is an export's `backup_service` this kind of target? Old records name the module, newer ones the class. */
  serves(service: string): boolean;
  /** Is the target there and can it be written? Throws a DriverError that says what is wrong. */
  check(call: Call): Promise<void>;
  /**
   * Where a new backup will lie: to be written in its row *before* `backup` is called, and given back in its ref ever after. Pure.
   * `container`: what the user asked for, or null. `invalid` when it cannot be a container here.
   */
  place(backup: { readonly id: string; readonly volumeId: string; readonly container: string | null }, now: Date): Placement;

  backup(call: Call, job: BackupJob): Promise<BackupDone>;
  restore(call: Call, job: RestoreJob): Promise<RestoreDone>;
  /**
   * All objects under its prefix and, when they are its own, its directories. Gone already is success; what is half written goes too. As upstream's,
   * the prefix decides and not the id: a record may have been imported under another one. The caller knows whether others lead there.
   */
  delete(call: Call, backup: BackupRef): Promise<void>;

  /** For a record's `driver_info`: the hashes of the chain's metadata objects. `chain`: the full backup first, the exported one last. */
  exportRecord(call: Call, chain: readonly BackupRef[]): Promise<DriverInfo>;
  /** Are the objects of an imported record there, and are they the exported ones? `invalid` or `absent` says why not. Reads metadata and sizes, no data. */
  importRecord(call: Call, backup: BackupRef, info: DriverInfo | undefined): Promise<Imported>;
  /** Would it restore? `objects`: everything is there, with the right size and parents; `data`: every byte is read, unpacked and hashed. Throws as `restore` would. */
  verify(call: Call, chain: readonly BackupRef[], options?: { readonly depth?: 'objects' | 'data' }): Promise<Verified>;
  /** Every backup that lies in a container, or anywhere: for rebuilding a catalogue. Damaged ones are told with their `problems`. */
  scan(call: Call, options?: { readonly container?: string }): AsyncIterable<Found>;
  /** Ends its threads and connections. Calls that are under way fail. */
  close(): Promise<void>;
}

export interface Capabilities {
  readonly incremental: boolean;
  /** Force delete while it is being made. */
  readonly forceDelete: boolean;
  /** Names of the algorithms that it can write. */
  readonly compression: readonly Compression[];
  /** The largest object that it writes, and the grain of incremental backups, in bytes. */
  readonly objectBytes: number;
  readonly blockBytes: number;
}

export type Compression = 'none' | 'zlib' | 'zstd';

/** The row's columns of these names. */
export interface Placement {
  readonly container: string;
  /** The prefix of all its objects' names. */
  readonly serviceMetadata: string;
}

export interface BackupRef extends Placement {
  readonly id: string;
  readonly volumeId: string;
  readonly parentId: string | null;
}

/** What is backed up: it must not change while this goes on, nor between a call and its repetition. */
export interface Source {
  readonly bytes: number;
  read(call: Call, range: Range): Promise<Readable>;
  /** All of the range, in order, without gaps; holes are not read. Absent: every byte is read. */
  extents?(call: Call, range: Range): AsyncIterable<Extent>;
  /** Extents that may differ from what the parent holds (rbd diff, thin maps). A driver may then leave all else unread. */
  changes?(call: Call): AsyncIterable<Extent>;
}

/** Where a backup is restored to. One writer is open at a time. */
export interface Target {
  readonly bytes: number;
  /** New: what is not written reads as zeros. */
  readonly fresh: boolean;
  /** `finish` comes when the bytes are on stable storage. */
  write(call: Call, range: { readonly offset: number }): Promise<Writable>;
  zero(call: Call, range: Range): Promise<void>;
}

export interface BackupJob {
  readonly backup: BackupRef;
  readonly source: Source;
  /** The parent of an incremental backup; its id is `backup.parentId`. Its size in bytes must be at least the source's, else `invalid`. */
  readonly parent?: BackupRef;
  /** Of this moment of the volume: parts of an interrupted backup that were made of another are not used. E.g. the temporary snapshot's id. */
  readonly moment: string;
  /** For the metadata object; `createdAt` is the row's. */
  readonly name: string | null;
  readonly description: string | null;
  readonly createdAt: Date;
  /** The JSON of `metadataContainer()`; null: none. */
  readonly volumeMeta: string | null;
  /** Kept beside the backup for `scan`: what a rebuilt row needs (project_id, user_id, data_timestamp, metadata …). Plain JSON, at most 64 KiB. */
  readonly keep?: Readonly<Record<string, unknown>>;
}

export interface BackupDone {
  /** Upstream's `object_count`: data objects only. */
  readonly objectCount: number;
  /** Bytes that were read from the source, and bytes that were written to the target. Less than all when it was resumed. */
  readonly read: number;
  readonly stored: number;
}

export interface RestoreJob {
  /** The full backup first, the one that is wanted last. */
  readonly chain: readonly BackupRef[];
  readonly target: Target;
  /** Where an interrupted restore of the same chain into the same target goes on. */
  readonly from?: Checkpoint;
  /** Told now and then: up to here everything is on stable storage. Small and JSON. */
  readonly checkpoint?: (at: Checkpoint) => Promise<void>;
}

/** `objects` of the chain's member `backupId`, and all of the members before it, are restored. */
export interface Checkpoint {
  readonly backupId: string;
  readonly objects: number;
}

export interface RestoreDone {
  /** Volume metadata containers (`readContainer()`), oldest first, as upstream applies them. */
  readonly volumeMeta: readonly string[];
  readonly read: number;
  readonly written: number;
}

/** A record's `driver_info`: upstream ignores it. */
export interface DriverInfo {
  readonly cumulet?: { readonly chain: readonly ChainLink[] };
}
/** `metadata`: SHA-256, hex, of the backup's metadata object. */
export interface ChainLink {
  readonly id: string;
  readonly metadata: string;
}

export interface Imported {
  readonly objectCount: number;
  /** Of the volume, as far as the target tells it. */
  readonly bytes: number | undefined;
  readonly parentId: string | null;
}

export interface Verified {
  readonly objects: number;
  /** Bytes of data that were read and hashed: 0 for `objects`. */
  readonly read: number;
}

export interface Found extends BackupRef {
  readonly name: string | null;
  readonly description: string | null;
  /** As written by whoever made it; undefined when it is no date. */
  readonly createdAt: Date | undefined;
  readonly objectCount: number;
  /** Of the volume when it was backed up; undefined when nothing tells it. */
  readonly bytes: number | undefined;
  readonly volumeMeta: string | undefined;
  /** What `BackupJob.keep` was. Not to be trusted. */
  readonly keep: Readonly<Record<string, unknown>> | undefined;
  /** SHA-256 of its metadata object. */
  readonly metadata: string;
  /** Why it would not restore, fit for an administrator. Parents that were not found are the caller's to miss. */
  readonly problems: readonly string[];
}
