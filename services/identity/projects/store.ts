import type { Trx } from '@cumulet/db';

/** A project or, with `is_domain`, a domain. */
export interface ProjectRow {
  readonly id: string;
  readonly name: string;
  readonly domain_id: string | null;
  readonly parent_id: string | null;
  readonly is_domain: boolean;
  readonly enabled: boolean;
  readonly description: string;
  readonly tags: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly extra: Readonly<Record<string, unknown>>;
}
type Written = Partial<Omit<ProjectRow, 'options' | 'extra' | 'tags'>> & { options?: object; extra?: object; tags?: readonly string[] };

export const columns = ['id', 'name', 'domain_id', 'parent_id', 'is_domain', 'enabled', 'description', 'tags', 'options', 'extra'].map(c => `projects.${c}`);

export const find = (trx: Trx, id: string): Promise<ProjectRow | undefined> => trx('projects').where({ id }).first(columns);
export const findDomain = (trx: Trx, id: string): Promise<ProjectRow | undefined> => trx('projects').where({ id, is_domain: true }).first(columns);
export const findByName = (trx: Trx, domainId: string, name: string): Promise<ProjectRow | undefined> => trx('projects').where({ domain_id: domainId, name }).first(columns);
export const findDomainByName = (trx: Trx, name: string): Promise<ProjectRow | undefined> => trx('projects').where({ name, is_domain: true }).first(columns);
/** Held until the transaction ends, so that a tree does not change under a check of it. */
export const lock = (trx: Trx, id: string): Promise<ProjectRow | undefined> => trx('projects').where({ id }).forUpdate().first(columns);

export async function insert(trx: Trx, row: Written & { id: string }): Promise<ProjectRow> {
  const [made] = await trx('projects').insert(row).returning<ProjectRow[]>(columns);
  return made as ProjectRow;
}
export async function update(trx: Trx, id: string, change: Written): Promise<ProjectRow> {
  const [made] = await trx('projects').where({ id }).update(change).returning<ProjectRow[]>(columns);
  return made as ProjectRow;
}

/** Everything above, the nearest first, the domain last. */
export async function parents(trx: Trx, id: string): Promise<ProjectRow[]> {
  return trx.withRecursive('above', q => {
    q.select('p.id', 'p.parent_id', trx.raw('0 as depth')).from({ p: 'projects' }).where('p.id', id)
      .unionAll(u => { u.select('p.id', 'p.parent_id', trx.raw('above.depth + 1')).from({ p: 'projects' }).join('above', 'p.id', 'above.parent_id'); });
  }).select(columns).from('projects').join('above', 'above.id', 'projects.id').where('depth', '>', 0).orderBy('depth');
}
/** Everything below, each after its parent. */
export async function subtree(trx: Trx, id: string): Promise<ProjectRow[]> {
  return trx.withRecursive('below', q => {
    q.select('p.id', trx.raw('0 as depth')).from({ p: 'projects' }).where('p.id', id)
      .unionAll(u => { u.select('p.id', trx.raw('below.depth + 1')).from({ p: 'projects' }).join('below', 'p.parent_id', 'below.id'); });
  }).select(columns).from('projects').join('below', 'below.id', 'projects.id').where('depth', '>', 0).orderBy(['depth', 'projects.id']);
}

/** Deletes projects and what hangs on them without a reference of its own. Assignments, trusts, limits and application credentials go by cascade. */
export async function remove(trx: Trx, ids: readonly string[]): Promise<void> {
  await trx('credentials').whereIn('project_id', [...ids]).delete();
  await trx('users').whereIn('default_project_id', [...ids]).update({ default_project_id: null });
  await trx('projects').whereIn('id', [...ids]).delete();
}

/** What other services hold for these projects, by service and resource: only what is not nothing. */
export async function inventory(trx: Trx, ids: readonly string[]): Promise<Record<string, number>> {
  const rows: { service: string; used: Record<string, number> }[] = await trx('quota_usage').whereIn('project_id', [...ids]).select('service', 'used');
  const held: Record<string, number> = {};
  for (const row of rows) for (const [resource, used] of Object.entries(row.used)) if (used > 0) held[`${row.service} ${resource}`] = (held[`${row.service} ${resource}`] ?? 0) + used;
  return held;
}
