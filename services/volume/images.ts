import type { Trx } from '@cumulet/db';
import { luksHeaderBytes } from '@cumulet/diskimage';
import { images, type ImageFacts as Image } from '@cumulet/image';
import { BadRequest, Conflict, Fault, isUuid } from '@cumulet/wire';
import { invalidInput } from './faults.ts';

/** What a volume needs to know of an image. */
export interface ImageFacts {
  readonly id: string;
  /** What a guest will see of it, as far as it is known. */
  readonly sizeBytes: number;
  readonly minDiskGiB: number;
  /** The image's own wish (cinder_img_volume_type). */
  readonly volumeType?: string;
  /** Its bytes are those of an encrypted volume, which this key opens. */
  readonly keyId?: string;
  /** What the volume keeps of it: `volume_image_metadata`, values as text. */
  readonly metadata: Readonly<Record<string, string>>;
}
export interface ImageWho { readonly projectId: string; readonly userId: string; readonly admin: boolean }

/** Custom properties that are no property of the content (upstream's reserved and namespaces). */
const notCopied = /^(os_glance_|os_hash_|stores$|cinder_encryption_key)/;
export function imageMetadata(image: Image): Record<string, string> {
  const custom = Object.entries(image.properties).filter(([key]) => !notCopied.test(key));
  return {
    signature_verified: 'False', ...Object.fromEntries(custom.map(([k, v]) => [k, String(v)])), image_id: image.id, image_name: image.name ?? '', ...(image.checksum === null ? {} : { checksum: image.checksum }),
    ...(image.container_format === null ? {} : { container_format: image.container_format }), ...(image.disk_format === null ? {} : { disk_format: image.disk_format }), min_disk: String(image.min_disk), min_ram: String(image.min_ram), size: String(image.size ?? 0),
  };
}

/** An id, a URL that ends with one, or the name of the only such image that the caller sees in lists. */
async function imageId(trx: Trx, who: ImageWho, ref: string): Promise<string> {
  const last = ref.split('/').at(-1) ?? '';
  if (isUuid(last)) return last;
  const rows: { id: string }[] = await trx('images').where({ name: ref }).whereNot({ status: 'pending_delete' }).where(q => {
    void q.where({ owner: who.projectId }).orWhere({ visibility: 'public' });
    if (who.admin) void q.orWhereRaw('true');
    void q.orWhereExists(trx('image_members as m').whereRaw('m.image_id = images.id').where({ 'm.member': who.projectId, 'm.status': 'accepted' }));
  }).limit(2).select('id');
  if (rows.length > 1) throw new Conflict(`Multiple matches found for '${ref}', use an ID to be more specific.`);
  return rows[0]?.id ?? ref;
}
/** The snapshot of the boot volume, of an image that nova has made of a volume-backed server (3.46). */
export function bootSnapshot(image: ImageFacts): string | undefined {
  let list: unknown;
  try { list = JSON.parse(image.metadata['block_device_mapping'] ?? '[]'); } catch { return undefined; }   // not nova's
  const boot = Array.isArray(list) ? (list as { source_type?: unknown; boot_index?: unknown; snapshot_id?: unknown }[]).find(m => m?.source_type === 'snapshot' && m.boot_index === 0) : undefined;
  return typeof boot?.snapshot_id === 'string' ? boot.snapshot_id : undefined;
}

/** An image that a volume may be made of; 400 in upstream's words otherwise. */
export async function imageForVolume(trx: Trx, who: ImageWho, ref: string): Promise<ImageFacts> {
  const id = await imageId(trx, who, ref);
  const image = await images.find(trx, { projectId: who.projectId, isAdmin: who.admin }, id).catch((error: unknown) => {
    if (error instanceof Fault && error.status === 404) throw new BadRequest('Invalid image identifier or unable to access requested image.');
    throw error;
  });
  if (image.status !== 'active') throw invalidInput(`Image ${image.id} is not active.`);
  const wish = image.properties['cinder_img_volume_type'];
  const key = image.properties['cinder_encryption_key_id'];
  const keyId = typeof key === 'string' && isUuid(key) ? key : undefined;
  // The header of such a container is no part of the volume's size.
  const bytes = Math.max(image.virtual_size ?? 0, image.disk_format === 'raw' ? image.size ?? 0 : 0) - (keyId === undefined ? 0 : luksHeaderBytes);
  return { id: image.id, sizeBytes: Math.max(0, bytes), minDiskGiB: image.min_disk, metadata: imageMetadata(image), ...(wish ? { volumeType: String(wish) } : {}), ...(keyId === undefined ? {} : { keyId }) };
}
