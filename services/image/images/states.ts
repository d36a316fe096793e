import type { Resource } from '@cumulet/db';

export type ImageStatus = 'queued' | 'saving' | 'staging' | 'uploading' | 'importing' | 'active' | 'deactivated' | 'pending_delete';

/**
 * An image's life. `staging` is ours: bytes are coming into the staging area, which upstream cannot tell from `uploading`, the status in which staged
 * bytes wait for their import; users see `uploading` for both. Rows in `pending_delete` are seen by nobody and go with their task.
 */
export const Image: Resource<ImageStatus> = {
  table: 'images', label: 'Image', transitional: ['saving', 'staging', 'importing', 'pending_delete'],
  moves: {
    queued: ['saving', 'staging', 'importing', 'active', 'pending_delete'],
    saving: ['active', 'queued', 'pending_delete'],
    staging: ['uploading', 'queued', 'pending_delete'],
    uploading: ['importing', 'queued', 'pending_delete'],
    importing: ['active', 'queued', 'uploading', 'pending_delete'],
    active: ['deactivated', 'pending_delete'],
    deactivated: ['active', 'pending_delete'],
    pending_delete: [],
  },
};
/** As users see it. */
export const shownStatus = (status: ImageStatus): string => (status === 'staging' ? 'uploading' : status);
