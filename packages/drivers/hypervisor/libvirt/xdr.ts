import { DriverError } from '../../errors.ts';

/** XDR (RFC 4506), as much as libvirt's protocol needs: everything is big-endian and padded to four bytes. */
export class XdrWriter {
  readonly #parts: Buffer[] = [];

  u32(value: number): this {
    const b = Buffer.alloc(4);
    b.writeUInt32BE(value >>> 0);
    this.#parts.push(b);
    return this;
  }

  i32(value: number): this {
    const b = Buffer.alloc(4);
    b.writeInt32BE(value);
    this.#parts.push(b);
    return this;
  }

  u64(value: number | bigint): this {
    const b = Buffer.alloc(8);
    b.writeBigUInt64BE(BigInt(value));
    this.#parts.push(b);
    return this;
  }

  /** Fixed length, e.g. a UUID. */
  fixed(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes), Buffer.alloc(padding(bytes.length)));
    return this;
  }

  opaque(bytes: Uint8Array): this {
    return this.u32(bytes.length).fixed(bytes);
  }

  string(value: string): this {
    return this.opaque(Buffer.from(value));
  }

  optionalString(value: string | undefined): this {
    return value === undefined ? this.u32(0) : this.u32(1).string(value);
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** Reads what the daemon sent; a message that is too short throws and never yields garbage. */
export class XdrReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(length: number): number {
    const at = this.#at;
    if (length < 0 || at + length > this.#bytes.length) throw misunderstood('a message is too short');
    this.#at = at + length;
    return at;
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  i32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  /** Counters beyond 2^53 lose their last bits: nobody reads those. */
  u64(): number {
    return Number(this.#bytes.readBigUInt64BE(this.#take(8)));
  }

  i64(): number {
    return Number(this.#bytes.readBigInt64BE(this.#take(8)));
  }

  f64(): number {
    return this.#bytes.readDoubleBE(this.#take(8));
  }

  fixed(length: number): Buffer {
    const at = this.#take(length);
    this.#take(padding(length));
    return this.#bytes.subarray(at, at + length);
  }

  string(): string {
    return this.fixed(this.u32()).toString('utf8');
  }

  optionalString(): string | undefined {
    return this.u32() === 0 ? undefined : this.string();
  }

  array<T>(item: (reader: XdrReader) => T): T[] {
    const length = this.u32();
    // each element takes at least four bytes, so a larger count is nonsense and must not allocate
    if (length > (this.#bytes.length - this.#at) / 4) throw misunderstood('an array is too long');
    return Array.from({ length }, () => item(this));
  }
}

const padding = (length: number): number => (4 - (length % 4)) % 4;

export const misunderstood = (detail: string): DriverError => new DriverError('broken', 'The hypervisor gave an answer that cannot be understood.', { detail });
