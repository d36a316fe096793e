import { afterCommit, transaction, type Trx } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { By } from '../for_compute.ts';
import { cloneKey, createKey } from '../encryption/keys.ts';
import { checkEncryption, encryptionChanges, encryptionWish } from '../encryption/rules.ts';
import { invalidInput, invalidSnapshot, invalidVolume, snapshotNotFound, volumeNotFound } from '../faults.ts';
import { groupForVolume } from '../groups/membership.ts';
import { bootSnapshot, imageForVolume, type ImageFacts } from '../images.ts';
import { tell } from '../messages/store.ts';
import { enforce, enforceVolumeSize } from '../quotas/limits.ts';
import { place } from '../scheduler/place.ts';
import type { Wish } from '../scheduler/filters.ts';
import type { SnapshotRow } from '../snapshots/store.ts';
import { backendQos } from '../types/qos.ts';
import { specIsTrue, typeById, type TypeRow } from '../types/store.ts';
import { chooseType } from '../types/choose.ts';
import { knownZone } from '../zones/store.ts';
import { createPlan, type Source } from './plans.ts';
import { insert, laneOfVolume, lockById, queueOf, type VolumeRow } from './store.ts';

export interface NewVolumeRequest {
  readonly by: By & { readonly projectId: string; readonly userId: string };
  /** Undefined: sees every project's volumes, snapshots and types. */
  readonly bound: string | undefined;
  readonly name?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly sizeGiB?: number | null | undefined;
  readonly type?: string | null | undefined;
  readonly zone?: string | null | undefined;
  readonly metadata?: Readonly<Record<string, string>> | null | undefined;
  readonly snapshotId?: string | null | undefined;
  readonly volumeId?: string | null | undefined;
  readonly imageId?: string | null | undefined;
  /** An image of a volume-backed server stands for the snapshot of its boot volume (3.46). */
  readonly novaImages?: boolean;
  /** Filled by the task that `begin` starts, in place of this feature's own: a backup's restore. */
  readonly restoreOf?: { readonly status: 'creating' | 'restoring-backup'; readonly minGiB?: number; /** Of an encrypted backup. */ readonly keyId?: string | null; begin(volume: Pick<VolumeRow, 'id' | 'host'>, by: By): Promise<string> };
  readonly groupId?: string | null | undefined;
  readonly hints?: Readonly<Record<string, unknown>> | null | undefined;
}
interface Sources { snapshot?: SnapshotRow; volume?: VolumeRow; image?: ImageFacts }

/** One transaction: the sources held, a pool chosen and held, the row with its task, the quota. Returns the id of the new volume. */
export const create = (rt: Runtime, r: NewVolumeRequest): Promise<string> => transaction(rt.db, trx => createIn(rt, trx, r));

