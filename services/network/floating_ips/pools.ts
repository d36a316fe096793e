import { operation, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { openTo } from '../rbac/access.ts';
import { AnyQuery, id, list, text, type Collection } from '../rest/collection.ts';

interface PoolRow { id: string; name: string; network_id: string; cidr: string; project_id: string }

/** Where floating IPs come from: IPv4 subnets of external networks. As upstream, each is shown as of the project that looks. */
const Pools: Collection<PoolRow> = {
  name: 'floatingip_pool', plural: 'floatingip_pools', fault: 'Subnet',
  select: (trx, project = '') => trx.from(trx.raw(`(select s.id, s.name, s.network_id, s.cidr::text as cidr, ? as project_id, n.project_id as owner, ${openTo('n.id')} as open
      from subnets s join networks n on n.id = s.network_id where n.external and s.ip_version = 4) as t`, [project, project])).select('t.*'),
  columns: { subnet_id: id('t.id'), subnet_name: text('t.name'), network_id: id('t.network_id'), cidr: text('t.cidr'), project_id: text('t.project_id'), tenant_id: text('t.project_id') },
  visible: (query, ctx) => void query.where(w => w.where('t.owner', ctx.caller.projectId ?? '').orWhere('t.open', true)),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id }),
  view: row => ({ subnet_id: row.id, subnet_name: row.name, network_id: row.network_id, cidr: row.cidr, project_id: row.project_id, tenant_id: row.project_id }),
};

// Neutron's reference writes the path with an underscore; neutron has it with a dash.
export const floatingIpPoolRoutes = (rt: Runtime): Operation[] => ['floatingip-pools', 'floatingip_pools'].map(path =>
  operation({
    id: `${path}.list`, summary: 'List where floating IPs come from', method: 'GET', path: `/${path}`, policy: 'get_floatingip_pool', query: AnyQuery,
    handler: ctx => list(rt.db, ctx, Pools, rt.settings.http.maxLimit),
  }));
