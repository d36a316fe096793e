import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { need, plainCall } from '@cumulet/drivers';
import { type HypervisorDriver, type ServerSpec, type VolumeDisk } from '@cumulet/drivers/hypervisor';
import { eventually } from '../harness/processes.ts';
import { libvirtHost, type LibvirtHost } from './libvirt-host.ts';

/** A guest that writes to a volume while its storage goes elsewhere: QEMU's mirror job by libvirt. */
describe('the storage of an attached volume goes elsewhere', () => {
  const call = plainCall();
  const id = randomUUID();
  let host: LibvirtHost;
  let driver: HypervisorDriver;
  let old: VolumeDisk;
  const swap = () => {
    const { swap: capability } = need(driver, 'volumes');
    if (!capability) throw new Error('libvirt cannot swap');
    return capability;
  };
  const spec = (volumes: VolumeDisk[] = []): ServerSpec => ({
    id, name: `instance-${id.slice(0, 8)}`, displayName: 'x', vcpus: 1, memoryMiB: 192, root: { kind: 'image', imagePath: host.image, imageFormat: 'qcow2', sizeGiB: 1 }, nics: [], volumes,
  });
  /** The same volume on other storage. */
  const elsewhere = async (sizeMiB = 64): Promise<VolumeDisk> => ({ ...(await host.volume(sizeMiB)), volumeId: old.volumeId });
  const pathOf = (disk: VolumeDisk): string => (disk.connection.driver_volume_type === 'local' ? disk.connection.data.device_path : '');
  const usedBy = async (which: 'live' | 'persistent'): Promise<string> => {
    const domain = await host.domains.find(id);
    return domain === undefined ? '' : host.domains.xml(domain, which);
  };
  const read = async (disk: VolumeDisk, at: number, length: number): Promise<string> => {
    await using file = await open(pathOf(disk), 'r');
    return (await file.read(Buffer.alloc(length), 0, length, at)).buffer.toString().replaceAll('\0', '');
  };

  beforeAll(async () => {
    host = await libvirtHost();
    driver = await host.driver();
    old = await host.volume(64);
    await driver.servers.create(call, spec());
    await need(driver, 'volumes').attach(call, id, old);
    await eventually(async () => (await host.guest(id, 'ls /dev/vdb').catch(() => '')) === '/dev/vdb\n', 120_000, 'the guest with its volume');
    await host.guest(id, 'printf before | dd of=/dev/vdb bs=1M seek=40 conv=fsync 2>/dev/null');
  }, 180_000);
  afterAll(async () => {
    await driver?.servers.destroy(call, id);
    await driver?.close();
    await host?.close();
  }, 60_000);

  it('with its data, while the guest runs and writes; a second time is nothing', async () => {
    const into = await elsewhere();
    await host.guest(id, '(i=0; while [ $i -lt 40 ]; do printf %04d $i | dd of=/dev/vdb bs=4 seek=$i conv=notrunc,fsync 2>/dev/null; i=$((i+1)); done; touch /tmp/written) >/dev/null 2>&1 &');
    await swap().run(call, id, old.volumeId, into);
    await swap().run(call, id, old.volumeId, into);
    await expect.poll(() => host.guest(id, 'ls /tmp/written'), { timeout: 60_000, interval: 500 }).toBe('/tmp/written\n');
    expect(await host.guest(id, 'dd if=/dev/vdb bs=1M skip=40 count=1 2>/dev/null | head -c 6')).toBe('before');
    expect(await read(into, 40 * 2 ** 20, 6)).toBe('before');
    expect(await read(into, 0, 160)).toBe(Array.from({ length: 40 }, (_, i) => String(i).padStart(4, '0')).join(''));
    for (const which of ['live', 'persistent'] as const) {
      const xml = await usedBy(which);
      expect([which, xml.includes(pathOf(into)), xml.includes(pathOf(old)), xml.includes('<mirror')]).toEqual([which, true, false, false]);
    }
    expect(await host.guest(id, 'cat /sys/block/vdb/serial')).toBe(old.volumeId.slice(0, 20));
    old = into;
  }, 90_000);

  it('goes on with a copy that a dead worker began, and drops one that leads elsewhere', async () => {
    const [nowhere, into] = [await elsewhere(), await elsewhere()];
    const domain = await host.domains.find(id);
    if (!domain) throw new Error('no domain');
    const begin = (to: VolumeDisk) => host.domains.blockCopy(domain, 'vdb', `<disk type='file'><driver type='raw'/><source file='${pathOf(to)}'/></disk>`, 2 | 4);
    await begin(nowhere);
    expect(await swap().abandon(call, id, old.volumeId, into)).toEqual({ switched: false });
    expect(await usedBy('live')).not.toContain('<mirror');
    await begin(nowhere);
    await swap().run(call, id, old.volumeId, into);
    expect(await read(into, 40 * 2 ** 20, 6)).toBe('before');
    expect(await usedBy('live')).not.toContain(pathOf(nowhere));
    expect(await swap().abandon(call, id, old.volumeId, into)).toEqual({ switched: true });
    old = into;
    const next = await elsewhere();
    await begin(next);
    await swap().run(call, id, old.volumeId, next);
    expect(await read(next, 40 * 2 ** 20, 6)).toBe('before');
    old = next;
  }, 60_000);

  it('stays where it is when the call is aborted or the new place is too small', async () => {
    const into = await elsewhere();
    const reason = new Error('cancelled');
    const stop = new AbortController();
    const watched = { ...plainCall('aborted', stop.signal), progress: () => stop.abort(reason) };
    // Ready at once it may be: then it has switched before anybody could stop it.
    const how = await swap().run(watched, id, old.volumeId, into).then(() => 'switched', (error: unknown) => error);
    const { switched } = await swap().abandon(call, id, old.volumeId, into);
    expect(how).toEqual(switched ? 'switched' : reason);
    if (switched) old = into;
    await expect(swap().run(call, id, old.volumeId, await elsewhere(32))).rejects.toMatchObject({ name: 'DriverError' });
    expect(await usedBy('live')).not.toContain('<mirror');
    expect(await host.guest(id, 'dd if=/dev/vdb bs=1M skip=40 count=1 2>/dev/null | head -c 6')).toBe('before');
    await expect(swap().run(call, id, randomUUID(), into)).rejects.toMatchObject({ kind: 'absent' });
  }, 60_000);

  it('not while the server is off', async () => {
    await driver.servers.powerOff(call, id, { timeoutSeconds: 0 });
    const into = await elsewhere();
    await expect(swap().run(call, id, old.volumeId, into)).rejects.toMatchObject({ kind: 'busy' });
    expect(await swap().abandon(call, id, old.volumeId, into)).toEqual({ switched: false });
    await swap().run(call, id, old.volumeId, old);
  }, 60_000);
});
