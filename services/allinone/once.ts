import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { loadSettings } from '@cumulet/config';
import { findSystemLibvirt, startPrivateLibvirtd } from '@cumulet/drivers/hypervisor';
import { createRunner } from '@cumulet/exec';
import { guestImage } from './guest-image/build.ts';
import { findOutKvm, knownKvm } from './kvm.ts';
import { sharedCapabilities } from './parts.ts';

// What takes seconds and is the same for every cloud on a machine; setup/prepare.mjs runs it when the machine is new or has changed.
// Whatever fails here is tried again, and said, by the start itself.
const { cache, hypervisor, demo } = loadSettings();
const runner = createRunner({ log: { debug() {}, warn() {} } });
const say = (text: string) => void process.stdout.write(`${text}\n`);

const image = async () => {
  if (!demo.enabled || demo.image !== undefined) return;
  const disk = await guestImage(runner, cache);
  say('the demo image is built');
  if (hypervisor.driver === 'fake' || hypervisor.virtType !== 'auto' || knownKvm(cache)) return;
  say((await findOutKvm(runner, cache, disk)).reason);
};

/** The first libvirtd asks every emulator what it can do. */
const emulators = async () => {
  if (hypervisor.driver === 'fake' || process.getuid?.() !== 0 || (await findSystemLibvirt())) return;
  const dir = mkdtempSync('/run/cumulet-once-');
  try {
    mkdirSync(sharedCapabilities(cache), { recursive: true });
    symlinkSync(sharedCapabilities(cache), join(dir, 'cache'));
    await (await startPrivateLibvirtd({ dir, runner })).stop({ guests: 'leave' });
    say('the emulators are known');
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

const results = await Promise.allSettled([image(), emulators()]);
for (const result of results) if (result.status === 'rejected') say(result.reason instanceof Error ? result.reason.message : String(result.reason));
