import { operation, Reply, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, micros, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery, nextLink } from '../listing.ts';
import { bool, description, nullableName, zoneName } from '../shapes.ts';
import { shownStatus } from '../volumes/states.ts';
import { consistencyGroupType } from '../volumes/store.ts';
import { names } from './routes.ts';
import { create, createFrom, destroy, list, show, update } from './service.ts';
import * as snapshots from './snapshots.ts';
import type { GroupRow, GroupSnapshotRow } from './states.ts';

const Create = shape('ConsistencyGroupCreate', z.looseObject({ consistencygroup: z.strictObject({ name: nullableName, description, volume_types: z.string().nullish(), availability_zone: zoneName, status: z.string().nullish(), project_id: z.string().nullish(), user_id: z.string().nullish() }) }));
const Update = shape('ConsistencyGroupUpdate', z.looseObject({ consistencygroup: z.strictObject({ name: nullableName, description, add_volumes: z.string().nullish(), remove_volumes: z.string().nullish() }) }));
const Delete = shape('ConsistencyGroupDelete', z.looseObject({ consistencygroup: z.strictObject({ force: bool.optional() }).nullish() }));
const From = shape('ConsistencyGroupFrom', z.looseObject({ 'consistencygroup-from-src': z.strictObject({ name: nullableName, description, cgsnapshot_id: z.string().nullish(), source_cgid: z.string().nullish(), status: z.string().nullish(), project_id: z.string().nullish(), user_id: z.string().nullish() }) }));
const SnapshotCreate = shape('CgsnapshotCreate', z.looseObject({ cgsnapshot: z.strictObject({ consistencygroup_id: z.string().min(1), name: nullableName, description, status: z.string().nullish(), project_id: z.string().nullish(), user_id: z.string().nullish() }) }));
const Query = shape('ConsistencyGroupQuery', anyQuery);
const detail = (g: GroupRow) => ({ id: g.id, status: shownStatus(g.status), availability_zone: g.availability_zone, created_at: micros(g.created_at), name: g.name, description: g.description, volume_types: g.volume_type_ids });
const snapshotDetail = (s: GroupSnapshotRow) => ({ id: s.id, consistencygroup_id: s.group_id, status: shownStatus(s.status), created_at: micros(s.created_at), name: s.name, description: s.description });
const brief = (g: { id: string; name: string | null }) => ({ id: g.id, name: g.name });
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['id'] ?? '';

