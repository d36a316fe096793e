import { limitsOf, overLimit, usageOf, type Trx } from '@cumulet/db';
import { overQuota, tooBigVolume } from '../faults.ts';

/** Upstream's defaults (cinder.conf: quota_*). Quotas of one type are kept under the type's id, since a type may be renamed. */
export const defaults: Readonly<Record<string, number>> = { volumes: 10, per_volume_gigabytes: -1, snapshots: 10, gigabytes: 1_000, backups: 10, backup_gigabytes: 1_000, groups: 10 };

interface Asked { readonly projectId: string; readonly sizeGiB: number; readonly type: { readonly id: string; readonly name: string } }

/** After the rows of this transaction are written: throws the 413 when the project is over one of its quotas. */
export async function enforce(trx: Trx, kind: 'volume' | 'snapshot' | 'extend' | 'transfer', asked: Asked): Promise<void> {
  const { id, name } = asked.type;
  const resources = ['gigabytes', `gigabytes_${id}`, ...(kind === 'extend' ? [] : kind === 'snapshot' ? ['snapshots', `snapshots_${id}`] : ['volumes', `volumes_${id}`]), ...(kind === 'transfer' ? ['snapshots', `snapshots_${id}`] : [])];
  const over = await overLimit(trx, 'volume', asked.projectId, resources, defaults);
  if (over) throw overQuota(over, asked.sizeGiB, over.resource.startsWith('snapshots') ? 'snapshot' : 'volume', over.resource.replace(`_${id}`, `_${name}`));
}
export async function enforceGroups(trx: Trx, projectId: string): Promise<void> {
  const over = await overLimit(trx, 'volume', projectId, ['groups'], defaults);
  if (over) throw overQuota(over, 0, 'group');
}
/** The largest size that one volume of the project may have. */
export async function enforceVolumeSize(trx: Trx, projectId: string, sizeGiB: number): Promise<void> {
  const limit = (await limitsOf(trx, 'volume', projectId, defaults))['per_volume_gigabytes'] ?? -1;
  if (limit >= 0 && sizeGiB > limit) throw tooBigVolume(sizeGiB, limit);
}
export const limits = (trx: Trx, projectId: string): Promise<Record<string, number>> => limitsOf(trx, 'volume', projectId, defaults);
export const usage = (trx: Trx, projectId: string): Promise<Record<string, number>> => usageOf(trx, 'volume', projectId);
