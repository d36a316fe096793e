import { randomUUID } from 'node:crypto';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall, silent } from '@cumulet/drivers';
import { findSystemLibvirt, libvirtHypervisor, probeKvm, startPrivateLibvirtd, type HypervisorDriver, type HypervisorEvent, type ServerSpec } from '@cumulet/drivers/hypervisor';
import type { Runner } from '@cumulet/exec';
import { hypervisorConformance, type HypervisorWorld } from '../../packages/drivers/hypervisor/conformance.ts';
import { libvirtHost, type LibvirtHost } from './libvirt-host.ts';

const ready = /(TINY|GUEST)-READY/;

let host: LibvirtHost;
beforeAll(async () => { host = await libvirtHost(); }, 120_000);
afterAll(async () => { await host?.close(); }, 60_000);

hypervisorConformance('libvirt', async (): Promise<HypervisorWorld> => {
  const driver = await host.driver();
  return {
    driver, reopen: () => host.driver(), bridge: host.bridge, memoryMiB: 192, ready, bootMs: 120_000,
    image: { path: host.image, format: 'qcow2', sizeGiB: 1 },
    guest: host.guest,
    volume: host.volume, leftovers: host.leftovers,
    path: (name) => join(host.dir, name),
    close: () => driver.close(),
  };
});

