import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DriverError } from '../../errors.ts';
import type { PlannedDisk } from '../disk-plan.ts';
import { letterIndex } from '../disk-plan.ts';
import type { Connection, DiskLimits, VolumeDisk } from '../spec.ts';
import type { XmlNode } from './xml.ts';

export interface DiskXmlOptions {
  /** The server's own folder. */
  readonly folder: string;
  readonly serverId: string;
  /** Of local files; `none` wants a file system with O_DIRECT. */
  readonly cache: 'none' | 'writeback' | 'unsafe';
  /** For the server's own disks. */
  readonly limits: Readonly<Record<string, number>>;
}

/**
 * Names that we give to devices: they come back in libvirt's events and in its XML, so they tell what a disk is.
 * libvirt takes only aliases that start with `ua-`.
 */
export const diskAlias = {
  of(disk: PlannedDisk): string {
    if (disk.source.kind === 'volume') return `${disk.role === 'root' ? 'ua-root-' : 'ua-vol-'}${disk.source.volume.volumeId}`;
    return disk.source.kind === 'own' ? `ua-${disk.source.file.replaceAll('.', '-')}` : 'ua-cdrom';
  },
  volume: (volumeId: string): string => `ua-vol-${volumeId}`,
  read(alias: string): { role: 'root' | 'ephemeral' | 'swap' | 'volume' | 'config' | 'rescue'; volumeId?: string } | undefined {
    const volume = /^ua-(root|vol)-([0-9a-f-]{36})$/.exec(alias);
    if (volume) return { role: volume[1] === 'root' ? 'root' : 'volume', volumeId: volume[2] ?? '' };
    if (alias === 'ua-disk' || alias === 'ua-cdrom') return { role: 'root' };
    if (alias.startsWith('ua-disk-eph')) return { role: 'ephemeral' };
    if (alias === 'ua-disk-swap') return { role: 'swap' };
    if (alias.startsWith('ua-disk-config')) return { role: 'config' };
    return alias === 'ua-disk-rescue' ? { role: 'rescue' } : undefined;
  },
};

export function diskXml(disk: PlannedDisk, options: DiskXmlOptions): XmlNode {
  const { source } = disk;
  const shared = {
    '@device': disk.type,
    target: { '@dev': disk.device, '@bus': disk.bus },
    alias: { '@name': diskAlias.of(disk) },
    boot: disk.bootOrder === undefined ? undefined : { '@order': disk.bootOrder },
    readonly: disk.readOnly ? {} : undefined,
    // one wide controller for every SCSI disk: libvirt's own arithmetic would spread them over controllers of seven
    address: disk.bus === 'scsi' ? { '@type': 'drive', '@controller': 0, '@bus': 0, '@target': 0, '@unit': letterIndex(disk.device.slice(2)) } : undefined,
  };
  if (source.kind === 'volume') return { ...shared, ...volumeXml(source.volume, options) };
  const path = source.kind === 'image' ? source.path : join(options.folder, source.file);
  const format = source.kind === 'image' ? 'raw' : source.format;
  return {
    '@type': 'file', ...shared,
    driver: {
      '@name': 'qemu', '@type': format, '@cache': disk.type === 'disk' ? options.cache : undefined,
      '@discard': disk.type === 'disk' ? 'unmap' : undefined,
    },
    source: { '@file': path },
    iotune: disk.type === 'disk' ? tune(options.limits) : undefined,
  };
}

