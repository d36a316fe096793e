import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { bool, metadata, sizeGiB } from '../shapes.ts';

const act = <N extends string, S extends z.ZodType>(name: N, inner: S) => shape(name, z.looseObject({ [name]: inner } as Record<N, S>));
export const connector = z.looseObject({ host: z.string().max(255).optional() });

export const Extend = act('os-extend', z.strictObject({ new_size: sizeGiB }));
export const ResetStatus = act('os-reset_status', z.strictObject({ status: z.string().nullish(), attach_status: z.string().nullish(), migration_status: z.string().nullish() }).refine(o => o.status || o.attach_status || o.migration_status, { error: "Must specify 'status', 'attach_status' or 'migration_status' for update." }));
export const SetBootable = act('os-set_bootable', z.strictObject({ bootable: bool }));
export const ReadonlyFlag = act('os-update_readonly_flag', z.strictObject({ readonly: bool }));
export const SetImageMetadata = act('os-set_image_metadata', z.strictObject({ metadata }));
export const UnsetImageMetadata = act('os-unset_image_metadata', z.strictObject({ key: z.string().min(1).max(255) }));
export const Attach = act('os-attach', z.strictObject({ instance_uuid: z.string().nullish(), mountpoint: z.string().max(255), host_name: z.string().max(255).nullish(), mode: z.enum(['rw', 'ro']).nullish() }));
export const Detach = act('os-detach', z.strictObject({ attachment_id: z.string().nullish() }).nullish());
export const ForceDetach = act('os-force_detach', z.strictObject({ attachment_id: z.string().nullish(), connector: connector.nullish() }));
export const InitializeConnection = act('os-initialize_connection', z.strictObject({ connector }));
export const TerminateConnection = act('os-terminate_connection', z.strictObject({ connector: connector.nullish() }));
export const Retype = act('os-retype', z.strictObject({ new_type: z.string().max(255).min(1), migration_policy: z.enum(['never', 'on-demand']).nullish() }));
export const Migrate = act('os-migrate_volume', z.strictObject({ host: z.string().max(255).nullish(), force_host_copy: bool.nullish(), lock_volume: bool.nullish(), cluster: z.string().max(255).nullish() }));
export const MigrateCompletion = act('os-migrate_volume_completion', z.strictObject({ new_volume: z.string(), error: bool.nullish() }));
export const Revert = act('revert', z.strictObject({ snapshot_id: z.string() }));
export const Reimage = act('os-reimage', z.strictObject({ image_id: z.string(), reimage_reserved: bool.nullish() }));
export const ExtendCompletion = act('os-extend_volume_completion', z.strictObject({ error: bool.nullish() }));
export const UploadImage = act('os-volume_upload_image', z.strictObject({
  image_name: z.string().max(255), force: bool.nullish(), disk_format: z.enum(['raw', 'vmdk', 'vdi', 'qcow2', 'vhd', 'vhdx', 'ploop']).nullish(), container_format: z.string().max(255).nullish(),
  visibility: z.enum(['public', 'private', 'shared', 'community']).nullish(), protected: bool.nullish(),
}));
