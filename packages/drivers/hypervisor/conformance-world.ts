import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { expect } from 'vitest';
import { plainCall } from '../call.ts';
import { need } from '../errors.ts';
import type { HypervisorDriver, Nic, ServerSpec, VolumeDisk } from './contract.ts';

/** What the suite needs around a driver. Everything that it hands out is its own to remove. */
export interface HypervisorWorld {
  readonly driver: HypervisorDriver;
  /** Another instance on the same host, as after a restart of the worker. */
  reopen(): Promise<HypervisorDriver>;
  /** An image that boots in `memoryMiB`, as a cached base. */
  readonly image: { readonly path: string; readonly format: 'raw' | 'qcow2'; readonly sizeGiB: number };
  readonly memoryMiB: number;
  /** A bridge that exists. */
  readonly bridge: string;
  /** A file of this size for a volume. */
  volume(sizeMiB: number): Promise<VolumeDisk>;
  /** A place for snapshots. */
  path(name: string): string;
  /** What the console shows when the guest is up, and how long that may take. */
  readonly ready: RegExp;
  readonly bootMs: number;
  /** Everything of this server that the host still has: domains, files, network devices. */
  leftovers(spec: ServerSpec): Promise<string[]>;
  /** Runs a command inside the guest; absent when guests are not real. */
  guest?(id: string, command: string): Promise<string>;
  close(): Promise<void>;
}

/** What is said at the other end until it matches, after `say` was said. */
async function conversation(to: { host: string; port: number } | { path: string }, say: string, until: RegExp): Promise<string> {
  const socket = connect(to);
  let heard = '';
  let failure: Error | undefined;
  socket.on('data', (bytes) => { heard += bytes.toString('latin1'); });
  socket.on('connect', () => { if (say !== '') socket.write(say); });
  socket.on('error', (error) => { failure = error; });
  try {
    await expect.poll(() => failure?.message ?? heard, { timeout: 10_000, interval: 50 }).toMatch(until);
    return heard;
  } finally {
    socket.destroy();
  }
}

export const rootGiB = (spec: ServerSpec): number => (spec.root.kind === 'image' ? spec.root.sizeGiB : 0);

export function newNic(world: HypervisorWorld): Nic {
  const portId = randomUUID();
  return { portId, mac: `fa:16:3e:${portId.slice(0, 2)}:${portId.slice(2, 4)}:${portId.slice(4, 6)}`, bridge: world.bridge, tapName: `tap${portId.slice(0, 11)}` };
}

export function newServer(world: HypervisorWorld): ServerSpec {
  const id = randomUUID();
  return {
    id, name: `instance-${id.slice(0, 8)}`,
    displayName: `</nova:name><x>&"' \u0000\u0007 \uD800 服务器 🙂`,
    project: { id: 'p"1', name: 'demo & co' }, user: { id: 'u1', name: '<admin>' }, flavorName: 'm1.<nano>',
    vcpus: 1, memoryMiB: world.memoryMiB,
    root: { kind: 'image', imagePath: world.image.path, imageFormat: world.image.format, sizeGiB: world.image.sizeGiB },
    nics: [{ ...newNic(world), mtu: 1_450 }],
    configDrive: { files: { 'openstack/latest/meta_data.json': JSON.stringify({ uuid: id, hostname: 'conformance' }), 'openstack/latest/user_data': { base64: 'IyEvYmluL3NoCg==' } } },
  };
}

/** Bytes 8 to 15 of a qcow2: where the backing file's name is, 0 = there is none. */
export async function qcow2BackingOffset(path: string): Promise<bigint> {
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(16), 0, 16, 0);
    expect(buffer.toString('latin1', 0, 4)).toBe('QFI\xfb');
    return buffer.readBigUInt64BE(8);
  } finally {
    await file.close();
  }
}

/** What no hypervisor may take. */
export const wrongSpecs: readonly (readonly [string, Partial<ServerSpec>])[] = [
  ['an id that leads elsewhere', { id: '../../etc' }],
  ['a name with markup', { name: 'a<b' }],
  ['no vCPU', { vcpus: 0 }],
  ['an impossible CPU arrangement', { vcpus: 3, extraSpecs: { 'hw:cpu_cores': '2' } }],
  ['an unknown disk bus', { imageProperties: { hw_disk_bus: 'floppynet' } }],
  ['a config drive file outside of it', { configDrive: { files: { '../../x': '' } } }],
  ['a multicast MAC address', { nics: [{ portId: 'p', mac: '01:00:5e:00:00:01', bridge: 'b', tapName: 't' }] }],
];

/** What only a guest that is real can show. */
export async function reachGuest(world: HypervisorWorld, spec: ServerSpec): Promise<void> {
  const { driver } = world;
  const call = plainCall('conformance');
  const { guest } = world;
  if (!guest) return;
  const screen = await need(driver, 'console').vnc(call, spec.id);
  expect(await conversation({ host: screen.host, port: screen.port }, '', /^RFB 003/)).toContain('RFB');
  const serial = await driver.console?.serial?.(call, spec.id);
  if (serial) expect(await conversation({ path: serial.unixPath }, '\n\n', /login:/)).toContain('login:');
  const before = await guest(spec.id, 'head -1 /etc/shadow');
  await need(driver, 'agent').setPassword(call, spec.id, 'root', 'correct horse "battery" <staple>');
  expect(await guest(spec.id, 'head -1 /etc/shadow')).not.toBe(before);
  expect(await need(driver, 'agent').freeze(call, spec.id)).toBeGreaterThan(0);
  expect(await need(driver, 'agent').thaw(call, spec.id)).toBeGreaterThan(0);
}
