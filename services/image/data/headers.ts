import { RangeNotSatisfiable } from '@cumulet/wire';

/** A header that may have been sent more than once: the first. */
export const one = (header: string | string[] | undefined): string | undefined => (Array.isArray(header) ? header[0] : header);

export interface ByteRange { readonly offset: number; readonly length: number }

/**
 * `Range: bytes=0-99`, `bytes=100-`, `bytes=-100`; also `Content-Range: bytes 0-99/*`, which old clients of glance put into requests. Undefined
 * without one; several ranges at once, and any that starts behind the end, are 416.
 */
export function readRange(range: string | undefined, contentRange: string | undefined, size: number): ByteRange | undefined {
  const refuse = () => new RangeNotSatisfiable(`The byte range passed in the 'Range' header did not match any available byte range in the current file.`, { headers: { 'content-range': `bytes */${size}` } });
  if (range !== undefined) {
    const m = /^bytes=(\d*)-(\d*)$/.exec(range.trim());
    if (!m || (m[1] === '' && m[2] === '')) throw refuse();
    if (m[1] === '') {
      const last = Math.min(Number(m[2]), size);
      if (last === 0) throw refuse();
      return { offset: size - last, length: last };
    }
    const offset = Number(m[1]);
    const end = m[2] === '' ? size - 1 : Math.min(Number(m[2]), size - 1);
    if (offset >= size || end < offset) throw refuse();
    return { offset, length: end - offset + 1 };
  }
  if (contentRange !== undefined) {
    const m = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(contentRange.trim());
    if (!m || Number(m[1]) >= size || Number(m[2]) < Number(m[1])) throw refuse();
    const end = Math.min(Number(m[2]), size - 1);
    return { offset: Number(m[1]), length: end - Number(m[1]) + 1 };
  }
  return undefined;
}
