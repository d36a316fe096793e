import { sizeOf, startsWith, type Format, type Parts, type Reading } from './format.ts';

const SECTOR = 512;
const GD_AT_END = 0xffffffffffffffffn;
/** QEMU reads the descriptor of a sparse image here, wherever the header says it is; so it must be here. */
const DESCRIPTOR_AT = SECTOR;
const DESCRIPTOR_READ = 20 * SECTOR;
const DESCRIPTOR_MAX = 128 * SECTOR;
const SAFE_TYPES = new Set(['monolithicsparse', 'streamoptimized']);

/** A text file that names extents anywhere on the host: the header comment, or what QEMU's probe takes for one. */
const TEXT = /^\s*#\s*disk\s*descriptorfile|^(?:#[^\n]*\r?\n|[ \t]*\r?\n)*version\s*=\s*[123]\s*\r?\n/i;

export const vmdk: Format = {
  name: 'vmdk',
  matches: ({ head }) => startsWith(head, 'KDMV') || startsWith(head, 'COWD') || isText(head),
  read(parts) {
    if (isText(parts.head)) return refuse('A VMDK descriptor without its data is not an image.');
    if (startsWith(parts.head, 'COWD')) return refuse('This VMDK subformat is not supported; use monolithicSparse or streamOptimized.');
    return readSparse(parts);
  },
};

const isText = (head: Buffer) => TEXT.test(head.toString('latin1', 0, 2048));
const refuse = (problem: string): Reading => ({ virtualSize: undefined, problems: [problem] });

function readSparse(parts: Parts): Reading {
  const { head } = parts;
  if (head.length < SECTOR) return refuse('The VMDK header is cut off.');
  const problems: string[] = [];
  const sectors = head.readBigUInt64LE(12);
  const descriptorAt = head.readBigUInt64LE(28) * BigInt(SECTOR);
  const descriptorSize = head.readBigUInt64LE(36) * BigInt(SECTOR);
  // Capacity 0 makes QEMU treat the embedded descriptor like a descriptor file, extents with paths included.
  if (sectors === 0n) problems.push('The VMDK has no capacity of its own.');
  if (head.readBigUInt64LE(56) === GD_AT_END && !footerAgrees(parts)) problems.push('The VMDK footer does not agree with its header.');
  if (descriptorAt !== BigInt(DESCRIPTOR_AT) || descriptorSize < BigInt(SECTOR) || descriptorSize > BigInt(DESCRIPTOR_MAX)) {
    problems.push('The VMDK descriptor is not where it must be.');
  }
  const end = DESCRIPTOR_AT + Math.max(Number(descriptorSize > BigInt(DESCRIPTOR_MAX) ? BigInt(DESCRIPTOR_MAX) : descriptorSize), DESCRIPTOR_READ);
  problems.push(...descriptorProblems(head.toString('latin1', DESCRIPTOR_AT, Math.min(end, head.length))));
  const virtualSize = sizeOf(sectors * BigInt(SECTOR));
  if (virtualSize === undefined) problems.push('The virtual size of the image is out of range.');
  return { virtualSize, problems };
}

function descriptorProblems(region: string): string[] {
  const problems: string[] = [];
  const text = region.split('\0', 1)[0] ?? '';
  const type = /^\s*createType\s*=\s*"?([^"\r\n]*)"?/im.exec(text)?.[1]?.trim() ?? '';
  if (!SAFE_TYPES.has(type.toLowerCase())) problems.push(`The VMDK subformat ${JSON.stringify(type.slice(0, 40))} is not supported; use monolithicSparse or streamOptimized.`);
  const extents = text.split(/\r?\n/).filter((line) => /^\s*(RW|RDONLY|NOACCESS)\b/i.test(line));
  const [only] = extents;
  if (extents.length !== 1 || !only || !/^\s*RW\s+\d+\s+SPARSE(?:\s+"[^"/\\]*")?\s*$/i.test(only)) problems.push('The VMDK names extents outside of the image.');
  // QEMU looks for it in the whole region, also behind the first NUL.
  if (/parentFileNameHint/i.test(region)) problems.push('The image has a backing file.');
  const parent = /^\s*parentCID\s*=\s*([0-9a-f]+)/im.exec(text)?.[1];
  if (parent !== undefined && !/^f{8}$/i.test(parent)) problems.push('The image has a backing file.');
  return [...new Set(problems)];
}

/** A stream-optimised image has a second header 1,536 bytes before its end, which QEMU prefers. */
function footerAgrees({ head, tail, size }: Parts): boolean {
  const at = Math.ceil(size / SECTOR) * SECTOR - 3 * SECTOR + SECTOR - (size - tail.length);
  if (at < 0 || tail.length < at + 77 || !startsWith(tail, 'KDMV', at)) return false;
  return tail.subarray(at + 12, at + 20).equals(head.subarray(12, 20)) && tail.subarray(at + 28, at + 44).equals(head.subarray(28, 44));
}
