import { createServer } from 'node:http';
import { chmod, mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRunner, type Runner } from '@cumulet/exec';
import { silent } from '../../call.ts';
import type { Guest, NetworkLab, Station } from '../lab.ts';
import type { PortPlace } from '../contract.ts';
import { linuxBridge } from './driver.ts';
import type { LinuxBridgeSettings } from './settings.ts';

/*
 * For tests: a host inside a network namespace, so that the real host keeps its firewall and routes, and guests that are
 * namespaces behind veth devices named as the hypervisor would name their taps.
 */

export interface LabOptions extends Partial<LinuxBridgeSettings> {
  readonly prefix: string;
  /** Changes the host before the driver sees it. */
  readonly prepare?: (host: Runner) => Promise<void>;
}

export interface LinuxBridgeLab extends NetworkLab {
  /** Starts programs on the lab's host. */
  readonly runner: Runner;
  readonly guest: (place: PortPlace, mac: string) => Promise<Guest>;
  readonly host: Station;
}

export async function openLab({ prefix, prepare, ...settings }: LabOptions): Promise<LinuxBridgeLab> {
  const machine = createRunner({ log: silent });
  const dir = await mkdtemp(join(tmpdir(), `${prefix}-lab-`));
  await chmod(dir, 0o755);
  const space = `${prefix}lab-host`;
  await machine.run('ip', ['netns', 'del', space], { okExitCodes: [1] });
  await machine.run('ip', ['netns', 'add', space]);
  const host = within(machine, space);
  await host.run('ip', ['link', 'set', 'lo', 'up']);
  await prepare?.(host);

  const metadataSocket = join(dir, 'metadata service.sock');
  const metadata = createServer((request, response) => response.end(JSON.stringify({ ...request.headers, url: request.url })));
  await new Promise<void>(resolve => metadata.listen(metadataSocket, resolve));

  const guests = new Set<Guest>();
  let count = 0;
  return {
    driver: linuxBridge(host, { stateDir: join(dir, 'state'), runDir: join(dir, 'run'), prefix, ...settings }),
    runner: host,
    metadataSocket,
    host: station(host),
    async guest(place, mac) {
      const guest = await startGuest(machine, host, `${prefix}lab-g${++count}`, place, mac, join(dir, `guest-${count}`));
      guests.add(guest);
      return guest;
    },
    async close() {
      for (const guest of guests) await guest.unplug();
      metadata.closeAllConnections();
      await new Promise(resolve => metadata.close(resolve));
      await machine.run('ip', ['netns', 'del', space]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** `ip netns exec` would also make a mount namespace, in which namespaces made later would stay hidden. */
function within(runner: Runner, space: string): Runner {
  const args = (program: string, rest: readonly string[]) => [`--net=/run/netns/${space}`, program, ...rest];
  return {
    run: (program, rest, options) => runner.run('nsenter', args(program, rest), options),
    spawn: (program, rest, options) => runner.spawn('nsenter', args(program, rest), options),
  };
}

function station(runner: Runner): Station {
  return {
    async ping(ip) {
      return (await runner.run('ping', ['-n', '-q', '-c', '2', '-i', '0.1', '-W', '0.4', ip], { okExitCodes: [1, 2] })).exitCode === 0;
    },
    async get(url, headers = {}) {
      const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
      const { exitCode, stdout } = await runner.run('curl', ['-sS', '-m', '2', '--connect-timeout', '0.7', ...lines, url], { okExitCodes: [6, 7, 28, 35, 52, 56] });
      return exitCode === 0 ? stdout : undefined;
    },
  };
}

const DHCP_SCRIPT = `#!/bin/sh
[ "$1" = bound ] && env > "$LEASE_FILE"
exit 0
`;

async function startGuest(machine: Runner, host: Runner, space: string, place: PortPlace, mac: string, dir: string): Promise<Guest> {
  await machine.run('ip', ['netns', 'del', space], { okExitCodes: [1] });
  await machine.run('ip', ['netns', 'add', space]);
  await host.run('ip', ['link', 'add', place.tapName, 'mtu', String(place.mtu), 'type', 'veth', 'peer', 'name', 'eth0', 'mtu', String(place.mtu), 'address', mac, 'netns', space]);
  await host.run('ip', ['link', 'set', place.tapName, 'master', place.bridge, 'up']);
  const inside = within(machine, space);
  const ip = (...args: string[]) => inside.run('ip', args);
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'set', 'eth0', 'up');
  await mkdir(dir);
  const script = join(dir, 'dhcp.sh');
  await writeFile(script, DHCP_SCRIPT, { mode: 0o755 });
  const servers: Awaited<ReturnType<Runner['spawn']>>[] = [];
  let gone = false;

  return {
    ...station(inside),
    space,
    async dhcp() {
      const lease = join(dir, 'lease');
      await rm(lease, { force: true });
      await inside.run('busybox', ['udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '2', '-T', '1', '-s', script, '-O', '121', '-O', 'mtu', '-O', 'hostname', '-O', 'bootfile', '-O', 'dns'], { env: { LEASE_FILE: lease }, okExitCodes: [1] });
      const text = await readFile(lease, 'utf8').catch(() => '');
      if (text === '') return undefined;
      const told = Object.fromEntries(text.split('\n').filter(l => l.includes('=')).map(l => [l.slice(0, l.indexOf('=')), l.slice(l.indexOf('=') + 1)]));
      await ip('addr', 'flush', 'dev', 'eth0');
      await ip('addr', 'add', `${told['ip']}/${told['mask']}`, 'dev', 'eth0');
      const routes = (told['staticroutes'] ?? '').split(' ');
      for (let i = 0; i + 1 < routes.length; i += 2) await ip('route', 'add', routes[i] as string, 'via', routes[i + 1] as string);
      return told;
    },
    async take(address, gateway) {
      await ip('addr', 'flush', 'dev', 'eth0');
      await ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
      await ip('route', 'replace', '169.254.169.254/32', 'dev', 'eth0');
      if (gateway) await ip('route', 'replace', 'default', 'via', gateway);
    },
    async autoconfigured() {
      for (let tries = 0; tries < 50; tries++) {
        const shown = (await inside.run('ip', ['-json', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'global', '-tentative'])).stdout;
        const address = (JSON.parse(shown || '[]') as { addr_info?: { local: string; dynamic?: boolean }[] }[]).flatMap(d => d.addr_info ?? []).find(a => a.dynamic)?.local;
        if (address !== undefined) return address;
        await sleep(150);
      }
      return undefined;
    },
    async dhcp6(stateless = false) {
      const { stdout } = await inside.run(process.execPath, [fileURLToPath(new URL('./lab_dhcp6.ts', import.meta.url)), stateless ? 'stateless' : 'stateful'], { timeoutMs: 15_000 });
      const told = JSON.parse(stdout) as { address?: string; dns?: string } | null;
      if (told?.address) await ip('addr', 'add', `${told.address}/128`, 'dev', 'eth0', 'nodad');
      return told ?? undefined;
    },
    async take6(address, gateway) {
      await ip('addr', 'flush', 'dev', 'eth0', 'scope', 'global');
      await ip('addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad');
      if (gateway) await ip('-6', 'route', 'replace', 'default', 'via', gateway);
    },
    async setMac(address) {
      await ip('link', 'set', 'eth0', 'address', address);
    },
    async serve(port) {
      servers.push(await inside.spawn('busybox', ['httpd', '-f', '-p', String(port), '-h', dir], { onLine() {} }));
      await writeFile(join(dir, 'index.html'), 'served');
      await sleep(50);
    },
    async pingThrough(address, during) {
      let answers = 0;
      const ping = await inside.spawn('ping', ['-n', '-i', '0.1', '-w', '20', address], { onLine(line) { if (line.includes('bytes from')) answers++; } });
      await sleep(700);
      const before = answers;
      await during();
      // What was on its way.
      await sleep(150);
      const settled = answers;
      await sleep(500);
      const after = answers - settled;
      await ping.stop();
      return { before, after };
    },
    async unplug() {
      if (gone) return;
      gone = true;
      for (const s of servers) await s.stop();
      await host.run('ip', ['link', 'del', place.tapName], { okExitCodes: [1] });
      await machine.run('ip', ['netns', 'del', space]);
    },
  };
}
