import { move } from '@cumulet/db';
import { DriverError, type Call, type Log } from '@cumulet/drivers';
import type { Context } from '@cumulet/http';
import { serviceUrl } from '@cumulet/service';
import { BadRequest, Conflict, Forbidden, TooLarge, Unavailable } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Change } from '../images/patch.ts';
import type { LocationInput } from '../images/schemas.ts';
import { Image, shownStatus } from '../images/states.ts';
import { columns, updateImage, type ImageRow, type Location } from '../images/store.ts';
import { removeLocationPlan } from './tasks.ts';
import type { ImageDeps } from '../opened.ts';
import { permit, type SeenImage } from '../permission.ts';

/** Schemes with which a user could name what is the host's own (CVE-2014-9493, CVE-2015-1195). */
const forbidden = new Set(['file', 'filesystem', 'swift+config', 'sheepdog']);

/** The location in our form; 400 for one that no store of ours reads, or that nobody outside may name. */
export function checkedLocation(d: Pick<ImageDeps, 'stores'>, given: LocationInput, there: readonly Location[] = []): Location {
  const known = there.find(l => l.url === given.url);
  if (known) return { url: known.url, metadata: { ...given.metadata, ...(known.metadata['store'] === undefined ? {} : { store: known.metadata['store'] }) } };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(given.url)?.[1]?.toLowerCase();
  // The scheme decides, not a store that the caller names.
  const store = scheme === undefined || forbidden.has(scheme) ? undefined : d.stores.of({ url: given.url, metadata: {} });
  if (!store || !(store.scheme === scheme || (store.scheme === 'http' && scheme === 'https'))) throw new BadRequest('Invalid location');
  return { url: given.url, metadata: { ...given.metadata, store: store.name } };
}

/** Stores in which whoever knows an address could read what is not theirs: naming one of theirs is for services and admins, as they alone learn addresses. */
const inside = new Set(['rbd', 'swift', 'fake']);

/**
 * Whether the caller may make this location an image of theirs (OSSN-0090): bytes that are another's image already, or another's volume, would be read through it. Volumes
 * are asked for with the caller's own token.
 */
async function mayName(d: ImageDeps, ctx: Context, location: Location): Promise<boolean> {
  if (ctx.allows('context_is_admin') || ctx.caller.roles.includes('service') || ctx.caller.serviceRoles.includes('service')) return true;
  const scheme = d.stores.of(location)?.scheme ?? '';
  if (inside.has(scheme)) return false;
  if (scheme !== 'cinder') return true;
  const token = ctx.request.headers['x-auth-token'];
  const volume = /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(location.url)?.[1];
  if (volume === undefined || typeof token !== 'string') return false;
  const answer = await fetch(`${serviceUrl(d.rt.settings, 'volume')}/v3/${ctx.caller.projectId ?? ''}/volumes/${volume}`, { headers: { 'x-auth-token': token }, signal: ctx.signal }).catch((error: unknown) => {
    ctx.signal.throwIfAborted();
    throw new Unavailable('The volume of the location cannot be asked for at this time.', { cause: error });
  });
  await answer.body?.cancel();
  return answer.ok;
}

/** Bytes at a location; 400 when nothing is there, or nothing that the caller may use. */
export async function sizeAt(d: ImageDeps, ctx: Context, location: Location): Promise<number> {
  if (!await mayName(d, ctx, location)) throw new BadRequest('Invalid location');
  const call: Call = { taskId: ctx.requestId, signal: ctx.signal, progress() {}, log: ctx.log as unknown as Log };
  try {
    const size = await d.stores.of(location)?.size(call, location.url);
    if (size === undefined) throw new BadRequest('Invalid location');
    return size;
  } catch (error) {
    if (error instanceof DriverError) throw new BadRequest('Invalid location', { cause: error });
    throw error;
  }
}

/** `locations` in a patch: add at a place, remove one, replace the empty list. */
export async function changeLocations(d: ImageDeps, ctx: Context, trx: Knex.Transaction, image: SeenImage, change: Change): Promise<SeenImage> {
  const { op, path, value } = change;
  if (op === 'replace' && (!Array.isArray(value) || value.length === 0)) throw new Forbidden('Cannot set locations to empty list.');
  permit(ctx, image, op === 'remove' ? 'delete_image_location' : 'set_image_location');
  if (op === 'remove') permit(ctx, image); else permit(ctx, image, 'set_image_location');
  const verb = { add: 'add', remove: 'remove', replace: 'update' }[op];
  if (!d.rt.settings.image.showMultipleLocations) throw new Forbidden(`It's not allowed to ${verb} locations if locations are invisible.`);
  const settled = op === 'remove' ? image.status === 'active' : image.status === 'active' || image.status === 'queued';
  if (!settled) throw new Conflict(`It's not allowed to ${op} locations if image status is ${shownStatus(image.status)}.`);
  permit(ctx, image);
  const row = op === 'remove' ? await remove(d, ctx, trx, image, path[1] ?? '') : await add(d, ctx, trx, image, op === 'add' ? [value as LocationInput] : value as LocationInput[], path[1], op === 'replace');
  return { ...image, ...row };
}

