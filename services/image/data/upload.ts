import { UnsafeImage } from '@cumulet/diskimage';
import { DriverError, type Call, type Log } from '@cumulet/drivers';
import type { ImageStore } from '@cumulet/drivers/imagestore';
import type { Context } from '@cumulet/http';
import { move, tryMove } from '@cumulet/db';
import { Cancelled, LostLease, type Held } from '@cumulet/tasks';
import { BadRequest, Conflict, Fault, Gone, NotFound, TooLarge, Unavailable, UnsupportedMediaType } from '@cumulet/wire';
import { one } from './headers.ts';
import { enforce, room } from '../limits.ts';
import type { ImageDeps } from '../opened.ts';
import { permit, permitOr, seen } from '../permission.ts';
import { uploadPlan } from '../images/tasks.ts';
import { Image, shownStatus } from '../images/states.ts';
import { columns, type ImageRow } from '../images/store.ts';
import { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { BrokenBody, ingest, TooMuch, type Ingested } from './ingest.ts';

/** `PUT /file`: into a store; the image becomes active. */
export async function upload(d: ImageDeps, ctx: Context, id: string): Promise<void> {
  const named = one(ctx.request.headers['x-image-meta-store']);
  const image = await seen(d.rt.db, ctx, id);
  permitOr(ctx, image, `Not allowed to upload image data for image ${id}`);
  const store = named === undefined ? d.stores.default : d.stores.byId(named);
  if (!store) throw new BadRequest(`Unknown scheme '${named}' found in URI`);
  await fill(d, arriving(ctx), image, store);
}

/** Fills a queued image from a stream: active afterwards. */
export async function fill(d: ImageDeps, from: Arriving, image: ImageRow, store: ImageStore): Promise<void> {
  needFormats(image);
  await receive(d, from, image, { status: 'saving', store, strict: d.rt.settings.image.requireFormatMatch }, async (trx, held, got) => {
    await move(trx, Image, image.id, {
      from: ['saving'], to: 'active', heldBy: held.taskId,
      set: columns({ size: got.size, virtual_size: got.virtualSize, checksum: got.checksum, os_hash_algo: 'sha512', os_hash_value: got.hash, locations: [{ url: got.url, metadata: { store: store.name } }] }),
    });
  });
}

/** `PUT /stage`: into the staging area, judged when it is imported; the image waits in `uploading`. */
export async function stage(d: ImageDeps, ctx: Context, id: string): Promise<void> {
  if (!d.rt.settings.image.importMethods.includes('glance-direct')) throw new NotFound("'glance-direct' method is not available at this site.");
  const image = await seen(d.rt.db, ctx, id);
  permit(ctx, image);
  await receive(d, arriving(ctx), image, { status: 'staging', store: d.stores.staging, strict: false }, async (trx, held, got) => {
    await move(trx, Image, image.id, { from: ['staging'], to: 'uploading', heldBy: held.taskId, set: { staged_size: got.size } });
  });
}

export function needFormats(image: Pick<ImageRow, 'disk_format' | 'container_format'>): void {
  const missing = (['disk_format', 'container_format'] as const).filter(k => image[k] === null);
  if (missing.length > 0) throw new BadRequest(`${missing.length > 1 ? 'Properties' : 'Property'} ${missing.join(', ')} must be set prior to saving data.`);
}

interface Target { readonly status: 'saving' | 'staging'; readonly store: ImageStore; readonly strict: boolean }
type Finish = (trx: Parameters<Parameters<Held['end']>[1]>[0], held: Held, got: Ingested) => Promise<void>;
/** Bytes on their way to us. */
export interface Arriving {
  readonly body: Readable;
  /** Its chunks are nobody else's. */
  readonly own?: boolean;
  /** Bytes, when the sender said so. */
  readonly size?: number | undefined;
  readonly by: { readonly projectId?: string | undefined; readonly userId?: string | undefined; readonly requestId?: string | undefined };
  /** Aborted when the sender goes away. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}
function arriving(ctx: Context): Arriving {
  const length = one(ctx.request.headers['content-length']);
  const body = ctx.stream();
  return { body, own: body instanceof IncomingMessage, size: length === undefined ? undefined : Number(length), by: { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId }, signal: ctx.signal, log: ctx.log };
}

/**
 * Takes bytes for an image. While they come the image is held by a task that this process keeps alive; if the process dies, a worker cleans up. If the
 * upload breaks, nothing stays and the image is queued. If the image is deleted meanwhile, the bytes go and the answer is 410.
 */
async function receive(d: ImageDeps, from: Arriving, image: ImageRow, to: Target, finish: Finish): Promise<void> {
  const { db, settings } = d.rt;
  const project = image.owner ?? '';
  const staging = to.status === 'staging';
  await enforce(db, settings, project, [staging ? 'image_stage_total' : 'image_size_total'], 'before');
  const most = await room(db, settings, project);
  const { size } = from;
  if (size !== undefined && size > most) throw new TooLarge(`The incoming image is too large: ${new TooMuch().message}`);
  const { held } = await d.holder.hold(uploadPlan, { imageId: image.id, store: staging ? null : to.store.name }, { queue: 'image', resource: { type: 'image', id: image.id }, by: from.by }, async (trx, task) => {
    await move(trx, Image, image.id, {
      from: ['queued'], to: to.status, task, absent: () => new NotFound(`No image found with ID ${image.id}`),
      refused: row => new Conflict(`Image status transition from ${shownStatus(row.status as never)} to ${staging ? 'uploading' : 'saving'} is not allowed`),
    });
    await enforce(trx, settings, project, ['image_count_uploading']);
  });
  const call: Call = { taskId: held.taskId, signal: AbortSignal.any([held.signal, from.signal]), progress: (done, total) => held.progress(done, total), log: from.log as unknown as Log };
  let got: Ingested | undefined;
  try {
    // What a process that died left under this id would be in the way.
    await to.store.delete(call, to.store.location(image.id));
    got = await ingest(d.hashing, call, to.store, image.id, from.body, {
      ...(size === undefined ? {} : { size }), most, own: from.own ?? false, ...(staging ? {} : { format: { disk: image.disk_format as string, container: image.container_format as string }, strict: to.strict }),
    });
    const stored = got;
    await held.end({ state: 'done' }, trx => finish(trx, held, stored));
  } catch (error) {
    const why = explainFailure(error, held.signal.reason ?? (from.signal.aborted ? new BrokenBody() : undefined), image.id);
    await giveUp(d, held, to.store, image.id, got !== undefined, why);
    throw why;
  }
}

/** Nothing stays, the image is queued. When even that fails the task's lease ends and a worker does it. */
async function giveUp(d: ImageDeps, held: Held, store: ImageStore, imageId: string, stored: boolean, why: Error): Promise<void> {
  try {
    const state = why instanceof Gone ? 'cancelled' : 'failed';
    if (stored) await store.delete({ taskId: held.taskId, signal: AbortSignal.timeout(60_000), progress() {}, log: d.rt.log as unknown as Log }, store.location(imageId));
    await held.end({ state, message: why.message }, async trx => {
      await tryMove(trx, Image, imageId, { from: ['saving', 'staging'], to: 'queued', heldBy: held.taskId, set: { size: null, staged_size: null, virtual_size: null } });
    });
  } catch (error) {
    if (error instanceof LostLease) return;
    d.rt.log.warn({ err: error, image: imageId }, 'a broken upload is left to a worker');
    await held.abandon().catch((e: unknown) => d.rt.log.warn({ err: e, image: imageId }, 'the task of a broken upload could not be let go; its lease will end'));
  }
}

function explainFailure(error: unknown, stopped: unknown, id: string): Error {
  if (stopped instanceof Cancelled || stopped instanceof LostLease || error instanceof LostLease || error instanceof Conflict || error instanceof NotFound) {
    return new Gone(`Image ${id} could not be found after upload. The image may have been deleted during the upload, cleaning up the chunks uploaded.`);
  }
  if (error instanceof Fault) return error;
  if (error instanceof UnsafeImage) return new UnsupportedMediaType(error.message);
  if (error instanceof TooMuch) return new TooLarge(`The incoming image is too large: ${error.message}`);
  if (error instanceof BrokenBody || stopped instanceof BrokenBody || (error as NodeJS.ErrnoException).code === 'ECONNRESET') return new BadRequest(new BrokenBody().message);
  if (error instanceof DriverError) {
    if (error.kind === 'full') return new TooLarge(`Image storage media is full: ${error.message}`);
    if (error.kind === 'invalid') return new BadRequest(error.message);
    return new Unavailable(`Image storage media cannot be used: ${error.message}`, { headers: { 'retry-after': '5' } });
  }
  return error as Error;
}
