import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Settings } from '@cumulet/config';

export type Passwords = Required<Settings['passwords']>;

/**
 * The passwords of the first users: as set, else as they were at the last start, else new random ones. Kept in a file that
 * only its owner can read, because `openrc` is written anew at each start.
 */
export function keepPasswords(file: string, set: Settings['passwords']): Passwords {
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Partial<Passwords>) : {};
  const random = () => randomBytes(18).toString('base64url');
  const choose = (name: keyof Passwords) => set[name] ?? kept[name] ?? random();
  const passwords = { admin: choose('admin'), demo: choose('demo'), service: choose('service') };
  writePrivate(file, `${JSON.stringify(passwords, null, 2)}\n`);
  return passwords;
}

/** Whole or not at all, and readable by its owner only. */
export function writePrivate(file: string, content: string): void {
  writeFileSync(`${file}.new`, content, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
