import type { Readable } from 'node:stream';
import type { Call } from '../call.ts';

/**
 * Where image bytes live. A store knows nothing of images: it keeps complete objects under ids.
 * Rules that `imageStoreConformance()` tests: an object is there completely or not at all; every verb can be repeated; a location
 * that leads out of the store is refused (`invalid`); failures are DriverErrors; on abort `signal.reason` is thrown and nothing is left.
 */
export interface ImageStore {
  /** The store's id as in `OpenStack-image-store-ids`. */
  readonly name: string;
  /** The scheme of its locations: `file`, `rbd`, `swift`, `http`, `cinder`. */
  readonly scheme: string;
  check(call: Call): Promise<void>;
  /**
   * Keep the whole stream under `imageId`. Replaces nothing: an object that exists already under that id is `busy`.
   * Chunks of the stream that are lent (`lend`) are given back when their bytes are stored; only one in object mode keeps them as they are.
   * With `size` a stream of another length is `invalid` and leaves nothing. The stream's own error is rethrown as it is.
   * Returns when the bytes are on stable storage.
   */
  put(call: Call, imageId: string, body: Readable, options?: { readonly size?: number }): Promise<Stored>;
  /** `absent` when it is not there. `offset`/`length` in bytes; past the end is `invalid`. */
  get(call: Call, location: string, range?: { readonly offset?: number; readonly length?: number }): Promise<Readable>;
  /** Gone already is success. */
  delete(call: Call, location: string): Promise<void>;
  /** Bytes, or undefined when nothing is there. */
  size(call: Call, location: string): Promise<number | undefined>;
  /** Where the object of this id is or would be: another name, for the verbs here, of what `put` answers. */
  location(imageId: string): string;

  /** Uploads that can go on after a broken connection. */
  readonly uploads?: ResumableUploads;
  /** A path on this host where the bytes can be read directly, for conversion and cloning. Read only. */
  readonly localPath?: (location: string) => string | undefined;
  /** Bytes. */
  readonly free?: (call: Call) => Promise<{ readonly total: number; readonly free: number }>;
  /** Ids of everything in the store, for the reconciler. */
  readonly list?: (call: Call) => AsyncIterable<{ readonly imageId: string; readonly size: number }>;
}

export interface Stored {
  /** The location to keep, e.g. `file:///var/lib/cumulet/images/<id>`. A store that does not choose its names (`cinder`) gives another one than `location()`. */
  readonly url: string;
  /** Bytes. */
  readonly size: number;
}

/** Parts are kept invisibly under the image's id until `finish`. One writer at a time: a second one gets `busy`. */
export interface ResumableUploads {
  /** How many bytes are safe; 0 when nothing was begun. */
  offset(call: Call, imageId: string): Promise<number>;
  /** Append at exactly `offset` (else `invalid`). When the stream breaks, what came is kept and counts in `offset()`. Returns the new offset. */
  append(call: Call, imageId: string, offset: number, body: Readable): Promise<number>;
  /** What has come so far, for hashing and inspection after a restart. */
  read(call: Call, imageId: string): Promise<Readable>;
  /** Publish. Finished already (and the size fits) is success. */
  finish(call: Call, imageId: string, options?: { readonly size?: number }): Promise<Stored>;
  /** Forget the parts. Nothing there is success. */
  discard(call: Call, imageId: string): Promise<void>;
}
