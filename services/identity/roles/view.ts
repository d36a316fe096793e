import type { Context } from '@cumulet/http';
import { self } from '../listing.ts';
import type { RoleRow } from './store.ts';

export const roleView = (ctx: Context, r: RoleRow) => ({ ...r.extra, id: r.id, name: r.name, domain_id: r.domain_id, description: r.description, options: r.options, links: self(ctx, `roles/${r.id}`) });
/** A role inside an inference: id, name and link. */
export const inferred = (ctx: Context, r: Pick<RoleRow, 'id' | 'name'>) => ({ id: r.id, links: self(ctx, `roles/${r.id}`), name: r.name });
