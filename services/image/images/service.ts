import { move, transaction } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Conflict, Fault, Forbidden, newId, NotFound, TooLarge } from '@cumulet/wire';
import type { Knex } from 'knex';
import { enforce } from '../limits.ts';
import type { ImageDeps } from '../opened.ts';
import { imageTarget, permit, seen, who, type SeenImage } from '../permission.ts';
import { changeLocations } from '../locations/service.ts';
import type { Change } from './patch.ts';
import { base, disallowed, readOnlyNames, reserved, reservedPrefix, type ImageInput } from './schemas.ts';
import { Image } from './states.ts';
import { insertImage, updateImage, type ImageRow, type Visibility } from './store.ts';
import { deletePlan } from './tasks.ts';

/** Who may write what visibility has rules of its own. */
function permitVisibility(ctx: Context, target: Record<string, unknown>, visibility: unknown): void {
  if (visibility === 'public') ctx.require('publicize_image', target);
  if (visibility === 'community') ctx.require('communitize_image', target);
}

export async function createImage(d: ImageDeps, ctx: Context<ImageInput>): Promise<ImageRow> {
  const { body } = ctx;
  for (const name of disallowed) if (name in body) throw new Forbidden(`Attribute '${name}' is read-only.`);
  const properties: Record<string, string> = {};
  for (const [key, value] of Object.entries(body)) {
    if (base.has(key) && key !== 'locations') continue;
    if (key.length > 255) throw new BadRequest('Custom property should not be greater than 255 characters.');
    if (key === 'locations' || reserved.has(key) || key.startsWith(reservedPrefix)) throw new Forbidden(`Attribute '${key}' is reserved.`);
    if (value !== null) properties[key] = String(value);
  }
  for (const key of Object.keys(body)) if (key !== 'id' && readOnlyNames.has(key)) throw new Forbidden(`Attribute '${key}' is read-only.`);
  const owner = body.owner === undefined ? ctx.caller.projectId ?? null : body.owner;
  const visibility: Visibility = body.visibility ?? 'shared';
  const target = { project_id: owner, owner, visibility };
  try { ctx.permit(target); } catch (error) {
    if (error instanceof Fault && error.status === 403 && owner !== (ctx.caller.projectId ?? null)) throw new Forbidden(`You are not permitted to create images owned by '${owner}'.`);
    throw error;
  }
  permitVisibility(ctx, target, visibility);
  const tags = [...new Set(body.tags ?? [])];
  checkCounts(d, properties, tags);
  checkMinimum('min_disk', body.min_disk);
  checkMinimum('min_ram', body.min_ram);
  const id = (body.id ?? newId()).toLowerCase();
  return transaction(d.rt.db, async trx => {
    const row = await insertImage(trx, {
      id, name: body.name ?? null, visibility, owner, protected: body.protected ?? false, os_hidden: body.os_hidden ?? false, disk_format: body.disk_format ?? null, container_format: body.container_format ?? null,
      min_disk: body.min_disk ?? 0, min_ram: body.min_ram ?? 0, properties, tags,
    });
    if (!row) throw new Conflict(`Image ID ${id} already exists!`);
    await enforce(trx, d.rt.settings, owner ?? '', ['image_count_total']);
    return row;
  });
}

const checkMinimum = (name: string, value: unknown) => { if (typeof value === 'number' && value < 0) throw new BadRequest(`Invalid value '${value}' for parameter '${name}': Cannot be a negative value`); };
function checkCounts({ rt }: ImageDeps, properties: object, tags: readonly string[]): void {
  const over = (what: string, attempted: number, maximum: number) => { if (maximum >= 0 && attempted > maximum) throw new TooLarge(`The limit has been exceeded on the number of allowed image ${what}. Attempted: ${attempted}, Maximum: ${maximum}`); };
  over('properties', Object.keys(properties).length, rt.settings.image.propertyQuota);
  over('tags', tags.length, rt.settings.image.tagQuota);
}

