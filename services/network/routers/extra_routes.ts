import { transaction, type Trx } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { find, writtenView } from '../rest/collection.ts';
import { applyRouter } from '../wiring/enqueue.ts';
import { ExtraRoutes, maxRoutes, Routers, type Route, type RouterRow } from './routers.ts';

/** Routes lead to neighbours only: each next hop is an address of a connected subnet, and not the router's own (neutron's extraroute). */
export async function checkRoutes(trx: Trx, routerId: string, routes: readonly Route[]): Promise<void> {
  const invalid = (why: string) => new BadRequest(`Invalid format for routes: ${JSON.stringify(routes)}, ${why}`, { kind: 'InvalidRoutes' });
  if (routes.length === 0) return;
  if (routes.length > maxRoutes) throw new BadRequest(`Unable to complete operation for ${routerId}. The number of routes exceeds the maximum ${maxRoutes}.`, { kind: 'RoutesExhausted' });
  const { rows } = await trx.raw(`select n.hop, bool_or(n.hop::inet <<= s.cidr) as near, bool_or(n.hop::inet = a.ip) as own
    from unnest(?::text[]) n (hop) left join (ports p join ip_allocations a on a.port_id = p.id join subnets s on s.id = a.subnet_id) on p.device_id = ? and p.device_owner like 'network:router_%' group by n.hop`, [routes.map(r => r.nexthop), routerId]);
  if (rows.some((r: { near: boolean | null }) => !r.near)) throw invalid('the nexthop is not connected with router');
  if (rows.some((r: { own: boolean }) => r.own)) throw invalid('the nexthop is used by router');
}

const same = (a: Route, b: Route) => a.destination === b.destination && a.nexthop === b.nexthop;

/** `add_extraroutes` and `remove_extraroutes`: a change of the list that needs no look at it before (extraroute-atomic). */
export function extraRoutes(rt: Runtime): Operation[] {
  const change = (action: 'add' | 'remove', apply: (now: readonly Route[], given: readonly Route[]) => Route[]) => operation({
    id: `routers.${action}_routes`, summary: `${action === 'add' ? 'Add' : 'Remove'} routes of a router`, method: 'PUT', path: `/routers/:id/${action}_extraroutes`, policy: `${action}_extraroutes`, permit: 'object', body: ExtraRoutes,
    handler: async ctx => {
      const row = await find(rt.db, ctx as Context, Routers, ctx.params['id'] ?? '');
      ctx.permit(Routers.target(row));
      return transaction(rt.db, async trx => {
        const { routes: now } = await trx('routers').where({ id: row.id }).forUpdate().first('routes') as Pick<RouterRow, 'routes'>;
        const routes = apply(now, ctx.body.router.routes);
        await checkRoutes(trx, row.id, routes);
        await trx('routers').where({ id: row.id }).update({ routes: JSON.stringify(routes), ...touched(trx) });
        await applyRouter(rt.tasks, trx, row.id, row.host);
        return { router: await writtenView(trx, ctx, Routers, row.id) };
      });
    },
  });
  return [
    change('add', (now, given) => [...now, ...given.filter((r, i) => !now.some(n => same(n, r)) && given.findIndex(g => same(g, r)) === i)]),
    change('remove', (now, given) => now.filter(n => !given.some(r => same(n, r)))),
  ];
}
