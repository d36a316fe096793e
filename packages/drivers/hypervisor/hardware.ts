import { DriverError } from '../errors.ts';
import type { DiskBus, ServerSpec } from './spec.ts';

/** What image properties and extra specs mean for the virtual machine: pure, and the same for every driver. */
export interface Hardware {
  /** `pc`, `q35` or a versioned name of either. */
  readonly machine: string;
  readonly q35: boolean;
  readonly firmware: 'bios' | 'uefi';
  readonly secureBoot: boolean;
  readonly diskBus: DiskBus;
  readonly cdromBus: DiskBus;
  readonly scsiModel: string;
  readonly nicModel: string;
  /** `none` = no screen. */
  readonly videoModel: string;
  readonly videoMiB: number | undefined;
  readonly tablet: boolean;
  readonly guestAgent: boolean;
  readonly rng: boolean;
  readonly bootMenu: boolean;
  readonly serialPorts: number;
  readonly watchdog: string | undefined;
  readonly hpet: boolean;
  readonly windows: boolean;
  readonly multiqueue: boolean;
  readonly topology: { readonly sockets: number; readonly cores: number; readonly threads: number };
}

const choices = {
  hw_disk_bus: ['virtio', 'scsi', 'sata', 'ide', 'usb'],
  hw_cdrom_bus: ['virtio', 'scsi', 'sata', 'ide', 'usb'],
  hw_scsi_model: ['virtio-scsi', 'lsilogic', 'lsisas1068', 'lsisas1078', 'buslogic', 'vmpvscsi'],
  hw_vif_model: ['virtio', 'e1000', 'e1000e', 'rtl8139', 'ne2k_pci', 'pcnet', 'vmxnet3'],
  hw_video_model: ['virtio', 'vga', 'cirrus', 'qxl', 'bochs', 'vmvga', 'none'],
  hw_firmware_type: ['bios', 'uefi'],
  hw_watchdog_action: ['disabled', 'reset', 'poweroff', 'pause', 'none'],
} as const satisfies Record<string, readonly string[]>;

function invalid(message: string): DriverError {
  return new DriverError('invalid', message);
}

type Properties = Readonly<Record<string, string>>;

function choice<K extends keyof typeof choices>(properties: Properties, name: K, fallback: (typeof choices)[K][number], flavorValue?: string): (typeof choices)[K][number] {
  const value = flavorValue ?? properties[name];
  if (value === undefined || value === '') return fallback;
  const known = (choices[name] as readonly (typeof choices)[K][number][]).find((c) => c === value);
  if (known === undefined) throw invalid(`The value "${value.slice(0, 40)}" of ${name} is not one of ${choices[name].join(', ')}.`);
  return known;
}

/** Glance's booleans are strings; what is meant by them follows oslo's `strutils.bool_from_string`. */
function truth(value: string | undefined, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  const v = value.trim().toLowerCase();
  if (['1', 't', 'true', 'on', 'y', 'yes'].includes(v)) return true;
  return ['0', 'f', 'false', 'off', 'n', 'no'].includes(v) ? false : fallback;
}

function count(value: string | undefined, name: string, max: number): number | undefined {
  if (value === undefined || value === '') return undefined;
  const n = Number(value);
  if (!Number.isInteger(n) || n < 1 || n > max) throw invalid(`The value "${value.slice(0, 40)}" of ${name} is not a number from 1 to ${max}.`);
  return n;
}

/** Throws `invalid` for a value that nobody could mean, `unsupported` for one that this product does not offer. */
export function hardware(spec: Pick<ServerSpec, 'vcpus' | 'imageProperties' | 'extraSpecs'>): Hardware {
  const image = spec.imageProperties ?? {};
  const flavor = spec.extraSpecs ?? {};
  refuse(image, flavor);

  const machine = image['hw_machine_type'] ?? 'pc';
  if (!/^(pc|q35|pc-(i440fx|q35)-[\w.]{1,40})$/.test(machine)) throw new DriverError('unsupported', `The machine type "${machine.slice(0, 60)}" is not supported.`);
  const q35 = machine.includes('q35');
  const diskBus = choice(image, 'hw_disk_bus', 'virtio');
  const cdromBus = choice(image, 'hw_cdrom_bus', q35 ? 'sata' : 'ide');
  if (q35 && (diskBus === 'ide' || cdromBus === 'ide')) throw invalid('The machine type q35 has no IDE bus.');
  const watchdog = choice(image, 'hw_watchdog_action', 'disabled', flavor['hw:watchdog_action']);
  return {
    machine, q35, diskBus, cdromBus,
    firmware: choice(image, 'hw_firmware_type', 'bios'),
    secureBoot: (flavor['os:secure_boot'] ?? image['os_secure_boot']) === 'required',
    scsiModel: choice(image, 'hw_scsi_model', 'virtio-scsi'),
    nicModel: choice(image, 'hw_vif_model', 'virtio'),
    videoModel: choice(image, 'hw_video_model', 'vga'),
    videoMiB: count(image['hw_video_ram'], 'hw_video_ram', 512),
    tablet: image['hw_pointer_model'] === 'usbtablet',
    guestAgent: truth(image['hw_qemu_guest_agent'], true),
    rng: truth(flavor['hw_rng:allowed'], true),
    bootMenu: truth(flavor['hw:boot_menu'] ?? image['hw_boot_menu'], false),
    serialPorts: count(flavor['hw:serial_port_count'] ?? image['hw_serial_port_count'], 'hw_serial_port_count', 4) ?? 1,
    watchdog: watchdog === 'disabled' ? undefined : watchdog,
    hpet: truth(image['hw_time_hpet'], false),
    windows: image['os_type'] === 'windows',
    multiqueue: truth(image['hw_vif_multiqueue_enabled'], false),
    topology: topology(spec.vcpus, image, flavor),
  };
}

