import type { Trx } from '@cumulet/db';
import { BadRequest, Conflict, Fault, newId } from '@cumulet/wire';
import type { Compute } from '../compute.ts';
import type { FlavorRow } from '../flavors/store.ts';
import { imageWho, type ImageFacts, type Who } from '../neighbours.ts';
import type { CreateBody } from './schemas.ts';
import type { BlockDevice } from './row.ts';

export type NewDevice = Omit<BlockDevice, 'server_id' | 'created_at' | 'connection' | 'attachment_id'>;
const blank: NewDevice = { id: '', source_type: 'blank', destination_type: 'local', boot_index: null, device_name: null, device_type: null, disk_bus: null, guest_format: null, image_id: null, snapshot_id: null, volume_id: null, volume_size: null, volume_type: null, delete_on_termination: false, tag: null };
const invalid = (why: string) => new BadRequest(`Block Device Mapping is Invalid: ${why}`);
const bootSequence = () => invalid('Boot sequence for the instance and image/block device mapping combination is not valid.');

type V1 = NonNullable<CreateBody['server']['block_device_mapping']>[number];
type V2 = NonNullable<CreateBody['server']['block_device_mapping_v2']>[number];

/** The first form of mappings: a device name and a volume or snapshot. The one at the root device boots. */
function fromV1(list: readonly V1[], imageGiven: boolean): NewDevice[] {
  return list.filter(d => d.no_device === undefined || d.no_device === null || d.no_device === '').map((d, i): NewDevice => {
    const root = !imageGiven && i === 0;
    const common = { ...blank, id: newId(), device_name: d.device_name ?? null, destination_type: 'volume', boot_index: root ? 0 : null, delete_on_termination: d.delete_on_termination ?? false, volume_size: d.volume_size ?? null };
    if (d.volume_id !== undefined) return { ...common, source_type: 'volume', volume_id: d.volume_id };
    if (d.snapshot_id !== undefined) return { ...common, source_type: 'snapshot', snapshot_id: d.snapshot_id };
    throw invalid('Block device mapping needs a volume or a snapshot.');
  });
}
function fromV2(list: readonly V2[]): NewDevice[] {
  return list.filter(d => d.no_device === undefined || d.no_device === false).map((d): NewDevice => {
    const id = d.uuid ?? d.image_id ?? d.volume_id ?? d.snapshot_id ?? null;
    if (d.source_type !== 'blank' && (id === null || !/^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(id))) throw invalid('Missing device UUID.');
    const destination = d.destination_type ?? (d.source_type === 'volume' || d.source_type === 'snapshot' ? 'volume' : 'local');
    if ((d.source_type === 'volume' || d.source_type === 'snapshot') && destination === 'local') throw invalid(`Mapping from ${d.source_type} to local is not supported.`);
    if (d.source_type === 'image' && destination === 'local' && d.boot_index !== 0) throw invalid('Mapping image to local is not supported.');
    if (d.volume_type && destination !== 'volume') throw invalid('Specifying a volume_type with destination_type=local is not supported.');
    if (d.source_type === 'blank' && destination === 'volume' && d.volume_size === undefined) throw invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size");
    if (d.source_type === 'image' && destination === 'volume' && d.volume_size === undefined) throw invalid("Images with destination_type 'volume' need to have a non-zero size specified");
    return {
      ...blank, id: newId(), source_type: d.source_type, destination_type: destination, boot_index: d.boot_index === undefined || d.boot_index === null || d.boot_index < 0 ? null : d.boot_index, device_name: d.device_name ?? null, device_type: d.device_type ?? null, disk_bus: d.disk_bus ?? null,
      guest_format: d.guest_format ?? null, volume_size: d.volume_size ?? null, volume_type: d.volume_type ?? null, delete_on_termination: d.delete_on_termination ?? false, tag: d.tag ?? null,
      ...(d.source_type === 'volume' ? { volume_id: id } : d.source_type === 'snapshot' ? { snapshot_id: id } : d.source_type === 'image' ? { image_id: id } : {}),
    };
  });
}

