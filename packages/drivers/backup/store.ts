import type { Readable } from 'node:stream';
import type { Call } from '../call.ts';
import type { BackupRef, Placement } from './contract.ts';

export interface Entry {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Where the chunked engine keeps its objects: the part that differs between targets. Containers and names come from rows and from metadata
 * that others wrote, so each store refuses (`invalid`) whatever would lead out of it. Failures are DriverErrors.
 */
export interface ObjectStore {
  /** Upstream's class path. */
  readonly service: string;
  readonly serves: (service: string) => boolean;
  place(backup: { readonly id: string; readonly volumeId: string; readonly container: string | null }, now: Date): Placement;
  check(call: Call): Promise<void>;
  /** Make the container when it is not there. */
  prepare(call: Call, container: string): Promise<void>;
  /** Complete under its name or not there. An older one of that name is replaced. On stable storage at the latest after `settle`. */
  put(call: Call, container: string, name: string, bytes: Uint8Array, options?: { /** MD5 of the bytes, hex, when it is known. */ readonly md5?: string }): Promise<void>;
  /** The same for what has no known length and would not fit in memory. */
  putStream(call: Call, container: string, name: string, body: AsyncIterable<Uint8Array>): Promise<void>;
  /** `absent` when it is not there. */
  get(call: Call, container: string, name: string): Promise<{ readonly size: number; readonly body: Readable }>;
  /** Names that begin with the prefix, in the order of their bytes. A container that is not there is empty. */
  list(call: Call, container: string, prefix: string): AsyncIterable<Entry>;
  /** Gone already is success. */
  remove(call: Call, container: string, name: string): Promise<void>;
  /** All that was put in the container is on stable storage when this returns. */
  settle(call: Call, container: string): Promise<void>;
  /** Remove what a killed call left unfinished of the backup. Nobody is at work on it. */
  sweep(call: Call, backup: BackupRef): Promise<void>;
  /** Remove the container if it was made for this backup alone and is empty. */
  leave(call: Call, backup: BackupRef): Promise<void>;
  containers(call: Call): AsyncIterable<string>;
  close(): Promise<void>;
}
