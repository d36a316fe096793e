import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { AnyQuery, find, id, int, list, text, type Collection } from '../rest/collection.ts';

interface AvailabilityRow { id: string; network_name: string; project_id: string; total_ips: string; used_ips: string; subnet_ip_availability: object[] }

const Availabilities: Collection<AvailabilityRow> = {
  name: 'network_ip_availability', plural: 'network_ip_availabilities', fault: 'Network',
  select: trx => trx.from(trx.raw(`(select n.id, n.name as network_name, n.project_id, coalesce(sum(s.total), 0)::bigint as total_ips, coalesce(sum(s.used), 0)::bigint as used_ips, coalesce(array_agg(distinct s.ip_version) filter (where s.id is not null), '{}') as ip_versions,
      coalesce(jsonb_agg(jsonb_build_object('subnet_id', s.id, 'subnet_name', s.name, 'ip_version', s.ip_version, 'cidr', s.cidr, 'total_ips', s.total, 'used_ips', s.used)) filter (where s.id is not null), '[]') as subnet_ip_availability
    from networks n left join lateral (select s.id, s.name, s.ip_version, s.cidr::text, (select sum((p ->> 'end')::inet - (p ->> 'start')::inet + 1) from jsonb_array_elements(s.allocation_pools) p) as total, (select count(*) from ip_allocations a where a.subnet_id = s.id) as used from subnets s where s.network_id = n.id) s on true
    group by n.id) as t`)).select('t.*'),
  columns: { network_id: id('t.id'), network_name: text('t.network_name'), project_id: text('t.project_id'), tenant_id: text('t.project_id'), total_ips: int('t.total_ips'), used_ips: int('t.used_ips') },
  filters: { ip_version: (query, values) => void query.whereRaw('t.ip_versions && ?::int[]', [values.map(Number).filter(Number.isSafeInteger)]) },
  visible: (query, ctx) => void query.where('t.project_id', ctx.caller.projectId ?? ''),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id }),
  view: row => ({
    network_id: row.id, network_name: row.network_name, project_id: row.project_id, tenant_id: row.project_id, total_ips: Number(row.total_ips), used_ips: Number(row.used_ips), subnet_ip_availability: row.subnet_ip_availability,
  }),
};

export const availabilityRoutes = (rt: Runtime): Operation[] => [
  operation({
    id: 'ip_availability.list', summary: 'Used and total addresses of networks', method: 'GET', path: '/network-ip-availabilities', policy: 'get_network_ip_availability', query: AnyQuery,
    handler: ctx => list(rt.db, ctx, Availabilities, rt.settings.http.maxLimit),
  }),
  operation({
    id: 'ip_availability.show', summary: 'Used and total addresses of a network', method: 'GET', path: '/network-ip-availabilities/:id', policy: 'get_network_ip_availability',
    handler: async ctx => ({ network_ip_availability: Availabilities.view(await find(rt.db, ctx as Context, Availabilities, ctx.params['id'] ?? '')) }),
  }),
];
