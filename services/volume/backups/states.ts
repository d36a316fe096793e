import type { Resource } from '@cumulet/db';

const busy = ['creating', 'deleting', 'restoring'] as const;
const resting = ['available', 'error', 'error_deleting'] as const;
export type BackupStatus = (typeof busy)[number] | (typeof resting)[number];

/** Upstream's statuses; `deleted` is a row that is gone. A delete may take over from anything. */
export const Backup: Resource<BackupStatus> = {
  table: 'volume_backups', label: 'Backup', transitional: busy,
  moves: {
    ...Object.fromEntries(resting.map(s => [s, [...resting, 'creating', 'deleting', 'restoring']])) as unknown as Record<(typeof resting)[number], BackupStatus[]>,
    creating: ['available', 'error', 'deleting'],
    restoring: ['available', 'error', 'deleting'],
    deleting: ['available', 'error', 'error_deleting', 'deleting'],
  },
};
/** What os-reset_status may say. */
export const resettable = ['available', 'error'] as const;
