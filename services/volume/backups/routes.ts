import { operation, type Operation } from '@cumulet/http';
import { NotFound, shape, Unavailable } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery } from '../listing.ts';

const Query = shape('BackupQuery', anyQuery);
const Body = shape('BackupBody', z.looseObject({}));
const absent = (id: string) => new NotFound(`Backup ${id} could not be found.`);
/** Upstream's answer where no cinder-backup runs. */
const noService = () => new Unavailable('Service temporarily unavailable: No backup service is running.');
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['backup_id'] ?? '';

/**
 * `/backups` of a cloud without a backup service: there are none, and none can be made. Clients and dashboards that look for backups get the answer that
 * upstream gives in that case.
 */
export const routes = (): Operation[] => [
  operation({ id: 'backups.list', summary: 'List backups', method: 'GET', path: '/backups', policy: 'backup:get_all', query: Query, handler: () => ({ backups: [] }) }),
  operation({ id: 'backups.detail', summary: 'List backups with details', method: 'GET', path: '/backups/detail', policy: 'backup:get_all', query: Query, handler: () => ({ backups: [] }) }),
  operation({ id: 'backups.create', summary: 'Create a backup', method: 'POST', path: '/backups', policy: 'backup:create', body: Body, handler: () => { throw noService(); } }),
  operation({ id: 'backups.import', summary: 'Import a backup record', method: 'POST', path: '/backups/import_record', policy: 'backup:backup-import', body: Body, handler: () => { throw noService(); } }),
  operation({ id: 'backups.show', summary: 'Show a backup', method: 'GET', path: '/backups/:backup_id', policy: 'backup:get', handler: ctx => { throw absent(id(ctx)); } }),
  operation({ id: 'backups.update', summary: 'Update a backup', method: 'PUT', path: '/backups/:backup_id', since: '3.9', policy: 'backup:update', body: Body, handler: ctx => { throw absent(id(ctx)); } }),
  operation({ id: 'backups.delete', summary: 'Delete a backup', method: 'DELETE', path: '/backups/:backup_id', policy: 'backup:delete', handler: ctx => { throw absent(id(ctx)); } }),
  operation({ id: 'backups.restore', summary: 'Restore a backup', method: 'POST', path: '/backups/:backup_id/restore', policy: 'backup:restore', body: Body, handler: ctx => { throw absent(id(ctx)); } }),
  operation({ id: 'backups.export', summary: 'Export a backup record', method: 'GET', path: '/backups/:backup_id/export_record', policy: 'backup:export-import', handler: ctx => { throw absent(id(ctx)); } }),
];
