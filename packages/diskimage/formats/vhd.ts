import { sizeOf, startsWith, type Format, type Parts } from './format.ts';

const COOKIE = 'conectix';
const FOOTER = 512;
const FIXED = 2;
const DYNAMIC = 3;

/** Virtual PC: the footer is copied to the front of a dynamic disk; a fixed one has it at the end only. */
export const vhd: Format = {
  name: 'vhd',
  matches: (parts) => startsWith(parts.head, COOKIE) || footerInTail(parts) !== undefined,
  read(parts) {
    const footer = startsWith(parts.head, COOKIE) ? parts.head : footerInTail(parts) ?? parts.head;
    if (footer.length < 64) return { virtualSize: undefined, problems: ['The VHD header is cut off.'] };
    const problems: string[] = [];
    const type = footer.readUInt32BE(60);
    if (type !== FIXED && type !== DYNAMIC) problems.push('The image has a backing file.');
    const virtualSize = sizeOf(footer.readBigUInt64BE(48));
    if (virtualSize === undefined) problems.push('The virtual size of the image is out of range.');
    return { virtualSize, problems };
  },
};

/** Old writers made the footer one byte short. */
function footerInTail({ tail }: Pick<Parts, 'tail'>): Buffer | undefined {
  for (const length of [FOOTER, FOOTER - 1]) {
    if (tail.length >= length && startsWith(tail, COOKIE, tail.length - length)) return tail.subarray(tail.length - length);
  }
  return undefined;
}