async function add(d: ImageDeps, ctx: Context, trx: Knex.Transaction, image: SeenImage, given: readonly LocationInput[], at: string | undefined, replace: boolean): Promise<ImageRow> {
  const promised = validationData(image, given);
  const locations = given.map(one => checkedLocation(d, one, image.locations));
  if (replace && image.locations.length > 0) return describe(trx, image, locations);
  const list = [...image.locations];
  list.splice(position(at ?? '-', list.length, true, 'adding'), 0, ...locations);
  if (new Set(list.map(l => l.url)).size !== list.length) throw new BadRequest(`The location ${locations[0]?.url ?? ''} already exists`);
  const most = d.rt.settings.image.locationQuota;
  if (most >= 0 && list.length > most) throw new TooLarge(`The limit has been exceeded on the number of allowed image locations. Attempted: ${list.length}, Maximum: ${most}`);
  const [size] = await Promise.all(locations.map(one => sizeAt(d, ctx, one)));
  if (image.size !== null && image.size !== size) throw new BadRequest('Invalid location');
  if (image.status !== 'queued') return updateImage(trx, image.id, { locations: list });
  return move(trx, Image, image.id, { from: ['queued'], to: 'active', set: columns({ locations: list, size: size as number, ...promised }) });
}

/** Replacing the locations of an image that has data may change what is said of them, never which they are: no bytes are orphaned, no content changes. */
function describe(trx: Knex.Transaction, image: SeenImage, locations: readonly Location[]): Promise<ImageRow> {
  const urls = (list: readonly Location[]) => list.map(l => l.url).toSorted().join(' ');
  if (urls(locations) !== urls(image.locations)) throw new BadRequest(`Original locations is not empty: ${JSON.stringify(image.locations.map(l => l.url))}`);
  return updateImage(trx, image.id, { locations: [...locations] });
}

/** The data at a removed location goes with a task. */
async function remove(d: ImageDeps, ctx: Context, trx: Knex.Transaction, image: SeenImage, at: string): Promise<ImageRow> {
  if (image.locations.length === 1) throw new Forbidden('Cannot remove last location in the image.');
  const index = position(at, image.locations.length, false, 'removing');
  return dropLocation(d, ctx, trx, image, index);
}
export async function dropLocation(d: ImageDeps, ctx: Context, trx: Knex.Transaction, image: ImageRow, index: number): Promise<ImageRow> {
  const gone = image.locations[index] as Location;
  await d.rt.tasks.enqueue(trx, removeLocationPlan, { imageId: image.id, location: { url: gone.url, metadata: gone.metadata } }, {
    queue: 'image', resource: { type: 'image', id: image.id }, by: { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId },
  });
  return updateImage(trx, image.id, { locations: image.locations.filter((_, i) => i !== index) });
}

function position(text: string, length: number, behind: boolean, verb: string): number {
  const last = behind ? length : length - 1;
  const at = text === '-' ? last : /^\d+$/.test(text) ? Number(text) : -1;
  if (at < 0 || at > last) throw new BadRequest(`Invalid position for ${verb} a location.`);
  return at;
}

/** Hashes that come with locations: the same for all, for a queued image only, and never another value than the image has. */
export function validationData(image: ImageRow, given: readonly LocationInput[]): Partial<ImageRow> {
  const promised: Record<string, string> = {};
  for (const { validation_data } of given) for (const [k, v] of Object.entries(validation_data ?? {})) {
    if (v === undefined) continue;
    if (promised[k] !== undefined && promised[k] !== v) throw new Conflict(`Conflicting values for ${k}`);
    promised[k] = v;
  }
  const fresh = Object.entries(promised).filter(([k, v]) => image[k as 'checksum'] !== v);
  for (const [k] of fresh) if (image[k as 'checksum'] !== null) throw new Conflict(`${k} is already set with a different value`);
  if (fresh.length === 0) return {};
  if (image.status !== 'queued') throw new Conflict(`New value(s) for ${fresh.map(([k]) => k).join(', ')} may only be provided when image status is 'queued'`);
  const { checksum, os_hash_algo, os_hash_value } = promised;
  if (checksum !== undefined && !/^[0-9a-f]{32}$/i.test(checksum)) throw new Conflict(`checksum (${checksum}) is not a valid hexadecimal value`);
  if (os_hash_algo !== 'sha512') throw new Conflict(`os_hash_algo must be sha512, not ${os_hash_algo ?? 'None'}`);
  if (!/^([0-9a-f]{2})*$/i.test(os_hash_value ?? '')) throw new Conflict(`os_hash_value (${os_hash_value ?? ''}) is not a valid hexadecimal value`);
  if (os_hash_value?.length !== 128) throw new Conflict(`os_hash_value (${os_hash_value ?? ''}) is not the correct size for sha512 (should be 64 bytes)`);
  return { os_hash_algo, os_hash_value, ...(checksum === undefined ? {} : { checksum }) };
}
