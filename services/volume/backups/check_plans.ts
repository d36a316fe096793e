import { DriverError } from '@cumulet/drivers';
import { z } from 'zod';
import { call, plan } from '../deps.ts';
import { backupOf, chainRefs, targetOfRow } from './reach.ts';
import { backupById, chainOf } from './store.ts';
import { acquit, condemn } from './verdicts.ts';

const long = 14 * 24 * 3_600_000;

/**
 * Would it restore? `objects` looks at what is there, `data` reads and hashes every byte. A backup that would not is `error` from then on, as is all that builds on the
 * same damage, and says which object is to blame; when the target was mended, a verification that reads all of it makes it available again.
 */
export const verifyBackupPlan = plan('backup.verify', z.object({ backupId: z.string(), depth: z.enum(['objects', 'data']) }))
  .step('read', async (t): Promise<{ problem: string | null; broken: string; objects: number; read: number }> => {
    const row = await backupOf(t, t.input.backupId);
    let members: readonly { readonly id: string; readonly serviceMetadata: string }[] = [];
    try {
      const chain = members = await chainRefs(t, row);
      return { problem: null, broken: row.id, ...await targetOfRow(t, row).verify(call(t), chain, { depth: t.input.depth }) };
    } catch (error) {
      if (!(error instanceof DriverError) || !['absent', 'invalid'].includes(error.kind)) throw error;
      // Drivers name the object, and objects bear their backup's prefix.
      const broken = members.findLast(member => error.message.includes(member.serviceMetadata))?.id ?? row.id;
      return { problem: error.message, broken, objects: 0, read: 0 };
    }
  }, { timeoutMs: long })
  .settles(async (trx, how, t) => {
    const found = t.out.read;
    const row = await backupById(trx, t.input.backupId);
    if (how.state !== 'done' || !found || !row) return;
    if (found.problem === null) await acquit(trx, await chainOf(trx, row), t.input.depth);
    else await condemn(trx, { asked: row.id, broken: found.broken, problem: found.problem, requestId: t.requestId });
  });