/** Asked for and not offered: better refused at the start than ignored. */
function refuse(image: Properties, flavor: Properties): void {
  const arch = image['hw_architecture'] ?? 'x86_64';
  const wanted: [boolean, string][] = [
    [!['x86_64', 'amd64', ''].includes(arch), `the architecture ${arch.slice(0, 20)}`],
    [(flavor['hw:cpu_policy'] ?? image['hw_cpu_policy'] ?? 'shared') !== 'shared', 'pinned CPUs'],
    [!['small', 'any'].includes(flavor['hw:mem_page_size'] ?? image['hw_mem_page_size'] ?? 'any'), 'large memory pages'],
    [image['hw_tpm_version'] !== undefined || flavor['hw:tpm_version'] !== undefined, 'a virtual TPM'],
    [truth(flavor['hw:mem_encryption'] ?? image['hw_mem_encryption'], false), 'memory encryption'],
    [flavor['pci_passthrough:alias'] !== undefined, 'PCI passthrough'],
  ];
  for (const [asked, what] of wanted) {
    if (asked) throw new DriverError('unsupported', `This hypervisor does not support ${what}.`);
  }
}

/** As Nova: one core and one thread for each socket unless asked otherwise. */
function topology(vcpus: number, image: Properties, flavor: Properties): Hardware['topology'] {
  const asked = (name: 'sockets' | 'cores' | 'threads'): number | undefined => count(flavor[`hw:cpu_${name}`] ?? image[`hw_cpu_${name}`], `hw_cpu_${name}`, vcpus);
  const [sockets, cores, threads] = [asked('sockets'), asked('cores'), asked('threads')];
  const t = threads ?? 1;
  const c = cores ?? (sockets === undefined ? 1 : vcpus / (sockets * t));
  const s = sockets ?? vcpus / (c * t);
  if (!Number.isInteger(s) || !Number.isInteger(c) || s * c * t !== vcpus) {
    throw invalid(`${vcpus} vCPUs cannot be arranged as the requested sockets, cores and threads.`);
  }
  return { sockets: s, cores: c, threads: t };
}

const quotaNames = {
  total_bytes_sec: 'disk_total_bytes_sec', read_bytes_sec: 'disk_read_bytes_sec', write_bytes_sec: 'disk_write_bytes_sec',
  total_iops_sec: 'disk_total_iops_sec', read_iops_sec: 'disk_read_iops_sec', write_iops_sec: 'disk_write_iops_sec',
} as const;

/** `quota:disk_*` of the flavor, for the server's own disks. */
export function flavorDiskLimits(extraSpecs: Properties = {}): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const [name, quota] of Object.entries(quotaNames)) {
    const value = Number(extraSpecs[`quota:${quota}`] ?? 0);
    if (!Number.isInteger(value) || value < 0) throw invalid(`The extra spec quota:${quota} is not a whole number.`);
    if (value > 0) limits[name] = value;
  }
  return limits;
}

/** `quota:vif_inbound_average` … of the flavor, in kilobytes per second as libvirt takes them. */
export function flavorNicLimits(extraSpecs: Properties = {}): { inbound?: Record<string, number>; outbound?: Record<string, number> } {
  const direction = (name: string): Record<string, number> | undefined => {
    const found: Record<string, number> = {};
    for (const part of ['average', 'peak', 'burst']) {
      const value = Number(extraSpecs[`quota:vif_${name}_${part}`] ?? 0);
      if (Number.isInteger(value) && value > 0) found[part] = value;
    }
    return found['average'] === undefined ? undefined : found;
  };
  const [inbound, outbound] = [direction('inbound'), direction('outbound')];
  return { ...(inbound && { inbound }), ...(outbound && { outbound }) };
}