describe('libvirt hypervisor', () => {
  const call = plainCall();
  let driver: HypervisorDriver;
  beforeAll(async () => { driver = await host.driver(); });
  afterAll(() => driver?.close());

  const server = (changes: Partial<ServerSpec> = {}): ServerSpec => {
    const id = randomUUID();
    const portId = randomUUID();
    return {
      id, name: `instance-${id.slice(0, 8)}`, displayName: 'x', vcpus: 1, memoryMiB: 64,
      root: { kind: 'image', imagePath: host.image, imageFormat: 'qcow2', sizeGiB: 1 },
      nics: [{ portId, mac: `fa:16:3e:${portId.slice(0, 2)}:${portId.slice(2, 4)}:${portId.slice(4, 6)}`, bridge: host.bridge, tapName: `tap${portId.slice(0, 11)}` }],
      configDrive: { files: { 'openstack/latest/meta_data.json': '{}' } },
      ...changes,
    };
  };

  it.for([
    ['SCSI', { hw_disk_bus: 'scsi', hw_cdrom_bus: 'scsi' }, 'sda sdb sdc sdd sde'],
    ['SATA on q35', { hw_disk_bus: 'sata', hw_machine_type: 'q35' }, 'sda sdb sdc sdd sde'],
    ['USB', { hw_disk_bus: 'usb', hw_cdrom_bus: 'usb' }, 'sda sdb sdc sdd sde'],
    ['virtio on q35 with every extra', { hw_machine_type: 'q35', hw_video_model: 'virtio', hw_pointer_model: 'usbtablet', hw_watchdog_action: 'reset', hw_boot_menu: 'true', hw_serial_port_count: '2' }, 'vda vdb vdc vdd sda'],
    ['virtio without a screen', { hw_video_model: 'none', hw_qemu_guest_agent: 'no' }, 'vda vdb vdc vdd hdd'],
  ] as [string, Record<string, string>, string][])('runs a machine with %s', async ([, imageProperties, devices]) => {
    const spec = server({ imageProperties, swapMiB: 8, ephemerals: [{ sizeGiB: 1, guestFormat: 'ext4' }], volumes: [{ ...(await host.volume(1)), qos: { total_iops_sec: 100 } }] });
    await driver.servers.create(call, spec);
    expect(await driver.servers.powerState(call, spec.id)).toBe('running');
    expect((await driver.servers.devices(call, spec.id)).disks.map((d) => d.device).join(' ')).toBe(devices);
    await driver.servers.destroy(call, spec.id);
    expect(await host.leftovers(spec)).toEqual([]);
  });

  it('runs UEFI where there is firmware for it, and says so where there is none', async () => {
    const spec = server({ imageProperties: { hw_firmware_type: 'uefi', hw_machine_type: 'q35' } });
    const { firmware } = await driver.host(call);
    if (firmware.includes('uefi')) {
      await driver.servers.create(call, spec);
      expect(await driver.servers.powerState(call, spec.id)).toBe('running');
    } else {
      await expect(driver.servers.create(call, spec)).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('UEFI') });
    }
    await driver.servers.destroy(call, spec.id);
    expect(await host.leftovers(spec)).toEqual([]);
  });

  it('boots from volumes, and keeps the passwords of network volumes in memory', async () => {
    const secret = 'hunter2hunter2';
    const iscsi = randomUUID();
    const spec = server({
      root: { kind: 'volume', volume: await host.volume(8) },
      volumes: [
        { volumeId: iscsi, connection: { driver_volume_type: 'iscsi', data: { target_portal: '127.0.0.1:3260', target_iqn: 'iqn.2010-10.org.openstack:v', target_lun: 1, auth_username: 'u', auth_password: secret } } },
        { volumeId: randomUUID(), connection: { driver_volume_type: 'rbd', data: { name: 'volumes/v', hosts: ['10.0.0.1'], ports: ['6789'], auth_username: 'cinder', secret_uuid: randomUUID(), keyring: 'QUFBQQ==' } } },
      ],
    });
    await driver.servers.create(call, spec, { powerOn: false });
    await driver.servers.create(call, spec, { powerOn: false });
    expect((await driver.servers.devices(call, spec.id)).disks.map((d) => d.role)).toEqual(['root', 'volume', 'volume', 'config']);
    expect(await host.secrets.exists('iscsi', `cumulet-${iscsi}`)).toBe(true);
    const kept = await host.runner.run('grep', ['-rl', secret, join(host.dir, 'libvirt')], { okExitCodes: [1] });
    expect(kept.stdout).toBe('');
    await expect(driver.snapshot?.rootDisk(call, spec.id, join(host.dir, 'x'), { format: 'raw' })).rejects.toMatchObject({ kind: 'invalid' });
    await driver.servers.destroy(call, spec.id);
    expect(await host.secrets.exists('iscsi', `cumulet-${iscsi}`)).toBe(false);
  });

  it('is created whole after a failure at any program that it runs', async () => {
    const spec = server({ swapMiB: 8, ephemerals: [{ sizeGiB: 1 }] });
    for (let failing = 1; ; failing++) {
      let ran = 0;
      const flaky: Runner = {
        ...host.runner,
        async run(program, args, options) {
          if (++ran === failing) throw new Error(`killed at ${program}`);
          return host.runner.run(program, args, options);
        },
      };
      const other = await host.driver(flaky);
      const outcome = await other.servers.create(call, spec, { powerOn: false }).then(() => 'made', (error: Error) => error.message);
      await other.close();
      if (outcome === 'made') break;
      expect(outcome).toContain('killed at');
      expect((await host.leftovers(spec)).filter((f) => f.includes('.part') || f.includes('.config-'))).toEqual([]);
    }
    expect(await driver.servers.powerState(call, spec.id)).toBe('shutdown');
    await driver.servers.destroy(call, spec.id);
    expect(await host.leftovers(spec)).toEqual([]);
  });

  it('runs several at once, and sees nobody else\'s', async () => {
    const specs = Array.from({ length: 4 }, () => server());
    await Promise.all(specs.map((spec) => driver.servers.create(call, spec)));
    expect((await driver.list(call)).map((d) => d.state)).toEqual(['running', 'running', 'running', 'running']);
    const stranger = await host.driver(host.runner, join(host.dir, 'other-cloud'));
    expect(await stranger.list(call)).toEqual([]);
    const [first] = specs;
    if (first) {
      expect(await stranger.servers.powerState(call, first.id)).toBe('nostate');
      await stranger.servers.destroy(call, first.id);
      await expect(stranger.servers.create(call, first)).rejects.toMatchObject({ kind: 'busy' });
      expect(await driver.servers.powerState(call, first.id)).toBe('running');
    }
    await stranger.close();
    await Promise.all(specs.map((spec) => driver.servers.destroy(call, spec.id)));
    expect(await driver.list(call)).toEqual([]);
  }, 60_000);

  it('shares the host with another cloud that starts servers in the same moment', async () => {
    const dir = join(host.dir, 'second');
    await mkdir(dir);
    await symlink(join(host.dir, 'libvirt', 'cache'), join(dir, 'cache')); // what the emulator can do is known already
    const daemon = await startPrivateLibvirtd({ dir, runner: host.runner });
    const other = await libvirtHypervisor({ socketPath: daemon.socketPath, instancesDir: join(host.dir, 'second-instances'), virtType: 'qemu', runner: host.runner, log: silent });
    const [mine, theirs] = [server({ nics: [] }), server({ nics: [] })];
    await Promise.all([driver.servers.create(call, mine, { powerOn: false }), other.servers.create(call, theirs, { powerOn: false })]);
    await Promise.all([driver.servers.powerOn(call, mine), other.servers.powerOn(call, theirs)]);
    const ports = [await driver.console?.vnc(call, mine.id), await other.console?.vnc(call, theirs.id)].map((screen) => screen?.port);
    expect(new Set(ports).size).toBe(2);
    await Promise.all([driver.servers.destroy(call, mine.id), other.servers.destroy(call, theirs.id)]);
    await other.close();
    await daemon.stop();
  }, 60_000);

  it('outlives its daemon: guests go on, calls fail for a while, events come back', async () => {
    const spec = server();
    await driver.servers.create(call, spec);
    const events: HypervisorEvent[] = [];
    const stop = driver.events((event) => events.push(event));
    const pid = (): Promise<string> => readFile(join(host.dir, 'libvirt', 'run', 'qemu', `${spec.name}.pid`), 'utf8');
    const before = await pid();
    process.kill(host.daemon.pid, 'SIGKILL');
    await host.daemon.exit;
    await expect(driver.servers.powerState(call, spec.id)).rejects.toMatchObject({ kind: 'transient' });
    await host.startDaemon();
    await expect.poll(() => events.map((e) => e.kind), { timeout: 15_000 }).toContain('gap');
    expect(await driver.servers.powerState(call, spec.id)).toBe('running');
    expect(await pid()).toBe(before);
    await driver.servers.pause(call, spec.id);
    await expect.poll(() => events.at(-1)).toEqual({ kind: 'paused', serverId: spec.id, byGuest: false });
    await host.daemon.stop({ guests: 'leave' });
    await host.startDaemon();
    expect(await driver.servers.powerState(call, spec.id)).toBe('paused');
    await host.daemon.stop({ guests: 'shutdown', graceMs: 300 });
    await expect.poll(() => readFile(`/proc/${before.trim()}/cmdline`, 'utf8').catch(() => ''), { timeout: 5_000 }).toBe('');
    await host.startDaemon();
    await driver.servers.restore(call, spec, 'running');
    expect(await driver.servers.powerState(call, spec.id)).toBe('running');
    stop();
    await driver.servers.destroy(call, spec.id);
  }, 60_000);

  it('finds a daemon that runs, and none where none does', async () => {
    expect(await findSystemLibvirt([join(host.dir, 'nobody'), host.daemon.socketPath])).toMatchObject({ socketPath: host.daemon.socketPath });
    expect(await findSystemLibvirt([join(host.dir, 'nobody')])).toBeUndefined();
  });

  it('proves acceleration by a guest that boots', async () => {
    const guest = { disk: host.image, format: 'qcow2', expect: ready } as const;
    expect(await probeKvm({ runner: host.runner, guest, accelerator: 'tcg', timeoutMs: 500 })).toMatchObject({ usable: false });
    expect((await probeKvm({ runner: host.runner, guest, timeoutMs: 3_000 })).reason).not.toBe('');
  });
});
