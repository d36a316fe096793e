import { planDisks } from '../disk-plan.ts';
import { flavorDiskLimits, flavorNicLimits, hardware, type Hardware } from '../hardware.ts';
import type { Nic, ServerSpec } from '../spec.ts';
import { diskXml } from './disk-xml.ts';
import { toXml, type XmlNode } from './xml.ts';

export interface DomainXmlOptions {
  readonly virtType: 'kvm' | 'qemu';
  readonly cpuMode: 'host-model' | 'host-passthrough' | 'maximum';
  readonly folder: string;
  /** Marks the domain as ours: two clouds may share one daemon. */
  readonly owner: string;
  readonly cache: 'none' | 'writeback' | 'unsafe';
  readonly consoleLog: string;
  /** Undefined when its path would be too long for a unix socket: then the port is there and nobody can connect. */
  readonly serialSocket: string | undefined;
  readonly vncListen: string;
  /** The daemon has cgroups, so CPU shares and quotas can be promised. */
  readonly cgroups: boolean;
}

export const cumuletNamespace = 'https://cumulet.dev/libvirt/1';
const novaNamespace = 'http://openstack.org/xmlns/libvirt/nova/1.1';

export function domainXml(spec: ServerSpec, options: DomainXmlOptions): string {
  const hw = hardware(spec);
  const disks = planDisks(spec);
  const limits = flavorDiskLimits(spec.extraSpecs);
  const buses = new Set(disks.map((d) => d.bus));
  return toXml({
    domain: {
      '@type': options.virtType,
      name: spec.name,
      uuid: spec.id,
      metadata: metadata(spec, options.owner),
      memory: { '@unit': 'MiB', '#text': spec.memoryMiB },
      vcpu: spec.vcpus,
      cputune: options.cgroups ? cpuTune(spec.extraSpecs ?? {}) : undefined,
      // cloud-init looks at these words to learn that it runs on OpenStack before it tries the metadata address
      sysinfo: { '@type': 'smbios', system: { entry: [
        { '@name': 'manufacturer', '#text': 'OpenStack Foundation' }, { '@name': 'product', '#text': 'OpenStack Nova' },
        { '@name': 'serial', '#text': spec.id }, { '@name': 'uuid', '#text': spec.id }, { '@name': 'family', '#text': 'Virtual Machine' },
      ] } },
      os: os(hw),
      features: {
        acpi: {}, apic: {},
        smm: hw.secureBoot ? { '@state': 'on' } : undefined,
        vmcoreinfo: { '@state': 'on' },
        hyperv: hw.windows && options.virtType === 'kvm'
          ? { relaxed: { '@state': 'on' }, vapic: { '@state': 'on' }, spinlocks: { '@state': 'on', '@retries': 8_191 } } : undefined,
        // without a limit the code cache of TCG grows to a gigabyte for each guest
        tcg: options.virtType === 'qemu' ? { 'tb-cache': { '@unit': 'MiB', '#text': 64 } } : undefined,
      },
      cpu: cpu(hw, options),
      clock: { '@offset': hw.windows ? 'localtime' : 'utc', timer: [
        { '@name': 'pit', '@tickpolicy': 'delay' }, { '@name': 'rtc', '@tickpolicy': 'catchup' }, { '@name': 'hpet', '@present': hw.hpet ? 'yes' : 'no' },
      ] },
      on_poweroff: 'destroy', on_reboot: 'restart', on_crash: 'destroy',
      devices: {
        disk: disks.map((disk) => diskXml(disk, { folder: options.folder, serverId: spec.id, cache: options.cache, limits })),
        controller: controllers(hw, buses),
        interface: (spec.nics ?? []).map((nic) => nicXml(nic, hw.nicModel, spec, options.virtType)),
        ...consoles(hw, options),
        channel: hw.guestAgent ? [{ '@type': 'unix', target: { '@type': 'virtio', '@name': 'org.qemu.guest_agent.0' } }] : undefined,
        input: hw.tablet ? [{ '@type': 'tablet', '@bus': 'usb' }] : undefined,
        rng: hw.rng ? { '@model': 'virtio', backend: { '@model': 'random', '#text': '/dev/urandom' } } : undefined,
        watchdog: hw.watchdog === undefined ? undefined : { '@model': 'i6300esb', '@action': hw.watchdog },
        memballoon: { '@model': 'virtio', stats: { '@period': 10 } },
      },
    },
  });
}

/** Nova's element, which exporters and auditors read, and ours, by which the driver knows its own domains. */
function metadata(spec: ServerSpec, owner: string): XmlNode {
  return {
    'nova:instance': {
      '@xmlns:nova': novaNamespace,
      'nova:name': spec.displayName,
      'nova:flavor': spec.flavorName === undefined ? undefined : {
        '@name': spec.flavorName, 'nova:memory': spec.memoryMiB,
        'nova:disk': spec.root.kind === 'image' ? spec.root.sizeGiB : 0, 'nova:swap': spec.swapMiB ?? 0,
        'nova:ephemeral': (spec.ephemerals ?? []).reduce((sum, e) => sum + e.sizeGiB, 0), 'nova:vcpus': spec.vcpus,
      },
      'nova:owner': {
        'nova:user': spec.user && { '@uuid': spec.user.id, '#text': spec.user.name ?? spec.user.id },
        'nova:project': spec.project && { '@uuid': spec.project.id, '#text': spec.project.name ?? spec.project.id },
      },
    },
    'cumulet:server': { '@xmlns:cumulet': cumuletNamespace, '@owner': owner, '@rescued': spec.rescue === undefined ? 'no' : 'yes' },
  };
}

