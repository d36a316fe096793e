import type { Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { given } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { applyNetwork, applyRoutersOf } from '../wiring/enqueue.ts';
import { keepDhcpPort } from './allocation.ts';
import { parsePrefix, type Prefix } from './addresses.ts';
import { checkDhcp, checkedPools, checkExtras, checkGateway, invalid, isAutomatic } from './rules.ts';
import { createSubnet } from './service.ts';
import { CreateSubnets, Subnets, UpdateSubnet } from './subnets.ts';

export function subnetRoutes(rt: Runtime): Operation[] {
  const subnets = operationsOf(rt, Subnets, { path: '/subnets', one: 'a subnet', many: 'subnets' });
  return [
    ...subnets.reading(),
    subnets.creating(CreateSubnets, {
      given: body => ('subnets' in body ? body.subnets : [body.subnet]),
      async insert(trx, ctx, b) {
        const id = await createSubnet(trx, ctx, b);
        await trx('networks').where({ id: b.network_id }).update(touched(trx));
        await applyNetwork(rt.tasks, trx, b.network_id);
        return id;
      },
    }),
    subnets.updating(UpdateSubnet, {
      async change(trx, _, row, { subnet: b }) {
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
          ...given({ name: b.name, description: b.description, enable_dhcp: b.enable_dhcp, gateway_ip: b.gateway_ip, service_types: b.service_types, dns_publish_fixed_ip: b.dns_publish_fixed_ip }),
          ...(b.allocation_pools ? { allocation_pools: JSON.stringify(pools) } : {}), ...(b.dns_nameservers === undefined ? {} : { dns_nameservers: b.dns_nameservers ?? [] }), ...(b.host_routes === undefined ? {} : { host_routes: JSON.stringify(b.host_routes ?? []) }),
          ...touched(trx),
        });
        await trx('networks').where({ id: row.network_id }).update(touched(trx));
        await keepDhcpPort(trx, row.network_id);
        await applyNetwork(rt.tasks, trx, row.network_id);
        await applyRoutersOf(rt.tasks, trx, 'id', row.id);
      },
    }),
    subnets.deleting({
      async remove(trx, row) {
        // Addresses that guests make themselves end with their subnet; a router's hold it.
        const own = isAutomatic(row) ? `p.device_owner not like 'network:router_interface%'` : `p.device_owner = 'network:dhcp'`;
        await trx.raw(`delete from ip_allocations a using ports p where p.id = a.port_id and a.subnet_id = ? and ${own}`, [row.id]);
        await trx('subnets').where({ id: row.id }).delete();
        await trx('networks').where({ id: row.network_id }).update(touched(trx));
        await keepDhcpPort(trx, row.network_id);
        await applyNetwork(rt.tasks, trx, row.network_id);
      },
      inUse: ({ id }) => new Conflict(`Unable to complete operation on subnet ${id}: One or more ports have an IP allocation from this subnet.`, { kind: 'SubnetInUse' }),
    }),
  ];
}
