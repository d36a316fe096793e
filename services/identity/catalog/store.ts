import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';

type Extra = Readonly<Record<string, unknown>>;
export interface RegionRow { readonly id: string; readonly description: string; readonly parent_region_id: string | null; readonly extra: Extra }
export interface ServiceRow { readonly id: string; readonly type: string; readonly enabled: boolean; readonly extra: Extra }
export interface EndpointRow { readonly id: string; readonly service_id: string; readonly interface: 'admin' | 'internal' | 'public'; readonly region_id: string | null; readonly url: string; readonly enabled: boolean; readonly extra: Extra }
export interface EndpointGroupRow { readonly id: string; readonly name: string; readonly description: string | null; readonly filters: Readonly<Record<string, string>> }

export const region = (trx: Trx, id: string): Promise<RegionRow | undefined> => trx('regions').where({ id }).first();
export const service = (trx: Trx, id: string): Promise<ServiceRow | undefined> => trx('services').where({ id }).first();
export const endpoint = (trx: Trx, id: string): Promise<EndpointRow | undefined> => trx('endpoints').where({ id }).first();
export const endpointGroup = (trx: Trx, id: string): Promise<EndpointGroupRow | undefined> => trx('endpoint_groups').where({ id }).first();

/** Endpoints that meet a group's filters. */
export function matching(query: Knex.QueryBuilder, filters: Readonly<Record<string, string>>): Knex.QueryBuilder {
  for (const key of ['service_id', 'region_id', 'interface']) if (filters[key] !== undefined) query.where(`endpoints.${key}`, filters[key]);
  return query;
}

/** Ids of the endpoints given to a project, directly and by groups; empty when nobody filters for it. */
export async function endpointsOfProject(trx: Trx, projectId: string): Promise<string[]> {
  const direct: string[] = await trx('project_endpoints').where({ project_id: projectId }).pluck('endpoint_id');
  const groups: EndpointGroupRow[] = await trx('endpoint_groups as g').join('project_endpoint_groups as p', 'p.endpoint_group_id', 'g.id').where('p.project_id', projectId).select('g.*');
  if (groups.length === 0) return direct;
  const grouped: string[] = await trx('endpoints').where(any => { for (const g of groups) any.orWhere(one => { matching(one.whereRaw('true'), g.filters); }); }).pluck('id');
  return [...new Set([...direct, ...grouped])];
}
