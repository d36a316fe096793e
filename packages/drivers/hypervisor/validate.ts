import { isAbsolute } from 'node:path';
import { DriverError } from '../errors.ts';
import type { Connection, Nic, ServerSpec, VolumeDisk } from './spec.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The id becomes a folder's name: anything but a UUID could lead out of the instances' folder. */
export function checkId(id: string): void {
  if (!uuid.test(id)) throw new DriverError('invalid', 'The server id is not a UUID.', { detail: JSON.stringify(id.slice(0, 80)) });
}

function check(ok: boolean, message: string, value?: unknown): asserts ok {
  if (!ok) throw new DriverError('invalid', message, { detail: JSON.stringify(value)?.slice(0, 200) });
}

// control characters do not survive XML attributes unchanged
const path = (value: string): boolean => isAbsolute(value) && !/[\x00-\x1f\x7f]/.test(value) && value.length < 4_096;

export function checkSpec(spec: ServerSpec): void {
  checkId(spec.id);
  check(/^[A-Za-z0-9][\w.-]{0,62}$/.test(spec.name), 'The instance name is not usable.', spec.name);
  check(Number.isInteger(spec.vcpus) && spec.vcpus >= 1 && spec.vcpus <= 1_024, 'The number of vCPUs is not usable.', spec.vcpus);
  check(Number.isInteger(spec.memoryMiB) && spec.memoryMiB >= 16, 'The memory size is not usable.', spec.memoryMiB);
  check(spec.swapMiB === undefined || (Number.isInteger(spec.swapMiB) && spec.swapMiB >= 0), 'The swap size is not usable.', spec.swapMiB);
  for (const e of spec.ephemerals ?? []) check(Number.isInteger(e.sizeGiB) && e.sizeGiB >= 1, 'The size of an ephemeral disk is not usable.', e.sizeGiB);
  if (spec.root.kind === 'image') {
    check(path(spec.root.imagePath), 'The path of the image is not usable.', spec.root.imagePath);
    check(Number.isInteger(spec.root.sizeGiB) && spec.root.sizeGiB >= 0, 'The size of the root disk is not usable.', spec.root.sizeGiB);
  } else {
    checkVolume(spec.root.volume);
  }
  const ids = [...(spec.root.kind === 'volume' ? [spec.root.volume] : []), ...(spec.volumes ?? [])].map((v) => v.volumeId);
  check(new Set(ids).size === ids.length, 'A volume is attached twice.', ids);
  for (const volume of spec.volumes ?? []) checkVolume(volume);
  for (const nic of spec.nics ?? []) checkNic(nic);
  const macs = (spec.nics ?? []).map((nic) => nic.mac.toLowerCase());
  check(new Set(macs).size === macs.length, 'Two network interfaces have the same MAC address.', macs);
  if (spec.configDrive !== undefined) checkConfigDrive(spec.configDrive);
  if (spec.rescue !== undefined) {
    check(path(spec.rescue.imagePath), 'The path of the rescue image is not usable.', spec.rescue.imagePath);
    if (spec.rescue.configDrive !== undefined) checkConfigDrive(spec.rescue.configDrive);
  }
}

function checkConfigDrive(drive: NonNullable<ServerSpec['configDrive']>): void {
  if ('path' in drive) return check(path(drive.path), 'The path of the config drive is not usable.', drive.path);
  for (const name of Object.keys(drive.files)) {
    const parts = name.split('/');
    check(name.length < 512 && !name.includes('\0') && parts.every((p) => p !== '' && p !== '.' && p !== '..'), 'A file name of the config drive is not usable.', name);
  }
}

export function checkNic(nic: Nic): void {
  check(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(nic.mac), 'The MAC address is not usable.', nic.mac);
  // an odd first byte is a multicast address: libvirt refuses it late and unclearly
  check((Number.parseInt(nic.mac.slice(0, 2), 16) & 1) === 0, 'The MAC address is a multicast address.', nic.mac);
  for (const name of [nic.bridge, nic.tapName]) check(/^[A-Za-z0-9_.-]{1,15}$/.test(name) && name !== '.' && name !== '..', 'The name of a network device is not usable.', name);
  check(nic.mtu === undefined || (Number.isInteger(nic.mtu) && nic.mtu >= 68 && nic.mtu <= 65_535), 'The MTU is not usable.', nic.mtu);
  check(nic.model === undefined || /^[a-z0-9_-]{1,20}$/.test(nic.model), 'The network card model is not usable.', nic.model);
}

export function checkVolume(volume: VolumeDisk): void {
  check(uuid.test(volume.volumeId), 'The volume id is not a UUID.', volume.volumeId);
  check(volume.device === undefined || /^[a-z]{2,3}[a-z]{1,2}$/.test(volume.device), 'The device name is not usable.', volume.device);
  const buses = ['virtio', 'scsi', 'sata', 'ide', 'usb', 'fdc'];
  check(volume.bus === undefined || buses.includes(volume.bus), `The disk bus is not one of ${buses.join(', ')}.`, volume.bus);
  checkConnection(volume.connection);
}

function checkConnection(connection: Connection): void {
  const key = (connection as { readonly data?: { readonly encryption_key_id?: string } }).data?.encryption_key_id;
  check(key === undefined || uuid.test(key), 'The id of the volume\'s key is not usable.', key);
  switch (connection.driver_volume_type) {
    case 'local':
      return check(path(connection.data.device_path), 'The path of the volume is not usable.');
    case 'nfs': {
      const { name, device_path: direct } = connection.data;
      if (direct !== undefined) return check(path(direct), 'The path of the volume is not usable.');
      return check(!name.includes('/') && name !== '..' && name !== '.' && name !== '' && !name.includes('\0'), 'The name of the volume is not usable.');
    }
    case 'iscsi': {
      const { target_portal: portal, target_iqn: iqn, target_lun: lun } = connection.data;
      check(/^(\[[0-9a-f:.]+\]|[\w.-]+):\d{1,5}$/i.test(portal), 'The iSCSI portal is not usable.', portal);
      check(/^[\w.:-]{1,223}$/.test(iqn), 'The iSCSI target name is not usable.', iqn);
      return check(Number.isInteger(lun) && lun >= 0 && lun <= 16_383, 'The iSCSI LUN is not usable.', lun);
    }
    case 'rbd': {
      const { name, hosts, ports } = connection.data;
      check(/^[^/@\0]+\/[^/@\0]+$/.test(name), 'The RBD image name is not usable.', name);
      return check(hosts.length > 0 && hosts.length === ports.length, 'The Ceph monitors are not usable.', hosts);
    }
    case 'fake':
      return check(/^[\w.-]{1,255}$/.test(connection.data.name), 'The name of the volume is not usable.', connection.data.name);
    default:
      throw new DriverError('unsupported', `Volumes of the type ${String((connection as { driver_volume_type?: unknown }).driver_volume_type).slice(0, 40)} cannot be attached.`);
  }
}
