import { brokenReference, transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, newHexId } from '@cumulet/wire';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list } from '../listing.ts';
import { Filters, split } from '../shapes.ts';
import { ServiceCreate, ServiceUpdate } from './schemas.ts';
import { service as find, type ServiceRow } from './store.ts';
import { serviceView } from './view.ts';

const own = ['type', 'enabled'] as const;

export function serviceRoutes({ db, settings }: Identity): Operation[] {
  const found = async (ctx: Context): Promise<ServiceRow> => {
    const id = ctx.params['service_id'] as string;
    const service = await find(db, id);
    if (!service) throw absent('service', id);
    return service;
  };
  return [
    operation({
      id: 'services.list', summary: 'List services', method: 'GET', path: '/services', policy: 'identity:list_services', query: Filters,
      async handler(ctx) {
        const page = await list<ServiceRow>(ctx, db('services').select('services.*'), { filters: { type: 'services.type', name: 'services.name' }, order: 'services.id' }, settings.http.maxLimit);
        return { services: page.rows.map(s => serviceView(ctx, s)), links: page.links };
      },
    }),
    operation({
      id: 'services.create', summary: 'Create a service', method: 'POST', path: '/services', policy: 'identity:create_service', status: 201, body: ServiceCreate,
      async handler(ctx) {
        const { known, extra } = split(ctx.body.service, own);
        const [made] = await db('services').insert({ id: newHexId(), type: known.type, enabled: known.enabled !== false, extra }).returning<ServiceRow[]>('*');
        return { service: serviceView(ctx, made as ServiceRow) };
      },
    }),
    operation({ id: 'services.show', summary: 'Show a service', method: 'GET', path: '/services/:service_id', policy: 'identity:get_service', handler: async ctx => ({ service: serviceView(ctx, await found(ctx)) }) }),
    operation({
      id: 'services.update', summary: 'Update a service', method: 'PATCH', path: '/services/:service_id', policy: 'identity:update_service', body: ServiceUpdate,
      async handler(ctx) {
        const service = await found(ctx);
        if (ctx.body.service['id'] !== undefined && ctx.body.service['id'] !== service.id) throw new BadRequest('Cannot change ID');
        const { known, extra } = split(ctx.body.service, own);
        const [made] = await db('services').where({ id: service.id }).update({ ...known, extra: { ...service.extra, ...extra } }).returning<ServiceRow[]>('*');
        if (!made) throw absent('service', service.id);
        return { service: serviceView(ctx, made) };
      },
    }),
    operation({
      id: 'services.delete', summary: 'Delete a service and its endpoints', method: 'DELETE', path: '/services/:service_id', policy: 'identity:delete_service',
      async handler(ctx) {
        const service = await found(ctx);
        try { await transaction(db, trx => trx('services').where({ id: service.id }).delete()); } catch (error) {
          if (brokenReference(error)) throw new Conflict(`Unable to delete service ${service.id} because there are limits associated with it.`);
          throw error;
        }
      },
    }),
  ];
}
