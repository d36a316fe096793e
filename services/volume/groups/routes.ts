import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, lastOf, micros, NotImplemented, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery, nextLink } from '../listing.ts';
import { bool, description, nullableName, zoneName } from '../shapes.ts';
import { shownStatus } from '../volumes/states.ts';
import { create, createFrom, destroy, list, resetStatus, show, update, volumesIn } from './service.ts';
import type { GroupRow } from './states.ts';

const Create = shape('GroupCreate', z.looseObject({ group: z.strictObject({ name: nullableName, description, group_type: z.string().min(1).max(255), volume_types: z.array(z.string().max(255)).min(1), availability_zone: zoneName }) }));
const Update = shape('GroupUpdate', z.looseObject({ group: z.strictObject({ name: nullableName, description, add_volumes: z.string().nullish(), remove_volumes: z.string().nullish() }) }));
const Delete = shape('GroupDelete', z.looseObject({ delete: z.strictObject({ 'delete-volumes': bool.optional() }).nullish() }));
const Reset = shape('GroupReset', z.looseObject({ reset_status: z.strictObject({ status: z.string().max(255) }) }));
const From = shape('GroupFromSource', z.looseObject({ 'create-from-src': z.strictObject({ name: nullableName, description, group_snapshot_id: z.string().nullish(), source_group_id: z.string().nullish() }) }));
const Any = shape('AnyAction', z.looseObject({}));
const Query = shape('GroupQuery', anyQuery);
const GroupReply = shape('Group', z.unknown());
const One = shape('GroupReply', z.unknown(), { group: GroupReply });
const List = shape('GroupList', z.unknown(), { groups: GroupReply });

const brief = (g: GroupRow) => ({ id: g.id, name: g.name });
export const detail = (ctx: Pick<Context, 'allows'>, g: GroupRow, volumes: readonly string[] | undefined) => ({
  id: g.id, status: shownStatus(g.status), availability_zone: g.availability_zone, created_at: micros(g.created_at), name: g.name, description: g.description, group_type: g.group_type_id, volume_types: g.volume_type_ids,
  group_snapshot_id: g.group_snapshot_id, source_group_id: g.source_group_id, ...(volumes === undefined ? {} : { volumes }), replication_status: g.replication_status, ...(ctx.allows('group:group_project_attribute') ? { project_id: g.project_id } : {}),
});
export const names = (text: string | null | undefined): string[] => (text ? text.split(',').map(s => s.trim()).filter(s => s !== '') : []);
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['group_id'] ?? '';

/** `/groups` (3.13). */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'groups.create', summary: 'Create a group', method: 'POST', path: '/groups', since: '3.13', policy: 'group:create', body: Create, reply: One, status: 202,
    handler: async c => { const g = c.body.group; return { group: brief(await create(rt, c as never, { name: g.name ?? null, description: g.description ?? null, groupType: g.group_type, volumeTypes: g.volume_types, zone: g.availability_zone ?? null })) }; },
  }),
  operation({ id: 'groups.list', summary: 'List groups', method: 'GET', path: '/groups', since: '3.13', policy: 'group:get_all', permit: 'object', query: Query, reply: List, handler: async c => { const { page, rows } = await list(rt, c as never, c.query); return { groups: rows.map(brief), ...nextLink(c as never, 'group', page, rows) }; } }),
  operation({
    id: 'groups.detail', summary: 'List groups with details', method: 'GET', path: '/groups/detail', since: '3.13', policy: 'group:get_all', permit: 'object', query: Query, reply: List,
    handler: async c => {
      const { page, rows, withVolumes } = await list(rt, c as never, c.query);
      const inside = withVolumes ? await volumesIn(rt.db, rows.map(g => g.id)) : undefined;
      return { groups: rows.map(g => detail(c, g, inside?.filter(v => v.group_id === g.id).map(v => v.id))), ...nextLink(c as never, 'group', page, rows) };
    },
  }),
  operation({
    id: 'groups.show', summary: 'Show a group', method: 'GET', path: '/groups/:group_id', since: '3.13', policy: 'group:get', permit: 'object', query: Query, reply: One,
    handler: async c => {
      const g = await show(rt, c as never, id(c));
      const withVolumes = String(lastOf(c.query['list_volume'])).toLowerCase() === 'true';
      return { group: detail(c, g, withVolumes ? (await volumesIn(rt.db, [g.id])).map(v => v.id) : undefined) };
    },
  }),
  operation({
    id: 'groups.update', summary: 'Update a group', method: 'PUT', path: '/groups/:group_id', since: '3.13', policy: 'group:update', permit: 'object', body: Update,
    handler: async c => {
      const g = c.body.group;
      if (Object.values(g).every(v => v === undefined || v === null)) throw new BadRequest('Name, description, add_volumes, and remove_volumes can not be all empty in the request body.');
      await update(rt, c as never, id(c), { name: g.name, description: g.description, add: names(g.add_volumes), remove: names(g.remove_volumes) });
      return new Reply(202);
    },
  }),
  operation({ id: 'groups.delete', summary: 'Delete a group', method: 'POST', path: '/groups/:group_id/action', action: 'delete', since: '3.13', policy: 'group:delete', permit: 'object', body: Delete, handler: async c => { await destroy(rt, c as never, id(c), c.body.delete?.['delete-volumes'] ?? false); return new Reply(202); } }),
  operation({ id: 'groups.reset_status', summary: 'Reset status', method: 'POST', path: '/groups/:group_id/action', action: 'reset_status', since: '3.20', policy: 'group:reset_status', permit: 'object', body: Reset, handler: async c => { await resetStatus(rt, c as never, id(c), c.body.reset_status.status); return new Reply(202); } }),
  operation({
    id: 'groups.create_from_src', summary: 'Create a group from a source', method: 'POST', path: '/groups/action', action: 'create-from-src', since: '3.14', policy: 'group:create', body: From, reply: One, status: 202,
    handler: async c => { const f = c.body['create-from-src']; return { group: brief(await createFrom(rt, c as never, { name: f.name ?? null, description: f.description ?? null, groupSnapshotId: f.group_snapshot_id ?? null, sourceGroupId: f.source_group_id ?? null })) }; },
  }),
  ...(['enable_replication', 'disable_replication', 'failover_replication', 'list_replication_targets'] as const).map(action => operation({
    id: `groups.${action}`, summary: action.replaceAll('_', ' '), method: 'POST', path: '/groups/:group_id/action', action, since: '3.38', policy: `group:${action}`, permit: 'object', body: Any,
    handler: async c => { await show(rt, c as never, id(c)); throw new NotImplemented('No backend here replicates groups.'); },
  })),
];
