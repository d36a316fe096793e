import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery, nextLink } from '../listing.ts';
import { list } from './list.ts';
import { exportRecord, importRecord } from './records.ts';
import { restore } from './restore.ts';
import { BackupCreate, BackupList, BackupOne, BackupRestore, BackupUpdate, RecordImport, ResetBackup } from './schemas.ts';
import { create, destroy, resetStatus, show, update } from './service.ts';
import { brief, detail } from './view.ts';

const ListQuery = shape('BackupListQuery', anyQuery);
const Any = shape('AnyAction', z.looseObject({}));
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['backup_id'] ?? '';
const trimmed = (text: string | null | undefined) => text?.trim() ?? text;

/** `/backups`, their records and the actions on them. */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'backups.create', summary: 'Create a backup', method: 'POST', path: '/backups', policy: 'backup:create', permit: 'object', body: BackupCreate, reply: BackupOne, status: 202,
    handler: async ctx => {
      const { backup: b } = ctx.body;
      return { backup: brief(ctx, await create(rt, ctx as never, {
        volumeId: b.volume_id, snapshotId: b.snapshot_id, name: trimmed(b.name), description: trimmed(b.description), container: b.container, zone: b.availability_zone, metadata: b.metadata, incremental: b.incremental ?? false, force: b.force ?? false,
      })) };
    },
  }),
  operation({
    id: 'backups.list', summary: 'List backups', method: 'GET', path: '/backups', policy: 'backup:get_all', permit: 'object', query: ListQuery, reply: BackupList,
    handler: async ctx => { const { page, rows, count } = await list(rt, ctx as never, ctx.query); return { backups: rows.map(r => brief(ctx, r)), ...nextLink(ctx, 'backups', page, rows), ...(count === undefined ? {} : { count }) }; },
  }),
  operation({
    id: 'backups.detail', summary: 'List backups with details', method: 'GET', path: '/backups/detail', policy: 'backup:get_all', permit: 'object', query: ListQuery, reply: BackupList,
    handler: async ctx => { const { page, rows, count } = await list(rt, ctx as never, ctx.query); return { backups: rows.map(r => detail(ctx, r)), ...nextLink(ctx, 'backups', page, rows), ...(count === undefined ? {} : { count }) }; },
  }),
  operation({
    id: 'backups.import', summary: 'Import a backup record', method: 'POST', path: '/backups/import_record', policy: 'backup:backup-import', body: RecordImport, reply: BackupOne, status: 201,
    handler: async ctx => { const r = ctx.body['backup-record']; return { backup: brief(ctx, await importRecord(rt, ctx as never, r.backup_service, r.backup_url)) }; },
  }),
  operation({ id: 'backups.show', summary: 'Show a backup', method: 'GET', path: '/backups/:backup_id', policy: 'backup:get', permit: 'object', reply: BackupOne, handler: async ctx => ({ backup: detail(ctx, await show(rt, ctx as never, id(ctx))) }) }),
  operation({
    id: 'backups.update', summary: 'Update a backup', method: 'PUT', path: '/backups/:backup_id', since: '3.9', policy: 'backup:update', permit: 'object', body: BackupUpdate, reply: BackupOne,
    handler: async ctx => ({ backup: brief(ctx, await update(rt, ctx as never, id(ctx), { name: trimmed(ctx.body.backup?.name), description: trimmed(ctx.body.backup?.description), metadata: ctx.body.backup?.metadata })) }),
  }),
  operation({ id: 'backups.delete', summary: 'Delete a backup', method: 'DELETE', path: '/backups/:backup_id', policy: 'backup:delete', permit: 'object', handler: async ctx => { await destroy(rt, ctx as never as Context, id(ctx)); return new Reply(202); } }),
  operation({
    id: 'backups.restore', summary: 'Restore a backup', method: 'POST', path: '/backups/:backup_id/restore', policy: 'backup:restore', permit: 'object', body: BackupRestore, status: 202,
    handler: async ctx => ({ restore: await restore(rt, ctx as never, id(ctx), { volumeId: ctx.body.restore?.volume_id, name: ctx.body.restore?.name }) }),
  }),
  operation({ id: 'backups.export', summary: 'Export a backup record', method: 'GET', path: '/backups/:backup_id/export_record', policy: 'backup:export-import', permit: 'object', handler: async ctx => ({ 'backup-record': await exportRecord(rt, ctx as never, id(ctx)) }) }),
  operation({
    id: 'backups.reset_status', summary: 'Reset status', method: 'POST', path: '/backups/:backup_id/action', action: 'os-reset_status', policy: 'volume_extension:backup_admin_actions:reset_status', permit: 'object', body: ResetBackup,
    handler: async ctx => { await resetStatus(rt, ctx as never, id(ctx), ctx.body['os-reset_status'].status); return new Reply(202); },
  }),
  operation({
    id: 'backups.force_delete', summary: 'Delete whatever the status', method: 'POST', path: '/backups/:backup_id/action', action: 'os-force_delete', policy: 'volume_extension:backup_admin_actions:force_delete', permit: 'object', body: Any,
    handler: async ctx => { await destroy(rt, ctx as never, id(ctx), true); return new Reply(202); },
  }),
];