/** Like `create`, in the caller's transaction. */
export async function createIn(rt: Pick<Runtime, 'settings' | 'tasks' | 'log' | 'sealer'>, trx: Knex.Transaction, r: NewVolumeRequest): Promise<string> {
  if ([r.snapshotId, r.volumeId, r.imageId, r.restoreOf].filter(Boolean).length > 1) throw new BadRequest('May specify only one of snapshot, imageRef or source volume');
  const sources = await findSources(trx, r);
  const size = sizeOf(r, sources);
  const type = await chooseType(trx, { asked: r.type || undefined, projectId: r.by.projectId, bound: r.bound, configured: rt.settings.volume.defaultType, like: sources.volume?.type_id ?? sources.snapshot?.type_id, ...(sources.image?.volumeType === undefined ? {} : { fromImage: sources.image.volumeType }) });
  checkEncryption(type);
  const zone = await zoneOf(trx, rt, r, sources);
  await enforceVolumeSize(trx, r.by.projectId, size);
  const like = sources.volume ?? (sources.snapshot ? await lockById(trx, sources.snapshot.volume_id) : undefined);
  if (like && encryptionChanges(await typeById(trx, like.type_id), type)) throw invalidInput(`Invalid volume_type provided: ${type.id} (requested type is not compatible; either match source volume, or omit type argument).`);
  const service = r.groupId ? await groupForVolume(trx, r.bound, r.groupId, type) : like?.host?.split('#')[0];
  const near = { zone, service, ...await hinted(trx, r) };
  const wish: Wish = { sizeGiB: size, extraSpecs: type.extra_specs, backendQos: await backendQos(trx, type.id), ...encryptionWish(type), ...near };
  const { host, refused } = await place(trx, rt.settings.volume, wish);
  const id = newId();
  const source: Source = sources.image ? { kind: 'image', imageId: sources.image.id } : sources.snapshot ? { kind: 'snapshot', snapshotId: sources.snapshot.id } : sources.volume ? { kind: 'volume', volumeId: sources.volume.id } : { kind: 'blank' };
  const task = host === undefined ? undefined : r.restoreOf ? await r.restoreOf.begin({ id, host }, r.by) : await rt.tasks.enqueue(trx, createPlan, { volumeId: id, source, near: JSON.parse(JSON.stringify(near)) }, { queue: queueOf(host), lane: laneOfVolume(id), resource: { type: 'volume', id }, by: r.by });
  await insert(trx, {
    id, project_id: r.by.projectId, user_id: r.by.userId, name: r.name ?? null, description: r.description ?? null, size, status: task ? r.restoreOf?.status ?? 'creating' : 'error', task_id: task ?? null, host: host ?? null, availability_zone: zone,
    type_id: type.id, multiattach: specIsTrue(type.extra_specs['multiattach']), metadata: { ...r.metadata }, snapshot_id: sources.snapshot?.id ?? null, source_volid: sources.volume?.id ?? null, group_id: r.groupId ?? null,
    ...(sources.image ? { image_metadata: { ...sources.image.metadata } } : {}), encryption_key_id: await keyFor(rt, trx, r, type, like, sources.image),
  });
  await enforce(trx, 'volume', { projectId: r.by.projectId, sizeGiB: size, type });
  if (host === undefined) {
    await tell(trx, { projectId: r.by.projectId, requestId: r.by.requestId, resource: { type: 'VOLUME', id }, action: 'schedule', detail: 'noBackend', why: `(${refused})` });
    afterCommit(trx, () => rt.log.warn({ volume: id, refused, size, type: type.name }, 'no backend for a volume'));
  }
  return id;
}

/** The key of a new volume of an encrypted type: that of what it is made of, else a new one. Copies of encrypted bytes open with the old key only. */
async function keyFor(rt: Pick<Runtime, 'sealer'>, trx: Knex.Transaction, r: NewVolumeRequest, type: TypeRow, like: VolumeRow | undefined, image: ImageFacts | undefined): Promise<string | null> {
  const { projectId } = r.by;
  if (!type.encryption) {
    if (image?.keyId !== undefined || r.restoreOf?.keyId) throw invalidInput(`The ${image ? 'image' : 'backup'} is of an encrypted volume: the volume type must be an encrypted one too.`);
    return null;
  }
  const from = like?.encryption_key_id ?? r.restoreOf?.keyId;
  if (from) return cloneKey(trx, rt.sealer, from, { projectId });
  if (image?.keyId !== undefined) return cloneKey(trx, rt.sealer, image.keyId, { projectId, ownedBy: r.bound });
  return createKey(trx, rt.sealer, projectId);
}

async function findSources(trx: Knex.Transaction, r: NewVolumeRequest): Promise<Sources> {
  const mine = (row: { project_id: string } | undefined) => row !== undefined && (r.bound === undefined || row.project_id === r.bound);
  if (r.snapshotId) {
    const snapshot: SnapshotRow | undefined = isUuid(r.snapshotId) ? await trx('volume_snapshots').where({ id: r.snapshotId }).forShare().first() : undefined;
    if (!snapshot || !mine(snapshot)) throw snapshotNotFound(r.snapshotId);
    if (snapshot.status !== 'available') throw invalidSnapshot(`Originating snapshot status must be one of 'available' values`);
    return { snapshot };
  }
  if (r.volumeId) {
    const volume: VolumeRow | undefined = isUuid(r.volumeId) ? await trx('volumes').where({ id: r.volumeId }).forShare().first() : undefined;
    if (!volume || !mine(volume)) throw volumeNotFound(r.volumeId);
    if (!['available', 'in-use'].includes(volume.status)) throw invalidVolume(`Originating source volume status must be one of 'available, in-use' values`);
    return { volume };
  }
  if (r.imageId) {
    const image = await imageForVolume(trx, { projectId: r.by.projectId, userId: r.by.userId, admin: r.bound === undefined }, r.imageId);
    const boot = r.novaImages ? bootSnapshot(image) : undefined;
    return boot === undefined ? { image } : findSources(trx, { ...r, imageId: null, snapshotId: boot });
  }
  return {};
}

