import type { Context } from '@cumulet/http';
import { self } from '../listing.ts';
import type { ProjectRow } from './store.ts';

export const projectView = (ctx: Context, p: ProjectRow) => ({
  ...p.extra, id: p.id, name: p.name, domain_id: p.domain_id, description: p.description, enabled: p.enabled, parent_id: p.parent_id, is_domain: p.is_domain, tags: p.tags, options: p.options, links: self(ctx, `projects/${p.id}`),
});
export const domainView = (ctx: Context, p: ProjectRow) => ({
  ...p.extra, id: p.id, name: p.name, description: p.description, enabled: p.enabled, tags: p.tags, options: p.options, links: self(ctx, `domains/${p.id}`),
});

/** A chain of parents as nested ids: `{B: {A: null}}`. */
export const parentsAsIds = (rows: readonly ProjectRow[]): object | null => rows.reduceRight<object | null>((above, p) => ({ [p.id]: above }), null);

/** A subtree as nested ids: `{B: {C: null, D: null}}`. */
export function subtreeAsIds(rootId: string, rows: readonly ProjectRow[]): object | null {
  const byParent = Map.groupBy(rows, r => r.parent_id);
  const below = (id: string): object | null => {
    const children = byParent.get(id);
    return children ? Object.fromEntries(children.map(c => [c.id, below(c.id)])) : null;
  };
  return below(rootId);
}
