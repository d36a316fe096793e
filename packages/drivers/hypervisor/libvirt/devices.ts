import type { DiskBus, Devices } from '../contract.ts';
import { diskAlias } from './disk-xml.ts';
import type { Element } from './xml.ts';

/** What a domain's XML says about its disks and cards. */
export function readDevices(domain: Element): Devices {
  const disks: Devices['disks'][number][] = [];
  for (const disk of domain.at('devices').all('disk')) {
    const known = diskAlias.read(aliasOf(disk));
    const device = disk.at('target').attribute('dev');
    if (known === undefined || device === undefined) continue;
    const serial = disk.at('serial').text;
    const address = addressOf(disk);
    disks.push({
      ...known, device, bus: (disk.at('target').attribute('bus') ?? 'virtio') as DiskBus,
      ...(serial !== '' && { serial }), ...(address !== undefined && { address }),
    });
  }
  const nics = domain.at('devices').all('interface').map((nic): Devices['nics'][number] => {
    const [tapName, bridge, address] = [nic.at('target').attribute('dev'), nic.at('source').attribute('bridge'), addressOf(nic)];
    return {
      mac: (nic.at('mac').attribute('address') ?? '').toLowerCase(),
      ...(tapName !== undefined && { tapName }), ...(bridge !== undefined && { bridge }), ...(address !== undefined && { address }),
    };
  });
  return { disks, nics };
}

export const aliasOf = (device: Element): string => device.at('alias').attribute('name') ?? '';

/** As Nova writes device addresses in the guest's metadata: `0000:00:05.0` on PCI, `0:0:0:1` on a drive bus. */
function addressOf(device: Element): string | undefined {
  const address = device.at('address');
  const hex = (name: string, width: number): string => Number(address.attribute(name) ?? 0).toString(16).padStart(width, '0');
  switch (address.attribute('type')) {
    case 'pci':
      return `${hex('domain', 4)}:${hex('bus', 2)}:${hex('slot', 2)}.${hex('function', 1)}`;
    case 'drive':
      return ['controller', 'bus', 'target', 'unit'].map((name) => address.attribute(name) ?? '0').join(':');
    default:
      return undefined;
  }
}
