import { DriverError } from '../errors.ts';

/**
 * Holes of a full backup have to be objects too: upstream's restore writes only what the metadata lists, and into a used volume it must write
 * zeros there. bzip2 packs zeros a million times, upstream unpacks it with Python's own library, and a stream may follow a stream: so
 * an object of zeros is put together from these, each the bzip2 stream of as many zeros as its key says. We never unpack them.
 */
const streams: readonly (readonly [bytes: number, stream: string])[] = [
  [33554432, 'QlpoOTFBWSZTWaIgopoBAQHAAMAAAAggADCAKRtoAgGiAQDi7kinChIURBRTQA=='],
  [16777216, 'QlpoOTFBWSZTWVKFPiUAgIDAAMAAAAggADCAKRoBANIBAOLuSKcKEgpQp8Sg'],
  [8388608, 'QlpoOTFBWSZTWaI9S1gAQEBAgMAAAAQACCAAMMwFKaYBANiAgHi7kinChIUR6lrA'],
  [4194304, 'QlpoOTFBWSZTWVYC4ogAICBIAMAAAAQACCAAMMwFKaYCAbECAeLuSKcKEgrAXFEA'],
  [2097152, 'QlpoOTFBWSZTWX7hkbEAEBBgAMAAAAQACCAAMMwFKaYEA2IIB4u5IpwoSD9wyNiA'],
  [1048576, 'QlpoOTFBWSZTWThXHOUACAhAAMAEAAggADDMBSmmCAbEIB4u5IpwoSBwrjnK'],
  [524288, 'QlpoOTFBWSZTWTVQZq4ABARAAMQAAAggADDMBSmmEA2IgHi7kinChIGqgzVw'],
  [262144, 'QlpoOTFBWSZTWURXcEcAAgRAAMAAAAggADCAKmlFsAWGAcXckU4UJBEV3BHA'],
  [131072, 'QlpoOTFBWSZTWbOzF34AAQHAAMAAAAggADCAKmlWALGAcXckU4UJCzsxd+A='],
  [65536, 'QlpoOTFBWSZTWddx6esAAIDAAMAAAAggADCAKRoBpAOLuSKcKEhruPT1gA=='],
  [32768, 'QlpoOTFBWSZTWWU/+IAAAEBAgMAAAAQACCAAMMwFU2pAKOA8XckU4UJBlP/iAA=='],
  [16384, 'QlpoOTFBWSZTWWFLKtUAACBIAMAAAAQACCAAMMwFU2pAUcDxdyRThQkGFLKtUA=='],
  [8192, 'QlpoOTFBWSZTWSmZLxsAABBgAMAAAAQACCAAMMwFU2pAo4PF3JFOFCQKZkvGwA=='],
  [4096, 'QlpoOTFBWSZTWYgAOOMAAAhAAMAEAAggADDMBVNqQUcPF3JFOFCQiAA44w=='],
  [2048, 'QlpoOTFBWSZTWXldF48AAARAAMQAAAggADDMBVNqQo48XckU4UJB5XRePA=='],
  [1024, 'QlpoOTFBWSZTWXT1rfcAAARAAMAAAAggADCAKmlFrDi7kinChIOnrW+4'],
  [512, 'QlpoOTFBWSZTWR6uVU0AAAHAAMAAAAggADCASeoGri7kinChID1cqpo='],
];
const unpacked = streams.map(([bytes, stream]) => ({ bytes, stream: Buffer.from(stream, 'base64') }));

/** A bzip2 file of `length` zeros, in a few KiB. `length` is a multiple of 512. */
export function packedZeros(length: number): Buffer {
  const pieces: Buffer[] = [];
  let left = length;
  for (const { bytes, stream } of unpacked) for (; left >= bytes; left -= bytes) pieces.push(stream);
  if (left !== 0) throw new DriverError('broken', 'A hole of the volume has an odd length.', { detail: String(length) });
  return Buffer.concat(pieces);
}
