import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';

export interface RegisteredRow { readonly id: string; readonly service_id: string; readonly region_id: string | null; readonly resource_name: string; readonly default_limit: number; readonly description: string | null }
export interface LimitRow {
  readonly id: string; readonly registered_limit_id: string; readonly project_id: string | null; readonly domain_id: string | null; readonly resource_limit: number; readonly description: string | null;
  /** Of the registered limit. */
  readonly service_id: string; readonly region_id: string | null; readonly resource_name: string;
}
/** Limits with what they limit. */
export const limits = (trx: Trx): Knex.QueryBuilder => trx('limits').join('registered_limits as g', 'g.id', 'limits.registered_limit_id').select('limits.*', 'g.service_id', 'g.region_id', 'g.resource_name');
export const find = (trx: Trx, id: string): Promise<LimitRow | undefined> => limits(trx).where('limits.id', id).first();
export const findRegistered = (trx: Trx, id: string): Promise<RegisteredRow | undefined> => trx('registered_limits').where({ id }).first();

/** The limits of several projects, for lists of them. */
export async function limitsOfProjects(trx: Trx, projectIds: readonly string[]): Promise<Map<string, LimitRow[]>> {
  const rows: LimitRow[] = await limits(trx).whereIn('limits.project_id', [...projectIds]).orderBy('limits.id');
  return Map.groupBy(rows, r => r.project_id as string);
}

/** For other services: a project's limits by resource, as registered for a service in the region (or in all of them); the project's own before the registered ones. Empty where none are. */
export async function unifiedLimits(trx: Trx, o: { readonly type: string; readonly region: string; readonly projectId: string }): Promise<Record<string, number>> {
  const rows: { resource_name: string; most: number }[] = await trx('registered_limits as g').join('services as s', 's.id', 'g.service_id')
    .leftJoin('limits as l', on => on.on('l.registered_limit_id', 'g.id').onVal('l.project_id', o.projectId))
    .where('s.type', o.type).where(where => where.where('g.region_id', o.region).orWhereNull('g.region_id'))
    // What is registered for the region counts more than what is for all.
    .orderByRaw('g.region_id nulls first').select('g.resource_name', trx.raw('coalesce(l.resource_limit, g.default_limit) as most'));
  return Object.fromEntries(rows.map(r => [r.resource_name, r.most]));
}
