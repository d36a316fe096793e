import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainCall } from '../../call.ts';
import type { BackupJob, BackupRef } from '../contract.ts';
import { posixBackupDriver } from '../posix/driver.ts';

// Run as a program it makes a backup slowly, to be killed: `node killed.ts DIRECTORY REF`.

export const BYTES = 4 << 20;
const GRAIN = 4096;

/** The same bytes each time, none like another. */
export function pattern(offset: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let at = 0; at < length; at += GRAIN) out.fill(createHash('sha512').update(String(offset + at)).digest(), at, Math.min(length, at + GRAIN));
  return out;
}

export const jobOf = (backup: BackupRef, pauseMs = 0): BackupJob => ({
  backup, moment: 'now', name: null, description: null, createdAt: new Date(0), volumeMeta: null,
  source: { bytes: BYTES, read: async (_call, { offset, length }) => { await sleep(pauseMs); return Readable.from([pattern(offset, length)], { objectMode: false }); } },
});

if (process.argv[1] === import.meta.filename) {
  const [, , directory = '', ref = ''] = process.argv;
  let now = 0;
  const driver = posixBackupDriver({ directory, objectBytes: 128 << 10, now: () => (now += 60_000) });
  await driver.backup(plainCall(), jobOf(JSON.parse(ref) as BackupRef, 30));
  await driver.close();
}
