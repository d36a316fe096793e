import type { FakeServer } from './state.ts';

/** What a small Linux would write, and when, as a part of the time that it needs to boot. */
function bootLines(server: FakeServer): [number, string][] {
  const { spec } = server;
  const source = spec.configDrive === undefined ? 'http' : 'configdrive';
  return [
    [0, 'SeaBIOS (version 1.16.2-fake)'],
    [0.05, 'Booting from Hard Disk...'],
    [0.1, '[    0.000000] Linux version 6.1.0-fake-amd64 (cumulet@fake) #1 SMP PREEMPT_DYNAMIC'],
    [0.1, `[    0.000000] DMI: OpenStack Foundation OpenStack Nova, serial ${spec.id}`],
    [0.15, `[    0.012003] Memory: ${spec.memoryMiB * 1_024}K/${spec.memoryMiB * 1_024}K available`],
    [0.2, `[    0.104411] smp: Brought up 1 node, ${spec.vcpus} CPU${spec.vcpus === 1 ? '' : 's'}`],
    [0.4, '[    0.611904] virtio_blk virtio1: [vda] new disk'],
    ...server.nics.map((nic, i): [number, string] => [0.5, `[    0.730001] virtio_net virtio${i + 2} eth${i}: ${nic.mac}`]),
    [0.7, '[    1.204117] EXT4-fs (vda1): mounted filesystem with ordered data mode'],
    [0.9, `cloud-init: instance ${spec.id} from ${source}`],
    [1, `GUEST-READY host=${spec.name} uuid=${spec.id} metadata=${source} ip=`],
    [1, `${spec.name} login: `],
  ];
}

/** The serial console up to now. A boot that was cut off by the next event shows only what it came to. */
export function consoleText(server: FakeServer, now: number, bootMs: number): string {
  const lines: string[] = [];
  server.history.forEach(({ at, what }, i) => {
    if (what === 'off') return void lines.push('[  100.000000] reboot: Power down');
    const elapsed = (server.history[i + 1]?.at ?? now) - at;
    for (const [part, line] of bootLines(server)) if (part * bootMs <= elapsed) lines.push(line);
  });
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}