function os(hw: Hardware): XmlNode {
  return {
    '@firmware': hw.firmware === 'uefi' ? 'efi' : undefined,
    type: { '@arch': 'x86_64', '@machine': hw.machine, '#text': 'hvm' },
    firmware: hw.firmware === 'uefi' ? { feature: [
      { '@enabled': hw.secureBoot ? 'yes' : 'no', '@name': 'secure-boot' },
      ...(hw.secureBoot ? [{ '@enabled': 'yes', '@name': 'enrolled-keys' }] : []),
    ] } : undefined,
    loader: hw.firmware === 'uefi' && hw.secureBoot ? { '@secure': 'yes' } : undefined,
    bootmenu: hw.bootMenu ? { '@enable': 'yes', '@timeout': 3_000 } : undefined,
    smbios: { '@mode': 'sysinfo' },
    bios: { '@useserial': 'yes' },
  };
}

function cpu(hw: Hardware, options: DomainXmlOptions): XmlNode {
  const { sockets, cores, threads } = hw.topology;
  return {
    '@mode': options.virtType === 'qemu' ? 'maximum' : options.cpuMode,
    '@check': options.virtType === 'kvm' && options.cpuMode === 'host-model' ? 'partial' : undefined,
    topology: { '@sockets': sockets, '@cores': cores, '@threads': threads },
  };
}

function cpuTune(extraSpecs: Readonly<Record<string, string>>): XmlNode | undefined {
  const names = { 'quota:cpu_shares': 'shares', 'quota:cpu_period': 'period', 'quota:cpu_quota': 'quota' };
  const set = Object.entries(names).map(([spec, name]) => [name, Number(extraSpecs[spec])] as const).filter(([, v]) => Number.isInteger(v));
  return set.length === 0 ? undefined : Object.fromEntries(set);
}

function controllers(hw: Hardware, buses: ReadonlySet<string>): XmlNode[] {
  const list: XmlNode[] = [{ '@type': 'virtio-serial', '@index': 0 }];
  // always there, so that a SCSI volume can be plugged into a running server
  list.push({ '@type': 'scsi', '@index': 0, '@model': hw.scsiModel });
  if (buses.has('usb') || hw.tablet || hw.q35) list.push({ '@type': 'usb', '@index': 0, '@model': 'qemu-xhci' });
  else list.push({ '@type': 'usb', '@index': 0, '@model': 'none' });
  // PCIe has no free slots of its own: each hot-plugged device needs a port that is there from the start
  if (hw.q35) list.push({ '@type': 'pci', '@index': 0, '@model': 'pcie-root' }, ...Array.from({ length: 20 }, (_, i) => ({ '@type': 'pci', '@index': i + 1, '@model': 'pcie-root-port' })));
  return list;
}

function consoles(hw: Hardware, options: DomainXmlOptions): XmlNode {
  const serial = Array.from({ length: hw.serialPorts }, (_, port): XmlNode => {
    const log = port === 0 ? { '@file': options.consoleLog, '@append': 'on' } : undefined;
    const socket = port === 0 ? options.serialSocket : undefined;
    return socket === undefined
      ? { '@type': 'pty', log, target: { '@port': port } }
      : { '@type': 'unix', source: { '@mode': 'bind', '@path': socket }, log, target: { '@port': port } };
  });
  if (hw.videoModel === 'none') return { serial, video: { model: { '@type': 'none' } } };
  return {
    serial,
    graphics: { '@type': 'vnc', '@autoport': 'yes', '@websocket': -1, '@listen': options.vncListen },
    video: { model: { '@type': hw.videoModel, '@vram': hw.videoMiB === undefined ? undefined : hw.videoMiB * 1_024 } },
  };
}

export const nicAlias = (mac: string): string => `ua-nic-${mac.toLowerCase().replaceAll(':', '')}`;

export function nicXml(nic: Nic, defaultModel: string, spec: Pick<ServerSpec, 'extraSpecs' | 'vcpus' | 'imageProperties'>, virtType: 'kvm' | 'qemu'): XmlNode {
  const limits = flavorNicLimits(spec.extraSpecs);
  const direction = (values: Record<string, number> | undefined): XmlNode | undefined =>
    values && Object.fromEntries(Object.entries(values).map(([name, value]) => [`@${name}`, value]));
  const queues = virtType === 'kvm' && (nic.model ?? defaultModel) === 'virtio' && hardware(spec).multiqueue ? Math.min(spec.vcpus, 16) : 1;
  return {
    '@type': 'bridge',
    mac: { '@address': nic.mac.toLowerCase() },
    source: { '@bridge': nic.bridge },
    target: { '@dev': nic.tapName },
    model: { '@type': nic.model ?? defaultModel },
    driver: queues > 1 ? { '@name': 'vhost', '@queues': queues } : undefined,
    mtu: nic.mtu === undefined ? undefined : { '@size': nic.mtu },
    bandwidth: limits.inbound || limits.outbound ? { inbound: direction(limits.inbound), outbound: direction(limits.outbound) } : undefined,
    alias: { '@name': nicAlias(nic.mac) },
  };
}
