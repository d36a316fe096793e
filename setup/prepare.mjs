// `node setup/prepare.mjs start|test|storage`: brings the machine to where the project can run. It runs before anything is
// installed, so it uses nothing but Node 20. With nothing to do it takes a fifth of a second.
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { download, install, missingPackages, privilege, tidy } from './apt.mjs';
import { cacheFolder, guestPackages } from './cache.mjs';
import { installNpmPackages, npmPackagesAreCurrent } from './npm.mjs';
import { onceForThisMachine } from './once.mjs';
import { guest, noGuestImage, run, storage, test } from './packages.mjs';
import { listenForTheEnd, say, StepFailed } from './steps.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const env = process.env;
const log = join(resolve(env.CUMULET_HOME || join(root, '.cumulet')), 'log', 'setup.log');

/** @param {import('./packages.mjs').Group[]} groups */
async function debianPackages(groups) {
  const wanted = groups.filter((g) => !g.unless?.(env));
  const all = [...new Set(wanted.flatMap((g) => g.names))];
  const { known, missing } = missingPackages(all);
  if (missing.length === 0) return known;
  const asRoot = privilege();
  if (!asRoot) {
    lessWithout(wanted, missing, `no permission to install Debian packages (run as root, or: sudo apt-get install --no-install-recommends ${missing.join(' ')})`);
    return false;
  }
  await tidy(asRoot, log);
  try {
    await install(missing, asRoot, log);
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    // One package that cannot be had must not cost the others.
    for (const group of wanted) {
      const still = missingPackages(group.names).missing;
      if (still.length === 0) continue;
      await install(still, asRoot, log).catch((/** @type {unknown} */ reason) => {
        if (!(reason instanceof StepFailed)) throw reason;
        lessWithout([group], still, `Debian packages cannot be installed (${reason.message})`);
      });
    }
  }
  return true;
}

/**
 * Says in one line each what is lost; ends the program when it is something that cannot be done without.
 * @param {import('./packages.mjs').Group[]} groups @param {string[]} missing @param {string} reason
 */
function lessWithout(groups, missing, reason) {
  const poorer = groups.filter((g) => g.names.some((name) => missing.includes(name)));
  const musts = poorer.filter((g) => !g.without);
  if (musts.length > 0) throw new StepFailed(`${reason}, and ${musts.map((g) => `${g.purpose} needs ${g.names.filter((n) => missing.includes(n)).join(' ')}`).join('; ')}`);
  say(`${reason}; going on with less: ${poorer.map((g) => g.without).join('; ')}`);
}

async function guestImageParts() {
  const folder = guestPackages(cacheFolder(env));
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const complete = ['linux-image-', ...guest.names.map((name) => `${name}_`)].every((start) => files.some((f) => f.startsWith(start) && f.endsWith('.deb')));
  if (complete) return;
  try {
    await download(guest, folder, privilege(), log);
  } catch (error) {
    say(`the demo image's packages cannot be downloaded (${/** @type {Error} */ (error).message}); going on without a demo image`);
  }
}

const purpose = process.argv[2];
listenForTheEnd();
try {
  if (purpose !== 'start' && purpose !== 'test' && purpose !== 'storage') throw new StepFailed('usage: node setup/prepare.mjs start|test|storage');
  if (Number(process.versions.node.split('.')[0]) < 20) throw new StepFailed(`Node.js 20 or newer is needed, this is ${process.version}`);
  if (!npmPackagesAreCurrent(root)) await installNpmPackages(root, log);
  const debian = await debianPackages(purpose === 'start' ? run : purpose === 'test' ? [...run, ...test] : [...run, ...test, ...storage]);
  if (debian && !noGuestImage(env)) await guestImageParts();
  await onceForThisMachine(root, cacheFolder(env), log, env);
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  say(`${error.message}${existsSync(log) ? ` (all output: ${log})` : ''}`);
  process.exitCode = 1;
}
