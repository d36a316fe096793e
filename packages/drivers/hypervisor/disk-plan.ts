import { DriverError } from '../errors.ts';
import { hardware, type Hardware } from './hardware.ts';
import type { DiskBus, DiskDevice, ServerSpec, VolumeDisk } from './spec.ts';

export type DiskRole = 'root' | 'ephemeral' | 'swap' | 'volume' | 'config' | 'rescue' | 'cdrom';

/** One disk of a server: where it is plugged in and where its bytes are. */
export interface PlannedDisk {
  readonly role: DiskRole;
  /** Without `/dev/`. */
  readonly device: string;
  readonly bus: DiskBus;
  readonly type: DiskDevice;
  readonly readOnly: boolean;
  /** From 1; absent = not booted from. */
  readonly bootOrder?: number;
  readonly source:
    /** In the server's own folder. */
    | { readonly kind: 'own'; readonly file: string; readonly format: 'raw' | 'qcow2' }
    /** A cached image, read as it is (installation CDs). */
    | { readonly kind: 'image'; readonly path: string }
    | { readonly kind: 'volume'; readonly volume: VolumeDisk };
}

type Unplaced = Omit<PlannedDisk, 'device' | 'bootOrder'> & { readonly wanted?: string; readonly bootRank?: number };

const prefixes: Readonly<Record<DiskBus, string>> = { virtio: 'vd', scsi: 'sd', sata: 'sd', usb: 'sd', ide: 'hd', fdc: 'fd' };
/** How many of each bus fit: names of two letters are enough for anybody, IDE has two cables of two. */
const limits: Readonly<Record<DiskBus, number>> = { virtio: 702, scsi: 256, sata: 702, usb: 702, ide: 4, fdc: 2 };

/** 0 → a, 25 → z, 26 → aa: the names that Linux gives. */
export function letters(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : letters(Math.floor(index / 26) - 1) + letters(index % 26);
}

export function letterIndex(name: string): number {
  return [...name].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
}

/** The next free name of a bus. `full` when there is none. */
export function nextDevice(bus: DiskBus, taken: Iterable<string>): string {
  const used = new Set(taken);
  for (let i = 0; i < limits[bus]; i++) {
    const name = prefixes[bus] + letters(i);
    if (!used.has(name)) return name;
  }
  throw new DriverError('full', `The server has no free ${bus} disk slot.`);
}

/** A wanted name counts only if it fits the bus: guests name disks as they like, so another bus's name helps nobody. */
function fits(name: string, bus: DiskBus): boolean {
  const prefix = prefixes[bus];
  return name.startsWith(prefix) && letterIndex(name.slice(prefix.length)) < limits[bus];
}

/** Where a volume goes on a server that has these devices already. */
export function deviceFor(volume: Pick<VolumeDisk, 'device'>, bus: DiskBus, taken: ReadonlySet<string>): string {
  return volume.device !== undefined && fits(volume.device, bus) && !taken.has(volume.device) ? volume.device : nextDevice(bus, taken);
}

/** Every disk of the server in the guest's order. */
export function planDisks(spec: ServerSpec): PlannedDisk[] {
  const hw = hardware(spec);
  const disks = spec.rescue === undefined ? normal(spec, hw) : rescued(spec, hw);
  const order = disks.filter((d) => d.bootRank !== undefined).toSorted((a, b) => (a.bootRank ?? 0) - (b.bootRank ?? 0));
  const taken = new Set<string>();
  const placed = new Map<Unplaced, string>();
  // the root first, then names that somebody chose, then the rest: a chosen name must not be lost to one without
  for (const disk of disks.toSorted((a, b) => urgency(a) - urgency(b))) {
    const device = disk.role === 'config' && disk.bus === 'ide' && !taken.has('hdd') ? 'hdd' : deviceFor({ device: disk.wanted }, disk.bus, taken);
    taken.add(device);
    placed.set(disk, device);
  }
  return disks.map((disk) => {
    const rank = order.indexOf(disk);
    const { role, bus, type, readOnly, source } = disk;
    return { role, bus, type, readOnly, source, device: placed.get(disk) ?? '', ...(rank >= 0 && { bootOrder: rank + 1 }) };
  });
}

const urgency = (disk: Unplaced): number => (disk.bootRank === 0 ? 0 : disk.wanted !== undefined && fits(disk.wanted, disk.bus) ? 1 : disk.role === 'config' ? 3 : 2);

