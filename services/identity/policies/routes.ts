import { operation, type Context, type Operation } from '@cumulet/http';
import { newHexId, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import { endpoint as findEndpoint, region as findRegion, service as findService, type EndpointRow } from '../catalog/store.ts';
import { endpointView } from '../catalog/view.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { links, list, self } from '../listing.ts';
import { changes, Filters, open, split } from '../shapes.ts';

/** Blobs that keystone keeps for services of old; nothing here reads them. */
interface PolicyRow { readonly id: string; readonly type: string; readonly blob: unknown; readonly extra: Readonly<Record<string, unknown>> }
const members = { blob: z.union([z.string(), z.record(z.string(), z.any())]), type: z.string().max(255) };
const PolicyCreate = shape('PolicyCreate', z.object({ policy: open(members) }));
const PolicyUpdate = shape('PolicyUpdate', z.object({ policy: changes({ blob: members.blob.optional(), type: members.type.optional() }) }));
const policyView = (ctx: Context, p: PolicyRow) => ({ ...p.extra, id: p.id, type: p.type, blob: p.blob, links: self(ctx, `policies/${p.id}`) });

export function policyRoutes({ db, settings }: Identity): Operation[] {
  const found = async (ctx: Context): Promise<PolicyRow> => {
    const id = ctx.params['policy_id'] as string;
    const row: PolicyRow | undefined = await db('policies').where({ id }).first();
    if (!row) throw absent('policy', id);
    return row;
  };
  const written = (body: Readonly<Record<string, unknown>>) => {
    const { known, extra } = split(body, ['blob', 'type']);
    return { ...(known.type === undefined ? {} : { type: known.type }), ...(known.blob === undefined ? {} : { blob: JSON.stringify(known.blob) }), extra };
  };
  return [
    operation({
      id: 'policies.list', summary: 'List policies', method: 'GET', path: '/policies', policy: 'identity:list_policies', query: Filters,
      async handler(ctx) {
        const page = await list<PolicyRow>(ctx, db('policies').select('policies.*'), { filters: { type: 'policies.type' }, order: 'policies.id' }, settings.http.maxLimit);
        return { policies: page.rows.map(p => policyView(ctx, p)), links: page.links };
      },
    }),
    operation({
      id: 'policies.create', summary: 'Create a policy', method: 'POST', path: '/policies', policy: 'identity:create_policy', status: 201, body: PolicyCreate,
      async handler(ctx) {
        const [row] = await db('policies').insert({ id: newHexId(), ...written(ctx.body.policy) }).returning<PolicyRow[]>('*');
        return { policy: policyView(ctx, row as PolicyRow) };
      },
    }),
    operation({ id: 'policies.show', summary: 'Show a policy', method: 'GET', path: '/policies/:policy_id', policy: 'identity:get_policy', handler: async ctx => ({ policy: policyView(ctx, await found(ctx)) }) }),
    operation({
      id: 'policies.update', summary: 'Update a policy', method: 'PATCH', path: '/policies/:policy_id', policy: 'identity:update_policy', body: PolicyUpdate,
      async handler(ctx) {
        const before = await found(ctx);
        const { extra, ...change } = written(ctx.body.policy);
        const [row] = await db('policies').where({ id: before.id }).update({ ...change, extra: { ...before.extra, ...extra } }).returning<PolicyRow[]>('*');
        if (!row) throw absent('policy', before.id);
        return { policy: policyView(ctx, row) };
      },
    }),
    operation({ id: 'policies.delete', summary: 'Delete a policy', method: 'DELETE', path: '/policies/:policy_id', policy: 'identity:delete_policy', async handler(ctx) { await db('policies').where({ id: (await found(ctx)).id }).delete(); } }),
    ...associationRoutes(found, db),
  ];
}

/** OS-ENDPOINT-POLICY: a policy belongs to an endpoint, to a service, or to a service in a region. */
function associationRoutes(found: (ctx: Context) => Promise<PolicyRow>, db: Identity['db']): Operation[] {
  const root = '/policies/:policy_id/OS-ENDPOINT-POLICY';
  const places = [
    { what: 'endpoint', path: `${root}/endpoints/:endpoint_id` }, { what: 'service', path: `${root}/services/:service_id` },
    { what: 'region_and_service', path: `${root}/services/:service_id/regions/:region_id` },
  ] as const;
  /** The pair, once all of it is known to be there. */
  const place = async (ctx: Context) => {
    const { endpoint_id, service_id, region_id } = ctx.params;
    await found(ctx);
    if (endpoint_id !== undefined && !(await findEndpoint(db, endpoint_id))) throw absent('endpoint', endpoint_id);
    if (service_id !== undefined && !(await findService(db, service_id))) throw absent('service', service_id);
    if (region_id !== undefined && !(await findRegion(db, region_id))) throw absent('region', region_id);
    return { endpoint_id: endpoint_id ?? null, service_id: service_id ?? null, region_id: region_id ?? null };
  };
  const none = () => new NotFound('Could not find policy association.');
  const rows = (ctx: Context, at: object) => db('policy_associations').where({ policy_id: ctx.params['policy_id'], ...at });
  return [
    ...places.flatMap(({ what, path }) => [
      operation({ id: `policies.${what}.check`, summary: `Whether a policy belongs to this ${what.replaceAll('_', ' ')}`, method: 'GET', path, policy: `identity:check_policy_association_for_${what}`, async handler(ctx) { if (!(await rows(ctx, await place(ctx)).first('policy_id'))) throw none(); } }),
      operation({
        id: `policies.${what}.add`, summary: `Give a policy to this ${what.replaceAll('_', ' ')}`, method: 'PUT', path, policy: `identity:create_policy_association_for_${what}`,
        async handler(ctx) { await db('policy_associations').insert({ policy_id: ctx.params['policy_id'], ...await place(ctx) }).onConflict(['endpoint_id', 'service_id', 'region_id']).merge(['policy_id']); },
      }),
      operation({ id: `policies.${what}.remove`, summary: `Take a policy from this ${what.replaceAll('_', ' ')}`, method: 'DELETE', path, policy: `identity:delete_policy_association_for_${what}`, async handler(ctx) { if (await rows(ctx, await place(ctx)).delete() === 0) throw none(); } }),
    ]),
    operation({
      id: 'policies.endpoints', summary: 'List the endpoints of a policy', method: 'GET', path: `${root}/endpoints`, policy: 'identity:list_endpoints_for_policy',
      async handler(ctx) {
        const policy = await found(ctx);
        const endpoints: EndpointRow[] = await db('endpoints as e').distinct('e.*').join('policy_associations as a', q => {
          q.on('a.endpoint_id', 'e.id').orOn(o => { o.on('a.service_id', 'e.service_id').andOn(r => { r.onNull('a.region_id').orOn('a.region_id', 'e.region_id'); }); });
        }).where('a.policy_id', policy.id).orderBy('e.id');
        return { endpoints: endpoints.map(e => endpointView(ctx, e)), links: links(ctx) };
      },
    }),
    operation({
      id: 'endpoints.policy', summary: 'Show the policy of an endpoint', method: 'GET', path: '/endpoints/:endpoint_id/OS-ENDPOINT-POLICY/policy', policy: 'identity:get_policy_for_endpoint',
      async handler(ctx) {
        const id = ctx.params['endpoint_id'] as string;
        const endpoint = await findEndpoint(db, id);
        if (!endpoint) throw absent('endpoint', id);
        // The nearest counts: the endpoint's own, its service's in its region or in one above, its service's.
        const result: { rows: PolicyRow[] } = await db.raw(`with recursive above (id, depth) as (select :region::text, 1 union all select r.parent_region_id, depth + 1 from regions r join above a on r.id = a.id where r.parent_region_id is not null)
          select p.* from policy_associations a join policies p on p.id = a.policy_id left join above on above.id = a.region_id
          where a.endpoint_id = :endpoint or (a.service_id = :service and (a.region_id is null or above.id is not null))
          order by a.endpoint_id nulls last, above.depth nulls last limit 1`, { region: endpoint.region_id, endpoint: id, service: endpoint.service_id });
        if (!result.rows[0]) throw new NotFound(`No policy is associated with endpoint ${id}.`);
        return { policy: policyView(ctx, result.rows[0]) };
      },
    }),
  ];
}
