import { move, tryMove, transaction } from '@cumulet/db';
import { DriverError, type Call, type Log } from '@cumulet/drivers';
import { Reply, type Context } from '@cumulet/http';
import { BadRequest, Conflict, NotFound, TooLarge, UnsupportedMediaType } from '@cumulet/wire';
import { Image, shownStatus } from '../images/states.ts';
import type { ImageRow } from '../images/store.ts';
import { resumablePlan } from '../images/tasks.ts';
import { enforce, room } from '../limits.ts';
import type { ImageDeps } from '../opened.ts';
import { permitOr, seen } from '../permission.ts';
import { fill, needFormats } from './upload.ts';
import { one } from './headers.ts';

/**
 * Resumable uploads, an extension that stock clients never notice:
 *   HEAD  /v2/images/{id}/file/upload                          → 204, Upload-Offset: how many bytes are safe
 *   PATCH /v2/images/{id}/file/upload  Upload-Offset: N        → 204, Upload-Offset: how many are safe now; 409 when N is not where the upload goes on
 *                                      Upload-Complete: ?1     → the last part: the image becomes active as after PUT /file
 *   DELETE /v2/images/{id}/file/upload                         → 204, the parts are forgotten
 * Parts are `application/octet-stream`. Between parts the image is queued; parts that nobody goes on with are forgotten after a day.
 */
const call = (ctx: Context): Call => ({ taskId: ctx.requestId, signal: ctx.signal, progress() {}, log: ctx.log as unknown as Log });

async function find(d: ImageDeps, ctx: Context): Promise<ImageRow> {
  const id = ctx.params['image_id'] as string;
  const image = await seen(d.rt.db, ctx, id);
  permitOr(ctx, image, `Not allowed to upload image data for image ${id}`);
  return image;
}
const uploads = (d: ImageDeps) => {
  const { uploads: parts } = d.stores.staging;
  if (!parts) throw new NotFound('Resumable uploads are not available at this site.');
  return parts;
};
const offsetHeader = (offset: number) => ({ 'upload-offset': String(offset), 'cache-control': 'no-store' });

export async function uploadOffset(d: ImageDeps, ctx: Context): Promise<Reply> {
  const image = await find(d, ctx);
  return new Reply(204, undefined, offsetHeader(await uploads(d).offset(call(ctx), image.id)));
}

export async function appendPart(d: ImageDeps, ctx: Context): Promise<Reply> {
  const image = await find(d, ctx);
  needFormats(image);
  const given = one(ctx.request.headers['upload-offset']);
  if (given === undefined || !/^\d{1,16}$/.test(given)) throw new BadRequest('The header Upload-Offset says where the part begins.');
  const complete = one(ctx.request.headers['upload-complete']) === '?1';
  const { db, settings } = d.rt;
  await enforce(db, settings, image.owner ?? '', ['image_size_total', 'image_stage_total'], 'before');
  const parts = uploads(d);
  const at = await parts.offset(call(ctx), image.id);
  if (Number(given) !== at) throw new Conflict(`The upload goes on at byte ${at}.`, { headers: offsetHeader(at) });
  const most = await room(db, settings, image.owner ?? '');
  const length = Number(one(ctx.request.headers['content-length']) ?? 0);
  if (at + length > most) throw new BadRequest('The incoming image is too large: The provided image is too large.');
  const by = { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId };
  // One part at a time: the image is held while bytes come. If this process dies what came stays, and the image is queued again.
  const { held } = await d.holder.hold(resumablePlan, { imageId: image.id }, { queue: 'image', resource: { type: 'image', id: image.id }, by }, (trx, task) => move(trx, Image, image.id, {
    from: ['queued'], to: 'staging', task, refused: row => new Conflict(`Image status transition from ${shownStatus(row.status as never)} to saving is not allowed`), absent: () => new NotFound(`No image found with ID ${image.id}`),
  }));
  const rest = (state: 'done' | 'failed', message = '') => held.end(state === 'done' ? { state } : { state, message }, async trx => {
    await tryMove(trx, Image, image.id, { from: ['staging'], to: 'queued', heldBy: held.taskId });
    await trx('images').where({ id: image.id }).update({ parts_at: trx.fn.now() });
  });
  let end: number;
  try {
    end = await parts.append({ ...call(ctx), taskId: held.taskId, signal: AbortSignal.any([held.signal, ctx.signal]) }, image.id, at, ctx.stream());
    await rest('done');
  } catch (error) {
    await rest('failed', 'The part broke off.').catch(() => held.abandon());
    if (error instanceof DriverError && error.kind === 'busy') throw new Conflict(error.message);
    throw new BadRequest('The part broke off; what came is kept.', { cause: error });
  }
  if (end > most) { await parts.discard(call(ctx), image.id); throw new BadRequest('The incoming image is too large: The provided image is too large.'); }
  if (complete) {
    try { await fill(d, { body: await parts.read(call(ctx), image.id), size: end, by, signal: ctx.signal, log: ctx.log }, { ...image, status: 'queued' }, d.stores.default); } catch (error) {
      // Content that was refused will not become better; anything else may be tried again with an empty last part.
      if (error instanceof UnsupportedMediaType || error instanceof TooLarge) await forget(d, ctx, image.id);
      throw error;
    }
    await forget(d, ctx, image.id);
  }
  return new Reply(204, undefined, offsetHeader(end));
}

export async function discardParts(d: ImageDeps, ctx: Context): Promise<void> {
  const image = await find(d, ctx);
  if (image.status !== 'queued' && image.status !== 'active') throw new Conflict(`Image ${image.id} is ${shownStatus(image.status)}.`);
  await forget(d, ctx, image.id);
}
async function forget(d: ImageDeps, ctx: Context, id: string): Promise<void> {
  await uploads(d).discard(call(ctx), id);
  await transaction(d.rt.db, trx => trx('images').where({ id }).update({ parts_at: null }));
}
