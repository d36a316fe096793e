import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Debian's `nobody`: there on every machine, so that no user has to be made. */
export const nobody = { uid: 65534, gid: 65534 } as const;

/**
 * The words before a command that make it run as `nobody` when we are root (Postgres refuses to run as root), and that
 * end it with `signal` when the process that started it dies, even by SIGKILL.
 *
 * `nobody` cannot pass through folders like /root. Where one of `paths` lies behind such a folder the process keeps one
 * capability, to read past permissions; the alternative would be state outside of the state folder.
 */
export function unprivileged(signal: 'INT' | 'TERM' | 'KILL', paths: readonly string[], uid = process.getuid?.() ?? 0): readonly [string, ...string[]] {
  if (uid !== 0) return ['setpriv', '--pdeathsig', signal, '--no-new-privs', '--'];
  const drop = ['--reuid', String(nobody.uid), '--regid', String(nobody.gid), '--clear-groups'];
  const pass = paths.every(reachable) ? ['--inh-caps=-all'] : passPermissions();
  return ['setpriv', '--pdeathsig', signal, ...drop, ...pass, '--no-new-privs', '--'];
}

/** Whether `nobody` may pass through every folder above the path. */
function reachable(path: string): boolean {
  for (let folder = dirname(realpathSync(path)); ; folder = dirname(folder)) {
    const { mode, uid } = statSync(folder);
    if ((mode & 0o001) === 0 && uid !== nobody.uid) return false;
    if (folder === '/') return true;
  }
}

/** access(2) ignores capabilities after a change of uid unless no_setuid_fixup is set, and Postgres asks it about its own files. */
function passPermissions(): string[] {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  const capability = [{ name: 'dac_read_search', bit: 2n }, { name: 'dac_override', bit: 1n }].find(c => (bounding >> c.bit) & 1n);
  if (!capability) throw new Error('the state folder or the program lies behind a folder that an unprivileged user cannot pass; set CUMULET_HOME elsewhere');
  return ['--securebits=+no_setuid_fixup', `--inh-caps=-all,+${capability.name}`, `--ambient-caps=-all,+${capability.name}`];
}
