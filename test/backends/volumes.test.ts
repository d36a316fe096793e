import { randomBytes, randomUUID } from 'node:crypto';
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLuks, openImage } from '@cumulet/diskimage';
import { DriverError, need, plainCall } from '@cumulet/drivers';
import { type HypervisorDriver, type ServerSpec, type VolumeDisk } from '@cumulet/drivers/hypervisor';
import { eventually } from '../harness/processes.ts';
import { libvirtHost, type LibvirtHost } from './libvirt-host.ts';

const MiB = 2 ** 20;

/** Volumes of a guest that runs: their storage goes elsewhere (QEMU's mirror job by libvirt), and encrypted ones are opened for it. */
describe('volumes of a running guest', () => {
  const call = plainCall();
  const id = randomUUID();
  let host: LibvirtHost;
  let driver: HypervisorDriver;
  let old: VolumeDisk;
  const keys = new Map<string, string>();
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
    driver = await host.driver(host.runner, host.instancesDir, { volumeKey: async (keyId) => keys.get(keyId) ?? Promise.reject(new DriverError('invalid', 'There is no such key.')) });
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

  it('go elsewhere with their data, while the guest runs and writes; a second time is nothing', async () => {
    const into = await elsewhere();
    // Writes four bytes after the other until it is told to stop, however slow the machine is.
    await host.guest(id, '(i=0; while [ ! -e /tmp/stop ]; do printf %04d $i | dd of=/dev/vdb bs=4 seek=$i conv=notrunc,fsync 2>/dev/null; i=$((i+1)); echo $i > /tmp/written; done; touch /tmp/stopped) >/dev/null 2>&1 &');
    const written = async () => Number(await host.guest(id, 'cat /tmp/written 2>/dev/null || echo 0'));
    await expect.poll(written, { timeout: 60_000, interval: 200 }).toBeGreaterThan(1);
    await swap().run(call, id, old.volumeId, into);
    await swap().run(call, id, old.volumeId, into);
    await host.guest(id, 'touch /tmp/stop');
    await expect.poll(() => host.guest(id, 'ls /tmp/stopped'), { timeout: 60_000, interval: 200 }).toBe('/tmp/stopped\n');
    const count = await written();
    expect(await host.guest(id, 'dd if=/dev/vdb bs=1M skip=40 count=1 2>/dev/null | head -c 6')).toBe('before');
    expect(await read(into, 40 * 2 ** 20, 6)).toBe('before');
    expect(await read(into, 0, 4 * count)).toBe(Array.from({ length: count }, (_, i) => String(i).padStart(4, '0')).join(''));
    for (const which of ['live', 'persistent'] as const) {
      const xml = await usedBy(which);
      expect([which, xml.includes(pathOf(into)), xml.includes(pathOf(old)), xml.includes('<mirror')]).toEqual([which, true, false, false]);
    }
    expect(await host.guest(id, 'cat /sys/block/vdb/serial')).toBe(old.volumeId.slice(0, 20));
    old = into;
  }, 180_000);

  it('go on with a copy that a dead worker began, and drop one that leads elsewhere', async () => {
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

  it('stay where they are when the call is aborted or the new place is too small', async () => {
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

  it('are opened when they are encrypted: the guest sees all of the content, the storage none of it, and nobody the key', async () => {
    const volumeId = randomUUID();
    const cipher = { algorithm: 'aes-256', mode: 'xts', ivgen: 'plain64' };
    const container = async () => {
      const made = { keyId: randomUUID(), passphrase: randomBytes(32).toString('hex'), path: join(host.dir, `volume-${randomUUID()}`) };
      keys.set(made.keyId, made.passphrase);
      await createLuks(host.runner, made.path, 64 * MiB, { passphrase: made.passphrase, cipher });
      return { ...made, disk: { volumeId, connection: { driver_volume_type: 'local', data: { device_path: made.path, format: 'raw', encrypted: true, encryption_key_id: made.keyId } } } satisfies VolumeDisk };
    };
    const [one, two] = [await container(), await container()];
    const { attach, detach, extend } = need(driver, 'volumes');
    const { device } = await attach(call, id, one.disk);
    const size = () => host.guest(id, `cat /sys/block/${device}/size`);
    const sentence = () => host.guest(id, `dd if=/dev/${device} bs=1M skip=3 count=1 2>/dev/null | head -c 19`);
    await expect.poll(size, { timeout: 60_000, interval: 500 }).toBe(`${64 * MiB / 512}\n`);
    await host.guest(id, `printf 'a sentence in clear' | dd of=/dev/${device} bs=1M seek=3 conv=fsync 2>/dev/null`);
    expect((await host.runner.run('grep', ['-c', 'a sentence in clear', one.path], { okExitCodes: [1] })).stdout.trim()).toBe('0');
    for (const where of ['libvirt', 'instances']) expect((await host.runner.run('grep', ['-rl', '--exclude=disk*', one.passphrase, join(host.dir, where)], { okExitCodes: [1, 2] })).stdout).toBe('');
    expect((await host.runner.run('ps', ['-ewwo', 'args'])).stdout).not.toContain(one.passphrase);

    // To a container with another key, as a retype does, and on to storage that is not encrypted. Never byte by byte (CVE-2017-18191).
    const plain = { ...(await host.volume(64)), volumeId };
    await swap().run(call, id, volumeId, two.disk);
    expect(await sentence()).toBe('a sentence in clear');
    expect(await host.secrets.exists('volume', `cumulet-luks-${one.keyId}`)).toBe(false);
    // Grown by its storage first: what the guest gets is without the header.
    await truncate(two.path, 98 * MiB);
    await extend(call, id, volumeId, 96 * MiB);
    await expect.poll(size, { timeout: 60_000, interval: 500 }).toBe(`${96 * MiB / 512}\n`);
    await truncate(pathOf(plain), 96 * MiB);
    await swap().run(call, id, volumeId, plain);
    expect(await sentence()).toBe('a sentence in clear');
    expect(await read(plain, 3 * MiB, 19)).toBe('a sentence in clear');
    const access = await openImage(host.runner, { path: two.path, format: 'raw' }, { readOnly: true, passphrase: two.passphrase });
    expect((await access.read(3 * MiB, 19)).toString()).toBe('a sentence in clear');
    await access.close();
    await detach(call, id, volumeId);
    expect(await host.secrets.exists('volume', `cumulet-luks-${two.keyId}`)).toBe(false);

    await attach(call, id, two.disk);
    await detach(call, id, volumeId);
    expect(await host.secrets.exists('volume', `cumulet-luks-${two.keyId}`)).toBe(false);
    keys.delete(two.keyId);
    await expect(attach(call, id, two.disk)).rejects.toMatchObject({ name: 'DriverError' });
  }, 120_000);

  it('do not move while the server is off', async () => {
    await driver.servers.powerOff(call, id, { timeoutSeconds: 0 });
    const into = await elsewhere();
    await expect(swap().run(call, id, old.volumeId, into)).rejects.toMatchObject({ kind: 'busy' });
    expect(await swap().abandon(call, id, old.volumeId, into)).toEqual({ switched: false });
    await swap().run(call, id, old.volumeId, old);
  }, 60_000);
});
