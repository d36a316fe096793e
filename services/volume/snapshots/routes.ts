import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, micros, orNull, shape } from '@cumulet/wire';
import { z } from 'zod';
import { invalidInput } from '../faults.ts';
import { anyQuery, nextLink } from '../listing.ts';
import { metadataRoutes } from '../metadata.ts';
import { volumeAction } from '../volumes/actions.ts';
import { Revert } from '../volumes/action_schemas.ts';
import { shownStatus } from '../volumes/states.ts';
import { ResetSnapshot, SnapshotCreate, SnapshotList, SnapshotOne, SnapshotUpdate, UpdateSnapshotStatus } from './schemas.ts';
import { changeMetadata, create, destroy, list, resetStatus, revert, show, update, updateStatus } from './service.ts';
import type { SnapshotRow } from './store.ts';

const at = orNull(micros);
const base = (row: SnapshotRow) => ({
  id: row.id, created_at: micros(row.created_at), updated_at: at(row.updated_at), name: row.name, description: row.description, volume_id: row.volume_id, status: shownStatus(row.status), size: row.size, metadata: row.metadata,
  group_snapshot_id: row.group_snapshot_id, user_id: row.user_id, consumes_quota: row.consumes_quota,
});
const detail = (ctx: Pick<Context, 'allows'>, row: SnapshotRow) => ({
  ...base(row), ...(ctx.allows('volume_extension:extended_snapshot_attributes', { project_id: row.project_id }) ? { 'os-extended-snapshot-attributes:project_id': row.project_id, 'os-extended-snapshot-attributes:progress': row.progress } : {}),
});
const ListQuery = shape('SnapshotListQuery', anyQuery);
const Any = shape('AnyAction', z.looseObject({}));
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['snapshot_id'] ?? '';

/** `/snapshots` and the actions on them. */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'snapshots.create', summary: 'Create a snapshot', method: 'POST', path: '/snapshots', policy: 'volume:create_snapshot', permit: 'object', body: SnapshotCreate, reply: SnapshotOne, status: 202,
    handler: async ctx => {
      const { snapshot } = ctx.body;
      // From 3.66 on the flag has no meaning left; upstream takes a true one all the same.
      if (ctx.dialect.has('snapshots in use') && snapshot.force === false) throw invalidInput("Since microversion 3.66 the 'force' option is invalid for this request. For backward compatibility, however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.");
      return { snapshot: base(await create(rt, ctx as never, snapshot.volume_id ?? 'None', { name: snapshot.name ?? snapshot.display_name, description: snapshot.description ?? snapshot.display_description, metadata: snapshot.metadata, force: snapshot.force ?? false })) };
    },
  }),
  operation({
    id: 'snapshots.list', summary: 'List snapshots', method: 'GET', path: '/snapshots', policy: 'volume:get_all_snapshots', permit: 'object', query: ListQuery, reply: SnapshotList,
    handler: async ctx => { const { page, rows, count } = await list(rt, ctx as never, ctx.query); return { snapshots: rows.map(base), ...nextLink(ctx, 'snapshots', page, rows), ...(count === undefined ? {} : { count }) }; },
  }),
  operation({
    id: 'snapshots.detail', summary: 'List snapshots with details', method: 'GET', path: '/snapshots/detail', policy: 'volume:get_all_snapshots', permit: 'object', query: ListQuery, reply: SnapshotList,
    handler: async ctx => { const { page, rows, count } = await list(rt, ctx as never, ctx.query); return { snapshots: rows.map(r => detail(ctx, r)), ...nextLink(ctx, 'snapshots', page, rows), ...(count === undefined ? {} : { count }) }; },
  }),
  operation({ id: 'snapshots.show', summary: 'Show a snapshot', method: 'GET', path: '/snapshots/:snapshot_id', policy: 'volume:get_snapshot', permit: 'object', reply: SnapshotOne, handler: async ctx => ({ snapshot: detail(ctx, await show(rt, ctx as never, id(ctx))) }) }),
  operation({
    id: 'snapshots.update', summary: 'Update a snapshot', method: 'PUT', path: '/snapshots/:snapshot_id', policy: 'volume:update_snapshot', permit: 'object', body: SnapshotUpdate, reply: SnapshotOne,
    handler: async ctx => {
      const { snapshot } = ctx.body;
      if (Object.keys(snapshot).length === 0) throw new BadRequest("Must specify 'name', 'display_name', 'description' or 'display_description' for snapshot update.");
      const given = <T>(a: T | undefined, b: T | undefined) => (a !== undefined ? a : b);
      return { snapshot: base(await update(rt, ctx as never, id(ctx), { name: given(snapshot.name, snapshot.display_name), description: given(snapshot.description, snapshot.display_description) })) };
    },
  }),
  operation({ id: 'snapshots.delete', summary: 'Delete a snapshot', method: 'DELETE', path: '/snapshots/:snapshot_id', policy: 'volume:delete_snapshot', permit: 'object', handler: async ctx => { await destroy(rt, ctx as never, id(ctx)); return new Reply(202); } }),
  operation({ id: 'snapshots.reset_status', summary: 'Reset status', method: 'POST', path: '/snapshots/:snapshot_id/action', action: 'os-reset_status', policy: 'volume_extension:snapshot_admin_actions:reset_status', permit: 'object', body: ResetSnapshot, handler: async ctx => { await resetStatus(rt, ctx as never, id(ctx), ctx.body['os-reset_status'].status); return new Reply(202); } }),
  operation({ id: 'snapshots.force_delete', summary: 'Delete whatever the status', method: 'POST', path: '/snapshots/:snapshot_id/action', action: 'os-force_delete', policy: 'volume_extension:snapshot_admin_actions:force_delete', permit: 'object', body: Any, handler: async ctx => { await destroy(rt, ctx as never, id(ctx), true); return new Reply(202); } }),
  operation({ id: 'snapshots.update_status', summary: 'Report of a snapshot', method: 'POST', path: '/snapshots/:snapshot_id/action', action: 'os-update_snapshot_status', policy: 'snapshot_extension:snapshot_actions:update_snapshot_status', permit: 'object', body: UpdateSnapshotStatus, handler: async ctx => { const b = ctx.body['os-update_snapshot_status']; await updateStatus(rt, ctx as never, id(ctx), b.status, b.progress); return new Reply(202); } }),
  volumeAction({ action: 'revert', summary: 'Revert to the newest snapshot', since: '3.40', policy: 'volume:revert_to_snapshot', body: Revert, handler: async (ctx, volumeId) => { await revert(rt, ctx as never, volumeId, ctx.body.revert.snapshot_id); return new Reply(202); } }),
  ...metadataRoutes({
    feature: 'snapshots.metadata', collection: 'snapshots', label: 'Snapshot', etag: false,
    policies: { get: 'volume:get_snapshot_metadata', create: 'volume:update_snapshot_metadata', update: 'volume:update_snapshot_metadata', delete: 'volume:delete_snapshot_metadata' },
    read: async (ctx, snapshotId) => (await show(rt, ctx, snapshotId)).metadata, change: (ctx, snapshotId, how) => changeMetadata(rt, ctx, snapshotId, how),
  }),
];
