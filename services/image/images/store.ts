import { brokenReference, duplicateOf, type Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';
import type { ImageStatus } from './states.ts';

export interface Location { readonly url: string; readonly metadata: Readonly<Record<string, unknown>> }
export interface ImportState { readonly importing: readonly string[]; readonly failed: readonly string[] }

/** A row of `images`. Sizes in bytes, min_disk in GiB, min_ram in MiB. */
export interface ImageRow {
  id: string; name: string | null; status: ImageStatus; visibility: Visibility; owner: string | null; os_hidden: boolean; protected: boolean;
  disk_format: string | null; container_format: string | null; min_disk: number; min_ram: number; size: number | null; virtual_size: number | null;
  checksum: string | null; os_hash_algo: string | null; os_hash_value: string | null;
  properties: Record<string, string>; tags: string[]; locations: Location[]; staged_size: number | null; import_state: ImportState | null;
  task_id: string | null; copy_task_id: string | null; created_at: Date; updated_at: Date;
}
export type Visibility = 'public' | 'community' | 'shared' | 'private';
/** Who looks: an admin sees everything. */
export interface Who { readonly projectId?: string | undefined; readonly isAdmin: boolean }

/** Columns that are jsonb are given to Postgres as text. */
export const columns = (patch: Partial<ImageRow>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(patch).map(([k, v]) => [k, (k === 'properties' || k === 'locations' || k === 'import_state') && v !== null ? JSON.stringify(v) : v]));

/** Undefined when the id is taken. */
export async function insertImage(trx: Trx, row: Partial<ImageRow> & { id: string }): Promise<ImageRow | undefined> {
  const [made] = await trx('images').insert(columns(row)).onConflict('id').ignore().returning('*');
  return made;
}

/** An image that the caller may see, and whether its project is a member of it; undefined when there is none. */
export async function findVisible(trx: Trx, who: Who, id: string, lock?: 'for update'): Promise<(ImageRow & { member: string | null }) | undefined> {
  if (!isUuid(id)) return undefined;
  const query = trx('images as i').leftJoin('image_members as m', join => join.on('m.image_id', 'i.id').andOn('m.member', trx.raw('?', [who.projectId ?? ''])))
    .where('i.id', id).whereNot('i.status', 'pending_delete').first('i.*', 'm.member');
  if (lock) query.forUpdate('i');
  const row: (ImageRow & { member: string | null }) | undefined = await query;
  if (!row) return undefined;
  const mine = who.projectId !== undefined && row.owner === who.projectId;
  const seen = who.isAdmin || mine || row.owner === null || row.visibility === 'public' || row.visibility === 'community' || (row.visibility === 'shared' && row.member !== null);
  return seen ? row : undefined;
}
export const imageById = (trx: Trx, id: string): Promise<ImageRow | undefined> => trx('images').where({ id }).first();

/** Writes attributes of an image; its status changes through `move` only. */
export async function updateImage(trx: Trx, id: string, patch: Omit<Partial<ImageRow>, 'status' | 'task_id'>): Promise<ImageRow> {
  const [row] = await trx('images').where({ id }).update({ ...columns(patch), updated_at: trx.fn.now() }).returning('*');
  return row;
}
export const removeImage = (trx: Trx, id: string): Promise<number> => trx('images').where({ id }).delete();

export interface MemberRow { image_id: string; member: string; status: 'pending' | 'accepted' | 'rejected'; created_at: Date; updated_at: Date }
export const membersOf = (trx: Trx, imageId: string): Promise<MemberRow[]> => trx('image_members').where({ image_id: imageId }).orderBy(['created_at', 'member']);
export const memberOf = (trx: Trx, imageId: string, member: string): Promise<MemberRow | undefined> => trx('image_members').where({ image_id: imageId, member }).first();
/** Undefined when the project is one already. */
export async function insertMember(trx: Trx, imageId: string, member: string): Promise<MemberRow | undefined> {
  try {
    const [row] = await trx('image_members').insert({ image_id: imageId, member }).returning('*');
    return row;
  } catch (error) {
    if (duplicateOf(error) !== undefined || brokenReference(error) !== undefined) return undefined;
    throw error;
  }
}
export async function setMemberStatus(trx: Trx, imageId: string, member: string, status: MemberRow['status']): Promise<MemberRow | undefined> {
  const [row] = await trx('image_members').where({ image_id: imageId, member }).update({ status, updated_at: trx.fn.now() }).returning('*');
  return row;
}
export const removeMember = (trx: Trx, imageId: string, member: string): Promise<number> => trx('image_members').where({ image_id: imageId, member }).delete();
