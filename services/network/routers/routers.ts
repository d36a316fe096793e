import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { bool, commonColumns, text, type Collection } from '../rest/collection.ts';
import { cidr, distinct, flag, ip, named, owned, tag, uuid } from '../rest/shapes.ts';

export interface RouterRow {
  id: string; project_id: string; name: string; description: string; tags: string[]; revision_number: number; created_at: Date; updated_at: Date; admin_state_up: boolean; host: string; gateway_port_id: string | null; external_network_id: string | null; enable_snat: boolean;
  routes: Route[]; gateway_ips: { subnet_id: string; ip_address: string }[];
}
export const Routers: Collection<RouterRow> = {
  name: 'router', plural: 'routers', fault: 'Router',
  select: trx => trx('routers as t').select('t.*', trx.raw(`coalesce((select jsonb_agg(jsonb_build_object('subnet_id', a.subnet_id, 'ip_address', host(a.ip)) order by a.position) from ip_allocations a where a.port_id = t.gateway_port_id), '[]') as gateway_ips`)),
  columns: { ...commonColumns, admin_state_up: bool('t.admin_state_up'), status: text(`'ACTIVE'`), tags: { sql: 't.tags', kind: 'tags' }, ha: bool('false'), distributed: bool('false') },
  visible: (q, ctx) => void q.where('t.project_id', ctx.caller.projectId ?? ''),
  guarded: ['distributed', 'ha'],
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id }),
  view: row => ({
    id: row.id, name: row.name, tenant_id: row.project_id, admin_state_up: row.admin_state_up, status: 'ACTIVE',
    external_gateway_info: row.external_network_id === null ? null : { network_id: row.external_network_id, external_fixed_ips: row.gateway_ips, enable_snat: row.enable_snat },
    description: row.description, availability_zones: ['nova'], availability_zone_hints: [], distributed: false, ha: false, routes: row.routes, flavor_id: null, tags: row.tags,
    created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number, project_id: row.project_id,
  }),
};
const gateway = z.union([z.strictObject({ network_id: uuid, enable_snat: flag.optional(), external_fixed_ips: z.array(z.strictObject({ subnet_id: uuid.optional(), ip_address: ip.optional() })).optional(), qos_policy_id: z.null().optional() }), z.strictObject({})]).nullable();
export type Gateway = z.output<typeof gateway>;
/** Neutron's default (max_routes). */
export const maxRoutes = 30;
const route = z.strictObject({ destination: cidr, nexthop: ip }).refine(r => r.destination.includes(':') === r.nexthop.includes(':'), 'must be of one family');
export type Route = z.output<typeof route>;
const settable = { ...named, admin_state_up: flag.optional(), external_gateway_info: gateway.optional(), routes: distinct(route, r => `Duplicate hostroute '${r}'`).max(maxRoutes).nullable().optional(), distributed: flag.optional(), ha: flag.optional() };
export const CreateRouter = shape('RouterCreate', z.strictObject({ router: z.strictObject({ ...settable, ...owned, tags: z.array(tag).optional(), availability_zone_hints: z.array(z.string()).optional(), flavor_id: z.null().optional() }) }));
export const UpdateRouter = shape('RouterUpdate', z.strictObject({ router: z.strictObject(settable) }));
export const ExtraRoutes = shape('RouterExtraRoutes', z.strictObject({ router: z.strictObject({ routes: z.array(route).max(maxRoutes) }) }));
export const InterfaceBody = shape('RouterInterface', z.strictObject({ subnet_id: uuid.optional(), port_id: uuid.optional() }));
