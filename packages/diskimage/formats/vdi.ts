import { sizeOf, type Format } from './format.ts';

const SIGNATURE = 0xbeda107f;
const DYNAMIC = 1;
const STATIC = 2;
const NO_UUID = Buffer.alloc(16);

export const vdi: Format = {
  name: 'vdi',
  matches: ({ head }) => head.length >= 68 && head.readUInt32LE(64) === SIGNATURE,
  read({ head }) {
    if (head.length < 456) return { virtualSize: undefined, problems: ['The VDI header is cut off.'] };
    const problems: string[] = [];
    const type = head.readUInt32LE(76);
    const links = [head.subarray(424, 440), head.subarray(440, 456)];
    if ((type !== DYNAMIC && type !== STATIC) || links.some((uuid) => !uuid.equals(NO_UUID))) problems.push('The image has a backing file.');
    const virtualSize = sizeOf(head.readBigUInt64LE(368));
    if (virtualSize === undefined) problems.push('The virtual size of the image is out of range.');
    return { virtualSize, problems };
  },
};
