import type { Context } from '@cumulet/http';
import { self } from '../listing.ts';
import type { LimitRow, RegisteredRow } from './store.ts';

export const registeredView = (ctx: Context, r: RegisteredRow) => ({ id: r.id, service_id: r.service_id, region_id: r.region_id, resource_name: r.resource_name, default_limit: r.default_limit, description: r.description, links: self(ctx, `registered_limits/${r.id}`) });
export const limitView = (ctx: Context, l: LimitRow) => ({
  id: l.id, project_id: l.project_id, domain_id: l.domain_id, service_id: l.service_id, region_id: l.region_id, resource_name: l.resource_name, resource_limit: l.resource_limit, description: l.description, links: self(ctx, `limits/${l.id}`),
});
