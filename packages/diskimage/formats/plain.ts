import { startsWith, type Format } from './format.ts';

/** Volume descriptors begin at sector 16 of 2,048 bytes. */
export const iso: Format = {
  name: 'iso',
  matches: ({ head }) => startsWith(head, 'CD001', 32_769) || startsWith(head, 'BEA01', 32_769),
  read: ({ size }) => ({ virtualSize: size, problems: [] }),
};

/** An encrypted volume's own format: opaque bytes without the key. */
export const luks: Format = {
  name: 'luks',
  matches: ({ head }) => startsWith(head, Buffer.from('4c554b53babe', 'hex')),
  read: ({ size }) => ({ virtualSize: size, problems: [] }),
};

/** Abandoned upstream, with backing files of its own. */
export const qed: Format = {
  name: 'qed',
  matches: ({ head }) => startsWith(head, 'QED\0'),
  read: () => ({ virtualSize: undefined, problems: ['The QED format is not supported.'] }),
};

/** Parallels, and ploop which shares its header; kept as it is, never opened. */
export const parallels: Format = {
  name: 'parallels',
  matches: ({ head }) => startsWith(head, 'WithoutFreeSpace') || startsWith(head, 'WithouFreSpacExt'),
  read: () => ({ virtualSize: undefined, problems: [] }),
};

/** Of a raw or ISO image; says nothing about safety. */
export function partitionTable(head: Buffer): 'gpt' | 'mbr' | undefined {
  if (startsWith(head, 'EFI PART', 512) || startsWith(head, 'EFI PART', 4096)) return 'gpt';
  if (head.length < 512 || head[510] !== 0x55 || head[511] !== 0xaa) return undefined;
  const entries = [0, 1, 2, 3].map((index) => head.subarray(446 + index * 16, 462 + index * 16));
  const sane = entries.every((entry) => entry[0] === 0 || entry[0] === 0x80);
  return sane && entries.some((entry) => entry[4] !== 0) ? 'mbr' : undefined;
}
