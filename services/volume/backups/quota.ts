import { overLimit, type Trx } from '@cumulet/db';
import { TooLarge } from '@cumulet/wire';
import { defaults } from '../quotas/limits.ts';

const refused = (message: string) => new TooLarge(message, { headers: { 'retry-after': '0' } });

/** After the row is written: throws upstream's 413 when the project is over its backups or their GiB. */
export async function enforceBackups(trx: Trx, projectId: string, sizeGiB: number): Promise<void> {
  const over = await overLimit(trx, 'volume', projectId, ['backup_gigabytes', 'backups'], defaults);
  if (!over) return;
  if (over.resource === 'backups') throw refused(`BackupLimitExceeded: Maximum number of backups allowed (${over.limit}) exceeded`);
  throw refused(`VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. Requested ${sizeGiB}G, quota is ${over.limit}G and ${over.used - sizeGiB}G has been consumed.`);
}
