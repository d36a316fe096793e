import { DriverError } from '@cumulet/drivers';
import type { BackupDriver, BackupRef } from '@cumulet/drivers/backup';
import type { VolumeDeps } from '../deps.ts';
import { backupById, backupRef, chainOf, type BackupRow } from './store.ts';

interface Step { readonly deps: VolumeDeps; transaction<T>(work: (trx: import('knex').Knex.Transaction) => Promise<T>): Promise<T> }

/** The row of a step's backup; one that is gone ends the task as absent. */
export async function backupOf(t: Step, id: string): Promise<BackupRow> {
  const row = await t.transaction(trx => backupById(trx, id));
  if (!row) throw new DriverError('absent', `Backup ${id} could not be found.`);
  return row;
}
/** The driver of a backup's target, which this host has to have. */
export function targetOfRow(t: Pick<Step, 'deps'>, row: Pick<BackupRow, 'target' | 'service'>): BackupDriver {
  const driver = t.deps.targets.get(row.target ?? '');
  if (!driver) throw new DriverError('broken', `The backup service currently configured is not the backup service that was used to create this backup [${row.service ?? 'none'}].`, { detail: `target ${row.target}` });
  return driver;
}
/** The chain as drivers know it. One that misses a member cannot be used: it says which. */
export async function chainRefs(t: Step, row: BackupRow): Promise<BackupRef[]> {
  const chain = await t.transaction(trx => chainOf(trx, row));
  const [first] = chain;
  if (first?.parent_id) throw new DriverError('absent', `Backup ${first.id} builds on backup ${first.parent_id}, which could not be found.`);
  return chain.map(member => {
    const ref = backupRef(member);
    if (!ref || member.target !== row.target) throw new DriverError('absent', `Backup ${row.id} builds on backup ${member.id}, whose objects are not known.`);
    return ref;
  });
}
