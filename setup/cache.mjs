import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where what was downloaded or built once is kept, for every state folder of this user.
 * @param {NodeJS.ProcessEnv} env
 */
export function cacheFolder(env) {
  if (env.CUMULET_CACHE) return env.CUMULET_CACHE;
  if (process.getuid?.() === 0) return '/var/cache/cumulet';
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cumulet');
}

/** Debian packages that the demo image is made of. @param {string} cache */
export const guestPackages = (cache) => join(cache, 'guest-packages');
