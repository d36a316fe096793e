import type { Call } from '../../call.ts';
import type { Target } from '../../sparse.ts';
import type { ImageFile, Range } from '../contract.ts';
import type { Readable } from 'node:stream';

/** A volume's file in one format. Paths are absolute; `temporary` files are in `.tmp` of the same folder and not yet anybody's. */
export interface Disk {
  readonly format: 'raw' | 'qcow2';
  /** The virtual size in bytes. */
  size(path: string): Promise<number>;
  /** New and empty, synced. */
  create(call: Call, temporary: string, bytes: number): Promise<void>;
  /** Larger, never smaller; synced. */
  grow(call: Call, path: string, bytes: number): Promise<void>;
  /** An independent copy of at least `bytes`, synced. `inUse`: all of one moment, or `busy`. */
  copy(call: Call, from: string, temporary: string, options: { readonly bytes?: number; readonly inUse?: boolean }): Promise<void>;
  /** The content of an image file that the caller has from somebody; refused when it is unsafe or larger than `bytes`. */
  load(call: Call, image: ImageFile, temporary: string, bytes: number): Promise<void>;
  read(call: Call, path: string, range: Range): Promise<Readable>;
  /** For `sparseWritable`. */
  target(call: Call, path: string): Promise<Target>;
  zero(call: Call, path: string, range: Range): Promise<void>;

  /** Freeze the volume's file as `snapshot` (a name in the same folder that does not exist or is left from a try that was cut short). */
  snapshot(call: Call, volume: string, snapshot: string, temporary: string, inUse: boolean): Promise<void>;
  /** Delete a snapshot, or go on where that was cut short; what depends on it keeps its content. `others`: all other files of the volume. */
  discard(call: Call, snapshot: string, others: readonly string[], inUse: boolean): Promise<void>;
  /** A file with the content of `snapshot`, to take the volume's place. */
  revert(call: Call, volume: string, snapshot: string, temporary: string, bytes: number): Promise<void>;
  /** Point whatever of `others` depends on `from` to `to`, which is the same file under another name. */
  renamed(call: Call, from: string, to: string, others: readonly string[]): Promise<void>;
}
