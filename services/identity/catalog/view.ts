import type { Context } from '@cumulet/http';
import { self } from '../listing.ts';
import type { EndpointGroupRow, EndpointRow, RegionRow, ServiceRow } from './store.ts';

export const regionView = (ctx: Context, r: RegionRow) => ({ ...r.extra, id: r.id, description: r.description, parent_region_id: r.parent_region_id, links: self(ctx, `regions/${encodeURIComponent(r.id)}`) });
export const serviceView = (ctx: Context, s: ServiceRow) => ({ ...s.extra, id: s.id, type: s.type, enabled: s.enabled, links: self(ctx, `services/${s.id}`) });
export const endpointView = (ctx: Context, e: EndpointRow) => ({ ...e.extra, id: e.id, interface: e.interface, region_id: e.region_id, service_id: e.service_id, url: e.url, enabled: e.enabled, region: e.region_id, links: self(ctx, `endpoints/${e.id}`) });
export const endpointGroupView = (ctx: Context, g: EndpointGroupRow) => ({ id: g.id, name: g.name, description: g.description, filters: g.filters, links: self(ctx, `OS-EP-FILTER/endpoint_groups/${g.id}`) });
