import { mkdtemp, readdir, rm, writeFile, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '@cumulet/drivers';
import { libvirtHypervisor, startPrivateLibvirtd, type HypervisorDriver, type PrivateLibvirtd, type ServerSpec, type VolumeDisk } from '@cumulet/drivers/hypervisor';
import { createRunner, type Runner } from '@cumulet/exec';
import { Domains } from '../../packages/drivers/hypervisor/libvirt/domains.ts';
import { Secrets } from '../../packages/drivers/hypervisor/libvirt/secrets.ts';
import { Session } from '../../packages/drivers/hypervisor/libvirt/session.ts';
import { guestImage } from '../../services/allinone/guest-image/build.ts';
import { cacheFolder } from '../../setup/cache.mjs';

/** A libvirtd, a bridge and an image of its own, emulated so that it runs anywhere. */
export interface LibvirtHost {
  readonly runner: Runner;
  readonly dir: string;
  readonly instancesDir: string;
  readonly bridge: string;
  readonly image: string;
  readonly daemon: PrivateLibvirtd;
  driver(runner?: Runner, instancesDir?: string, options?: { migrationUri?: string; volumeKey?: (keyId: string) => Promise<string> }): Promise<HypervisorDriver>;
  /** The daemon again, after it was stopped or killed. */
  startDaemon(): Promise<PrivateLibvirtd>;
  /** A file for a volume. */
  volume(sizeMiB: number): Promise<VolumeDisk>;
  /** Runs a command in the guest by its agent, which is no part of the driver's contract. */
  guest(id: string, command: string): Promise<string>;
  /** libvirt's own view, beside the driver's. */
  readonly domains: Domains;
  readonly secrets: Secrets;
  leftovers(spec: ServerSpec): Promise<string[]>;
  close(): Promise<void>;
}

export async function libvirtHost(): Promise<LibvirtHost> {
  const runner = createRunner({ log: silent });
  const dir = await mkdtemp(join(tmpdir(), 'hyp-'));
  const bridge = `hypbr${randomUUID().slice(0, 6)}`;
  const image = join(dir, 'base.qcow2');
  await runner.run('cp', ['--sparse=always', process.env['CUMULET_TEST_GUEST_IMAGE'] ?? (await guestImage(runner, cacheFolder(process.env))), image]);
  const startDaemon = (): Promise<PrivateLibvirtd> => startPrivateLibvirtd({ dir: join(dir, 'libvirt'), runner });
  let daemon = await startDaemon();
  await runner.run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await runner.run('ip', ['address', 'add', '192.0.2.1/24', 'dev', bridge]);
  await runner.run('ip', ['link', 'set', bridge, 'up']);
  // a guest that finds no DHCP waits twelve seconds for it
  const dhcp = await runner.spawn('dnsmasq', [
    '--keep-in-foreground', '--conf-file=/dev/null', '--port=0', `--interface=${bridge}`, '--bind-interfaces', '--except-interface=lo',
    '--dhcp-range=192.0.2.10,192.0.2.200', `--dhcp-leasefile=${join(dir, 'leases')}`, '--pid-file=', '--user=root',
  ]);
  const instancesDir = join(dir, 'instances');
  // by the same socket path as each daemon that follows: it reconnects
  const session = new Session({ socketPath: daemon.socketPath, log: silent });
  const domains = new Domains(session);

  return {
    runner, dir, instancesDir, bridge, image, domains, secrets: new Secrets(session),
    get daemon() { return daemon; },
    async startDaemon() {
      daemon = await startDaemon();
      return daemon;
    },
    driver: (ownRunner = runner, folder = instancesDir, options = {}) => libvirtHypervisor({
      ...options,
      socketPath: daemon.socketPath, instancesDir: folder, virtType: 'qemu', runner: ownRunner, log: silent, diskCache: 'unsafe', detachTimeoutMs: 5_000, detachAttempts: 4,
    }),
    async volume(sizeMiB) {
      const path = join(dir, `volume-${randomUUID()}`);
      await writeFile(path, '');
      await truncate(path, sizeMiB * 2 ** 20);
      return { volumeId: randomUUID(), connection: { driver_volume_type: 'local', data: { device_path: path, format: 'raw' } }, discard: true };
    },
    async guest(id, command) {
      const ask = async (request: object): Promise<Record<string, unknown>> => {
        const domain = await domains.find(id);
        if (domain === undefined) throw new Error('the server is not there');
        return ((await domains.agentCommand(domain, request, 10)) as { return: Record<string, unknown> }).return;
      };
      for (let tries = 1; ; tries++) {
        if (await ask({ execute: 'guest-ping' }).then(() => true, () => false)) break;
        if (tries === 50) throw new Error('the agent does not answer');
        await sleep(200);
      }
      const { pid } = await ask({ execute: 'guest-exec', arguments: { path: '/bin/sh', arg: ['-c', command], 'capture-output': true } });
      for (;;) {
        const status = await ask({ execute: 'guest-exec-status', arguments: { pid } });
        if (status['exited'] === true) return Buffer.from(String(status['out-data'] ?? ''), 'base64').toString();
        await sleep(50);
      }
    },
    async leftovers(spec) {
      const files = (await readdir(instancesDir, { recursive: true })).filter((f) => f.startsWith(spec.id) && !f.endsWith('.sock'));
      const devices = await readdir('/sys/class/net');
      const taps = (spec.nics ?? []).map((n) => n.tapName).filter((tap) => devices.includes(tap));
      const saved = (await readdir(join(dir, 'libvirt', 'lib', 'qemu'), { recursive: true })).filter((f) => f.includes(spec.name));
      return [...files, ...taps, ...saved];
    },
    async close() {
      session.close();
      await daemon.stop({ guests: 'destroy' });
      await dhcp.stop();
      await runner.run('ip', ['link', 'delete', bridge]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
