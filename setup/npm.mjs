import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { step } from './steps.mjs';

/**
 * Whether node_modules holds what package-lock.json asks for. npm writes what it installed into a lock file of its own; packages
 * that are optional may be missing (other platforms), the rest must be there in the same version.
 * @param {string} root
 */
export function npmPackagesAreCurrent(root) {
  const installedLock = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedLock)) return false;
  /** @typedef {{ version?: string, integrity?: string, link?: boolean, optional?: boolean, peer?: boolean }} Locked */
  const read = (/** @type {string} */ file) => /** @type {Record<string, Locked>} */ (JSON.parse(readFileSync(file, 'utf8')).packages);
  const installed = read(installedLock);
  return Object.entries(read(join(root, 'package-lock.json'))).every(([path, wanted]) => {
    if (!path.startsWith('node_modules/')) return true;
    const found = installed[path];
    if (!found) return Boolean(wanted.optional || wanted.peer);
    return found.version === wanted.version && found.integrity === wanted.integrity && Boolean(found.link) === Boolean(wanted.link);
  });
}

/** @param {string} root @param {string} log */
export async function installNpmPackages(root, log) {
  // Started by npm: the same npm. Else the one on PATH.
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  await step('installing npm packages', [...npm, 'ci', '--no-audit', '--no-fund', '--include=dev', '--include=optional', '--loglevel=warn'], { log, cwd: root });
}