/** Applies a patch, whole or not at all. */
export async function changeImage(d: ImageDeps, ctx: Context, id: string, changes: readonly Change[]): Promise<SeenImage> {
  return transaction(d.rt.db, async trx => {
    let image = await seen(trx, ctx, id, undefined, 'for update');
    const before = image;
    if (changes.length === 0) permit(ctx, image);
    for (const change of changes) {
      if (change.path[0] === 'locations') image = await changeLocations(d, ctx, trx, image, change);
      else image = { ...image, ...apply(ctx, image, change) };
    }
    checkCounts(d, image.properties, image.tags);
    if (changes.every(c => c.path[0] === 'locations')) return image;
    if (image.owner !== before.owner) await enforceAfterMove(d, trx, image);
    const { name, visibility, owner, os_hidden, disk_format, container_format, min_disk, min_ram, properties, tags } = image;
    return { ...image, ...await updateImage(trx, id, { name, visibility, owner, os_hidden, protected: image.protected, disk_format, container_format, min_disk, min_ram, properties, tags }) };
  });
}
const enforceAfterMove = (d: ImageDeps, trx: Knex.Transaction, image: ImageRow) => enforce(trx, d.rt.settings, image.owner ?? '', ['image_count_total']);

function apply(ctx: Context, image: SeenImage, { op, path: [name], value, draft }: Change): Partial<ImageRow> {
  if (name === 'owner' && op !== 'remove' && !who(ctx).isAdmin && value !== image.owner) throw new Forbidden("Owner can't be updated by non admin.");
  if (name === 'visibility' && op !== 'remove') permitVisibility(ctx, { ...imageTarget(image), visibility: value }, value);
  permit(ctx, image);
  if (base.has(name)) {
    if (op === 'remove') throw new Forbidden(`Property ${name} may not be removed.`);
    if (op === 'add' && draft === 4) throw new Conflict(`Property ${name} already present.`);
    if ((name === 'disk_format' || name === 'container_format') && image.status !== 'queued' && value !== image[name]) throw new Forbidden(`Attribute ${name} can be only replaced for a queued image.`);
    checkMinimum(name, name.startsWith('min_') ? value : undefined);
    return { [name]: name === 'tags' ? [...new Set(value as string[])] : value };
  }
  const there = Object.hasOwn(image.properties, name);
  if (op === 'add') {
    if (there && draft === 4) throw new Conflict(`Property ${name} already present.`);
    return { properties: { ...image.properties, [name]: String(value) } };
  }
  if (!there) throw new Conflict(`Property ${name} does not exist.`);
  const { [name]: _, ...rest } = image.properties;
  return { properties: op === 'remove' ? rest : { ...rest, [name]: String(value) } };
}

/** The image is gone for everybody at once; its bytes go with a task that first ends what is under way on it. */
export async function deleteImage(d: ImageDeps, ctx: Context, id: string): Promise<void> {
  await transaction(d.rt.db, async trx => {
    const image = await seen(trx, ctx, id, i => `Failed to find image ${i} to delete`);
    permit(ctx, image);
    if (image.protected) throw new Forbidden(`Image ${id} is protected and cannot be deleted.`);
    await beginDelete(d, trx, image.id, { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId });
  });
}

/** Whoever is at work on the image is told to stop; the deletion waits for them in the image's lane. */
export async function beginDelete(d: Pick<ImageDeps, 'rt'>, trx: Knex.Transaction, id: string, by: { projectId?: string | undefined; userId?: string | undefined; requestId?: string | undefined }): Promise<void> {
  await d.rt.tasks.supersede(trx, `image/${id}`);
  const task = await d.rt.tasks.enqueue(trx, deletePlan, { imageId: id }, { queue: 'image', resource: { type: 'image', id }, by });
  await move(trx, Image, id, {
    from: ['queued', 'saving', 'staging', 'uploading', 'importing', 'active', 'deactivated'], to: 'pending_delete', task, set: { copy_task_id: null },
    refused: () => new NotFound(`Failed to find image ${id} to delete`), absent: () => new NotFound(`Failed to find image ${id} to delete`),
  });
}

/** Both actions change nothing when the image is there already. */
export async function setActive(d: ImageDeps, ctx: Context, id: string, to: 'active' | 'deactivated'): Promise<void> {
  await transaction(d.rt.db, async trx => {
    const image = await seen(trx, ctx, id);
    permit(ctx, image);
    if (image.status === to) return;
    const verb = to === 'active' ? 'reactivate' : 'deactivate';
    await move(trx, Image, image.id, { from: [to === 'active' ? 'deactivated' : 'active'], to, refused: row => new Forbidden(`Not allowed to ${verb} image in status '${row.status}'`) });
  });
}
