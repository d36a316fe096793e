import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { VolumeStatus } from './states.ts';

export interface VolumeRow {
  id: string; project_id: string; user_id: string; name: string | null; description: string | null; size: number; status: VolumeStatus; previous_status: string | null; migration_status: string | null;
  host: string | null; availability_zone: string; type_id: string; bootable: boolean; multiattach: boolean; consumes_quota: boolean; metadata: Record<string, string>; admin_metadata: Record<string, string>;
  image_metadata: Record<string, string> | null; snapshot_id: string | null; source_volid: string | null; group_id: string | null; encryption_key_id: string | null; backend_name: string | null;
  provider_id: string | null; provider_meta: Record<string, unknown> | null; replication_status: string | null; hidden: boolean; tried_hosts: string[]; task_id: string | null; migration_task_id: string | null;
  launched_at: Date | null; created_at: Date; updated_at: Date | null;
}
export interface AttachmentOf { id: string; server_id: string | null; attached_host: string | null; device: string | null; attached_at: string | null; status: string }
/** What a reply needs beside the row. */
export interface VolumeDetail extends VolumeRow { type_name: string; encrypted: boolean; service_uuid: string | null; cluster: string | null; attachments: AttachmentOf[]; in_consistency_group: boolean }

const extra = `
  (select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'server_id', a.server_id, 'attached_host', a.attached_host, 'device', a.device, 'attached_at', a.attached_at, 'status', a.status) order by a.created_at), '[]')
    from volume_attachments a where a.volume_id = volumes.id) as attachments`;

/** Groups of this type are what `/consistencygroups` serves. */
export const consistencyGroupType = 'default_cgsnapshot_type';
const cg = `exists (select 1 from volume_groups g join volume_group_types gt on gt.id = g.group_type_id where g.id = volumes.group_id and gt.name = '${consistencyGroupType}') as in_consistency_group`;

/** Volumes with all that a detailed reply shows: one query however many there are. */
export const details = (trx: Trx): Knex.QueryBuilder => trx('volumes')
  .join('volume_types', 'volume_types.id', 'volumes.type_id')
  .leftJoin('volume_services', q => q.on('volume_services.binary_name', trx.raw('?', ['cinder-volume'])).andOn('volume_services.host', trx.raw(`split_part(volumes.host, '#', 1)`)))
  .select('volumes.*', 'volume_types.name as type_name', trx.raw('volume_types.encryption is not null as encrypted'), 'volume_services.id as service_uuid', 'volume_services.cluster', trx.raw(extra), trx.raw(cg));

/** One volume by its id; undefined when there is none or the id is no id. */
export const byId = async (trx: Trx, id: string): Promise<VolumeRow | undefined> => (isUuid(id) ? trx('volumes').where({ id }).first() : undefined);
export const detailById = async (trx: Trx, id: string): Promise<VolumeDetail | undefined> => (isUuid(id) ? details(trx).where({ 'volumes.id': id, 'volumes.hidden': false }).first() as unknown as Promise<VolumeDetail | undefined> : undefined);
export const lockById = async (trx: Knex.Transaction, id: string): Promise<VolumeRow | undefined> => (isUuid(id) ? trx('volumes').where({ id, hidden: false }).forUpdate().first() : undefined);

export type NewVolume = Pick<VolumeRow, 'id' | 'project_id' | 'user_id' | 'name' | 'description' | 'size' | 'status' | 'host' | 'availability_zone' | 'type_id' | 'multiattach' | 'metadata'> & Partial<VolumeRow>;
const json = (value: unknown) => (value === undefined || value === null ? value : JSON.stringify(value));
export const encode = (row: Partial<VolumeRow>): Record<string, unknown> => {
  const out: Record<string, unknown> = { ...row };
  for (const key of ['metadata', 'admin_metadata', 'image_metadata', 'provider_meta'] as const) if (key in row) out[key] = json(row[key]);
  return out;
};
export async function insert(trx: Trx, row: NewVolume): Promise<void> { await trx('volumes').insert(encode(row)); }
/** Anything but the status. Returns the new row. */
export async function patch(trx: Trx, id: string, values: Partial<Omit<VolumeRow, 'status' | 'task_id'>>): Promise<VolumeRow | undefined> {
  const [row] = await trx('volumes').where({ id }).update({ ...encode(values), updated_at: trx.fn.now() }).returning('*');
  return row as VolumeRow | undefined;
}
export async function remove(trx: Trx, id: string): Promise<void> { await trx('volumes').where({ id }).delete(); }

/** `volume-<id>`, or what a migration or manage left it with. */
export const backendName = (row: Pick<VolumeRow, 'id' | 'backend_name'>): string => row.backend_name ?? `volume-${row.id}`;
/** `host@backend#pool` in its parts. */
export function hostParts(host: string): { service: string; backend: string; pool: string | undefined } {
  const [service = '', pool] = host.split('#');
  return { service, backend: service.split('@')[1] ?? service, pool };
}
export const queueOf = (host: string | null): string => (host === null ? 'any' : `backend/${hostParts(host).service}`);
export const laneOfVolume = (id: string): string => `volume/${id}`;
