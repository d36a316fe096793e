import type { Trx } from '@cumulet/db';
import { BadRequest, Forbidden, isUuid, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { readOnlyNames, reserved, reservedPrefix } from './images/schemas.ts';
import { findVisible, updateImage, type Who } from './images/store.ts';
import type { ImageFacts } from './lending.ts';

export interface OlderImageQuery {
  readonly name?: string | undefined; readonly statuses?: readonly string[] | undefined; readonly changedSince?: Date | undefined;
  /** GiB and MiB, at least. */
  readonly minDisk?: number | undefined; readonly minRam?: number | undefined;
  /** Properties that must have these values. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly limit: number; readonly marker?: string | undefined;
}

/** Images for compute's `/images`: what is visible and what may be changed is decided as everywhere in this service. */
export const olderImages = {
  /** A page, newest first: what belongs to the project, is public, or was shared with and accepted by it. Throws 400 for a marker that is not there. */
  async page(trx: Trx, who: Who, q: OlderImageQuery): Promise<ImageFacts[]> {
    const query = trx('images').whereNot({ status: 'pending_delete' }).orderByRaw('created_at desc, id desc').limit(q.limit);
    if (!who.isAdmin) query.where(w => w.where('owner', who.projectId ?? '').orWhere('visibility', 'public').orWhereExists(m => m.from('image_members').whereRaw('image_members.image_id = images.id').where({ member: who.projectId ?? '', status: 'accepted' })));
    if (q.name !== undefined) query.where({ name: q.name });
    if (q.statuses) query.whereIn('status', [...q.statuses]);
    if (q.minDisk !== undefined) query.where('min_disk', '>=', q.minDisk);
    if (q.minRam !== undefined) query.where('min_ram', '>=', q.minRam);
    if (q.changedSince) query.where('updated_at', '>=', q.changedSince);
    for (const [name, value] of Object.entries(q.properties ?? {})) query.whereRaw('properties ->> ? = ?', [name, value]);
    if (q.marker !== undefined) {
      const row = isUuid(q.marker) ? await trx('images').where({ id: q.marker }).first('created_at', 'id') as { created_at: Date; id: string } | undefined : undefined;
      if (!row) throw new BadRequest(`marker [${q.marker}] not found`);
      query.whereRaw('(created_at, id) < (?, ?)', [row.created_at, row.id]);
    }
    return await query as ImageFacts[];
  },
  /** Changes the properties that users keep in an image. Only the owner and administrators may, and nobody the names that are the service's own. */
  async setProperties(trx: Knex.Transaction, who: Who, id: string, quota: number, edit: (now: Record<string, string>) => Record<string, string>): Promise<Record<string, string>> {
    const row = await findVisible(trx, who, id, 'for update');
    if (!row) throw new NotFound(`Image ${id} could not be found.`);
    if (!who.isAdmin && row.owner !== who.projectId) throw new Forbidden('You are not permitted to modify this image.');
    const next = edit({ ...row.properties });
    for (const name of new Set([...Object.keys(next), ...Object.keys(row.properties)])) {
      if (next[name] === row.properties[name]) continue;
      if (readOnlyNames.has(name) || reserved.has(name) || name.startsWith(reservedPrefix)) throw new Forbidden(`Attribute '${name}' is reserved.`);
    }
    if (quota >= 0 && Object.keys(next).length > quota) throw new Forbidden('Image metadata limit exceeded');
    return (await updateImage(trx, row.id, { properties: next })).properties;
  },
};
