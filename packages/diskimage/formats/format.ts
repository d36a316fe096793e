import type { FoundFormat } from '../contract.ts';

/** What is kept of an image that passes by: never more than this, however large the image. */
export interface Parts {
  /** The first bytes, at most HEAD_SIZE: every header that we read begins here. */
  readonly head: Buffer;
  /** The last bytes, at most TAIL_SIZE. */
  readonly tail: Buffer;
  /** Length of the whole. */
  readonly size: number;
  /** The one further region that the head pointed to. */
  readonly detail: { readonly offset: number; readonly bytes: Buffer } | undefined;
}

/** VHDX keeps its second region table at 256 KiB, the furthest fixed header of any format here. */
export const HEAD_SIZE = 320 << 10;
export const TAIL_SIZE = 4096;
export const DETAIL_SIZE = 128 << 10;

export interface Reading {
  /** Bytes; undefined when the header does not say or lies. */
  readonly virtualSize: number | undefined;
  /** Reasons to refuse, for the user. */
  readonly problems: readonly string[];
}

export interface Format {
  readonly name: Exclude<FoundFormat, 'raw'>;
  /** By signature only; `tail` is empty while the image is still coming. */
  matches(parts: Pick<Parts, 'head' | 'tail'>): boolean;
  /** Where the rest of the metadata is, when it is beyond the head. */
  detailAt?(head: Buffer): number | undefined;
  read(parts: Parts): Reading;
}

/** A size from a 64-bit field; more than a number can hold exactly is no size. */
export const sizeOf = (value: bigint): number | undefined => (value > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(value));

export const startsWith = (bytes: Buffer, signature: Buffer | string, at = 0): boolean => {
  const wanted = typeof signature === 'string' ? Buffer.from(signature, 'latin1') : signature;
  return bytes.length >= at + wanted.length && bytes.subarray(at, at + wanted.length).equals(wanted);
};