function volumeXml(volume: VolumeDisk, options: DiskXmlOptions): XmlNode {
  const { connection } = volume;
  const key = keyOf(volume);
  // QEMU opens LUKS itself: the guest sees the content, and what reaches the storage is encrypted
  const encryption = key === undefined ? undefined : { '@format': 'luks', secret: { '@type': 'passphrase', '@uuid': key } };
  const driver = (format: string): XmlNode => ({
    '@name': 'qemu', '@type': format,
    '@cache': options.cache === 'unsafe' && volume.multiattach !== true ? 'unsafe' : volume.multiattach === true ? 'none' : options.cache,
    '@discard': volume.discard === true ? 'unmap' : undefined,
  });
  const rest = {
    serial: volume.volumeId,
    shareable: volume.multiattach === true ? {} : undefined,
    iotune: tune(volume.qos ?? {}),
  };
  switch (connection.driver_volume_type) {
    case 'local':
    case 'nfs': {
      const path = localPath(connection);
      const block = path.startsWith('/dev/');
      return {
        '@type': block ? 'block' : 'file', ...rest, driver: driver(connection.data.format ?? 'raw'),
        source: { ...(block ? { '@dev': path } : { '@file': path }), encryption },
      };
    }
    case 'iscsi': {
      const { target_portal: portal, target_iqn: iqn, target_lun: lun, auth_username: user } = connection.data;
      return {
        '@type': 'network', ...rest, driver: { ...driver('raw'), '@cache': volume.multiattach === true ? 'none' : 'writeback' },
        source: {
          '@protocol': 'iscsi', '@name': `${iqn}/${lun}`, host: hostPort(portal),
          auth: user === undefined ? undefined : { '@username': user, secret: { '@type': 'iscsi', '@usage': iscsiSecretUsage(volume.volumeId) } },
          encryption,
        },
      };
    }
    case 'rbd': {
      const { name, hosts, ports, auth_username: user, secret_uuid: secret, auth_enabled: enabled } = connection.data;
      return {
        '@type': 'network', ...rest, driver: { ...driver('raw'), '@cache': volume.multiattach === true ? 'none' : 'writeback' },
        source: {
          '@protocol': 'rbd', '@name': name,
          host: hosts.map((host, i) => ({ '@name': host.replace(/^\[(.*)\]$/, '$1'), '@port': ports[i] ?? '6789' })),
          auth: enabled === false || user === undefined || secret === undefined ? undefined : { '@username': user, secret: { '@type': 'ceph', '@uuid': secret } },
          encryption,
        },
      };
    }
    default:
      throw new DriverError('unsupported', 'Volumes of this type cannot be attached.');
  }
}

/** The key of an encrypted volume; libvirt's secret has the same id. */
export function keyOf({ connection }: VolumeDisk): string | undefined {
  const { encrypted, encryption_key_id: key } = connection.data;
  if (encrypted !== true) return undefined;
  if (key === undefined) throw new DriverError('invalid', 'The encrypted volume names no key.');
  if (connection.driver_volume_type !== 'iscsi' && connection.driver_volume_type !== 'rbd' && connection.driver_volume_type !== 'fake' && connection.data.format === 'qcow2') {
    throw new DriverError('unsupported', 'A qcow2 volume cannot be a LUKS container.');
  }
  return key;
}

export const luksSecretUsage = (keyId: string): string => `cumulet-luks-${keyId}`;
export const iscsiSecretUsage = (volumeId: string): string => `cumulet-${volumeId}`;

/** The file of a `local` or `nfs` connection. NFS shares are mounted under the hash of their export: Nova's rule, so both find the same. */
export function localPath(connection: Extract<Connection, { driver_volume_type: 'local' | 'nfs' }>): string {
  if (connection.driver_volume_type === 'local') return connection.data.device_path;
  const { device_path: direct, mount_point_base: base, export: share, name } = connection.data;
  if (direct !== undefined) return direct;
  if (base === undefined) throw new DriverError('invalid', 'The NFS volume names no mount point.');
  return join(base, createHash('md5').update(share).digest('hex'), name);
}

function hostPort(portal: string): XmlNode {
  const at = portal.lastIndexOf(':');
  return { '@name': portal.slice(0, at).replace(/^\[(.*)\]$/, '$1'), '@port': portal.slice(at + 1) };
}

function tune(limits: DiskLimits | Readonly<Record<string, number>>): XmlNode | undefined {
  const set = Object.entries(limits).filter(([, value]) => typeof value === 'number' && value > 0);
  return set.length === 0 ? undefined : Object.fromEntries(set);
}