interface Mapping { readonly source_type?: string; readonly destination_type?: string; readonly snapshot_id?: string | null; readonly image_id?: string | null; readonly boot_index?: number | null; readonly device_name?: string | null; readonly volume_size?: number | null; readonly delete_on_termination?: boolean; readonly disk_bus?: string | null; readonly device_type?: string | null }
/** An image that is a snapshot of volumes carries its own mappings. */
function fromImage(image: ImageFacts): NewDevice[] {
  const text = image.properties['block_device_mapping'];
  if (text === undefined) return [];
  let list: Mapping[];
  try { list = JSON.parse(text) as Mapping[]; } catch (cause) { throw new BadRequest(`Image ${image.id} is unacceptable: its block_device_mapping cannot be read`, { cause }); }
  return list.filter(m => m.source_type === 'snapshot' && typeof m.snapshot_id === 'string').map(m => ({
    ...blank, id: newId(), source_type: 'snapshot', destination_type: 'volume', snapshot_id: m.snapshot_id as string, boot_index: m.boot_index ?? null, device_name: m.device_name ?? null, volume_size: m.volume_size ?? null, delete_on_termination: m.delete_on_termination ?? false, disk_bus: m.disk_bus ?? null, device_type: m.device_type ?? null,
  }));
}

export interface Disks { readonly devices: NewDevice[]; readonly image: ImageFacts | undefined; readonly volumeBacked: boolean }

/** Which disks the server gets: what the body, the image and the flavor say of them together. Throws upstream's 400s. */
export async function disksOf(c: Compute, trx: Trx, who: Who, s: CreateBody['server'], flavor: FlavorRow, o: { multiattach: boolean; count: number }): Promise<Disks> {
  if (s.block_device_mapping?.length && s.block_device_mapping_v2?.length) throw new BadRequest('Using different block_device_mapping syntaxes is not allowed in the same request.');
  const imageRef = s.imageRef === undefined || s.imageRef === '' ? undefined : s.imageRef;
  const image = imageRef === undefined ? undefined : await findImage(c, trx, who, imageRef);
  let devices = s.block_device_mapping?.length ? fromV1(s.block_device_mapping, imageRef !== undefined) : fromV2(s.block_device_mapping_v2 ?? []);
  const own = image === undefined ? [] : fromImage(image);
  devices = [...own.filter(d => !devices.some(x => x.device_name !== null && x.device_name === d.device_name)), ...devices];
  if (imageRef === undefined && devices.length === 0) throw new BadRequest('Invalid imageRef provided.');
  const booting = devices.filter(d => d.boot_index !== null).toSorted((a, b) => (a.boot_index as number) - (b.boot_index as number));
  let volumeBacked = booting[0]?.boot_index === 0 && booting[0].destination_type === 'volume';
  const rootIsMapped = booting.some(d => d.boot_index === 0);
  if (imageRef === undefined && !rootIsMapped) throw bootSequence();
  if (booting.some((d, i) => d.boot_index !== i + (rootIsMapped ? 0 : 1))) throw bootSequence();
  if (image !== undefined && own.length === 0 && rootIsMapped && devices.some(d => d.boot_index === 0 && d.source_type === 'image' && d.destination_type === 'local')) devices = devices.filter(d => !(d.boot_index === 0 && d.source_type === 'image' && d.destination_type === 'local'));
  else if (image !== undefined && own.length === 0 && rootIsMapped && volumeBacked) volumeBacked = true;
  if (!volumeBacked && image !== undefined) devices.unshift({ ...blank, id: newId(), source_type: 'image', destination_type: 'local', boot_index: 0, image_id: image.id, device_type: 'disk', delete_on_termination: true });
  const names = devices.flatMap(d => (d.device_name === null ? [] : [d.device_name]));
  if (new Set(names).size !== names.length) throw invalid('There are two block devices with the same device name.');
  const ephemeral = devices.filter(d => d.source_type === 'blank' && d.destination_type === 'local' && d.guest_format !== 'swap');
  if (ephemeral.reduce((sum, d) => sum + (d.volume_size ?? 0), 0) > flavor.ephemeral_gb) throw invalid('Ephemeral disks requested are larger than the instance type allows. If no size is given in one block device mapping, flavor ephemeral size will be used.');
  const swap = devices.filter(d => d.source_type === 'blank' && d.destination_type === 'local' && d.guest_format === 'swap');
  if (swap.length > 1) throw invalid('More than one swap drive requested.');
  if (swap.some(d => (d.volume_size ?? 0) > flavor.swap_mb)) throw invalid('Swap drive requested is larger than instance type allows.');
  await checkVolumes(c, trx, who, devices, { ...o, described: image !== undefined });
  if (image !== undefined && !volumeBacked) fits(image, flavor);
  else if (image !== undefined && image.min_ram > flavor.memory_mb) throw tooSmall();
  return { devices, image: image ?? await imageOfRoot(c, trx, who, devices), volumeBacked };
}

