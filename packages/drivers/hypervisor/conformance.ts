import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall, type Call } from '../call.ts';
import { need } from '../errors.ts';
import { newNic, newServer, qcow2BackingOffset, reachGuest, rootGiB, wrongSpecs, type HypervisorWorld } from './conformance-world.ts';
import type { HypervisorDriver, HypervisorEvent, Nic, PowerState, RescueSpec, RootDisk, ServerSpec, VolumeDisk } from './contract.ts';

export type { HypervisorWorld } from './conformance-world.ts';

/** What every hypervisor driver does, on one server from its creation to its end: the tests build on each other. */
export function hypervisorConformance(name: string, makeWorld: () => Promise<HypervisorWorld>): void {
  describe(`hypervisor conformance: ${name}`, () => {
    let world: HypervisorWorld;
    let driver: HypervisorDriver;
    const call: Call = plainCall('conformance');
    const events: HypervisorEvent[] = [];
    let spec: ServerSpec;
    let volume: VolumeDisk;
    let second: Nic;
    let imageAsGiven: number;

    beforeAll(async () => {
      world = await makeWorld();
      driver = world.driver;
      driver.events((event) => events.push(event));
      spec = newServer(world);
      volume = await world.volume(64);
      second = newNic(world);
      imageAsGiven = (await stat(world.image.path)).mtimeMs;
    }, 120_000);
    afterAll(async () => {
      await driver?.servers.destroy(call, spec.id);
      await world?.close();
    }, 60_000);

    const state = (): Promise<PowerState> => driver.servers.powerState(call, spec.id);
    const log = (): Promise<string> => need(driver, 'console').log(call, spec.id);
    const readyTimes = async (): Promise<number> => (await log()).match(new RegExp(world.ready, 'g'))?.length ?? 0;
    const untilReady = async (before: number): Promise<void> => {
      await expect.poll(readyTimes, { timeout: world.bootMs, interval: 200 }).toBeGreaterThan(before);
    };
    const untilEvent = async (kind: HypervisorEvent['kind'], from: number): Promise<void> => {
      await expect.poll(() => events.slice(from).map((e) => ('serverId' in e && e.serverId === spec.id ? e.kind : '')), { timeout: 10_000, interval: 20 }).toContain(kind);
    };
    /** A guest takes its time to notice devices. */
    const seen = async (command: string, output: string): Promise<void> => {
      const { guest } = world;
      if (guest) await expect.poll(() => guest(spec.id, command), { timeout: 10_000, interval: 200 }).toBe(output);
    };
    const volumes = async (): Promise<string[]> => (await driver.servers.devices(call, spec.id)).disks.flatMap((d) => d.volumeId ?? []);

    it('knows its host', async () => {
      await driver.check(call);
      const host = await driver.host(call);
      expect(host.hostname).not.toBe('');
      expect(host.version).toBeGreaterThan(0);
      for (const number of [host.vcpus, host.memoryMiB, host.diskGiB]) expect(number).toBeGreaterThan(0);
      expect(host.used.servers).toBe(0);
      expect(await driver.list(call)).toEqual([]);
    });

    it('says absent for a server that it does not have, and takes its removal for done', async () => {
      const id = randomUUID();
      expect(await driver.servers.powerState(call, id)).toBe('nostate');
      await expect(driver.servers.powerOff(call, id)).rejects.toMatchObject({ kind: 'absent' });
      await expect(driver.servers.pause(call, id)).rejects.toMatchObject({ kind: 'absent' });
      await expect(driver.servers.suspend(call, id)).rejects.toMatchObject({ kind: 'absent' });
      await expect(driver.servers.devices(call, id)).rejects.toMatchObject({ kind: 'absent' });
      await driver.servers.destroy(call, id);
      await driver.volumes?.detach(call, id, randomUUID());
      await driver.nics?.detach(call, id, 'fa:16:3e:00:00:01');
    });

    it.for(wrongSpecs)('refuses %s', async ([, wrong]) => {
      await expect(driver.servers.create(call, { ...spec, ...wrong })).rejects.toMatchObject({ kind: 'invalid' });
      expect(await driver.list(call)).toEqual([]);
    });

    it('refuses what no host of its kind offers, and an image that is not there', async () => {
      await expect(driver.servers.create(call, { ...spec, extraSpecs: { 'hw:cpu_policy': 'dedicated' } })).rejects.toMatchObject({ kind: 'unsupported' });
      const root: RootDisk = { kind: 'image', imagePath: '/nonexistent/image', imageFormat: 'qcow2', sizeGiB: 1 };
      await expect(driver.servers.create(call, { ...spec, root })).rejects.toMatchObject({ kind: 'invalid' });
      await driver.servers.destroy(call, spec.id);
    });

    it('stops when the call is aborted', async () => {
      const reason = new Error('cancelled');
      const aborted = plainCall('aborted', AbortSignal.abort(reason));
      await expect(driver.servers.create(aborted, spec)).rejects.toBe(reason);
      await driver.servers.destroy(call, spec.id);
      expect(await world.leftovers(spec)).toEqual([]);
    });

    it('creates a server without starting it, twice the same', async () => {
      await driver.servers.create(call, spec, { powerOn: false });
      await driver.servers.create(call, spec, { powerOn: false });
      expect(await state()).toBe('shutdown');
      expect(await log()).toBe('');
      expect(await driver.list(call)).toEqual([{ id: spec.id, name: spec.name, state: 'shutdown' }]);
      await expect(need(driver, 'console').vnc(call, spec.id)).rejects.toMatchObject({ kind: 'absent' });
    });

    it('starts it; the guest boots and writes to its console', async () => {
      const from = events.length;
      await driver.servers.powerOn(call, spec);
      await driver.servers.powerOn(call, spec);
      expect(await state()).toBe('running');
      await untilEvent('started', from);
      await untilReady(0);
      expect(await need(driver, 'console').log(call, spec.id, { lines: 1 })).not.toContain('\n');
      const { used } = await driver.host(call);
      expect(used).toMatchObject({ servers: 1, running: 1, vcpus: spec.vcpus, memoryMiB: spec.memoryMiB });
    }, 150_000);

    it('tells what is plugged in, where its screen is and how it does', async () => {
      const { disks, nics } = await driver.servers.devices(call, spec.id);
      expect(disks.map((d) => [d.role, d.device])).toEqual([['root', 'vda'], ['config', 'hdd']]);
      expect(nics.map((n) => [n.mac, n.tapName, n.bridge])).toEqual(spec.nics?.map((n) => [n.mac, n.tapName, n.bridge]));
      const screen = await need(driver, 'console').vnc(call, spec.id);
      expect(screen.port).toBeGreaterThan(0);
      const facts = await need(driver, 'diagnostics')(call, spec.id);
      expect(facts).toMatchObject({ state: 'running', configDrive: true, memory: { maximumMiB: spec.memoryMiB } });
      expect([facts.cpus.length, facts.nics.length, facts.disks.length]).toEqual([1, 1, 2]);
    });

    it('lets its screen and its serial port be reached, and its password be set', async () => {
      await reachGuest(world, spec);
    }, 30_000);

    it('pauses and unpauses', async () => {
      await driver.servers.pause(call, spec.id);
      await driver.servers.pause(call, spec.id);
      expect(await state()).toBe('paused');
      const made = await need(driver, 'snapshot').rootDisk(call, spec.id, world.path('snapshot-paused.qcow2'), { format: 'qcow2' });
      expect(made.virtualSizeBytes).toBe(rootGiB(spec) * 2 ** 30);
      expect(await state()).toBe('paused');
      await driver.servers.unpause(call, spec.id);
      await driver.servers.unpause(call, spec.id);
      expect(await state()).toBe('running');
    });

    it('plugs a volume into the running server and out again', async () => {
      const { attach, detach, extend } = need(driver, 'volumes');
      expect(await attach(call, spec.id, volume)).toEqual({ device: 'vdb' });
      expect(await attach(call, spec.id, volume)).toEqual({ device: 'vdb' });
      expect(await volumes()).toEqual([volume.volumeId]);
      await seen('cat /sys/block/vdb/serial /sys/block/vdb/size', `${volume.volumeId.slice(0, 20)}131072\n`);
      await extend(call, spec.id, volume.volumeId, 96 * 2 ** 20);
      await seen('cat /sys/block/vdb/size', '196608\n');
      await detach(call, spec.id, volume.volumeId);
      await detach(call, spec.id, volume.volumeId);
      expect(await volumes()).toEqual([]);
      await seen('ls /sys/block | grep -c vdb || true', '0\n');
    }, 60_000);

    it('plugs a network interface in and out', async () => {
      const { attach, detach } = need(driver, 'nics');
      const macs = async (): Promise<string[]> => (await driver.servers.devices(call, spec.id)).nics.map((n) => n.mac);
      await attach(call, spec.id, second);
      await attach(call, spec.id, second);
      expect(await macs()).toContain(second.mac);
      await detach(call, spec.id, second.mac);
      await detach(call, spec.id, second.mac);
      expect(await macs()).not.toContain(second.mac);
    }, 60_000);

    it('copies the root disk of the running server, flat and whole', async () => {
      const destination = world.path('snapshot-live.qcow2');
      const made = await need(driver, 'snapshot').rootDisk(call, spec.id, destination, { format: 'qcow2' });
      expect(made.virtualSizeBytes).toBe(rootGiB(spec) * 2 ** 30);
      expect(made.sizeBytes).toBe((await stat(destination)).size);
      expect(await qcow2BackingOffset(destination)).toBe(0n);
      if (world.guest) expect(made.quiesced).toBe(true);
      expect(await state()).toBe('running');
      await need(driver, 'snapshot').rootDisk(call, spec.id, destination, { format: 'qcow2', quiesce: 'no' });
    }, 60_000);

    it('suspends to disk and resumes', async () => {
      const from = events.length;
      await driver.servers.suspend(call, spec.id);
      await driver.servers.suspend(call, spec.id);
      expect(await state()).toBe('suspended');
      await untilEvent('suspended', from);
      await driver.servers.restore(call, spec, 'suspended');
      expect(await state()).toBe('suspended');
      const before = await readyTimes();
      await driver.servers.resume(call, spec);
      expect(await state()).toBe('running');
      expect(await readyTimes()).toBe(before); // it went on, it did not boot
    }, 60_000);

    it('is found again by another instance, which sees the same', async () => {
      const other = await world.reopen();
      try {
        expect(await other.list(call)).toEqual([{ id: spec.id, name: spec.name, state: 'running' }]);
        await other.servers.restore(call, spec, 'running');
        expect(await other.servers.powerState(call, spec.id)).toBe('running');
      } finally {
        await other.close();
      }
    });

    it('restarts softly', async () => {
      const before = await readyTimes();
      await driver.servers.reboot(call, spec, 'SOFT', { timeoutSeconds: 30 });
      expect(await state()).toBe('running');
      await untilReady(before);
    }, 150_000);

    it('stops when asked, and keeps what was plugged in', async () => {
      await need(driver, 'volumes').attach(call, spec.id, volume);
      const from = events.length;
      await driver.servers.powerOff(call, spec.id, { timeoutSeconds: 30 });
      await driver.servers.powerOff(call, spec.id);
      expect(await state()).toBe('shutdown');
      await untilEvent('stopped', from);
      expect(events.findLast((e) => e.kind === 'stopped')).toMatchObject({ serverId: spec.id, byGuest: true });
      expect(await volumes()).toEqual([volume.volumeId]);
      await need(driver, 'volumes').detach(call, spec.id, volume.volumeId);
      expect(await volumes()).toEqual([]);
      expect(await need(driver, 'volumes').attach(call, spec.id, volume)).toEqual({ device: 'vdb' });
      await need(driver, 'volumes').detach(call, spec.id, volume.volumeId);
    }, 150_000);

    it('copies the root disk of the stopped server', async () => {
      const made = await need(driver, 'snapshot').rootDisk(call, spec.id, world.path('snapshot-off.raw'), { format: 'raw' });
      expect(made).toEqual({ virtualSizeBytes: rootGiB(spec) * 2 ** 30, sizeBytes: rootGiB(spec) * 2 ** 30, quiesced: false });
    }, 60_000);

    it('grows to another flavor, and back', async () => {
      const resize = need(driver, 'resize');
      const root = { ...spec.root, sizeGiB: rootGiB(spec) + 1 } as RootDisk;
      const to: ServerSpec = { ...spec, root, vcpus: 2, memoryMiB: spec.memoryMiB + 32, swapMiB: 16, ephemerals: [{ sizeGiB: 1 }] };
      const size = async (): Promise<number> =>
        (await need(driver, 'snapshot').rootDisk(call, spec.id, world.path('resized'), { format: 'qcow2' })).virtualSizeBytes / 2 ** 30;
      await resize.apply(call, spec, to, { powerOn: false });
      await resize.apply(call, spec, to, { powerOn: false });
      expect(await size()).toBe(rootGiB(spec) + 1);
      expect((await driver.servers.devices(call, spec.id)).disks.map((d) => d.role)).toEqual(['root', 'ephemeral', 'swap', 'config']);
      expect((await driver.host(call)).used).toMatchObject({ vcpus: 2, memoryMiB: to.memoryMiB });
      await resize.revert(call, spec, { powerOn: false });
      await resize.revert(call, spec, { powerOn: false });
      expect(await size()).toBe(rootGiB(spec));
      expect((await driver.host(call)).used).toMatchObject({ vcpus: 1, memoryMiB: spec.memoryMiB });
      await resize.confirm(call, spec.id);
      await expect(resize.apply(call, to, spec)).rejects.toMatchObject({ kind: 'invalid' });
    }, 60_000);

    it('rescues: another root, the own one second, and back', async () => {
      const rescue: RescueSpec = { imagePath: world.image.path, imageFormat: world.image.format };
      await need(driver, 'rescue').start(call, spec, rescue, { timeoutSeconds: 0 });
      await need(driver, 'rescue').start(call, spec, rescue, { timeoutSeconds: 0 });
      expect(await state()).toBe('running');
      const { disks } = await driver.servers.devices(call, spec.id);
      expect(disks.map((d) => [d.role, d.device])).toEqual([['rescue', 'vda'], ['root', 'vdb'], ['config', 'hdd']]);
      await need(driver, 'rescue').stop(call, spec);
      await need(driver, 'rescue').stop(call, spec);
      expect(await state()).toBe('running');
      expect((await driver.servers.devices(call, spec.id)).disks.map((d) => d.role)).toEqual(['root', 'config']);
      expect((await world.leftovers(spec)).filter((l) => l.includes('rescue'))).toEqual([]);
    }, 60_000);

    it('rescues in place when the rescue image says so', async () => {
      await need(driver, 'volumes').attach(call, spec.id, volume);
      const withVolume = { ...spec, volumes: [{ ...volume, device: 'vdb' }] };
      const properties = { hw_rescue_device: 'disk', hw_rescue_bus: 'virtio' };
      await need(driver, 'rescue').start(call, withVolume, { imagePath: world.image.path, imageFormat: world.image.format, imageProperties: properties }, { timeoutSeconds: 0 });
      const { disks } = await driver.servers.devices(call, spec.id);
      expect(disks.map((d) => `${d.role} ${d.device}`).toSorted()).toEqual(['config hdd', 'rescue vdc', 'root vda', 'volume vdb']);
      await need(driver, 'rescue').stop(call, withVolume);
      expect((await driver.servers.devices(call, spec.id)).disks.map((d) => d.role)).toEqual(['root', 'volume', 'config']);
    }, 60_000);

    it('comes back as it was', async () => {
      await driver.servers.restore(call, spec, 'paused');
      expect(await state()).toBe('paused');
      await driver.servers.restore(call, spec, 'running');
      expect(await state()).toBe('running');
      await driver.servers.powerOff(call, spec.id, { timeoutSeconds: 0 });
      await driver.servers.restore(call, spec, 'shutdown');
      expect(await state()).toBe('shutdown');
    });

    it('leaves nothing behind, and volumes alone', async () => {
      await driver.servers.reboot(call, { ...spec, volumes: [volume] }, 'HARD');
      await driver.servers.destroy(call, spec.id);
      await driver.servers.destroy(call, spec.id);
      expect(await driver.list(call)).toEqual([]);
      expect(await state()).toBe('nostate');
      await expect.poll(() => world.leftovers(spec), { timeout: 3_000 }).toEqual([]);
      if (volume.connection.driver_volume_type === 'local') await stat(volume.connection.data.device_path);
      expect((await stat(world.image.path)).mtimeMs).toBe(imageAsGiven);
      await sleep(50);
      expect(events.at(-1)?.kind).not.toBe('gap');
    }, 60_000);
  });
}
