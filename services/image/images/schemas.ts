import { shape } from '@cumulet/wire';
import { z } from 'zod';

export const visibilities = ['community', 'public', 'private', 'shared'] as const;
/** glance: [image_format] disk_formats and container_formats. */
export const diskFormats = ['ami', 'ari', 'aki', 'vhd', 'vhdx', 'vmdk', 'raw', 'qcow2', 'vdi', 'iso', 'ploop'] as const;
export const containerFormats = ['ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed'] as const;

const id = z.string().regex(/^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$/);
const text = z.string().max(65_535);
const validation = z.strictObject({ checksum: z.string().length(32).optional(), os_hash_algo: z.string().max(64), os_hash_value: z.string().max(128) });
export const location = z.object({ url: z.string().max(255), metadata: z.record(z.string(), z.unknown()), validation_data: validation.optional() });
export type LocationInput = z.infer<typeof location>;

/** What a client may write into an image, alone or in a patch: `additionalProperties` are custom properties and are strings. */
const writable = {
  name: z.string().max(255).nullable().optional(),
  visibility: z.enum(visibilities).optional(),
  protected: z.boolean().optional(),
  os_hidden: z.boolean().optional(),
  owner: z.string().max(255).nullable().optional(),
  container_format: z.enum(containerFormats).nullable().optional(),
  disk_format: z.enum(diskFormats).nullable().optional(),
  tags: z.array(z.string().max(255)).optional(),
  min_ram: z.int().max(2_147_483_647).optional(),
  min_disk: z.int().max(2_147_483_647).optional(),
  kernel_id: id.nullable().optional(),
  ramdisk_id: id.nullable().optional(),
  cinder_encryption_key_deletion_policy: z.enum(['on_image_deletion', 'do_not_delete']).optional(),
};
/** Attributes that only glance writes; they may be sent with a right type and are refused afterwards, with 403. */
const readOnly = {
  status: z.string().optional(), checksum: z.string().nullable().optional(), os_hash_algo: z.string().nullable().optional(), os_hash_value: z.string().nullable().optional(),
  size: z.int().nullable().optional(), virtual_size: z.int().nullable().optional(), created_at: z.string().optional(), updated_at: z.string().optional(),
  direct_url: z.unknown().optional(), self: z.unknown().optional(), file: z.unknown().optional(), schema: z.unknown().optional(), stores: z.unknown().optional(),
};
export const imageSchema = z.object({ id: id.optional(), ...writable, ...readOnly, locations: z.array(location).optional() }).catchall(text);
export type ImageInput = z.infer<typeof imageSchema>;
export const ImageBody = shape('image', imageSchema);

/** The attributes of an image that are not custom properties. */
export const base: ReadonlySet<string> = new Set(['id', 'name', 'visibility', 'protected', 'os_hidden', 'owner', 'container_format', 'disk_format', 'tags', 'min_ram', 'min_disk', 'locations', ...Object.keys(readOnly)]);
export const readOnlyNames: ReadonlySet<string> = new Set([...Object.keys(readOnly), 'id']);
/** Refused in a create before anything else is looked at. */
export const disallowed = ['direct_url', 'self', 'file', 'schema', 'stores'] as const;
export const reserved: ReadonlySet<string> = new Set(['location', 'deleted', 'deleted_at']);
/** Properties of this prefix are glance's own. */
export const reservedPrefix = 'os_glance_';

const many = z.union([z.string(), z.array(z.string())]);
export const ListQuery = shape('images', z.object({
  limit: many.optional(), marker: many.optional(), sort: many.optional(), sort_key: many.optional(), sort_dir: many.optional(), member_status: many.optional(), visibility: many.optional(), tag: many.optional(),
}).catchall(many));
