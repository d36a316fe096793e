export const sectorBytes = 512;

export interface Partition {
  /** In sectors. */
  readonly start: number;
  readonly sectors: number;
  /** MBR type: 0x0e FAT16 (LBA), 0x83 Linux. */
  readonly type: number;
  readonly bootable: boolean;
}

/** A master boot record: `bootCode` and up to four primary partitions, addressed by sector number only. */
export function masterBootRecord(bootCode: Uint8Array, partitions: readonly Partition[]): Buffer {
  const record = Buffer.alloc(sectorBytes);
  record.set(bootCode.subarray(0, 440));
  // What the fields for cylinder, head and sector hold when a number does not fit them.
  const beyond = Buffer.from([0xfe, 0xff, 0xff]);
  partitions.forEach((p, i) => {
    const at = 446 + 16 * i;
    record.writeUInt8(p.bootable ? 0x80 : 0, at);
    record.set(beyond, at + 1);
    record.writeUInt8(p.type, at + 4);
    record.set(beyond, at + 5);
    record.writeUInt32LE(p.start, at + 8);
    record.writeUInt32LE(p.sectors, at + 12);
  });
  record.writeUInt16LE(0xaa55, 510);
  return record;
}
