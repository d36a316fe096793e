import { transaction, type Trx } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, newHexId } from '@cumulet/wire';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list } from '../listing.ts';
import { Filters, split } from '../shapes.ts';
import { isUsableUrl } from './catalog.ts';
import { createRegion } from './regions.ts';
import { EndpointCreate, EndpointUpdate } from './schemas.ts';
import { endpoint as find, region as findRegion, service as findService, type EndpointRow } from './store.ts';
import { endpointView } from './view.ts';

const own = ['interface', 'service_id', 'region_id', 'region', 'url', 'enabled'] as const;

export function endpointRoutes({ db, settings }: Identity): Operation[] {
  const found = async (ctx: Context): Promise<EndpointRow> => {
    const id = ctx.params['endpoint_id'] as string;
    const endpoint = await find(db, id);
    if (!endpoint) throw absent('endpoint', id);
    return endpoint;
  };
  /** Columns of a body whose references hold. A `region` of old clients is made when it is not there; a `region_id` must be. */
  const columnsOf = async (trx: Trx, body: Readonly<Record<string, unknown>>) => {
    const { known: { region, ...known }, extra } = split(body, own);
    if (typeof known.url === 'string' && !isUsableUrl(known.url)) throw new BadRequest(`Cannot create an endpoint with an invalid URL: ${known.url}.`);
    if (known.region_id == null && typeof region === 'string') {
      known.region_id = region;
      if (!(await findRegion(trx, region))) await createRegion(trx, {}, region);
    } else if (typeof known.region_id === 'string' && !(await findRegion(trx, known.region_id))) throw new BadRequest(absent('region', known.region_id).message);
    if (typeof known.service_id === 'string' && !(await findService(trx, known.service_id))) throw new BadRequest(absent('service', known.service_id).message);
    return { known, extra };
  };
  return [
    operation({
      id: 'endpoints.list', summary: 'List endpoints', method: 'GET', path: '/endpoints', policy: 'identity:list_endpoints', query: Filters,
      async handler(ctx) {
        const page = await list<EndpointRow>(ctx, db('endpoints').select('endpoints.*'), { filters: { interface: 'endpoints.interface', service_id: 'endpoints.service_id', region_id: 'endpoints.region_id' }, order: 'endpoints.id' }, settings.http.maxLimit);
        return { endpoints: page.rows.map(e => endpointView(ctx, e)), links: page.links };
      },
    }),
    operation({
      id: 'endpoints.create', summary: 'Create an endpoint', method: 'POST', path: '/endpoints', policy: 'identity:create_endpoint', status: 201, body: EndpointCreate,
      async handler(ctx) {
        const made = await transaction(db, async trx => {
          const { known, extra } = await columnsOf(trx, ctx.body.endpoint);
          const [row] = await trx('endpoints').insert({ ...known, id: newHexId(), enabled: known.enabled !== false, extra }).returning<EndpointRow[]>('*');
          return row as EndpointRow;
        });
        return { endpoint: endpointView(ctx, made) };
      },
    }),
    operation({ id: 'endpoints.show', summary: 'Show an endpoint', method: 'GET', path: '/endpoints/:endpoint_id', policy: 'identity:get_endpoint', handler: async ctx => ({ endpoint: endpointView(ctx, await found(ctx)) }) }),
    operation({
      id: 'endpoints.update', summary: 'Update an endpoint', method: 'PATCH', path: '/endpoints/:endpoint_id', policy: 'identity:update_endpoint', body: EndpointUpdate,
      async handler(ctx) {
        const endpoint = await found(ctx);
        if (ctx.body.endpoint['id'] !== undefined && ctx.body.endpoint['id'] !== endpoint.id) throw new BadRequest('Cannot change ID');
        const made = await transaction(db, async trx => {
          const { known, extra } = await columnsOf(trx, ctx.body.endpoint);
          const [row] = await trx('endpoints').where({ id: endpoint.id }).update({ ...known, extra: { ...endpoint.extra, ...extra } }).returning<EndpointRow[]>('*');
          return row;
        });
        if (!made) throw absent('endpoint', endpoint.id);
        return { endpoint: endpointView(ctx, made) };
      },
    }),
    operation({ id: 'endpoints.delete', summary: 'Delete an endpoint', method: 'DELETE', path: '/endpoints/:endpoint_id', policy: 'identity:delete_endpoint', async handler(ctx) { await db('endpoints').where({ id: (await found(ctx)).id }).delete(); } }),
  ];
}