function sizeOf(r: NewVolumeRequest, s: Sources): number {
  const size = r.sizeGiB ?? s.snapshot?.size ?? s.volume?.size ?? r.restoreOf?.minGiB;
  if (!size) throw invalidInput(`Invalid volume size provided for create request: ${size ?? 'None'} (size argument must be an integer (or string representation of an integer) and greater than zero).`);
  if (r.restoreOf?.minGiB !== undefined && size < r.restoreOf.minGiB) throw invalidInput(`Volume size ${size}GB cannot be smaller than the backup size ${r.restoreOf.minGiB}GB. It must be >= backup size.`);
  if (s.snapshot && size < s.snapshot.size) throw invalidInput(`Volume size '${size}'GB cannot be smaller than the snapshot size ${s.snapshot.size}GB. They must be >= original snapshot size.`);
  if (s.volume && size < s.volume.size) throw invalidInput(`Volume size '${size}'GB cannot be smaller than original volume size  ${s.volume.size}GB. They must be >= original volume size.`);
  if (s.image) {
    const needs = Math.ceil(s.image.sizeBytes / 2 ** 30);
    if (needs > size) throw invalidInput(`Size of specified image ${needs}GB is larger than volume size ${size}GB.`);
    if (s.image.minDiskGiB > size) throw invalidInput(`Volume size ${size}GB cannot be smaller than the image minDisk size ${s.image.minDiskGiB}GB.`);
  }
  return size;
}

async function zoneOf(trx: Trx, rt: Pick<Runtime, 'settings'>, r: NewVolumeRequest, s: Sources): Promise<string> {
  if (r.zone) {
    if (r.zone !== rt.settings.volume.availabilityZone && !await knownZone(trx, r.zone)) throw invalidInput(`Availability zone '${r.zone}' is invalid.`);
    return r.zone;
  }
  const from = s.volume?.availability_zone ?? (s.snapshot ? (await trx('volumes').where({ id: s.snapshot.volume_id }).first('availability_zone') as { availability_zone: string } | undefined)?.availability_zone : undefined);
  return from ?? rt.settings.volume.availabilityZone;
}

/** same_host and different_host: ids of volumes, one or a list. local_to_instance: a server, whose host is read where compute keeps it. */
async function hinted(trx: Trx, r: NewVolumeRequest): Promise<Pick<Wish, 'sameAs' | 'differentFrom' | 'localTo'>> {
  const ids = (value: unknown): string[] => [value ?? []].flat().map(String).filter(isUuid);
  const services = async (value: unknown) => {
    const list = ids(value);
    if (list.length === 0) return undefined;
    const rows: { host: string | null }[] = await trx('volumes').whereIn('id', list).modify(q => { if (r.bound !== undefined) q.where('project_id', r.bound); }).select('host');
    return rows.map(row => row.host?.split('#')[0] ?? null);
  };
  const server = r.hints?.['local_to_instance'] ?? undefined;
  const hosts: { host: string | null }[] = server === undefined ? [] : await trx('servers').whereIn('id', ids(server)).where({ deleted: false }).modify(q => { if (r.bound !== undefined) q.where('project_id', r.bound); }).select('host');
  return { ...(server === undefined ? {} : { localTo: hosts[0]?.host ?? null }), sameAs: await services(r.hints?.['same_host']), differentFrom: await services(r.hints?.['different_host']) };
}
