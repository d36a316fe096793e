import type { Context } from '@cumulet/http';
import { micros, orNull } from '@cumulet/wire';
import { links } from '../listing.ts';
import { shownStatus } from './states.ts';
import type { VolumeDetail, VolumeRow } from './store.ts';

const at = orNull(micros);
type Seen = Pick<Context, 'request' | 'caller' | 'baseUrl' | 'allows'>;

export const brief = (ctx: Seen, row: Pick<VolumeRow, 'id' | 'name'>) => ({ id: row.id, name: row.name, links: links(ctx, 'volumes', row.id) });

/** The members that upstream's create, show and detail share. The host name of an attachment is for administrators. */
function base(ctx: Seen, row: VolumeDetail) {
  const admin = ctx.allows('context_is_admin');
  return {
    id: row.id, status: shownStatus(row.status), size: row.size, availability_zone: row.availability_zone, created_at: micros(row.created_at), updated_at: at(row.updated_at), name: row.name, description: row.description,
    volume_type: row.type_name, snapshot_id: row.snapshot_id, source_volid: row.source_volid, metadata: { ...row.metadata, ...row.admin_metadata }, links: links(ctx, 'volumes', row.id), user_id: row.user_id,
    bootable: String(row.bootable), encrypted: row.encrypted, replication_status: row.replication_status, consistencygroup_id: row.in_consistency_group ? row.group_id : null, multiattach: row.multiattach,
    attachments: row.attachments.filter(a => a.status === 'attached' || a.status === 'detaching').map(a => ({
      id: row.id, attachment_id: a.id, volume_id: row.id, server_id: a.server_id, host_name: admin ? a.attached_host : null, device: a.device, attached_at: a.attached_at === null ? null : micros(new Date(a.attached_at)),
    })),
    ...(admin ? { migration_status: row.migration_status } : {}),
    group_id: row.group_id, ...(admin ? { provider_id: row.provider_id } : {}), shared_targets: row.host === null ? true : false, service_uuid: row.service_uuid, ...(admin ? { cluster_name: row.cluster } : {}),
    volume_type_id: row.type_id, ...(row.encrypted ? { encryption_key_id: row.encryption_key_id } : {}), consumes_quota: row.consumes_quota,
  };
}
/** The reply of create and update, without the members that extensions add to show. */
export const created = (ctx: Seen, row: VolumeDetail) => base(ctx, row);

/** The reply of show and detail. */
export function detail(ctx: Seen, row: VolumeDetail) {
  const target = { project_id: row.project_id };
  return {
    ...base(ctx, row),
    ...(ctx.allows('volume_extension:volume_tenant_attribute', target) ? { 'os-vol-tenant-attr:tenant_id': row.project_id } : {}),
    ...(ctx.allows('volume_extension:volume_mig_status_attribute', target) ? { 'os-vol-mig-status-attr:migstat': row.migration_status, 'os-vol-mig-status-attr:name_id': null } : {}),
    ...(ctx.allows('volume_extension:volume_host_attribute', target) ? { 'os-vol-host-attr:host': row.host } : {}),
    ...(row.image_metadata && Object.keys(row.image_metadata).length > 0 && ctx.allows('volume_extension:volume_image_metadata:show', target) ? { volume_image_metadata: row.image_metadata } : {}),
  };
}
