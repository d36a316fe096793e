import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { step, StepFailed } from './steps.mjs';

/**
 * Builds the demo image and finds out about KVM and the emulators, if the machine, its emulators or the image's recipe have changed since.
 * @param {string} root @param {string} cache @param {string} log @param {NodeJS.ProcessEnv} env
 */
export async function onceForThisMachine(root, cache, log, env) {
  const recipe = join(root, 'services/allinone/guest-image');
  const watched = ['/usr/bin/qemu-system-x86_64', '/usr/sbin/libvirtd', ...readdirSync(recipe, { recursive: true, encoding: 'utf8' }).toSorted().map((name) => join(recipe, name))];
  const facts = [release(), env.CUMULET_DEMO_IMAGE, env.CUMULET_DEMO_ENABLED, env.CUMULET_HYPERVISOR_DRIVER, ...watched.map((file) => (existsSync(file) ? `${file} ${statSync(file).mtimeMs}` : file))];
  const stamp = join(cache, `once-${createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 16)}`);
  if (existsSync(stamp)) return;
  try {
    await step('building the demo image, trying KVM', [join(root, 'node_modules/.bin/node'), join(root, 'services/allinone/once.ts')], { log, cwd: root, progress: (line) => line });
    mkdirSync(cache, { recursive: true });
    writeFileSync(stamp, '');
  } catch (error) {
    // The start tries again what it needs, and says so.
    if (!(error instanceof StepFailed) && /** @type {NodeJS.ErrnoException} */ (error).code !== 'EACCES') throw error;
  }
}
