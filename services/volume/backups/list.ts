import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { isUuid, own } from '@cumulet/wire';
import type { Knex } from 'knex';
import { paged, readPage, type Page, type Query } from '../listing.ts';
import { allowedFilters } from '../volumes/filters.ts';
import { backupNotFound } from './service.ts';
import { details, type BackupDetail } from './store.ts';

const columns = {
  id: 'id', name: 'name', status: 'status', size: 'size', created_at: 'created_at', updated_at: 'updated_at', volume_id: 'volume_id', container: 'container', data_timestamp: 'data_timestamp', availability_zone: 'availability_zone', description: 'description',
  project_id: 'project_id', user_id: 'user_id', host: 'host', object_count: 'object_count', snapshot_id: 'snapshot_id', parent_id: 'parent_id',
};
/** What a project's user may filter by: upstream's resource_filters.json. */
const userFilters = ['name', 'status', 'volume_id'];
const uuids = ['id', 'volume_id', 'snapshot_id', 'parent_id', 'restore_volume_id'];
const texts: Readonly<Record<string, string>> = { name: 'name', display_name: 'name', status: 'status', description: 'description', project_id: 'project_id', user_id: 'user_id', host: 'host', container: 'container', availability_zone: 'availability_zone', service: 'service' };

export async function list(rt: Runtime, ctx: Context, query: Query): Promise<{ page: Page; rows: BackupDetail[]; count: number | undefined }> {
  const of = { columns, maxLimit: rt.settings.http.maxLimit };
  const page = readPage(ctx, query, of);
  ctx.permit();
  const narrowed = (q: Knex.QueryBuilder) => {
    if (!page.allTenants) q.where('volume_backups.project_id', ctx.caller.projectId ?? '');
    narrow(ctx, q, page.filters);
    return q;
  };
  const rows = await paged(rt.db, narrowed(details(rt.db)), page, 'volume_backups', of, backupNotFound) as unknown as BackupDetail[];
  const counted = ctx.dialect.has('count') && page.withCount ? await narrowed(rt.db('volume_backups').count('* as n')).first() as { n: number } : undefined;
  return { page, rows, count: counted?.n };
}
/** A filter that nothing can match gives nothing, as upstream does. */
function narrow(ctx: Context, q: Knex.QueryBuilder, filters: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(allowedFilters(ctx, filters, userFilters))) {
    const like = key.endsWith('~') && ctx.dialect.has('like filters');
    const name = like ? key.slice(0, -1) : key;
    const column = own(texts, name);
    if (uuids.includes(name)) { if (isUuid(value)) q.where(`volume_backups.${name}`, value); else q.whereRaw('false'); }
    else if (name === 'size') { if (/^\d{1,9}$/.test(value)) q.where('volume_backups.size', Number(value)); else q.whereRaw('false'); }
    else if (column === undefined) q.whereRaw('false');
    else if (like) q.whereILike(`volume_backups.${column}`, `%${value.replaceAll(/[\\%_]/g, c => `\\${c}`)}%`);
    else q.where(`volume_backups.${column}`, value);
  }
}
