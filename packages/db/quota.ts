import type { Trx } from './connect.ts';

/**
 * Usage is a fact of the rows: triggers (made by `usageTrigger` in migrations/support.ts) add to one row of `quota_usage` for each service and
 * project in the transaction that writes the resource. That row's lock also orders a project's reservations, so that
 * "insert, then compare" never oversteps a limit, however many requests race.
 */
export type Counts = Readonly<Record<string, number>>;

/** Limits by resource name: -1 is unlimited. The project's own ones over the class defaults over `defaults`. */
export async function limitsOf(trx: Trx, service: string, projectId: string, defaults: Counts): Promise<Record<string, number>> {
  const rows: { project_id: string; resource: string; hard_limit: number }[] = await trx('quotas').where({ service }).whereIn('project_id', [projectId, 'class:default']).select('project_id', 'resource', 'hard_limit');
  const limits: Record<string, number> = { ...defaults };
  for (const scope of ['class:default', projectId]) for (const r of rows) if (r.project_id === scope) limits[r.resource] = r.hard_limit;
  return limits;
}

export async function usageOf(trx: Trx, service: string, projectId: string): Promise<Record<string, number>> {
  const row: { used: Record<string, number> } | undefined = await trx('quota_usage').where({ service, project_id: projectId }).first('used');
  return row?.used ?? {};
}

export interface Overstep { readonly resource: string; readonly limit: number; /** Including what this transaction adds. */ readonly used: number }

/**
 * After this transaction has written its rows: the first of `resources` that is now over its limit, or undefined. The caller throws its service's
 * message, and the transaction takes the rows back. `resources` are named in the order in which upstream checks them.
 */
export async function overLimit(trx: Trx, service: string, projectId: string, resources: readonly string[], defaults: Counts): Promise<Overstep | undefined> {
  const limits = await limitsOf(trx, service, projectId, defaults);
  const used = await usageOf(trx, service, projectId);
  for (const resource of resources) {
    const limit = limits[resource] ?? -1;
    if (limit >= 0 && (used[resource] ?? 0) > limit) return { resource, limit, used: used[resource] ?? 0 };
  }
  return undefined;
}
