import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { AnyQuery, find, id, list, text, type Collection } from '../rest/collection.ts';
import { parseIp } from '../subnets/addresses.ts';

interface Pool { start: string; end: string }
interface AvailabilityRow { id: string; network_name: string; project_id: string; subnets: { subnet_id: string; subnet_name: string; ip_version: number; cidr: string; pools: Pool[]; used_ips: number }[] }

const Availabilities: Collection<AvailabilityRow> = {
  name: 'network_ip_availability', plural: 'network_ip_availabilities', fault: 'Network',
  select: trx => trx.from(trx.raw(`(select n.id, n.name as network_name, n.project_id, array(select s.ip_version from subnets s where s.network_id = n.id) as ip_versions,
      coalesce((select jsonb_agg(jsonb_build_object('subnet_id', s.id, 'subnet_name', s.name, 'ip_version', s.ip_version, 'cidr', s.cidr::text, 'pools', s.allocation_pools, 'used_ips', (select count(*) from ip_allocations a where a.subnet_id = s.id)) order by s.created_at, s.id)
        from subnets s where s.network_id = n.id), '[]') as subnets from networks n) as t`)).select('t.*'),
  columns: { network_id: id('t.id'), network_name: text('t.network_name'), project_id: text('t.project_id'), tenant_id: text('t.project_id') },
  filters: { ip_version: (query, values) => void query.whereRaw('t.ip_versions && ?::int[]', [values.map(Number).filter(Number.isSafeInteger)]) },
  visible: (query, ctx) => void query.where('t.project_id', ctx.caller.projectId ?? ''),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id }),
  view: row => {
    const totals = row.subnets.map(s => s.pools.reduce((sum, pool) => sum + sizeOf(pool), 0n));
    return {
      network_id: row.id, network_name: row.network_name, project_id: row.project_id, tenant_id: row.project_id, total_ips: exact(totals.reduce((sum, n) => sum + n, 0n)), used_ips: row.subnets.reduce((sum, s) => sum + s.used_ips, 0),
      subnet_ip_availability: row.subnets.map(({ pools: _, ...s }, i) => ({ ...s, total_ips: exact(totals[i] ?? 0n) })),
    };
  },
};

const sizeOf = (pool: Pool): bigint => (parseIp(pool.end)?.value ?? 0n) - (parseIp(pool.start)?.value ?? 0n) + 1n;
/** An IPv6 subnet has more addresses than a JavaScript number can say; the reply has every digit. */
const exact = (n: bigint): unknown => (n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(n.toString()));

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
