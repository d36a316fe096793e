import { shape } from '@cumulet/wire';
import { z } from 'zod';
import * as f from './fields.ts';

const bootIndex = z.union([z.int(), z.string().regex(/^-?[0-9]+$/), z.literal('')]).nullable().transform(v => (v === null || v === '' ? null : Number(v)));
export const deviceV1 = z.strictObject({
  virtual_name: z.string().max(255).optional(), volume_id: f.uuid.optional(), snapshot_id: f.uuid.optional(), volume_size: z.union([f.whole(1), z.literal('').transform(() => undefined)]).optional(),
  device_name: z.string().min(1).max(255).regex(/^[a-zA-Z0-9._\-/]*$/).optional(), delete_on_termination: f.boolean.optional(), no_device: z.unknown().optional(), connection_info: z.string().max(16_384).optional(),
}).strict();
export const deviceV2 = z.strictObject({
  boot_index: bootIndex.optional(), source_type: z.enum(['volume', 'image', 'snapshot', 'blank']), destination_type: z.enum(['local', 'volume']).optional(),
  uuid: z.string().min(1).max(255).regex(/^[a-zA-Z0-9._-]*$/).optional(), image_id: f.uuid.optional(), volume_id: f.uuid.optional(), snapshot_id: f.uuid.optional(), volume_size: z.union([f.whole(1), z.literal('').transform(() => undefined)]).optional(),
  guest_format: z.string().max(255).nullable().optional(), device_type: z.string().max(255).nullable().optional(), disk_bus: z.string().max(255).nullable().optional(),
  device_name: z.string().min(1).max(255).regex(/^[a-zA-Z0-9._\-/]*$/).nullable().optional(), delete_on_termination: f.boolean.optional(), no_device: z.union([z.boolean(), z.string()]).optional(),
  connection_info: z.string().max(16_384).optional(), virtual_name: z.string().max(255).optional(), tag: f.deviceTag.optional(), volume_type: z.string().max(255).nullable().optional(),
});
const network = z.strictObject({ uuid: f.uuid.nullable().optional(), port: f.uuid.nullable().optional(), fixed_ip: z.union([z.ipv4(), z.ipv6()]).optional(), tag: f.deviceTag.optional() });

const hints = z.looseObject({
  group: f.uuid.optional(), different_host: z.union([z.string(), z.array(f.uuid).min(1)]).optional(), same_host: z.union([z.string(), z.array(f.uuid).min(1)]).optional(), query: z.unknown().optional(),
  target_cell: z.string().optional(), different_cell: z.union([z.string(), z.array(z.string())]).optional(), build_near_host_ip: z.ipv4().optional(), cidr: z.string().regex(/^\/[0-9a-f.:]+$/).optional(),
});
export const Create = shape('ServerCreate', z.strictObject({
  server: z.strictObject({
    name: f.name, flavorRef: z.union([z.string().min(1), z.int()]), imageRef: f.imageRef.optional(), adminPass: f.adminPass.optional(), metadata: f.metadata.optional(),
    networks: z.union([z.array(network), z.enum(['none', 'auto'])]), 'OS-DCF:diskConfig': f.diskConfig.optional(), accessIPv4: f.ipv4.optional(), accessIPv6: f.ipv6.optional(),
    availability_zone: f.zone.optional(), key_name: f.keyName.optional(), min_count: f.whole(1).optional(), max_count: f.whole(1).optional(), return_reservation_id: f.boolean.optional(),
    security_groups: z.array(z.strictObject({ name: z.string().min(1).max(255).optional() })).optional(), user_data: f.userData.optional(), config_drive: f.boolean.nullable().optional(),
    block_device_mapping: z.array(deviceV1).optional(), block_device_mapping_v2: z.array(deviceV2).optional(), description: f.description.optional(), tags: f.tags.optional(), trusted_image_certificates: f.trustedCerts.optional(),
    host: f.hostName.optional(), hypervisor_hostname: f.hostName.optional(), hostname: f.fqdn.optional(),
  }),
  'os:scheduler_hints': hints.optional(), 'OS-SCH-HNT:scheduler_hints': hints.optional(),
}));
export type CreateBody = z.output<typeof Create.newest>;

export const Update = shape('ServerUpdate', z.strictObject({
  server: z.strictObject({
    name: f.name.optional(), 'OS-DCF:diskConfig': f.diskConfig.optional(), accessIPv4: f.ipv4.optional(), accessIPv6: f.ipv6.optional(), description: f.description.optional(), hostname: f.fqdn.optional(), pinned_availability_zone: f.zone.nullable().optional(),
  }),
}));

const text = z.union([z.string(), z.array(z.string())]);
const query = {
  limit: text.optional(), marker: text.optional(), sort_key: text.optional(), sort_dir: text.optional(),
  user_id: text.optional(), project_id: text.optional(), tenant_id: text.optional(), launch_index: text.optional(), image_ref: text.optional(), image: text.optional(), kernel_id: text.optional(), ramdisk_id: text.optional(),
  hostname: text.optional(), key_name: text.optional(), power_state: text.optional(), vm_state: text.optional(), task_state: text.optional(), host: text.optional(), node: text.optional(), flavor: text.optional(), reservation_id: text.optional(),
  launched_at: text.optional(), terminated_at: text.optional(), availability_zone: text.optional(), name: text.optional(), display_name: text.optional(), description: text.optional(), display_description: text.optional(), locked_by: text.optional(), uuid: text.optional(),
  root_device_name: text.optional(), config_drive: text.optional(), access_ip_v4: text.optional(), access_ip_v6: text.optional(), auto_disk_config: text.optional(), progress: text.optional(), instance_type_id: text.optional(), ip: text.optional(), ip6: text.optional(),
  status: text.optional(), deleted: text.optional(), soft_deleted: text.optional(), created_at: text.optional(), 'changes-since': text.optional(), 'changes-before': text.optional(), all_tenants: text.optional(), cell_name: text.optional(), metadata: text.optional(), system_metadata: text.optional(),
  tags: text.optional(), 'tags-any': text.optional(), 'not-tags': text.optional(), 'not-tags-any': text.optional(), locked: text.optional(), changes_since: text.optional(),
  block_device_mapping: text.optional(), services: text.optional(), metadata_key: text.optional(), internal_id: text.optional(), 'instance_name': text.optional(),
};
export const ListQuery = shape('ServerQuery', z.strictObject(query));
export type ListQueryOut = Partial<Record<string, string | string[]>>;

export const Server = shape('Server', z.any());
export const Shown = shape('ShownServer', z.any(), { server: Server });
export const Listed = shape('ServerList', z.any());
export const Detailed = shape('ServerDetail', z.any(), { servers: shape('ServerInDetail', z.any()) });
export const Updated = shape('UpdatedServer', z.any(), { server: shape('ServerAfterUpdate', z.any()) });
export const Rebuilt = shape('RebuiltServer', z.any(), { server: shape('ServerAfterRebuild', z.any()) });
