import { plainCall } from '@cumulet/drivers';
import { fakeHypervisor, findSystemLibvirt, libvirtHypervisor, probeKvm, type HypervisorDriver } from '@cumulet/drivers/hypervisor';
import { createRunner, type Runner } from '@cumulet/exec';
import type { Runtime } from '@cumulet/service';
import { volumeKeysOf } from '@cumulet/volume';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export interface Chosen { readonly hypervisor: HypervisorDriver; /** Undefined for the fake: it has no disks and needs no programs. */ readonly runner: Runner | undefined }

/** `auto` is libvirt where one answers (the all-in-one names its socket, else the system's), and the fake elsewhere. */
export async function chooseHypervisor(rt: Runtime): Promise<Chosen> {
  const { driver, libvirtSocket, virtType, fakeDelayMs, fakeLiveMs } = rt.settings.hypervisor;
  const home = resolve(rt.settings.home);
  const fake = (): Chosen => ({ hypervisor: fakeHypervisor({ dir: join(home, 'fake-hypervisor', rt.settings.host), host: { hostname: rt.settings.host }, delayMs: fakeDelayMs, liveMs: fakeLiveMs }), runner: undefined });
  if (driver === 'fake') return fake();
  const runner = createRunner({ log: rt.log });
  const socketPath = libvirtSocket ?? (await findSystemLibvirt())?.socketPath;
  if (socketPath === undefined) {
    if (driver === 'libvirt') throw new Error('no libvirtd was found; set hypervisor.libvirtSocket, or hypervisor.driver to fake');
    rt.log.warn('no libvirtd was found: servers are simulated');
    return fake();
  }
  const hypervisor = await libvirtHypervisor({ socketPath, instancesDir: join(home, 'instances'), virtType: virtType === 'auto' ? await virtTypeHere(rt, runner, home) : virtType, runner, log: rt.log as never, cgroups: libvirtSocket === undefined, volumeKey: volumeKeysOf(rt), ...(rt.settings.hypervisor.migrationUri === undefined ? {} : { migrationUri: rt.settings.hypervisor.migrationUri }) });
  try { await hypervisor.check(plainCall('check')); } catch (error) {
    await hypervisor.close();
    if (driver === 'libvirt') throw error;
    rt.log.warn({ err: error }, 'libvirt cannot be used: servers are simulated');
    return fake();
  }
  return { hypervisor, runner };
}

/** Probing boots a guest, so its answer is kept until the kernel changes. */
async function virtTypeHere(rt: Runtime, runner: Runner, home: string): Promise<'kvm' | 'qemu'> {
  const file = join(home, 'run', 'kvm-probe.json');
  const known = await readFile(file, 'utf8').then(text => JSON.parse(text) as { kernel?: string; usable?: boolean }, () => undefined);
  if (known?.kernel === release() && typeof known.usable === 'boolean') return known.usable ? 'kvm' : 'qemu';
  const { usable, reason } = await probeKvm({ runner });
  rt.log.info({ usable, reason }, 'KVM was tried');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify({ kernel: release(), usable }));
  return usable ? 'kvm' : 'qemu';
}