async function checkVolumes(c: Compute, trx: Trx, who: Who, devices: readonly NewDevice[], o: { multiattach: boolean; count: number; described: boolean }): Promise<void> {
  for (const d of devices) {
    if (d.source_type === 'volume') {
      const volume = await c.n.volumes.find(trx, who, d.volume_id as string).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? invalid(`failed to get volume ${d.volume_id}.`) : error; });
      // A request that names an image beside the volume says itself what is on the disk: nova asks no more then.
      if (d.boot_index === 0 && !volume.bootable && !o.described) throw invalid(`Volume ${volume.id} is not bootable.`);
      if (volume.multiattach && !o.multiattach) throw new Conflict('Multiattach volumes are only supported starting with compute API version 2.60.');
      if (o.count > 1 && !volume.multiattach) throw new BadRequest('Cannot attach one or more volumes to multiple instances');
    }
    if (d.source_type === 'snapshot') await c.n.volumes.findSnapshot(trx, who, d.snapshot_id as string).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? invalid(`failed to get snapshot ${d.snapshot_id}.`) : error; });
    if (d.source_type === 'image' && d.image_id !== null && d.destination_type === 'volume') await c.n.images.find(trx, imageWho(who), d.image_id).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? invalid(`failed to get image ${d.image_id}.`) : error; });
  }
}
/** A server that boots from a volume runs what the volume was made from: its image's properties shape the machine. */
async function imageOfRoot(c: Compute, trx: Trx, who: Who, devices: readonly NewDevice[]): Promise<ImageFacts | undefined> {
  const root = devices.find(d => d.boot_index === 0);
  if (root?.image_id != null && root.source_type === 'image') return c.n.images.find(trx, imageWho(who), root.image_id);
  return undefined;
}

export async function findImage(c: Compute, trx: Trx, who: Who, id: string): Promise<ImageFacts> {
  const image = await c.n.images.find(trx, imageWho(who), id).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new BadRequest('Can not find requested image') : error; });
  if (image.status !== 'active') throw new BadRequest(`Image ${id} is not active.`);
  return image;
}
const tooSmall = () => new BadRequest("Flavor's memory is too small for requested image.");
/** The image's needs against the flavor, in bytes as upstream says them. */
export function fits(image: ImageFacts, flavor: Pick<FlavorRow, 'memory_mb' | 'root_gb'>): void {
  if (image.min_ram > flavor.memory_mb) throw tooSmall();
  const disk = flavor.root_gb * 2 ** 30;
  // What it unfolds to, where that is known: upstream finds that out on the host, after the 202.
  const size = Math.max(image.virtual_size ?? 0, image.size ?? 0);
  if (disk === 0) return;
  if (size > disk) throw new BadRequest(`Flavor's disk is too small for requested image. Flavor disk is ${disk} bytes, image is ${size} bytes.`);
  if (image.min_disk * 2 ** 30 > disk) throw new BadRequest(`Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is ${disk} bytes, minimum size is ${image.min_disk * 2 ** 30} bytes.`);
}
