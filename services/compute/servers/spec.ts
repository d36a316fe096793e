import type { Trx } from '@cumulet/db';
import { DriverError } from '@cumulet/drivers';
import type { Connection, DiskBus, DiskDevice, Nic, RescueSpec, ServerSpec, VolumeDisk } from '@cumulet/drivers/hypervisor';
import type { ComputeDeps } from '../deps.ts';
import { configDrive } from '../metadata/tree.ts';
import { documentOf } from '../metadata/document.ts';
import { instanceName, isVolumeBacked, rootDevice, type BlockDevice, type ServerFlavor, type ServerRow } from './row.ts';
import { devicesOf, portsOf } from './store.ts';

const buses: readonly string[] = ['virtio', 'scsi', 'sata', 'ide', 'usb', 'fdc'];
const types: readonly string[] = ['disk', 'cdrom', 'floppy', 'lun'];

/** What a hypervisor can limit, of the specs that a type's front-end QoS has; the rest is for nobody here. */
const limitsOf = (specs: Readonly<Record<string, string>>): Record<string, number> => Object.fromEntries(Object.entries(specs).filter(([key, value]) => /^(total|read|write)_(bytes|iops)_sec(_max)?$/.test(key) && Number(value) > 0).map(([key, value]) => [key, Math.floor(Number(value))]));

/** A volume as the hypervisor gets it. Its connection is what the backend said at the last connect. */
export function volumeDisk(d: BlockDevice, o: { multiattach?: boolean; qos?: Readonly<Record<string, string>> | null } = {}): VolumeDisk {
  if (d.volume_id === null || d.connection === null) throw new DriverError('broken', 'A volume of the server is not connected to its host.', { detail: d.id });
  const { access_mode: mode, qos_specs: specs, multiattach: shared } = (d.connection['data'] ?? {}) as { access_mode?: string; qos_specs?: Readonly<Record<string, string>> | null; multiattach?: boolean };
  // Kept with the connection, as nova keeps them: they hold after every start, not only after the attachment.
  const qos = limitsOf(o.qos ?? specs ?? {});
  const device = d.device_name?.replace(/^\/dev\//, '');
  return {
    volumeId: d.volume_id, connection: d.connection as unknown as Connection, ...(device ? { device } : {}), ...(buses.includes(d.disk_bus ?? '') ? { bus: d.disk_bus as DiskBus } : {}), ...(types.includes(d.device_type ?? '') ? { type: d.device_type as DiskDevice } : {}),
    ...(d.boot_index === null ? {} : { bootIndex: d.boot_index }), ...(mode === 'ro' ? { readOnly: true } : {}), ...(o.multiattach || shared === true ? { multiattach: true } : {}),
    ...(Object.keys(qos).length > 0 ? { qos } : {}),
  };
}

/** Where each port is plugged on this host: kept with the server, so that a start needs nobody else. */
export type Places = Readonly<Record<string, { readonly bridge: string; readonly tapName: string; readonly mtu: number }>>;

/** Everything that the hypervisor needs to build the server from nothing, from the rows as they are now. */
export async function specOf(deps: ComputeDeps, trx: Trx, row: ServerRow, places: Places, o: { flavor?: ServerFlavor; withoutVolumes?: boolean; adminPass?: string } = {}): Promise<ServerSpec> {
  const flavor = o.flavor ?? row.flavor;
  const devices = await devicesOf(trx, row.id);
  const root = rootDevice(devices);
  const base = row.system.base_image ?? row.image;
  const links = await portsOf(trx, row.id);
  const facts = await deps.networks.ports(trx, links.map(l => l.port_id));
  const nics: Nic[] = links.flatMap(l => {
    const port = facts.get(l.port_id);
    const place = places[l.port_id];
    return port && place ? [{ portId: l.port_id, mac: port.mac_address, bridge: place.bridge, tapName: place.tapName, mtu: place.mtu }] : [];
  });
  const eph = devices.filter(d => d.source_type === 'blank' && d.destination_type === 'local' && d.guest_format !== 'swap');
  const ephemerals = eph.length > 0 ? eph.map(d => ({ sizeGiB: d.volume_size ?? flavor.ephemeral_gb, ...guestFormat(d.guest_format) })).filter(d => d.sizeGiB > 0) : flavor.ephemeral_gb > 0 ? [{ sizeGiB: flavor.ephemeral_gb }] : [];
  const rootDisk: ServerSpec['root'] = isVolumeBacked(devices) && root
    ? { kind: 'volume', volume: volumeDisk(root) }
    : { kind: 'image', imagePath: deps.cache.place(base).path, imageFormat: deps.cache.place(base).format, sizeGiB: flavor.root_gb };
  const volumes = o.withoutVolumes ? [] : devices.filter(d => d.destination_type === 'volume' && d !== root && d.connection !== null).map(d => volumeDisk(d));
  const files = row.config_drive ? configDrive(await documentOf(deps, trx, row), o.adminPass === undefined ? {} : { adminPass: o.adminPass }) : undefined;
  return {
    id: row.id, name: instanceName(row), displayName: row.name, project: { id: row.project_id }, user: { id: row.user_id }, flavorName: flavor.name, vcpus: flavor.vcpus, memoryMiB: flavor.memory_mb, root: rootDisk,
    ...(ephemerals.length > 0 ? { ephemerals } : {}), ...(flavor.swap_mb > 0 ? { swapMiB: flavor.swap_mb } : {}), ...(volumes.length > 0 ? { volumes } : {}), nics, ...(files ? { configDrive: { files } } : {}),
    imageProperties: row.image.properties ?? {}, extraSpecs: flavor.extra_specs, ...(row.rescue ? { rescue: rescueSpec(deps, row) } : {}),
  };
}
const guestFormat = (f: string | null) => (f === 'ext2' || f === 'ext3' || f === 'ext4' || f === 'vfat' ? { guestFormat: f } as const : {});

export function rescueSpec(deps: ComputeDeps, row: ServerRow): RescueSpec {
  const image = row.rescue ?? row.image;
  const { path, format } = deps.cache.place(image);
  return { imagePath: path, imageFormat: format, imageProperties: image.properties ?? {} };
}
