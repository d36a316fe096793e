import type { Diagnostics } from '../contract.ts';
import type { Context } from './context.ts';
import { readDevices } from './devices.ts';

const numbered = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

export async function readDiagnostics(context: Context, id: string): Promise<Diagnostics> {
  const domain = await context.require(id);
  const state = await context.state(domain);
  const xml = await context.xml(domain);
  const devices = readDevices(xml);
  const values = (await context.domains.stats([domain]))[0]?.values ?? new Map<string, number | string>();
  const number = (name: string): number => Number(values.get(name) ?? 0);
  const macs = new Map(devices.nics.map((nic) => [nic.tapName, nic.mac]));
  return {
    state,
    driver: 'libvirt',
    hypervisor: context.options.virtType,
    configDrive: devices.disks.some((d) => d.role === 'config'),
    uptimeSeconds: null, // libvirt does not tell when a domain began
    memory: { maximumMiB: Math.round(number('balloon.maximum') / 1_024), usedMiB: Math.round(number('balloon.rss') / 1_024) },
    cpus: numbered(number('vcpu.current'), (i) => ({ id: i, timeNanoseconds: number(`vcpu.${i}.time`), utilisation: null })),
    nics: numbered(number('net.count'), (i) => {
      const device = values.get(`net.${i}.name`);
      const of = (name: string): number => number(`net.${i}.${name}`);
      return {
        mac: macs.get(String(device)) ?? '', device: device === undefined ? null : String(device),
        rxBytes: of('rx.bytes'), rxPackets: of('rx.pkts'), rxErrors: of('rx.errs'), rxDrop: of('rx.drop'),
        txBytes: of('tx.bytes'), txPackets: of('tx.pkts'), txErrors: of('tx.errs'), txDrop: of('tx.drop'),
      };
    }),
    disks: numbered(number('block.count'), (i) => {
      const of = (name: string): number => number(`block.${i}.${name}`);
      return {
        device: String(values.get(`block.${i}.name`) ?? ''), readBytes: of('rd.bytes'), readRequests: of('rd.reqs'),
        writeBytes: of('wr.bytes'), writeRequests: of('wr.reqs'), errors: of('errors'),
      };
    }),
  };
}
