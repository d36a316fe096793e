import { seconds } from '@cumulet/wire';
import type { ImageRow } from './store.ts';
import { shownStatus } from './states.ts';

export interface Showing {
  readonly locations: boolean;
  readonly directUrl: boolean;
}

/** An image as users see it: custom properties stand beside the attributes. */
export function imageView(row: ImageRow, show: Showing): Record<string, unknown> {
  const stores = row.locations.flatMap(l => (typeof l.metadata['store'] === 'string' ? [l.metadata['store']] : []));
  return {
    ...row.properties,
    ...(row.import_state ? { os_glance_importing_to_stores: row.import_state.importing.join(','), os_glance_failed_import: row.import_state.failed.join(',') } : {}),
    ...(row.status === 'importing' && row.task_id ? { os_glance_import_task: row.task_id } : row.copy_task_id ? { os_glance_import_task: row.copy_task_id } : {}),
    name: row.name, disk_format: row.disk_format, container_format: row.container_format, visibility: row.visibility,
    size: row.status === 'staging' || row.status === 'uploading' || row.status === 'importing' ? row.staged_size : row.size, virtual_size: row.virtual_size, status: shownStatus(row.status),
    checksum: row.checksum, protected: row.protected, min_ram: row.min_ram, min_disk: row.min_disk, owner: row.owner, os_hidden: row.os_hidden, os_hash_algo: row.os_hash_algo, os_hash_value: row.os_hash_value,
    id: row.id, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at),
    ...(show.locations ? { locations: row.locations.map(({ url, metadata }) => ({ url, metadata })) } : {}),
    ...(show.directUrl && row.locations[0] ? { direct_url: row.locations[0].url } : {}),
    tags: row.tags, self: `/v2/images/${row.id}`, file: `/v2/images/${row.id}/file`, schema: '/v2/schemas/image',
    ...(stores.length > 0 ? { stores: stores.join(',') } : {}),
  };
}
