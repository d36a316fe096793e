import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { release } from 'node:os';
import { ProgramError, type Runner } from '@cumulet/exec';

/** What is booted to see whether KVM works. It must say something that matches `expect` on its first serial port. */
export type ProbeGuest =
  | { readonly disk: string; readonly format: 'qcow2' | 'raw'; readonly expect: RegExp }
  | { readonly kernel: string; readonly initrd?: string; readonly expect: RegExp };

export interface KvmProbe {
  readonly usable: boolean;
  /** One line for the operator. */
  readonly reason: string;
}

/**
 * Whether guests really run under KVM here. A `/dev/kvm` that opens proves nothing: nested and emulated ones exist that cannot run a
 * kernel. So a guest is booted, for `timeoutMs` at most (default 10,000); without one, the host's own kernel as far as its search for
 * a root disk. The answer holds until the host's kernel or QEMU changes: callers may keep it.
 */
export async function probeKvm(options: {
  readonly runner: Runner; readonly guest?: ProbeGuest; readonly timeoutMs?: number; readonly signal?: AbortSignal; readonly emulator?: string;
  /** TCG is for tests of the probe itself, on machines without KVM. */
  readonly accelerator?: 'kvm' | 'tcg';
}): Promise<KvmProbe> {
  const { runner, signal, timeoutMs = 10_000, emulator = 'qemu-system-x86_64', accelerator = 'kvm' } = options;
  if (process.arch !== 'x64') return { usable: false, reason: `KVM is not tried on ${process.arch}` };
  if (accelerator === 'kvm' && !(await may('/dev/kvm', constants.R_OK | constants.W_OK))) return { usable: false, reason: 'there is no /dev/kvm that may be used' };
  const guest = options.guest ?? (await ownKernel());
  if (guest === undefined) return { usable: false, reason: 'there is no guest to try KVM with' };
  const started = performance.now();
  const said = Promise.withResolvers<void>();
  try {
    const child = await runner.spawn(emulator, ['-machine', `pc,accel=${accelerator}`, '-cpu', accelerator === 'kvm' ? 'host' : 'max', ...machine, ...bootArguments(guest)], {
      graceMs: 500, ...(signal && { signal }),
      onLine: (line) => { if (guest.expect.test(line)) said.resolve(); },
    });
    const timer = Promise.withResolvers<'late'>();
    const handle = setTimeout(() => timer.resolve('late'), timeoutMs);
    const outcome = await Promise.race([said.promise.then(() => 'booted' as const), timer.promise, child.exit]);
    clearTimeout(handle);
    await child.stop('SIGKILL');
    signal?.throwIfAborted();
    if (outcome === 'booted') return { usable: true, reason: `a guest booted in ${Math.round(performance.now() - started)} ms` };
    if (outcome === 'late') return { usable: false, reason: `a guest did not boot under KVM within ${timeoutMs} ms` };
    return { usable: false, reason: `QEMU ended under KVM: ${outcome.stderr.trim().split('\n').at(-1) ?? ''}`.slice(0, 200) };
  } catch (error) {
    if (error instanceof ProgramError) return { usable: false, reason: error.message };
    throw error;
  }
}

// the CPU as the driver's domains get it; no network, so that a guest that waits for one gives up at once
const machine = [
  '-m', '256', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none', '-serial', 'stdio',
  '-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
];

function bootArguments(guest: ProbeGuest): string[] {
  // snapshot=on: what the guest writes goes to a temporary file
  if ('disk' in guest) return ['-drive', `file.filename=${guest.disk.replaceAll(',', ',,')},file.driver=file,driver=${guest.format},if=virtio,snapshot=on`];
  return ['-kernel', guest.kernel, ...(guest.initrd === undefined ? [] : ['-initrd', guest.initrd]), '-append', 'console=ttyS0 panic=-1'];
}

async function ownKernel(): Promise<ProbeGuest | undefined> {
  const kernel = `/boot/vmlinuz-${release()}`;
  return (await may(kernel, constants.R_OK)) ? { kernel, expect: /Unable to mount root fs|Run \/\S*init/ } : undefined;
}

const may = (path: string, mode: number): Promise<boolean> => access(path, mode).then(() => true, () => false);
