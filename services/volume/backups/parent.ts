import { BadRequest } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { TargetFacts } from './hosts.ts';
import type { BackupRow } from './store.ts';

export const invalidBackup = (reason: string) => new BadRequest(`Invalid backup: ${reason}`);

/**
 * What an incremental backup builds on: of the volume's available backups the one whose data is newest. Made from a snapshot it must be older than the
 * snapshot: with backups of 8:00 and 8:20 and a snapshot of 8:10 it is the one of 8:00. Held until the transaction ends, so that it is not deleted meanwhile.
 * A backup that lies where this host cannot read it is no parent.
 */
export async function chooseParent(trx: Knex.Transaction, o: { readonly volumeId: string; readonly projectId: string; readonly snapshotTakenAt?: Date | undefined; readonly host: string; readonly targets: readonly TargetFacts[] }): Promise<BackupRow> {
  const all = () => trx('volume_backups').where({ volume_id: o.volumeId, project_id: o.projectId });
  const shared = o.targets.filter(t => t.shared).map(t => t.name);
  const parent: BackupRow | undefined = await all().where({ status: 'available' }).whereIn('target', o.targets.map(t => t.name)).where(q => { void q.whereIn('target', shared).orWhere('host', o.host); })
    .modify(q => { if (o.snapshotTakenAt) q.where('data_timestamp', '<', o.snapshotTakenAt); }).orderBy('data_timestamp', 'desc').orderBy('created_at', 'desc').forShare().first();
  if (parent) return parent;
  if (o.snapshotTakenAt === undefined && await all().first('id')) throw invalidBackup('The parent backup must be available for incremental backup.');
  throw invalidBackup('No backups available to do an incremental backup.');
}
