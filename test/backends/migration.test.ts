import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { need, plainCall } from '@cumulet/drivers';
import type { HypervisorDriver, ServerSpec } from '@cumulet/drivers/hypervisor';
import { libvirtHost, type LibvirtHost } from './libvirt-host.ts';

/*
 * Two hosts on one machine: two daemons that know nothing of each other, each with its own folder of disks and its own copy of the image.
 */

let hosts: LibvirtHost[];
let drivers: HypervisorDriver[];
const call = plainCall();
const uri = (host: LibvirtHost) => `qemu+unix:///system?socket=${host.daemon.socketPath}`;
beforeAll(async () => {
  hosts = [await libvirtHost(), await libvirtHost()];
  drivers = await Promise.all(hosts.map((h) => h.driver(undefined, undefined, { migrationUri: uri(h) })));
}, 180_000);
afterAll(async () => {
  for (const d of drivers ?? []) await d.close();
  for (const h of hosts ?? []) await h.close();
}, 60_000);

const id = () => randomUUID();
/** The same server as each host would build it. */
function specs(): [ServerSpec, ServerSpec] {
  const [serverId, portId] = [id(), id()];
  const on = (host: LibvirtHost, n: number): ServerSpec => ({
    id: serverId, name: `instance-${serverId.slice(0, 8)}`, displayName: 'moves', vcpus: 1, memoryMiB: 192,
    root: { kind: 'image', imagePath: host.image, imageFormat: 'qcow2', sizeGiB: 1 }, ephemerals: [{ sizeGiB: 1 }],
    nics: [{ portId, mac: `fa:16:3e:${portId.slice(0, 2)}:${portId.slice(2, 4)}:${portId.slice(4, 6)}`, bridge: host.bridge, tapName: `t${n}${portId.slice(0, 11)}` }],
    configDrive: { files: { 'openstack/latest/meta_data.json': '{}' } },
  });
  return [on(hosts[0] as LibvirtHost, 0), on(hosts[1] as LibvirtHost, 1)];
}
const [first, second] = [0, 1] as const;
async function up(driver: HypervisorDriver, serverId: string): Promise<void> {
  await expect.poll(() => driver.console?.log(call, serverId), { timeout: 240_000, interval: 250 }).toMatch(/(TINY|GUEST)-READY/);
}

it('disks travel to another host, where the guest finds what it wrote', async () => {
  const [here, there] = specs();
  const [a, b] = drivers as [HypervisorDriver, HypervisorDriver];
  await a.servers.create(call, here);
  await up(a, here.id);
  await hosts[first]?.guest(here.id, 'echo moved > /root/mark; sync');
  await expect(need(a, 'travel').send(call, here.id)).rejects.toMatchObject({ kind: 'busy' });
  await a.servers.powerOff(call, here.id, { timeoutSeconds: 0 });
  await need(b, 'travel').receive(call, there, () => need(a, 'travel').send(call, here.id));
  await need(b, 'travel').receive(call, there, () => Promise.reject(new Error('it is here')));
  await b.servers.create(call, there);
  await up(b, here.id);
  expect(await hosts[second]?.guest(here.id, 'cat /root/mark')).toBe('moved\n');
  await b.servers.destroy(call, here.id);
  expect(await hosts[second]?.leftovers(there)).toEqual([]);
  // For a host that cannot have the image: the disk comes whole.
  const bare: ServerSpec = { ...there, root: { ...there.root, imagePath: '/nonexistent' } as ServerSpec['root'] };
  await need(b, 'travel').receive(call, bare, () => need(a, 'travel').send(call, here.id, { flat: true }));
  await b.servers.create(call, bare, { powerOn: false });
  expect(await b.servers.powerState(call, here.id)).toBe('shutdown');
  await b.servers.destroy(call, here.id);
  // A stream that ends too early leaves nothing.
  const { Readable } = await import('node:stream');
  await expect(need(b, 'travel').receive(call, there, async () => Readable.from([Buffer.from([0, 0, 0, 40])]))).rejects.toMatchObject({ kind: 'transient' });
  expect(await hosts[second]?.leftovers(there)).toEqual([]);
  await a.servers.destroy(call, here.id);
  expect(await hosts[first]?.leftovers(here)).toEqual([]);
}, 600_000);

it('a running guest migrates with its disks, and never stops', async () => {
  const [here, there] = specs();
  const [a, b] = drivers as [HypervisorDriver, HypervisorDriver];
  await a.servers.create(call, here);
  await up(a, here.id);
  await hosts[first]?.guest(here.id, 'echo alive > /root/mark; sync; echo kept > /dev/shm/memory');
  const target = await need(b, 'migrate').prepare(call, there, { sharedDisks: false });
  let progressed = 0;
  await need(a, 'migrate').live({ ...call, progress: () => { progressed++; } }, here, target, { sharedDisks: false });
  expect(await a.servers.powerState(call, here.id)).toBe('nostate');
  expect(await b.servers.powerState(call, here.id)).toBe('running');
  // What was only in its memory is there.
  expect(await hosts[second]?.guest(here.id, 'cat /dev/shm/memory /root/mark')).toBe('kept\nalive\n');
  await need(a, 'migrate').live(call, here, target, { sharedDisks: false });
  expect(await need(b, 'migrate').abandon(call, here.id, { sharedDisks: false })).toEqual({ arrived: true });
  expect(await hosts[first]?.leftovers(here)).toEqual([]);
  expect((await b.servers.devices(call, here.id)).nics).toMatchObject([{ tapName: there.nics?.[0]?.tapName, bridge: hosts[second]?.bridge }]);
  // It is that host's own: it restarts from what is there.
  await b.servers.reboot(call, there, 'HARD');
  await up(b, here.id);
  expect(await hosts[second]?.guest(here.id, 'cat /root/mark')).toBe('alive\n');
  await b.servers.destroy(call, here.id);
  expect(await hosts[second]?.leftovers(there)).toEqual([]);
  expect(progressed).toBeGreaterThanOrEqual(0);
}, 600_000);

it('a migration that is aborted leaves the guest where it was', async () => {
  const [here, there] = specs();
  const [a, b] = drivers as [HypervisorDriver, HypervisorDriver];
  await a.servers.create(call, here);
  await up(a, here.id);
  await hosts[first]?.guest(here.id, 'true');
  const target = await need(b, 'migrate').prepare(call, there, { sharedDisks: false });
  const stop = new AbortController();
  const moving = need(a, 'migrate').live({ ...call, signal: stop.signal, progress: () => stop.abort(new Error('enough')) }, here, target, { sharedDisks: false, bandwidthMiBs: 1 });
  setTimeout(() => stop.abort(new Error('enough')), 2_000);
  await expect(moving).rejects.toThrow('enough');
  expect(await need(b, 'migrate').abandon(call, here.id, { sharedDisks: false })).toEqual({ arrived: false });
  expect(await hosts[second]?.leftovers(there)).toEqual([]);
  expect(await hosts[first]?.guest(here.id, 'echo on')).toBe('on\n');
  await a.servers.destroy(call, here.id);
}, 600_000);
