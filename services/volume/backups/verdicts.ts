import { tryMove } from '@cumulet/db';
import type { Knex } from 'knex';
import { tell } from '../messages/store.ts';
import { Backup } from './states.ts';
import { backupById, builtOn, patchBackup, type BackupRow } from './store.ts';

/** What a finding leaves in a row. `fail_reason` is upstream's, of 255 characters. */
export const verdict = (problem: string, at: Date): Pick<BackupRow, 'fail_reason' | 'verified_at' | 'verify_problem' | 'last_problem' | 'last_problem_at'> =>
  ({ fail_reason: problem.slice(0, 255), verified_at: at, verify_problem: problem, last_problem: problem, last_problem_at: at });

/** A finding put it into `error`, nothing else did since: what failed afterwards has another reason. */
const foundBroken = (row: BackupRow): boolean => row.status === 'error' && row.verify_problem !== null && row.fail_reason === row.verify_problem.slice(0, 255);

/**
 * `broken` would not restore, nor would anything that builds on it: all of it that is `available` becomes `error` and says why.
 * `asked`: whose verification it was; the one that is told about in the messages.
 */
export async function condemn(trx: Knex.Transaction, o: { readonly asked: string; readonly broken: string; readonly problem: string; readonly requestId: string | null }): Promise<void> {
  const at = new Date();
  for (const id of await builtOn(trx, o.broken)) {
    const { fail_reason: reason, ...findings } = verdict(o.problem, at);
    const row = await backupById(trx, id);
    if (!row) continue;
    // In `error` by an earlier finding: this one is its reason now. By anything else: that stays its reason.
    await patchBackup(trx, id, { ...findings, ...(foundBroken(row) ? { fail_reason: reason } : {}) });
    const moved = await tryMove(trx, Backup, id, { from: ['available'], to: 'error', set: { fail_reason: reason } });
    if (moved && id === o.asked) await tell(trx, { projectId: row.project_id, requestId: o.requestId, resource: { type: 'VOLUME_BACKUP', id }, action: 'restoreBackup', detail: 'unknown', why: o.problem });
  }
}

/**
 * A chain has been read and is whole. Those of it that only a finding had put into `error` are `available` again, as the target was mended; but not after
 * a look at `objects` alone, which sees no flipped bit. What was found stays as `last_problem`.
 */
export async function acquit(trx: Knex.Transaction, chain: readonly BackupRow[], depth: 'objects' | 'data'): Promise<void> {
  const verified_at = new Date();
  for (const row of chain.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    if (depth === 'objects' && row.verify_problem !== null) continue;
    await patchBackup(trx, row.id, { verified_at, verify_problem: null });
    if (foundBroken(row)) await tryMove(trx, Backup, row.id, { from: ['error'], to: 'available', set: { fail_reason: null } });
  }
}
