import { DETAIL_SIZE, sizeOf, startsWith, type Format } from './format.ts';

const REGION_TABLES = [192 << 10, 256 << 10];
/** GUIDs as they lie on disk (first three fields little-endian). */
const METADATA_REGION = '06a27c8b90479a4bb8fe575f050f886e';
const FILE_PARAMETERS = '3767a1ca36fa434db3b633f0aa44e76b';
const VIRTUAL_SIZE = '2442a52f1bcd7648b2115dbed83bf4b8';
const PARENT_LOCATOR = '2d5fd3a80bb34d45abf7d3d84834ab0c';
const HAS_PARENT = 2;
const MAX_ENTRIES = 2047;

export const vhdx: Format = {
  name: 'vhdx',
  matches: ({ head }) => startsWith(head, 'vhdxfile'),
  detailAt(head) {
    const places = new Set(REGION_TABLES.map((at) => metadataRegion(head, at)));
    const [place] = places;
    return places.size === 1 ? place : undefined;
  },
  read({ detail }) {
    const problems: string[] = [];
    const items = detail ? metadataItems(detail.bytes) : undefined;
    if (!items) return { virtualSize: undefined, problems: ['The VHDX metadata cannot be read.'] };
    const parameters = items.get(FILE_PARAMETERS);
    if (!parameters || parameters.length < 8) problems.push('The VHDX metadata cannot be read.');
    else if (parameters.readUInt32LE(4) & HAS_PARENT) problems.push('The image has a backing file.');
    if (items.has(PARENT_LOCATOR)) problems.push('The image has a backing file.');
    const size = items.get(VIRTUAL_SIZE);
    const virtualSize = size && size.length >= 8 ? sizeOf(size.readBigUInt64LE(0)) : undefined;
    if (virtualSize === undefined) problems.push('The virtual size of the image is out of range.');
    return { virtualSize, problems: [...new Set(problems)] };
  },
};

/** Where a region table says the metadata is; both tables must say the same, for a reader may take either. */
function metadataRegion(head: Buffer, table: number): number | undefined {
  if (!startsWith(head, 'regi', table) || head.length < table + 16) return undefined;
  const count = head.readUInt32LE(table + 8);
  if (count > MAX_ENTRIES) return undefined;
  const places: (number | undefined)[] = [];
  for (let at = table + 16, left = count; left > 0 && at + 32 <= head.length; at += 32, left -= 1) {
    if (head.toString('hex', at, at + 16) === METADATA_REGION) places.push(sizeOf(head.readBigUInt64LE(at + 16)));
  }
  return places.length === 1 ? places[0] : undefined;
}

function metadataItems(bytes: Buffer): Map<string, Buffer> | undefined {
  if (!startsWith(bytes, 'metadata') || bytes.length < 32) return undefined;
  const count = bytes.readUInt16LE(10);
  const items = new Map<string, Buffer>();
  if (count > MAX_ENTRIES) return undefined;
  for (let index = 0; index < count; index += 1) {
    const at = 32 + index * 32;
    if (at + 32 > bytes.length) return undefined;
    const id = bytes.toString('hex', at, at + 16);
    const offset = bytes.readUInt32LE(at + 16);
    const length = bytes.readUInt32LE(at + 20);
    if (items.has(id) || offset + length > DETAIL_SIZE) return undefined;
    items.set(id, bytes.subarray(offset, offset + length));
  }
  return items;
}
