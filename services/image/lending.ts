import { move, tryMove, type Trx } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { Conflict, newId, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { StoredImage } from './data/ingest.ts';
import { beginDelete } from './images/service.ts';
import { Image } from './images/states.ts';
import { leaveOver } from './images/tasks.ts';
import { columns, findVisible, imageById, insertImage, type ImageRow, type Visibility, type Who } from './images/store.ts';
import { enforce } from './limits.ts';

/** What other services may know of an image. `size`, `virtual_size` in bytes, `min_disk` in GiB, `min_ram` in MiB. */
export type ImageFacts = Readonly<Pick<ImageRow,
  'id' | 'name' | 'status' | 'visibility' | 'owner' | 'protected' | 'disk_format' | 'container_format' | 'min_disk' | 'min_ram' | 'size' | 'virtual_size' | 'checksum' | 'os_hash_algo' | 'os_hash_value' | 'properties' | 'tags' | 'locations' | 'created_at' | 'updated_at'>>;

export interface NewImage {
  readonly id?: string;
  readonly name: string;
  /** Project. */
  readonly owner: string;
  readonly visibility?: Visibility;
  readonly protected?: boolean;
  /** May be left out for a snapshot of volumes, which has no data. */
  readonly diskFormat?: string;
  readonly containerFormat?: string;
  readonly minDisk?: number;
  readonly minRam?: number;
  /** Custom properties: strings. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
}

/** The functions with which compute and volume use images, all in the caller's own transaction. */
export const images = {
  /** An image that `who` may see; 404 otherwise. Says nothing of its status: check that it is `active`. */
  async find(trx: Trx, who: Who, id: string): Promise<ImageFacts> {
    const row = await findVisible(trx, who, id);
    if (!row) throw new NotFound(`Image ${id} could not be found.`);
    return row;
  },
  /** What is known of an image, whoever asks; undefined when it is gone. For the steps of a task whose request has been permitted. */
  async facts(trx: Trx, id: string): Promise<ImageFacts | undefined> {
    const row = await imageById(trx, id);
    return row?.status === 'pending_delete' ? undefined : row;
  },
  /** Of several, those that are still there, whoever asks: for views of what is there already. */
  named(trx: Trx, ids: readonly string[]): Promise<{ id: string; name: string | null }[]> {
    return ids.length === 0 ? Promise.resolve([]) : trx('images').whereIn('id', [...ids]).whereNot('status', 'pending_delete').select('id', 'name');
  },
  /** Active images of a project with all of these properties, newest first. */
  withProperties(trx: Trx, owner: string, properties: Readonly<Record<string, string>>): Promise<{ id: string }[]> {
    return trx('images').where({ owner, status: 'active' }).whereRaw('properties @> ?::jsonb', [JSON.stringify(properties)]).orderBy('created_at', 'desc').select('id');
  },
  /** A queued image. 413 over quota, 409 when the id is taken. */
  async createRecord(trx: Trx, rt: Pick<Runtime, 'settings'>, o: NewImage): Promise<ImageFacts> {
    const row = await insertImage(trx, {
      id: o.id ?? newId(), name: o.name, owner: o.owner, visibility: o.visibility ?? 'private', protected: o.protected ?? false, disk_format: o.diskFormat ?? null, container_format: o.containerFormat ?? null,
      min_disk: o.minDisk ?? 0, min_ram: o.minRam ?? 0, properties: { ...o.properties }, tags: [...o.tags ?? []],
    });
    if (!row) throw new Conflict(`Image ID ${o.id ?? ''} already exists!`);
    await enforce(trx, rt.settings, o.owner, ['image_count_total']);
    return row;
  },
  /** The image is `saving` from now on, held by the caller's task, which must `finish` or `fail` it when it settles. */
  async beginSnapshot(trx: Trx, id: string, taskId: string): Promise<void> {
    await move(trx, Image, id, { from: ['queued'], to: 'saving', task: taskId });
  },
  /** In the settling of that task: active with what `put` gave. False when the image was deleted meanwhile: its bytes will be removed. */
  async finish(trx: Trx, id: string, taskId: string, stored: StoredImage, more: { readonly properties?: Readonly<Record<string, string>> } = {}): Promise<boolean> {
    const moved = await tryMove(trx, Image, id, {
      from: ['saving'], to: 'active', heldBy: taskId,
      set: columns({ size: stored.size, virtual_size: stored.virtualSize, checksum: stored.checksum, os_hash_algo: 'sha512', os_hash_value: stored.hash, locations: [{ url: stored.url, metadata: { store: stored.store } }] }),
    });
    if (!moved) { await leaveOver(trx, [{ url: stored.url, metadata: { store: stored.store } }]); return false; }
    if (more.properties) await trx('images').where({ id }).update({ properties: trx.raw('properties || ?::jsonb', [JSON.stringify(more.properties)]) });
    return true;
  },
  /** As `finish`, for an image whose bytes are where another service has put them, unread: no hashes. `size` in bytes, of raw content. */
  async finishAt(trx: Trx, id: string, taskId: string, at: { readonly url: string; readonly store: string; readonly size: number }): Promise<void> {
    const locations = [{ url: at.url, metadata: { store: at.store } }];
    const moved = await tryMove(trx, Image, id, { from: ['saving'], to: 'active', heldBy: taskId, set: columns({ size: at.size, virtual_size: at.size, locations }) });
    if (!moved) await leaveOver(trx, locations);
  },
  /** In the settling of a failed task: the image goes, as nova and cinder delete what they could not fill. */
  async fail(trx: Trx, id: string, taskId: string): Promise<void> {
    await trx('images').where({ id, task_id: taskId, status: 'saving' }).delete();
  },
  /** An image without data that is active at once: a snapshot of a server's volumes (`block_device_mapping` among its properties). */
  async activateEmpty(trx: Trx, id: string): Promise<void> {
    await move(trx, Image, id, { from: ['queued'], to: 'active', set: { size: 0 } });
  },
  /** Deletes an image that a service made for itself, such as the snapshot of a shelved server. Gone already is success. */
  async remove(trx: Knex.Transaction, rt: Pick<Runtime, 'tasks'>, id: string, by: { projectId?: string | undefined; userId?: string | undefined; requestId?: string | undefined }): Promise<void> {
    const row = await imageById(trx, id);
    if (row && row.status !== 'pending_delete') await beginDelete({ rt: rt as Runtime }, trx, id, by);
  },
};
