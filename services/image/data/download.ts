import { DriverError, giveBack, type Call, type Log } from '@cumulet/drivers';
import { Reply, type Context } from '@cumulet/http';
import { Fault, Forbidden, Unavailable } from '@cumulet/wire';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import type { ImageRow } from '../images/store.ts';
import type { ImageDeps } from '../opened.ts';
import { permit, seen, who } from '../permission.ts';
import { one, readRange, type ByteRange } from './headers.ts';

/** `GET /file`: a stream from the first location that answers. The rule is asked before anything is looked for, cached or not (CVE-2013-4428). */
export async function download(d: ImageDeps, ctx: Context, id: string): Promise<Reply> {
  const image = await seen(d.rt.db, ctx, id);
  if (image.status === 'deactivated' && !who(ctx).isAdmin) throw new Forbidden('The requested image has been deactivated. Image data download is forbidden.');
  permit(ctx, image);
  if (image.locations.length === 0 || image.size === null || (image.status !== 'active' && image.status !== 'deactivated')) return new Reply(204);
  const { headers } = ctx.request;
  const etag = image.os_hash_value === null ? undefined : `"${image.os_hash_value}"`;
  const facts: Record<string, string> = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes', ...(image.checksum === null ? {} : { 'content-md5': image.checksum }), ...(etag === undefined ? {} : { etag }) };
  if (etag !== undefined && one(headers['if-none-match'])?.split(',').some(t => t.trim() === etag || t.trim() === '*')) return new Reply(304, undefined, { etag });
  const current = one(headers['if-range']) === undefined || one(headers['if-range']) === etag;
  const range = current ? readRange(one(headers.range), one(headers['content-range']), image.size) : undefined;
  const status = range === undefined ? 200 : 206;
  const length: Record<string, string> = range === undefined ? { 'content-length': String(image.size) } : { 'content-length': String(range.length), 'content-range': `bytes ${range.offset}-${range.offset + range.length - 1}/${image.size}` };
  // An empty stream, since a reply without a body would be given the length 0.
  if (ctx.request.method === 'HEAD' || image.size === 0) return new Reply(status, Readable.from([]), { ...facts, ...length });
  const call: Call = { taskId: ctx.requestId, signal: ctx.signal, progress() {}, log: ctx.log as unknown as Log };
  const body = await openImage(d, call, image, range);
  return new Reply(status, body, { ...facts, ...length }, giveBack);
}

/** Reads an image, or a range of it, from the first of its locations that gives bytes. */
export async function openImage(d: Pick<ImageDeps, 'stores'>, call: Call, image: Pick<ImageRow, 'id' | 'locations'>, range?: ByteRange): Promise<Readable> {
  let last: unknown;
  for (const location of image.locations) {
    const store = d.stores.of(location);
    if (!store) continue;
    try {
      const body = await store.get(call, location.url, range);
      // It may break again before anybody listens.
      body.on('error', () => undefined);
      // What fails in its beginning is not there either.
      await once(body, 'readable', { signal: call.signal });
      return body;
    } catch (error) {
      call.signal.throwIfAborted();
      call.log.warn({ err: error, image: image.id, store: store.name }, 'a location of the image cannot be read');
      last = error;
    }
  }
  if (last instanceof DriverError && last.kind === 'absent') throw new Fault(204, 'The image data was not found.');
  throw new Unavailable(last === undefined ? `No store of image ${image.id} can be reached.` : `The data of image ${image.id} cannot be read at this time.`, { cause: last, headers: { 'retry-after': '5' } });
}
