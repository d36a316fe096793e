import { brokenReference, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { find, shownMade, written, writtenView } from '../rest/collection.ts';
import { reading } from '../rest/reading.ts';
import { applyNetwork, applyRoutersOf } from '../wiring/enqueue.ts';
import { keepDhcpPort } from './allocation.ts';
import { parsePrefix, type Prefix } from './addresses.ts';
import { checkDhcp, checkedPools, checkExtras, checkGateway, invalid, isAutomatic } from './rules.ts';
import { createSubnet } from './service.ts';
import { CreateSubnets, Subnets, UpdateSubnet, type SubnetRow } from './subnets.ts';

export function subnetRoutes(rt: Runtime): Operation[] {
  return [
    ...reading(rt, Subnets, { path: '/subnets', one: 'a subnet', many: 'subnets', hidden: 'subnets' }),
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
          return written(trx, ctx, Subnets, ids);
        });
        return shownMade(ctx, Subnets, rows);
      },
    }),
    operation({
      id: 'subnets.update', summary: 'Update a subnet', method: 'PUT', path: '/subnets/:id', policy: 'update_subnet', permit: 'object', body: UpdateSubnet,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Subnets, ctx.params['id'] ?? '');
        const b = ctx.body.subnet;
        ctx.permit(Subnets.target(row));
        return transaction(rt.db, async trx => {
          const cidr = parsePrefix(row.cidr) as Prefix;
          const gateway = b.gateway_ip === undefined ? row.gateway : b.gateway_ip;
          if (b.gateway_ip) checkGateway(b.gateway_ip, cidr, row.network_external);
          if (gateway !== row.gateway) {
            const { rows: [used] } = await trx.raw(`select p.id from ip_allocations a join ports p on p.id = a.port_id where a.subnet_id = ? and a.ip = ?::inet and p.device_owner like 'network:router_interface%' limit 1`, [row.id, row.gateway]);
            if (used) throw new Conflict(`Current gateway ip ${row.gateway} already in use by port ${used.id}. Unable to update.`, { kind: 'GatewayIpInUse' });
          }
          if (b.enable_dhcp === false && (row.ipv6_ra_mode || row.ipv6_address_mode)) throw invalid('Cannot disable enable_dhcp with ipv6 attributes set');
          if (b.enable_dhcp === true && !row.enable_dhcp) checkDhcp(cidr);
          checkExtras(b, row.ip_version, row.id);
          const pools = checkedPools(b.allocation_pools ?? row.allocation_pools, cidr, gateway);
          await trx('subnets').where({ id: row.id }).update({
            ...Object.fromEntries(Object.entries({ name: b.name, description: b.description, enable_dhcp: b.enable_dhcp, gateway_ip: b.gateway_ip, service_types: b.service_types, dns_publish_fixed_ip: b.dns_publish_fixed_ip }).filter(([, v]) => v !== undefined)),
            ...(b.allocation_pools ? { allocation_pools: JSON.stringify(pools) } : {}), ...(b.dns_nameservers === undefined ? {} : { dns_nameservers: b.dns_nameservers ?? [] }), ...(b.host_routes === undefined ? {} : { host_routes: JSON.stringify(b.host_routes ?? []) }),
            ...touched(trx),
          });
          await trx('networks').where({ id: row.network_id }).update(touched(trx));
          await keepDhcpPort(trx, row.network_id);
          await applyNetwork(rt.tasks, trx, row.network_id);
          await applyRoutersOf(rt.tasks, trx, 'id', row.id);
          return { subnet: await writtenView(trx, ctx, Subnets, row.id) };
        });
      },
    }),
    operation({
      id: 'subnets.delete', summary: 'Delete a subnet', method: 'DELETE', path: '/subnets/:id', policy: 'delete_subnet', permit: 'object', status: 204,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Subnets, ctx.params['id'] ?? '');
        ctx.permit(Subnets.target(row));
        await transaction(rt.db, async trx => {
          // Addresses that guests make themselves end with their subnet; a router's hold it.
          const own = isAutomatic(row) ? `p.device_owner not like 'network:router_interface%'` : `p.device_owner = 'network:dhcp'`;
          await trx.raw(`delete from ip_allocations a using ports p where p.id = a.port_id and a.subnet_id = ? and ${own}`, [row.id]);
          await trx('subnets').where({ id: row.id }).delete();
          await trx('networks').where({ id: row.network_id }).update(touched(trx));
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
