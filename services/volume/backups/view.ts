import type { Context } from '@cumulet/http';
import { micros, orNull } from '@cumulet/wire';
import { links } from '../listing.ts';
import type { BackupDetail, BackupRow } from './store.ts';

const at = orNull(micros);
type Seen = Pick<Context, 'request' | 'caller' | 'baseUrl' | 'allows'>;

export const brief = (ctx: Seen, row: Pick<BackupRow, 'id' | 'name'>) => ({ id: row.id, name: row.name, links: links(ctx, 'backups', row.id) });
/** Show and detail. Whose it is, is for administrators; a key id is shown only when there is one (3.64). */
export function detail(ctx: Seen, row: BackupDetail) {
  const attributes = ctx.allows('backup:backup_project_attribute', { project_id: row.project_id });
  return {
    id: row.id, status: row.status, size: row.size, object_count: row.object_count, availability_zone: row.availability_zone, container: row.container, created_at: micros(row.created_at), updated_at: at(row.updated_at), name: row.name,
    description: row.description, fail_reason: row.fail_reason, volume_id: row.volume_id, links: links(ctx, 'backups', row.id), is_incremental: row.parent_id !== null, has_dependent_backups: row.has_dependents, snapshot_id: row.snapshot_id,
    data_timestamp: micros(row.data_timestamp), metadata: row.metadata, ...(row.encryption_key_id === null ? {} : { encryption_key_id: row.encryption_key_id }),
    ...(attributes ? { 'os-backup-project-attr:project_id': row.project_id, user_id: row.user_id } : {}),
  };
}
