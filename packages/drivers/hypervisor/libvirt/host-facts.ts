import { readFile, statfs } from 'node:fs/promises';
import { hostname, loadavg, totalmem } from 'node:os';
import { DriverError } from '../../errors.ts';
import type { HostFacts } from '../contract.ts';
import type { Context } from './context.ts';
import { domainState, type DomainHandle } from './protocol.ts';
import { parseXml, type Element } from './xml.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;

export async function hostFacts(context: Context): Promise<HostFacts> {
  const [version, info, capabilities, disk, uptime, own] = await Promise.all([
    context.host.version(), context.host.info(), context.host.capabilities(),
    statfs(context.instancesDir), readFile('/proc/uptime', 'utf8'), ownDomains(context),
  ]);
  const cpu = parseXml(capabilities, 'capabilities').at('host', 'cpu');
  const [diskGiB, freeDiskGiB] = [disk.blocks, disk.bavail].map((blocks) => Math.floor((blocks * disk.bsize) / GiB)) as [number, number];
  const promised = own.map(({ xml }) => ({ vcpus: Number(xml.at('vcpu').text), memoryMiB: Math.round(Number(xml.at('memory').text) / 1_024) }));
  const running = own.filter(({ state }) => state !== domainState.shutoff).length;
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  return {
    // not libvirt's own: it asks the resolver, which may take long and answer with another name
    hostname: hostname(), type: 'QEMU', version, virtType: context.options.virtType,
    vcpus: info.cpus, memoryMiB: Math.floor(totalmem() / MiB), diskGiB, freeDiskGiB,
    used: {
      vcpus: promised.reduce((sum, p) => sum + p.vcpus, 0), memoryMiB: promised.reduce((sum, p) => sum + p.memoryMiB, 0),
      diskGiB: diskGiB - freeDiskGiB, servers: own.length, running,
    },
    cpuInfo: {
      arch: cpu.at('arch').text, model: cpu.at('model').text, vendor: cpu.at('vendor').text,
      features: cpu.all('feature').map((f) => f.attribute('name') ?? '').filter((name) => name !== '').toSorted(),
      topology: { cells: info.cells, sockets: info.sockets, cores: info.cores, threads: info.threads },
    },
    uptimeSeconds: Math.floor(Number(uptime.split(' ')[0])), loadAverage: [one, five, fifteen],
    firmware: (await hasUefi(context)) ? ['bios', 'uefi'] : ['bios'],
    storageId: context.storageId,
  };
}

/** libvirt lists the firmware files that it could choose from; without OVMF `efi` is no choice. */
export async function hasUefi(context: Context): Promise<boolean> {
  const xml = parseXml(await context.host.domainCapabilities('x86_64', 'q35', context.options.virtType), 'domainCapabilities');
  return xml.at('os').all('enum').some((e) => e.attribute('name') === 'firmware' && e.all('value').some((v) => v.text === 'efi'));
}

export interface OwnDomain {
  readonly domain: DomainHandle;
  readonly xml: Element;
  /** libvirt's own number. */
  readonly state: number;
}

export async function ownDomains(context: Context): Promise<OwnDomain[]> {
  return ofOwn(context, async (domain) => ({ domain, xml: await context.xml(domain, 'persistent'), state: (await context.domains.state(domain)).state }));
}

/** Asks each of our domains; those that vanish meanwhile are left out. */
export async function ofOwn<T>(context: Context, ask: (domain: DomainHandle) => Promise<T>): Promise<T[]> {
  const answers = await Promise.all((await context.domains.all()).map(async (domain): Promise<T[]> => {
    try {
      return (await context.owns(domain)) ? [await ask(domain)] : [];
    } catch (error) {
      if (error instanceof DriverError && error.kind === 'absent') return [];
      throw error;
    }
  }));
  return answers.flat();
}
