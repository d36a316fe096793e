/** What the bytes say, whatever the name says. */
export type FoundFormat = 'raw' | 'qcow2' | 'vmdk' | 'vhd' | 'vhdx' | 'vdi' | 'qed' | 'luks' | 'iso' | 'parallels';

/** Formats that convert, create, resize and info take; `qemu-img` calls vhd `vpc`, and an iso is read as raw. */
export type DiskFormat = 'raw' | 'qcow2' | 'vmdk' | 'vhd' | 'vhdx' | 'vdi' | 'iso';

export interface Found {
  readonly format: FoundFormat;
  /** Every format whose signature is present; more than one is a polyglot (iso with a partition table is not one). */
  readonly formats: readonly FoundFormat[];
  /** Bytes that a guest would see; for raw and iso the length of the data. Undefined when the header does not say. */
  readonly virtualSize: number | undefined;
  /** Bytes that were seen. */
  readonly actualSize: number;
  readonly partitionTable: 'gpt' | 'mbr' | undefined;
  /** Why this image must not be opened, in words for the user; empty when it is harmless. */
  readonly problems: readonly string[];
}