/** `/consistencygroups` and `/cgsnapshots`: the older names of groups of the type `default_cgsnapshot_type`. */
export const consistencyRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'consistencygroups.create', summary: 'Create a consistency group', method: 'POST', path: '/consistencygroups', policy: 'group:create', body: Create, status: 202,
    handler: async c => {
      const g = c.body.consistencygroup;
      const types = names(g.volume_types);
      if (types.length === 0) throw new BadRequest(`volume_types must be provided to create consistency group ${g.name ?? 'None'}.`);
      return { consistencygroup: brief(await create(rt, c as never, { name: g.name ?? null, description: g.description ?? null, groupType: consistencyGroupType, volumeTypes: types, zone: g.availability_zone ?? null })) };
    },
  }),
  operation({
    id: 'consistencygroups.create_from_src', summary: 'Create a consistency group from a source', method: 'POST', path: '/consistencygroups/create_from_src', policy: 'group:create', body: From, status: 202,
    handler: async c => { const f = c.body['consistencygroup-from-src']; return { consistencygroup: brief(await createFrom(rt, c as never, { name: f.name ?? null, description: f.description ?? null, groupSnapshotId: f.cgsnapshot_id ?? null, sourceGroupId: f.source_cgid ?? null })) }; },
  }),
  operation({ id: 'consistencygroups.list', summary: 'List consistency groups', method: 'GET', path: '/consistencygroups', policy: 'group:get_all', permit: 'object', query: Query, handler: async c => { const { page, rows } = await list(rt, c as never, c.query); return { consistencygroups: rows.map(brief), ...nextLink(c as never, 'consistencygroup', page, rows) }; } }),
  operation({ id: 'consistencygroups.detail', summary: 'List consistency groups with details', method: 'GET', path: '/consistencygroups/detail', policy: 'group:get_all', permit: 'object', query: Query, handler: async c => { const { page, rows } = await list(rt, c as never, c.query); return { consistencygroups: rows.map(detail), ...nextLink(c as never, 'consistencygroup', page, rows) }; } }),
  operation({ id: 'consistencygroups.show', summary: 'Show a consistency group', method: 'GET', path: '/consistencygroups/:id', policy: 'group:get', permit: 'object', handler: async c => ({ consistencygroup: detail(await show(rt, c as never, id(c))) }) }),
  operation({ id: 'consistencygroups.delete', summary: 'Delete a consistency group', method: 'POST', path: '/consistencygroups/:id/delete', policy: 'group:delete', permit: 'object', body: Delete, handler: async c => { await destroy(rt, c as never, id(c), c.body.consistencygroup?.force ?? false); return new Reply(202); } }),
  // The documented path, and the one that cinderclient takes.
  ...([['', '/update'], ['_plainly', '']] as const).map(([suffix, tail]) => operation({
    id: `consistencygroups.update${suffix}`, summary: 'Update a consistency group', method: 'PUT', path: `/consistencygroups/:id${tail}`, policy: 'group:update', permit: 'object', body: Update,
    handler: async c => {
      const g = c.body.consistencygroup;
      // From 3.6 an empty name or description is a change; before it meant nothing.
      const given = (text: string | null | undefined) => (text === null || (text === '' && !c.dialect.has('empty names of consistency groups')) ? undefined : text);
      const [name, about] = [given(g.name), given(g.description)];
      if (name === undefined && about === undefined && !g.add_volumes && !g.remove_volumes) throw new BadRequest('Name, description, add_volumes, and remove_volumes can not be all empty in the request body.');
      await update(rt, c as never, id(c), { name, description: about, add: names(g.add_volumes), remove: names(g.remove_volumes) });
      return new Reply(202);
    },
  })),
  operation({ id: 'cgsnapshots.create', summary: 'Create a snapshot of a consistency group', method: 'POST', path: '/cgsnapshots', policy: 'group:create_group_snapshot', permit: 'object', body: SnapshotCreate, status: 202, handler: async c => { const s = c.body.cgsnapshot; return { cgsnapshot: brief(await snapshots.create(rt, c as never, { groupId: s.consistencygroup_id, name: s.name ?? null, description: s.description ?? null })) }; } }),
  operation({ id: 'cgsnapshots.list', summary: 'List snapshots of consistency groups', method: 'GET', path: '/cgsnapshots', policy: 'group:get_all_group_snapshots', permit: 'object', query: Query, handler: async c => { const { rows } = await snapshots.list(rt, c as never, c.query); return { cgsnapshots: rows.map(brief) }; } }),
  operation({ id: 'cgsnapshots.detail', summary: 'List snapshots of consistency groups with details', method: 'GET', path: '/cgsnapshots/detail', policy: 'group:get_all_group_snapshots', permit: 'object', query: Query, handler: async c => { const { rows } = await snapshots.list(rt, c as never, c.query); return { cgsnapshots: rows.map(snapshotDetail) }; } }),
  operation({ id: 'cgsnapshots.show', summary: 'Show a snapshot of a consistency group', method: 'GET', path: '/cgsnapshots/:id', policy: 'group:get_group_snapshot', permit: 'object', handler: async c => ({ cgsnapshot: snapshotDetail(await snapshots.show(rt, c as never, id(c))) }) }),
  operation({ id: 'cgsnapshots.delete', summary: 'Delete a snapshot of a consistency group', method: 'DELETE', path: '/cgsnapshots/:id', policy: 'group:delete_group_snapshot', permit: 'object', handler: async c => { await snapshots.destroy(rt, c as never, id(c)); return new Reply(202); } }),
];
