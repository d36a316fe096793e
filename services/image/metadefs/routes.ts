import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, lastOf, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { links, pageSize } from '../images/list.ts';
import type { ImageDeps } from '../opened.ts';
import { itemRoutes } from './items.ts';
import { resourceTypeRoutes } from './resource_types.ts';
import { Namespace } from './schemas.ts';
import { changeNamespace, createNamespace, findNamespace, refuseProtected, refuseReadOnly, sortOf } from './service.ts';
import { associationsOf, itemsOf, listNamespaces, namespaceByName, removeNamespace } from './store.ts';
import { namespaceView } from './view.ts';

const Query = shape('namespaces', z.record(z.string(), z.union([z.string(), z.array(z.string())])));
const path = '/metadefs/namespaces/:namespace';

export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'metadefs.namespaces.list', summary: 'List metadata definition namespaces', method: 'GET', path: '/metadefs/namespaces', policy: 'get_metadef_namespaces', query: Query,
    handler: async ctx => {
      const text = (name: string) => (ctx.query[name] === undefined ? undefined : String(lastOf(ctx.query[name])));
      const { key, dir } = sortOf(ctx.query, ['created_at', 'updated_at', 'namespace']);
      const visibility = text('visibility');
      if (visibility !== undefined && visibility !== 'public' && visibility !== 'private') throw new BadRequest(`Invalid visibility value: ${visibility}`);
      const limit = pageSize(ctx.query['limit'], d.rt.settings.image.pageSize, d.rt.settings.http.maxLimit);
      const marker = text('marker') === undefined ? undefined : await namespaceByName(d.rt.db, text('marker') as string);
      if (text('marker') !== undefined && !marker) throw new NotFound(`Metadata definition namespace=${text('marker')} was not found.`);
      const types = text('resource_types')?.split(',').map(t => t.trim()).filter(t => t !== '');
      const rows = await listNamespaces(d.rt.db, { projectId: ctx.caller.projectId, isAdmin: ctx.allows('context_is_admin'), key, dir, limit, ...(visibility ? { visibility } : {}), ...(types ? { resourceTypes: types } : {}), ...(marker ? { marker } : {}) });
      const associations = await associationsOf(d.rt.db, rows.map(r => r.id));
      return {
        namespaces: rows.map(r => namespaceView(r, associations.filter(a => a.namespace_id === r.id))), ...links('/v2/metadefs/namespaces', ctx.search, rows.length > 0 && rows.length === limit ? rows.at(-1)?.namespace : undefined), schema: '/v2/schemas/metadefs/namespaces',
      };
    },
  }),
  operation({
    id: 'metadefs.namespaces.create', summary: 'Create a namespace, with what is in it', method: 'POST', path: '/metadefs/namespaces', policy: 'add_metadef_namespace', body: Namespace, status: 201,
    handler: async ctx => {
      refuseReadOnly(ctx.body);
      const row = await createNamespace(d, ctx, ctx.body);
      return new Reply(201, await whole(d, ctx, row), { location: `${ctx.baseUrl}/v2/metadefs/namespaces/${row.namespace}` });
    },
  }),
  operation({
    id: 'metadefs.namespaces.show', summary: 'Show a namespace and all that is in it', method: 'GET', path, policy: 'get_metadef_namespace', permit: 'object', query: Query,
    handler: async ctx => whole(d, ctx, await findNamespace(d.rt.db, ctx), ctx.query['resource_type'] === undefined ? undefined : String(lastOf(ctx.query['resource_type']))),
  }),
  operation({
    id: 'metadefs.namespaces.update', summary: 'Change a namespace', method: 'PUT', path, policy: 'modify_metadef_namespace', permit: 'object', body: Namespace,
    handler: async ctx => {
      refuseReadOnly(ctx.body);
      const row = await changeNamespace(d, ctx, ctx.body);
      return namespaceView(row, await associationsOf(d.rt.db, [row.id]));
    },
  }),
  operation({
    id: 'metadefs.namespaces.delete', summary: 'Delete a namespace and all that is in it', method: 'DELETE', path, policy: 'delete_metadef_namespace', permit: 'object', status: 204,
    handler: async ctx => {
      const row = await findNamespace(d.rt.db, ctx);
      refuseProtected(row, `namespace ${row.namespace}`);
      await removeNamespace(d.rt.db, row.id);
    },
  }),
  ...itemRoutes(d), ...resourceTypeRoutes(d),
];

async function whole(d: ImageDeps, _ctx: Context, row: Parameters<typeof namespaceView>[0], resourceType?: string): Promise<Record<string, unknown>> {
  const [associations, items] = await Promise.all([associationsOf(d.rt.db, [row.id]), itemsOf(d.rt.db, row.id)]);
  return namespaceView(row, associations, items, associations.find(a => a.resource_type === resourceType)?.prefix ?? '');
}
