import { createRunner, type Child, type Runner } from '@cumulet/exec';
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { plainCall, silent, type Log } from '../../call.ts';
import type { Guest } from '../lab.ts';
import { anyIPv4 } from '../traffic.ts';
import type { NetworkSpec, PortSecurity, RouterSpec } from '../contract.ts';
import { linuxBridge } from './driver.ts';
import { openLab, type LabOptions, type LinuxBridgeLab } from './lab.ts';

/*
 * What the conformance suite cannot know of: the host around the driver. Hosts with a firewall of their own, guests that try to
 * reach the host, helpers that die, programs that are missing.
 */

const call = plainCall('hosts');
const prefix = `x${(process.pid % 1296).toString(36).padStart(2, '0')}h`;
const open = { rules: [anyIPv4('egress'), anyIPv4('ingress')] };
const NET = '11111111-2222-4333-8444-555555555555';
const EXT = '21111111-2222-4333-8444-555555555555';
const ROUTER = '31111111-2222-4333-8444-555555555555';

describe('linuxbridge on a host', () => {
  let lab: LinuxBridgeLab;
  const children: Child[] = [];
  afterEach(async () => {
    for (const child of children.splice(0)) await child.stop();
    await lab.driver.stopAll(call, { keepWires: false });
    expect(await lab.driver.list(call)).toMatchObject({ networks: [], ports: [], routers: [], strays: [] });
    await lab.close();
  });

  const network = (cidr = '10.66.0'): NetworkSpec => ({
    id: NET, mtu: 1450, external: false, metadata: { socketPath: lab.metadataSocket },
    subnets: [{ id: NET, cidr: `${cidr}.0/24`, gatewayIp: `${cidr}.1`, dhcpIp: `${cidr}.2`, dnsNameservers: [], hostRoutes: [] }],
    ports: [11, 12].map(n => ({ id: port(n).portId, mac: port(n).mac, fixedIps: [{ subnetId: NET, ip: `${cidr}.${n}` }], hostname: null, dhcpOptions: [] })),
  });
  const external = (): NetworkSpec => ({
    id: EXT, mtu: 1500, external: true, metadata: null, ports: [],
    subnets: [{ id: EXT, cidr: '172.29.66.0/24', gatewayIp: '172.29.66.1', dhcpIp: null, dnsNameservers: [], hostRoutes: [] }],
  });
  const port = (n: number, more: Partial<PortSecurity> = {}): PortSecurity => ({
    portId: `00000000-0000-4000-9000-0000000000${n}`, networkId: NET, mac: `fa:16:3e:11:00:${n}`, fixedIps: [`10.66.0.${n}`], allowedAddressPairs: [],
    portSecurity: true, adminStateUp: true, ...open, ...more,
  });
  const router = (more: Partial<RouterSpec> = {}): RouterSpec => ({
    id: ROUTER, routes: [], floatingIps: [],
    gateway: { portId: EXT, mac: 'fa:16:3e:11:11:01', networkId: EXT, fixedIps: [{ ip: '172.29.66.10', cidr: '172.29.66.0/24', gatewayIp: '172.29.66.1' }], enableSnat: true },
    interfaces: [{ portId: NET, mac: 'fa:16:3e:11:11:02', networkId: NET, ip: '10.66.0.1', cidr: '10.66.0.0/24', hostAccess: true }],
    ...more,
  });
  const guest = async (n: number, more: Partial<PortSecurity> = {}): Promise<Guest> => {
    const g = await lab.guest(await lab.driver.plugPort(call, port(n, more), []), port(n).mac);
    await g.take(`10.66.0.${n}`, '10.66.0.1');
    return g;
  };
  const start = async (options: Partial<LabOptions> = {}) => {
    lab = await openLab({ prefix, ...options });
    await lab.driver.check(call);
    await lab.driver.applyNetwork(call, network());
  };
  const hostServes = async (p: number) => {
    children.push(await lab.runner.spawn('busybox', ['httpd', '-f', '-p', String(p), '-h', '/usr/share/doc'], { onLine() {} }));
  };

  test("a firewall like Docker's neither stops nor redirects what travels on a bridge", async () => {
    await start({ async prepare(host) {
      await host.run('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=1']);
      await host.run('nft', ['-f', '-'], { input: `
        table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }
        table ip nat {
          chain PREROUTING { type nat hook prerouting priority -100; tcp dport 80 dnat to 10.66.0.11:8080; }
          chain POSTROUTING { type nat hook postrouting priority 100; ip saddr 10.66.0.0/24 snat to 10.66.0.99; }
        }` });
    } });
    const [a, b] = [await guest(11), await guest(12)];
    await b.serve(80);
    expect(await a.ping('10.66.0.12')).toBe(true);
    expect(await a.get('http://10.66.0.12/')).toContain('served');
    expect(await a.get('http://169.254.169.254/')).toContain('10.66.0.11');
    // Said twice, the rule in the host's chain is there once, and gone with the cloud.
    await lab.driver.applyNetwork(call, network());
    expect((await chain()).match(/cumulet_/g)).toHaveLength(1);
    await a.unplug();
    await b.unplug();
    await lab.driver.stopAll(call, { keepWires: false });
    expect(await chain()).not.toContain('cumulet_');

    async function chain() {
      return (await lab.runner.run('nft', ['list', 'chain', 'ip', 'filter', 'FORWARD'])).stdout;
    }
  });

  test('guests reach neither the host nor its networks; the host reaches guests', async () => {
    await start({ prepare: lan });
    await lab.driver.applyNetwork(call, external());
    await lab.driver.applyRouter(call, router());
    await lab.runner.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
    await hostServes(8080);
    const a = await guest(11);
    expect(await lab.host.get('http://198.51.100.2:8080/')).toBeDefined();
    expect(await lab.host.ping('10.66.0.11')).toBe(true);
    expect(await a.ping('172.29.66.1')).toBe(true);
    for (const ip of ['172.29.66.1', '198.51.100.2']) expect(await a.get(`http://${ip}:8080/`), ip).toBeUndefined();
    expect(await a.ping('198.51.100.3')).toBe(false);
    // Straight at the bridge, without the router between.
    const { bridge } = (await lab.driver.list(call)).networks.find(n => n.id === NET) ?? { bridge: '' };
    const { address } = JSON.parse((await lab.runner.run('ip', ['-json', 'link', 'show', bridge])).stdout)[0] as { address: string };
    await a.take('10.66.0.11', '10.66.0.200');
    await inGuest(a, ['neigh', 'replace', '10.66.0.200', 'lladdr', address, 'dev', 'eth0']);
    for (const ip of ['172.29.66.1', '198.51.100.2']) expect(await a.get(`http://${ip}:8080/`), ip).toBeUndefined();
    expect(await a.ping('198.51.100.2')).toBe(false);
  });

  test('with forwarding, guests reach outside and not what is denied; outside does not reach guests', async () => {
    await start({ prepare: lan, forward: 'out', forwardDeny: ['198.51.100.128/25'] });
    await lab.driver.applyNetwork(call, external());
    await lab.driver.applyRouter(call, router({ floatingIps: [{ floatingIp: '172.29.66.100', fixedIp: '10.66.0.11' }] }));
    const a = await guest(11);
    // Beyond the host's own network, which guests may not reach.
    expect(await a.ping('203.0.113.1')).toBe(true);
    expect(await a.ping('198.51.100.3')).toBe(false);
    expect(await a.ping('198.51.100.130')).toBe(false);
    const outside = (ip: string) => lab.runner.run('nsenter', [`--net=/run/netns/${prefix}lab-lan`, 'ping', '-q', '-c', '2', '-i', '0.1', '-W', '0.4', ip], { okExitCodes: [1] });
    expect((await outside('172.29.66.100')).exitCode).toBe(1);
  });

  test('the host gets no route to a subnet that is in use on the host, public, or part of a private range of the host', async () => {
    await start({ prepare: lan });
    await lab.driver.applyNetwork(call, external());
    await lab.runner.run('ip', ['route', 'add', '10.64.0.0/10', 'via', '198.51.100.3']);
    // A bridge without members is down, and its route says so.
    const routes = async () => (await lab.runner.run('ip', ['route'])).stdout.replaceAll(' linkdown', '');
    const before = await routes();
    for (const cidr of ['198.51.100', '8.8.8', '10.66.0']) {
      const lines: object[] = [];
      const log: Log = { ...silent, warn: fields => lines.push(fields) };
      const spec = router();
      await lab.driver.applyRouter({ ...call, log }, { ...spec, interfaces: spec.interfaces.map(i => ({ ...i, ip: `${cidr}.1`, cidr: `${cidr}.0/24` })) });
      expect(await routes(), cidr).toBe(before);
      expect(lines).toEqual([expect.objectContaining({ cidr: `${cidr}.0/24` })]);
    }
  });

  test("an external network with the host's own addresses does not take them", async () => {
    await start({ prepare: lan });
    const taken = { ...external(), subnets: external().subnets.map(s => ({ ...s, cidr: '198.51.100.0/24', gatewayIp: '198.51.100.3' })) };
    await lab.driver.applyNetwork(call, taken);
    expect(await lab.driver.hostAddressOf(call, EXT)).toBeNull();
    expect(await lab.host.ping('198.51.100.3')).toBe(true);
  });

  test('a tap without a filter passes nothing; VLAN tags and a DHCP server behind a filter pass neither', async () => {
    await start();
    const a = await guest(11);
    const place = await lab.driver.plugPort(call, port(12), []);
    await lab.driver.unplugPort(call, port(12).portId);
    const stray = await lab.guest(place, port(12).mac);
    await stray.take('10.66.0.12');
    expect(await stray.ping('10.66.0.11')).toBe(false);
    expect(await a.ping('10.66.0.12')).toBe(false);
    expect((await lab.driver.list(call)).strays).toEqual([place.tapName]);
    await lab.driver.plugPort(call, port(12), []);
    expect(await a.ping('10.66.0.12')).toBe(true);

    // Not every kernel has VLAN devices; where it has, a tag carries nothing past the filter.
    const vlans = await Promise.all(([[a, '10.5.0.1'], [stray, '10.5.0.2']] as const).map(async ([g, ip]) => {
      const { exitCode } = await inGuest(g, ['link', 'add', 'link', 'eth0', 'name', 'v5', 'type', 'vlan', 'id', '5'], [2]);
      if (exitCode !== 0) return false;
      await inGuest(g, ['addr', 'add', `${ip}/24`, 'dev', 'v5']);
      await inGuest(g, ['link', 'set', 'v5', 'up']);
      return true;
    }));
    if (vlans.every(Boolean)) expect(await a.ping('10.5.0.2')).toBe(false);

    await lab.driver.stopAll(call, { keepWires: true });
    children.push(await lab.runner.spawn('nsenter', [`--net=/run/netns/${stray.space}`, 'dnsmasq', '-k', '--conf-file=/dev/null', '--port=0', '--leasefile-ro', '--pid-file=', '--interface=eth0', '--bind-interfaces', '--dhcp-range=10.66.0.150,10.66.0.160,255.255.255.0', '--log-facility=-'], { onLine() {} }));
    expect(await a.dhcp()).toBeUndefined();
  });

  test('helpers that were killed come back with the next apply', async () => {
    await start();
    const a = await guest(11);
    const { stdout } = await lab.runner.run('pgrep', ['-f', `${prefix}-lab-`], { okExitCodes: [1] });
    const pids = stdout.split('\n').filter(p => p !== '' && Number(p) !== process.pid).map(Number);
    expect(pids.length).toBeGreaterThanOrEqual(2);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    expect(await a.get('http://169.254.169.254/')).toBeUndefined();
    expect(await a.dhcp()).toBeUndefined();
    await lab.driver.applyNetwork(call, network());
    expect(await a.dhcp()).toMatchObject({ ip: '10.66.0.11' });
    expect(await a.get('http://169.254.169.254/')).toContain('10.66.0.11');
  });

  test('after the host was started again, only files are left, and an apply builds all anew', async () => {
    await start();
    const space = `${prefix}-network-${NET}`;
    const [leg] = (await lab.runner.run('ip', ['-br', 'link', 'show', 'type', 'veth'])).stdout.split('@');
    await lab.runner.run('ip', ['link', 'del', leg as string]);
    await lab.runner.run('ip', ['netns', 'del', space]);
    const other = { ...network('10.67.0'), id: randomUUID() };
    await lab.driver.applyNetwork(call, other);
    expect((await lab.driver.list(call)).networks.map(n => [n.id === NET, n.metadata])).toEqual(expect.arrayContaining([[true, false], [false, true]]));
    await lab.driver.applyNetwork(call, network());
    const a = await guest(11);
    expect(await a.dhcp()).toMatchObject({ ip: '10.66.0.11' });
    expect(await a.get('http://169.254.169.254/')).toContain('10.66.0.11');
  });

  test('a host that lacks something is told so in one line', async () => {
    await start();
    const lacking = (missing: string): Runner => {
      const real = createRunner({ log: silent });
      const none = createRunner({ log: silent, path: '/nowhere' });
      return { run: (p, a, o) => (p === missing ? none : real).run(p, a, o), spawn: real.spawn };
    };
    const dirs = { stateDir: '/nowhere', runDir: '/nowhere', prefix: `${prefix}z` };
    await expect(linuxBridge(lacking('dnsmasq'), dirs).check(call)).rejects.toMatchObject({ kind: 'unsupported', message: 'dnsmasq is not installed on the host.' });
    const real = createRunner({ log: silent });
    const user: Runner = { run: (p, a, o) => real.run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all', p, ...a], o), spawn: real.spawn };
    await expect(linuxBridge(user, dirs).check(call)).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringMatching(/needs root/) });
  });

  /** A network that the host is in, and a machine in it that leads to more. */
  async function lan(host: Runner): Promise<void> {
    const space = `${prefix}lab-lan`;
    const machine = createRunner({ log: silent });
    await machine.run('ip', ['netns', 'del', space], { okExitCodes: [1] });
    await machine.run('ip', ['netns', 'add', space]);
    children.push({ stop: async () => machine.run('ip', ['netns', 'del', space]) } as unknown as Child);
    const there = (...args: string[]) => machine.run('ip', ['-n', space, ...args]);
    await host.run('ip', ['link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1', 'netns', space]);
    await host.run('ip', ['addr', 'add', '198.51.100.2/24', 'dev', 'lan0']);
    await host.run('ip', ['link', 'set', 'lan0', 'up']);
    await there('link', 'set', 'lan1', 'up');
    await there('link', 'set', 'lo', 'up');
    for (const ip of ['198.51.100.3/24', '198.51.100.130/24']) await there('addr', 'add', ip, 'dev', 'lan1');
    await there('addr', 'add', '203.0.113.1/32', 'dev', 'lo');
    // Outside knows the way to floating IPs, so that only the host's wall keeps it out.
    await there('route', 'add', '172.29.66.0/24', 'via', '198.51.100.2');
    await host.run('ip', ['route', 'add', 'default', 'via', '198.51.100.3']);
  }

  const inGuest = (g: Guest, args: readonly string[], okExitCodes: number[] = []) => lab.runner.run('nsenter', [`--net=/run/netns/${g.space}`, 'ip', ...args], { okExitCodes });
});
