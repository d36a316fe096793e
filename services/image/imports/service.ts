import { move, transaction } from '@cumulet/db';
import { passesFilter } from '@cumulet/fetch';
import type { Context } from '@cumulet/http';
import { BadRequest, bare, Conflict, isUuidLike, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { one } from '../data/headers.ts';
import { columns } from '../images/store.ts';
import { Image } from '../images/states.ts';
import { enforce } from '../limits.ts';
import type { ImageDeps } from '../opened.ts';
import { permit, seen, who, type SeenImage } from '../permission.ts';
import type { ImportInput } from './input.ts';
import { remoteImage } from './remote.ts';
import { importPlan } from './tasks.ts';

type Method = ImportInput['method'];
interface Request { readonly method: { readonly name: Method; readonly uri?: unknown; readonly glance_image_id?: unknown; readonly glance_region?: unknown; readonly glance_service_interface?: unknown }; readonly stores?: unknown; readonly all_stores?: unknown; readonly all_stores_must_succeed?: unknown }

function readRequest(d: ImageDeps, body: unknown): Request {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new BadRequest('Body expected in request.');
  const { method, all_stores, all_stores_must_succeed } = body as Record<string, unknown>;
  if (typeof method !== 'object' || method === null) throw new BadRequest("Import request requires a 'method' field.");
  if (!('name' in method)) throw new BadRequest("Import request requires a 'name' field.");
  if (!(d.rt.settings.image.importMethods as readonly unknown[]).includes(method.name)) throw new BadRequest(`Unknown import method name '${bare(method.name)}'.`);
  for (const [name, value] of [['all_stores_must_succeed', all_stores_must_succeed], ['all_stores', all_stores]] as const) if (value !== undefined && typeof value !== 'boolean') throw new BadRequest(`'${name}' must be boolean value only`);
  return body as Request;
}

/** Checks in upstream's order; then the image is `importing`, held by the task (or, for a copy, stays active with the copy's task beside it). */
export async function startImport(d: ImageDeps, ctx: Context, id: string): Promise<void> {
  const asked = readRequest(d, ctx.body);
  const { name, uri } = asked.method;
  const header = one(ctx.request.headers['x-image-meta-store']);
  await transaction(d.rt.db, async trx => {
    const image = await seen(trx, ctx, id, undefined, 'for update');
    await enforce(trx, d.rt.settings, image.owner ?? '', ['image_size_total'], 'before');
    checkState(image, name);
    if (name === 'glance-download') checkRemote(asked);
    permit(ctx, image, name === 'copy-image' ? 'copy_image' : 'modify_image');
    if (image.copy_task_id !== null || image.task_id !== null) throw new Conflict(`New operation on image '${id}' is not permitted as prior operation is still in progress`);
    let stores = chosenStores(d, asked, header);
    if (name === 'copy-image') {
      const there = new Set(image.locations.map(l => l.metadata['store']));
      const twice = stores.find(s => there.has(s));
      if (twice !== undefined && asked.all_stores !== true) throw new BadRequest(`Image is already present at store '${twice}'`);
      stores = stores.filter(s => !there.has(s));
      if (stores.length === 0) return;
    }
    if (name === 'web-download' && (typeof uri !== 'string' || !passesFilter(uri, d.rt.settings.image.fetch))) throw new BadRequest(`URI for web-download does not pass filtering: ${bare(uri)}`);
    const { injectProperties } = d.rt.settings.image.import;
    await beginImport(d, trx, image, {
      imageId: image.id, method: name, stores, allMustSucceed: asked.all_stores_must_succeed !== false, shown: { image_id: image.id, import_req: asked, backend: stores },
      ...(typeof uri === 'string' && name === 'web-download' ? { uri } : {}), ...(name === 'glance-download' ? { remote: remoteImage(d, ctx, image.id, asked.method) } : {}),
      ...(Object.keys(injectProperties).length > 0 && name !== 'copy-image' && !who(ctx).isAdmin ? { inject: injectProperties } : {}),
    }, { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId });
  });
}

export async function beginImport(d: Pick<ImageDeps, 'rt'>, trx: Knex.Transaction, image: Pick<SeenImage, 'id'>, input: ImportInput, by: { projectId?: string | undefined; userId?: string | undefined; requestId?: string | undefined }): Promise<string> {
  const task = await d.rt.tasks.enqueue(trx, importPlan, input, { queue: 'image', resource: { type: 'image', id: image.id }, by });
  const import_state = { importing: input.stores, failed: [] };
  if (input.method === 'copy-image') await trx('images').where({ id: image.id }).update({ copy_task_id: task, ...columns({ import_state }) });
  else await move(trx, Image, image.id, { from: ['queued', 'uploading'], to: 'importing', task, set: columns({ import_state }), absent: () => new NotFound(`No image found with ID ${image.id}`) });
  return task;
}

function checkState(image: SeenImage, name: Method): void {
  const status = image.status === 'staging' ? 'uploading' : image.status;
  if (status === 'active' && name !== 'copy-image') throw new Conflict('Image with status active cannot be target for import');
  if (status !== 'active' && name === 'copy-image') throw new Conflict('Only images with status active can be targeted for copying');
  if (status === 'importing') throw new Conflict(`New operation on image '${image.id}' is not permitted as prior operation is still in progress`);
  if (status !== 'queued' && (name === 'web-download' || name === 'glance-download')) throw new Conflict(`Image needs to be in 'queued' state to use '${name}' method`);
  if (image.status !== 'uploading' && name === 'glance-direct') throw new Conflict("Image needs to be staged before 'glance-direct' method can be used");
  if (image.container_format === null) throw new Conflict("'container_format' needs to be set before import");
  if (image.disk_format === null) throw new Conflict("'disk_format' needs to be set before import");
}
function checkRemote({ method }: Request): void {
  if (method.glance_region === undefined) throw new BadRequest("'glance_region' needs to be set for glance-download import method");
  if (method.glance_image_id === undefined) throw new BadRequest("'glance_image_id' needs to be set for glance-download import method");
  if (!isUuidLike(method.glance_image_id)) throw new BadRequest(`Remote image id does not look like a UUID: ${bare(method.glance_image_id)}`);
}
function chosenStores(d: ImageDeps, asked: Request, header: string | undefined): string[] {
  if (asked.all_stores === true) {
    if (asked.stores !== undefined || header !== undefined) throw new BadRequest("All_stores parameter can't be used with x-image-meta-store header or stores parameter");
    return d.stores.ids.filter(id => d.stores.byId(id)?.scheme !== 'http');
  }
  if (asked.stores !== undefined && header !== undefined) throw new BadRequest("Stores parameter and x-image-meta-store header can't be both specified");
  if (asked.stores !== undefined && !(Array.isArray(asked.stores) && asked.stores.every(s => typeof s === 'string'))) throw new BadRequest("'stores' must be a list of store ids");
  const stores = [...new Set(asked.stores as string[] | undefined ?? (header === undefined ? [] : [header]))];
  for (const s of stores) if (!d.stores.byId(s)) throw new Conflict(`Unknown scheme '${s}' found in URI`);
  return stores.length > 0 ? stores : [d.stores.default.name];
}