function normal(spec: ServerSpec, hw: Hardware): Unplaced[] {
  const disks: Unplaced[] = [];
  const { root } = spec;
  if (root.kind === 'volume') {
    disks.push({ ...volumeDisk(root.volume, hw), role: 'root', bootRank: 0 });
  } else if (root.imageFormat === 'iso') {
    if (root.sizeGiB > 0) disks.push({ ...own('root', 'disk', hw.diskBus, 'qcow2'), bootRank: 0 });
    disks.push({ role: 'cdrom', bus: hw.cdromBus, type: 'cdrom', readOnly: true, source: { kind: 'image', path: root.imagePath }, bootRank: 0.5 });
  } else {
    disks.push({ ...own('root', 'disk', hw.diskBus, 'qcow2'), bootRank: 0 });
  }
  (spec.ephemerals ?? []).forEach((e, i) => disks.push(own('ephemeral', `disk.eph${i}`, e.bus ?? hw.diskBus, 'raw')));
  if ((spec.swapMiB ?? 0) > 0) disks.push(own('swap', 'disk.swap', hw.diskBus, 'raw'));
  for (const volume of spec.volumes ?? []) {
    const rank = volume.bootIndex !== undefined && volume.bootIndex >= 0 ? volume.bootIndex + 1 : undefined;
    disks.push({ ...volumeDisk(volume, hw), ...(rank !== undefined && { bootRank: rank }) });
  }
  if (spec.configDrive !== undefined) disks.push(configDisk('disk.config', hw));
  return disks;
}

const own = (role: DiskRole, file: string, bus: DiskBus, format: 'raw' | 'qcow2'): Unplaced =>
  ({ role, bus, type: 'disk', readOnly: false, source: { kind: 'own', file, format } });

const configDisk = (file: string, hw: Hardware): Unplaced =>
  ({ role: 'config', bus: hw.cdromBus, type: 'cdrom', readOnly: true, source: { kind: 'own', file, format: 'raw' } });

function volumeDisk(volume: VolumeDisk, hw: Hardware): Unplaced {
  const type = volume.type ?? 'disk';
  const bus = volume.bus ?? (type === 'cdrom' ? hw.cdromBus : type === 'floppy' ? 'fdc' : hw.diskBus);
  return {
    role: 'volume', bus, type, readOnly: volume.readOnly ?? type === 'cdrom', source: { kind: 'volume', volume },
    ...(volume.device !== undefined && { wanted: volume.device }),
  };
}

/**
 * The classic rescue boots `disk.rescue` with the original root second and nothing else. When the rescue image says how it wants to be
 * plugged in (`hw_rescue_device`, `hw_rescue_bus`), the rescue is stable: every disk keeps its place and the rescue disk comes beside them.
 */
function rescued(spec: ServerSpec, hw: Hardware): Unplaced[] {
  const rescue = spec.rescue;
  if (rescue === undefined) return normal(spec, hw);
  const image = rescue.imageProperties ?? {};
  const stable = image['hw_rescue_device'] !== undefined || image['hw_rescue_bus'] !== undefined;
  const usual = normal(spec, hw).map((disk): Unplaced => ({ ...disk, bootRank: undefined }));
  const config = rescue.configDrive !== undefined ? configDisk('disk.config.rescue', hw) : usual.find((d) => d.role === 'config');
  if (!stable) {
    const roots = usual.filter((d) => d.role === 'root');
    if (roots.some((d) => d.source.kind === 'volume')) {
      throw new DriverError('invalid', 'A volume-backed server can only be rescued with an image that has hw_rescue_device or hw_rescue_bus.');
    }
    return [
      { ...own('rescue', 'disk.rescue', hw.diskBus, 'qcow2'), bootRank: 0 },
      ...roots.map((disk): Unplaced => ({ ...disk, wanted: undefined })),
      ...(config ? [config] : []),
    ];
  }
  const type = image['hw_rescue_device'] ?? 'disk';
  if (type !== 'disk' && type !== 'cdrom' && type !== 'floppy') throw new DriverError('invalid', 'hw_rescue_device is not one of cdrom, disk, floppy.');
  const bus = rescueBus(image['hw_rescue_bus'], type, hw);
  // reserved first, so that they keep the names that they have without the rescue disk
  const placed = planDisks({ ...spec, rescue: undefined });
  return [
    ...usual.filter((d) => d.role !== 'config').map((d): Unplaced => {
      const device = placed.find((p) => JSON.stringify(p.source) === JSON.stringify(d.source))?.device;
      return { ...d, ...(device !== undefined && { wanted: device }) };
    }),
    { role: 'rescue', bus, type, readOnly: type === 'cdrom', source: { kind: 'own', file: 'disk.rescue', format: 'qcow2' }, bootRank: 0.1 },
    ...(config ? [config] : []),
  ];
}

function rescueBus(asked: string | undefined, type: 'disk' | 'cdrom' | 'floppy', hw: Hardware): DiskBus {
  const bus = asked ?? (type === 'disk' ? hw.diskBus : type === 'cdrom' ? hw.cdromBus : 'fdc');
  const found = (['virtio', 'scsi', 'sata', 'ide', 'usb', 'fdc'] as const).find((b) => b === bus);
  if (found === undefined) throw new DriverError('invalid', 'hw_rescue_bus is not one of virtio, scsi, sata, ide, usb.');
  return found;
}
