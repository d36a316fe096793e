import { sizeOf, startsWith, type Format } from './format.ts';

const MAGIC = Buffer.from([0x51, 0x46, 0x49, 0xfb]);
const V2_HEADER = 72;
const V3_HEADER = 104;
/** Incompatible feature bits (QEMU docs/interop/qcow2.txt): 0 dirty, 1 corrupt, 2 external data file, 3 compression type, 4 extended L2. */
const CORRUPT = 1n << 1n;
const DATA_FILE = 1n << 2n;
const KNOWN = 0b11111n;
const EXT_END = 0;
const EXT_DATA_FILE = 0x44415441;

export const qcow2: Format = {
  name: 'qcow2',
  matches: ({ head }) => startsWith(head, MAGIC),
  read({ head }) {
    const problems: string[] = [];
    if (head.length < V2_HEADER) return { virtualSize: undefined, problems: ['The qcow2 header is cut off.'] };
    const version = head.readUInt32BE(4);
    if (version !== 2 && version !== 3) return { virtualSize: undefined, problems: [`qcow version ${version} is not supported.`] };
    if (head.readBigUInt64BE(8) !== 0n || head.readUInt32BE(16) !== 0) problems.push('The image has a backing file.');
    const clusterBits = head.readUInt32BE(20);
    if (clusterBits < 9 || clusterBits > 21) problems.push('The qcow2 cluster size is out of range.');
    if (head.readUInt32BE(32) !== 0) problems.push('The image is encrypted.');
    let headerLength = V2_HEADER;
    if (version === 3) {
      if (head.length < V3_HEADER) return { virtualSize: undefined, problems: ['The qcow2 header is cut off.'] };
      const features = head.readBigUInt64BE(72);
      if (features & DATA_FILE) problems.push('The image has an external data file.');
      if (features & CORRUPT) problems.push('The image is marked as corrupt.');
      if (features & ~KNOWN) problems.push('The image needs qcow2 features that are not supported.');
      headerLength = head.readUInt32BE(100);
    }
    if (headerLength < (version === 3 ? V3_HEADER : V2_HEADER)) problems.push('The qcow2 header is malformed.');
    else problems.push(...extensionProblems(head, headerLength, problems));
    const virtualSize = sizeOf(head.readBigUInt64BE(24));
    if (virtualSize === undefined) problems.push('The virtual size of the image is out of range.');
    return { virtualSize, problems: [...new Set(problems)] };
  },
};

function extensionProblems(head: Buffer, from: number, known: readonly string[]): string[] {
  let at = from;
  while (at + 8 <= head.length) {
    const type = head.readUInt32BE(at);
    const length = head.readUInt32BE(at + 4);
    if (type === EXT_END) return [];
    if (type === EXT_DATA_FILE) return ['The image has an external data file.'];
    at += 8 + Math.ceil(length / 8) * 8;
  }
  // With a backing file the extensions may end where its name begins; that is refused already.
  return known.length > 0 ? [] : ['The qcow2 header extensions are malformed.'];
}
