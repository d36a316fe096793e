import { randomUUID } from 'node:crypto';
import { createRunner, type Runner } from '@cumulet/exec';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { plainCall, silent } from '../../call.ts';
import type { PortPlace, PortQos, PortSecurity } from '../contract.ts';
import type { Guest } from '../lab.ts';
import { openLab, type LinuxBridgeLab } from './lab.ts';
import { limitRules } from './qos.ts';

const call = plainCall('qos');
const prefix = `y${(process.pid % 1296).toString(36).padStart(2, '0')}q`;
const any = (direction: 'ingress' | 'egress') => ({ direction, ethertype: 'IPv4', protocol: null, portMin: null, portMax: null, remote: null } as const);
const networkId = randomUUID();
const port = (n: number, qos?: PortQos, more: Partial<PortSecurity> = {}): PortSecurity => ({
  portId: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`, networkId, mac: `fa:16:3e:00:00:${n}`, fixedIps: [`10.67.0.${n}`], allowedAddressPairs: [], portSecurity: true, adminStateUp: true, rules: [any('egress'), any('ingress')], ...(qos ? { qos } : {}), ...more,
});
/** A megabyte a second, and as much at once. */
const limit = { kbps: 8000, burstKb: 6400 };
const mega = 1_000_000;

let lab: LinuxBridgeLab;
let machine: Runner;
let place: PortPlace;
let a: Guest;
let b: Guest;
const boot = async (at: PortPlace, n: number) => {
  const guest = await lab.guest(at, port(n).mac);
  await guest.take(`10.67.0.${n}`);
  return guest;
};
beforeAll(async () => {
  machine = createRunner({ log: silent });
  lab = await openLab({ prefix });
  await lab.driver.applyNetwork(call, { id: networkId, mtu: 1500, external: false, metadata: null, ports: [], subnets: [{ id: randomUUID(), cidr: '10.67.0.0/24', gatewayIp: null, dhcpIp: null, dnsNameservers: [], hostRoutes: [] }] });
  place = await lab.driver.plugPort(call, port(11), []);
  a = await boot(place, 11);
  b = await boot(await lab.driver.plugPort(call, port(12), []), 12);
});
afterAll(async () => {
  await lab?.driver.stopAll(call, { keepWires: false });
  await lab?.close();
});

const inside = (guest: Guest, program: string, ...args: string[]) => machine.run('ip', ['netns', 'exec', guest.space, program, ...args], { okExitCodes: [1] });
const received = async (guest: Guest): Promise<number> => {
  const { stdout } = await machine.run('ip', ['-n', guest.space, '-s', '-json', 'link', 'show', 'eth0']);
  return (JSON.parse(stdout) as { stats64: { rx: { bytes: number } } }[])[0]?.stats64.rx.bytes ?? 0;
};
const SINK = `require('net').createServer(s => s.on('error', () => {}).resume()).listen(5001, () => console.log('ready'))`;
const SOURCE = `const s = require('net').connect(5001, process.argv[1], () => { console.log('ready'); go(); }), b = Buffer.alloc(65536); const go = () => { while (s.write(b)); }; s.on('drain', go).on('error', () => {})`;
/** Starts a program of Node's in a guest and waits for its first line. */
async function start(guest: Guest, script: string, ...args: string[]): Promise<Awaited<ReturnType<Runner['spawn']>>> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const child = await machine.spawn('ip', ['netns', 'exec', guest.space, process.execPath, '-e', script, '--', ...args], { onLine: () => resolve() });
  await promise;
  return child;
}
/** Bytes that arrive while one sends as fast as it can (TCP), and how long that was in seconds. */
async function transfer(from: Guest, to: Guest, address: string, seconds: number): Promise<{ bytes: number; took: number }> {
  const sink = await start(to, SINK);
  const [before, began] = [await received(to), Date.now()];
  const source = await start(from, SOURCE, address);
  await sleep(seconds * 1000);
  const result = { bytes: await received(to) - before, took: (Date.now() - began) / 1000 };
  await source.stop();
  await sink.stop();
  return result;
}
/** Not more than the limit and what the bucket holds lets through (and the other direction's acknowledgements), and not next to nothing. */
function expectLimited({ bytes, took }: { bytes: number; took: number }): void {
  expect(bytes).toBeLessThan((took + 1) * 1.3 * mega);
  expect(bytes).toBeGreaterThan(0.8 * mega);
}

test('what a guest sends is held at the limit, and only that', async () => {
  expect((await transfer(a, b, '10.67.0.12', 1)).bytes).toBeGreaterThan(5 * mega);
  await lab.driver.applySecurity(call, [port(11, { egress: limit })], []);
  expectLimited(await transfer(a, b, '10.67.0.12', 3));
  expect((await transfer(b, a, '10.67.0.11', 1)).bytes).toBeGreaterThan(5 * mega);
});
test('so is what is sent to it, without port security as well', async () => {
  await lab.driver.applySecurity(call, [port(11, { ingress: limit }, { portSecurity: false })], []);
  expectLimited(await transfer(b, a, '10.67.0.11', 3));
  expect((await transfer(a, b, '10.67.0.12', 1)).bytes).toBeGreaterThan(5 * mega);
});
test('a restarted guest, which has another tap, is limited from its first packet; without a policy it is not', async () => {
  await a.unplug();
  a = await boot(place, 11);
  expectLimited(await transfer(b, a, '10.67.0.11', 3));
  await lab.driver.applySecurity(call, [port(11)], []);
  expect((await transfer(b, a, '10.67.0.11', 1)).bytes).toBeGreaterThan(5 * mega);
});
test('what a guest sends is marked', async () => {
  await inside(b, 'nft', 'add table inet seen; add chain inet seen in { type filter hook input priority 0; }; add rule inet seen in ip dscp 26 counter');
  const marked = async () => Number(/counter packets (\d+)/.exec((await inside(b, 'nft', 'list', 'table', 'inet', 'seen')).stdout)?.[1]);
  expect(await a.ping('10.67.0.12')).toBe(true);
  expect(await marked()).toBe(0);
  await lab.driver.applySecurity(call, [port(11, { dscp: 26 })], []);
  expect(await a.ping('10.67.0.12')).toBe(true);
  expect(await marked()).toBeGreaterThan(0);
});
test('a slow limit lets whole packets pass, and one beyond any bridge is none', async () => {
  await lab.driver.applySecurity(call, [port(11, { egress: { kbps: 100, burstKb: 80 }, ingress: { kbps: 100, burstKb: 80 } })], []);
  const { bytes, took } = await transfer(a, b, '10.67.0.12', 3);
  expect(bytes).toBeLessThan((took + 7) * 12_500 * 1.3);
  expect(bytes).toBeGreaterThan(20_000);
  expect(limitRules({ kbps: 100, burstKb: 80 })).toEqual(['limit rate over 12500 bytes/second burst 53100 bytes drop']);
  expect(limitRules({ kbps: 8000, burstKb: 16_000 })).toEqual(['limit rate over 1000000 bytes/second burst 1000000 bytes drop']);
  expect(limitRules({ kbps: 2_147_483_647, burstKb: 0 })).toEqual([]);
});
