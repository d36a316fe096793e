import { brokenReference, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { AnyQuery, fieldsOf, find, list, pick, shownTo } from '../rest/collection.ts';
import { applyNetwork } from '../wiring/enqueue.ts';
import { keepDhcpPort } from './allocation.ts';
import { checkGateway, checkedPools, createSubnet } from './service.ts';
import { CreateSubnets, Subnets, UpdateSubnet, type SubnetRow } from './subnets.ts';

export function subnetRoutes(rt: Runtime): Operation[] {
  return [
    operation({ id: 'subnets.list', summary: 'List subnets', method: 'GET', path: '/subnets', policy: { anyone: 'rows are filtered by what the caller may see' }, query: AnyQuery, handler: ctx => list(rt.db, ctx, Subnets, rt.settings.http.maxLimit) }),
    operation({
      id: 'subnets.show', summary: 'Show a subnet', method: 'GET', path: '/subnets/:id', policy: { anyone: 'hidden subnets are not found' }, query: AnyQuery,
      handler: async ctx => ({ subnet: pick(shownTo(ctx, Subnets, await find(rt.db, ctx as Context, Subnets, ctx.params['id'] ?? '')), fieldsOf(ctx.query)) }),
    }),
    operation({
      id: 'subnets.create', summary: 'Create subnets', method: 'POST', path: '/subnets', policy: 'create_subnet', permit: 'object', body: CreateSubnets, status: 201,
      handler: async ctx => {
        const bodies = 'subnets' in ctx.body ? ctx.body.subnets : [ctx.body.subnet];
        const rows: SubnetRow[] = await transaction(rt.db, async trx => {
          const ids: string[] = [];
          for (const b of bodies) {
            ids.push(await createSubnet(trx, ctx as Context, b));
            await trx('networks').where({ id: b.network_id }).update(touched(trx));
            await applyNetwork(rt.tasks, trx, b.network_id);
          }
          return await Subnets.select(trx).whereIn('t.id', ids).orderByRaw('array_position(?::uuid[], t.id)', [ids]) as SubnetRow[];
        });
        return 'subnets' in ctx.body ? { subnets: rows.map(row => shownTo(ctx, Subnets, row)) } : { subnet: shownTo(ctx, Subnets, rows[0] as SubnetRow) };
      },
    }),
    operation({
      id: 'subnets.update', summary: 'Update a subnet', method: 'PUT', path: '/subnets/:id', policy: 'update_subnet', permit: 'object', body: UpdateSubnet,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Subnets, ctx.params['id'] ?? '');
        ctx.permit(Subnets.target(row));
        const b = ctx.body.subnet;
        return transaction(rt.db, async trx => {
          const gateway = b.gateway_ip === undefined ? row.gateway : b.gateway_ip;
          if (b.gateway_ip) {
            const { rows: [g] } = await trx.raw(`select exists (select 1 from ip_allocations a join ports p on p.id = a.port_id where a.subnet_id = ? and p.device_owner = 'network:router_interface') as used`, [row.id]);
            await checkGateway(trx, b.gateway_ip, row.cidr, row.network_id);
            if (g.used && b.gateway_ip !== row.gateway) throw new Conflict(`Current gateway ip ${row.gateway} already in use by port. Unable to update.`, { kind: 'GatewayIpInUse' });
          }
          await checkedPools(trx, b.allocation_pools ?? row.allocation_pools, row.cidr, gateway);
          await trx('subnets').where({ id: row.id }).update({
            ...Object.fromEntries(Object.entries({ name: b.name, description: b.description, enable_dhcp: b.enable_dhcp, gateway_ip: b.gateway_ip, service_types: b.service_types, dns_publish_fixed_ip: b.dns_publish_fixed_ip }).filter(([, v]) => v !== undefined)),
            ...(b.allocation_pools ? { allocation_pools: JSON.stringify(b.allocation_pools) } : {}), ...(b.dns_nameservers === undefined ? {} : { dns_nameservers: b.dns_nameservers ?? [] }), ...(b.host_routes === undefined ? {} : { host_routes: JSON.stringify(b.host_routes ?? []) }),
            ...touched(trx),
          });
          await keepDhcpPort(trx, row.network_id);
          await applyNetwork(rt.tasks, trx, row.network_id);
          return { subnet: shownTo(ctx, Subnets, await Subnets.select(trx).whereRaw('t.id = ?', [row.id]).first() as unknown as SubnetRow) };
        });
      },
    }),
    operation({
      id: 'subnets.delete', summary: 'Delete a subnet', method: 'DELETE', path: '/subnets/:id', policy: 'delete_subnet', permit: 'object', status: 204,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Subnets, ctx.params['id'] ?? '');
        ctx.permit(Subnets.target(row));
        await transaction(rt.db, async trx => {
          await trx.raw(`delete from ip_allocations a using ports p where p.id = a.port_id and a.subnet_id = ? and p.device_owner = 'network:dhcp'`, [row.id]);
          await trx('subnets').where({ id: row.id }).delete();
          await keepDhcpPort(trx, row.network_id);
          await applyNetwork(rt.tasks, trx, row.network_id);
        }).catch((error: unknown) => {
          throw brokenReference(error) === undefined ? error : new Conflict(`Unable to complete operation on subnet ${row.id}: One or more ports have an IP allocation from this subnet.`, { kind: 'SubnetInUse' });
        });
        return new Reply(204);
      },
    }),
  ];
}
