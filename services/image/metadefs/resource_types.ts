import { operation, type Operation } from '@cumulet/http';
import { Conflict, NotFound } from '@cumulet/wire';
import type { ImageDeps } from '../opened.ts';
import { Association } from './schemas.ts';
import { findNamespace, refuseProtected, refuseReadOnly } from './service.ts';
import { associate, associationsOf, dissociate, resourceTypes } from './store.ts';
import { associationView, resourceTypeView } from './view.ts';

const base = '/metadefs/namespaces/:namespace/resource_types';
const pair = (type: string, namespace: string) => `The metadata definition resource-type association of resource-type=${type} to namespace=${namespace}`;

/** Which kinds of resource a namespace's properties are for. */
export const resourceTypeRoutes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'metadefs.resource_types.list', summary: 'List the kinds of resource', method: 'GET', path: '/metadefs/resource_types', policy: 'list_metadef_resource_types',
    handler: async () => ({ resource_types: (await resourceTypes(d.rt.db)).map(resourceTypeView) }),
  }),
  operation({
    id: 'metadefs.associations.list', summary: 'List the kinds of resource that a namespace is for', method: 'GET', path: base, policy: 'get_metadef_resource_type', permit: 'object',
    handler: async ctx => ({ resource_type_associations: (await associationsOf(d.rt.db, [(await findNamespace(d.rt.db, ctx)).id])).map(associationView) }),
  }),
  operation({
    id: 'metadefs.associations.create', summary: 'Associate a namespace with a kind of resource', method: 'POST', path: base, policy: 'add_metadef_resource_type_association', permit: 'object', body: Association, status: 201,
    handler: async ctx => {
      refuseReadOnly(ctx.body);
      const n = await findNamespace(d.rt.db, ctx);
      const row = await associate(d.rt.db, n.id, ctx.body);
      if (!row) throw new Conflict(`${pair(ctx.body.name, n.namespace)} already exists.`);
      return associationView(row);
    },
  }),
  operation({
    id: 'metadefs.associations.delete', summary: 'Take a namespace from a kind of resource', method: 'DELETE', path: `${base}/:name`, policy: 'remove_metadef_resource_type_association', permit: 'object', status: 204,
    handler: async ctx => {
      const n = await findNamespace(d.rt.db, ctx);
      const name = ctx.params['name'] as string;
      refuseProtected(n, `resource-type-association ${name}`);
      if (await dissociate(d.rt.db, n.id, name) === 0) throw new NotFound(`${pair(name, n.namespace)}, was not found.`);
    },
  }),
];
