import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainCall, silent } from '@cumulet/drivers';
import { createLibvirtDriver, startPrivateLibvirtd, type HypervisorDriver } from '@cumulet/drivers/hypervisor';
import { hypervisorConformance, type HypervisorWorld } from '../../packages/drivers/hypervisor/conformance.ts';
import { createRunner } from '@cumulet/exec';
import { guestImage } from '../../services/allinone/guest-image/build.ts';
import { cacheFolder } from '../../setup/cache.mjs';

/** The driver on a libvirtd of its own, with the guest that `npm start` builds, emulated so that it runs anywhere. */
async function libvirtWorld(): Promise<HypervisorWorld> {
  const runner = createRunner({ log: silent });
  const dir = await mkdtemp(join(tmpdir(), 'hyp-'));
  const bridge = `hypbr${randomUUID().slice(0, 6)}`;
  const image = process.env['CUMULET_TEST_GUEST_IMAGE'] ?? (await guestImage(runner, cacheFolder(process.env)));
  await runner.run('cp', ['--sparse=always', image, join(dir, 'base.qcow2')]);
  const libvirtd = await startPrivateLibvirtd({ dir: join(dir, 'libvirt'), runner });
  await runner.run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await runner.run('ip', ['link', 'set', bridge, 'up']);
  const instancesDir = join(dir, 'instances');
  const openDriver = (): Promise<HypervisorDriver> => createLibvirtDriver({
    socketPath: libvirtd.socketPath, instancesDir, virtType: 'qemu', runner, log: silent, diskCache: 'unsafe', detachTimeoutMs: 5_000, detachAttempts: 4,
  });
  const driver = await openDriver();

  async function guest(id: string, command: string): Promise<string> {
    // the QEMU agent's own words, by the one way to it that is no part of the driver's contract
    const uri = `qemu:///system?socket=${libvirtd.socketPath}`;
    const ask = async (request: object): Promise<Record<string, unknown>> => {
      const { stdout } = await runner.run('virsh', ['-q', '-c', uri, 'qemu-agent-command', id, JSON.stringify(request)]);
      return (JSON.parse(stdout) as { return: Record<string, unknown> }).return;
    };
    for (let i = 0; i < 50 && !(await driver.agent?.available(plainCall(), id)); i++) await sleep(200);
    const { pid } = await ask({ execute: 'guest-exec', arguments: { path: '/bin/sh', arg: ['-c', command], 'capture-output': true } });
    for (;;) {
      const status = await ask({ execute: 'guest-exec-status', arguments: { pid } });
      if (status['exited'] === true) return Buffer.from(String(status['out-data'] ?? ''), 'base64').toString();
      await sleep(50);
    }
  }

  return {
    driver, reopen: openDriver, bridge, guest, memoryMiB: 192,
    image: { path: join(dir, 'base.qcow2'), format: 'qcow2', sizeGiB: 1 },
    ready: /(TINY|GUEST|CUMULET)-READY/, bootMs: 80_000,
    path: (name) => join(dir, name),
    async volume(sizeMiB) {
      const path = join(dir, `volume-${randomUUID()}`);
      const file = await open(path, 'w');
      await file.truncate(sizeMiB * 2 ** 20);
      await file.close();
      return { volumeId: randomUUID(), connection: { driver_volume_type: 'local', data: { device_path: path, format: 'raw' } }, discard: true };
    },
    async leftovers(spec) {
      const files = (await readdir(instancesDir, { recursive: true })).filter((f) => f.startsWith(spec.id));
      const devices = await readdir('/sys/class/net');
      const taps = (spec.nics ?? []).map((n) => n.tapName).filter((tap) => devices.includes(tap));
      const saved = (await readdir(join(dir, 'libvirt', 'lib', 'qemu'), { recursive: true })).filter((f) => f.includes(spec.name));
      return [...files.filter((f) => !f.endsWith('.sock')), ...taps, ...saved];
    },
    async close() {
      await driver.close();
      await libvirtd.stop({ guests: 'destroy' });
      await runner.run('ip', ['link', 'delete', bridge]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

hypervisorConformance('libvirt', libvirtWorld);
