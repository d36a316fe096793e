import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, micros, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery, nextLink } from '../listing.ts';
import { description, nullableName } from '../shapes.ts';
import { shownStatus } from '../volumes/states.ts';
import { create, destroy, list, resetStatus, show, update } from './snapshots.ts';
import type { GroupSnapshotRow } from './states.ts';

const Create = shape('GroupSnapshotCreate', z.looseObject({ group_snapshot: z.strictObject({ group_id: z.string().min(1), name: nullableName, description }) }));
const Update = shape('GroupSnapshotUpdate', z.looseObject({ group_snapshot: z.strictObject({ name: nullableName, description }) }));
const Reset = shape('GroupSnapshotReset', z.looseObject({ reset_status: z.strictObject({ status: z.string().max(255) }) }));
const Query = shape('GroupSnapshotQuery', anyQuery);
const SnapshotReply = shape('GroupSnapshot', z.unknown());
const One = shape('GroupSnapshotReply', z.unknown(), { group_snapshot: SnapshotReply });
const List = shape('GroupSnapshotList', z.unknown(), { group_snapshots: SnapshotReply });
const brief = (s: GroupSnapshotRow) => ({ id: s.id, name: s.name, group_type_id: s.group_type_id });
const detail = (ctx: Pick<Context, 'allows'>, s: GroupSnapshotRow) => ({
  id: s.id, group_id: s.group_id, group_type_id: s.group_type_id, status: shownStatus(s.status), created_at: micros(s.created_at), name: s.name, description: s.description, ...(ctx.allows('group:group_snapshot_project_attribute') ? { project_id: s.project_id } : {}),
});
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['id'] ?? '';

/** `/group_snapshots` (3.14). */
export const snapshotRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'group_snapshots.create', summary: 'Create a group snapshot', method: 'POST', path: '/group_snapshots', since: '3.14', policy: 'group:create_group_snapshot', permit: 'object', body: Create, reply: One, status: 202,
    handler: async c => { const s = c.body.group_snapshot; return { group_snapshot: brief(await create(rt, c as never, { groupId: s.group_id, name: s.name ?? null, description: s.description ?? null })) }; },
  }),
  operation({ id: 'group_snapshots.list', summary: 'List group snapshots', method: 'GET', path: '/group_snapshots', since: '3.14', policy: 'group:get_all_group_snapshots', permit: 'object', query: Query, reply: List, handler: async c => { const { page, rows } = await list(rt, c as never, c.query); return { group_snapshots: rows.map(brief), ...nextLink(c as never, 'group_snapshot', page, rows) }; } }),
  operation({ id: 'group_snapshots.detail', summary: 'List group snapshots with details', method: 'GET', path: '/group_snapshots/detail', since: '3.14', policy: 'group:get_all_group_snapshots', permit: 'object', query: Query, reply: List, handler: async c => { const { page, rows } = await list(rt, c as never, c.query); return { group_snapshots: rows.map(s => detail(c, s)), ...nextLink(c as never, 'group_snapshot', page, rows) }; } }),
  operation({ id: 'group_snapshots.show', summary: 'Show a group snapshot', method: 'GET', path: '/group_snapshots/:id', since: '3.14', policy: 'group:get_group_snapshot', permit: 'object', reply: One, handler: async c => ({ group_snapshot: detail(c, await show(rt, c as never, id(c))) }) }),
  operation({
    id: 'group_snapshots.update', summary: 'Update a group snapshot', method: 'PUT', path: '/group_snapshots/:id', since: '3.14', policy: 'group:update_group_snapshot', permit: 'object', body: Update, reply: One,
    handler: async c => { const s = c.body.group_snapshot; if (s.name === undefined && s.description === undefined) throw new BadRequest('Name and description can not both be empty.'); return { group_snapshot: detail(c, await update(rt, c as never, id(c), s)) }; },
  }),
  operation({ id: 'group_snapshots.delete', summary: 'Delete a group snapshot', method: 'DELETE', path: '/group_snapshots/:id', since: '3.14', policy: 'group:delete_group_snapshot', permit: 'object', handler: async c => { await destroy(rt, c as never, id(c)); return new Reply(202); } }),
  operation({ id: 'group_snapshots.reset_status', summary: 'Reset status', method: 'POST', path: '/group_snapshots/:id/action', action: 'reset_status', since: '3.19', policy: 'group:reset_group_snapshot_status', permit: 'object', body: Reset, handler: async c => { await resetStatus(rt, c as never, id(c), c.body.reset_status.status); return new Reply(202); } }),
];
