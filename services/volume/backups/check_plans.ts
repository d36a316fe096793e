import { DriverError } from '@cumulet/drivers';
import { z } from 'zod';
import { call, plan } from '../deps.ts';
import { backupOf, chainRefs, targetOfRow } from './reach.ts';
import { Backup } from './states.ts';
import { backupById, patchBackup } from './store.ts';
import { tryMove } from '@cumulet/db';
import { tell } from '../messages/store.ts';

const long = 14 * 24 * 3_600_000;

/**
 * Would it restore? `objects` looks at what is there, `data` reads and hashes every byte. A backup that would not is `error` from then on, and says which object
 * is to blame; one that would after all is available again only at an administrator's word.
 */
export const verifyBackupPlan = plan('backup.verify', z.object({ backupId: z.string(), depth: z.enum(['objects', 'data']) }))
  .step('read', async (t): Promise<{ problem: string | null; objects: number; read: number }> => {
    const row = await backupOf(t, t.input.backupId);
    try {
      const found = await targetOfRow(t, row).verify(call(t), await chainRefs(t, row), { depth: t.input.depth });
      return { problem: null, ...found };
    } catch (error) {
      if (!(error instanceof DriverError) || !['absent', 'invalid'].includes(error.kind)) throw error;
      return { problem: error.message, objects: 0, read: 0 };
    }
  }, { timeoutMs: long })
  .settles(async (trx, how, t) => {
    if (how.state !== 'done') return;
    const problem = t.out.read?.problem ?? null;
    await patchBackup(trx, t.input.backupId, { verified_at: new Date(), verify_problem: problem });
    if (problem === null || !await tryMove(trx, Backup, t.input.backupId, { from: ['available'], to: 'error', set: { fail_reason: problem.slice(0, 255) } })) return;
    const row = await backupById(trx, t.input.backupId);
    if (row) await tell(trx, { projectId: row.project_id, requestId: t.requestId, resource: { type: 'VOLUME_BACKUP', id: row.id }, action: 'restoreBackup', detail: 'unknown', why: problem });
  });
