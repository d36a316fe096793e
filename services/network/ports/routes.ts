import { duplicateOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { find, shownMade, written, writtenView } from '../rest/collection.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { reading } from '../rest/reading.ts';
import { readdress } from '../subnets/allocation.ts';
import { applyNetwork, applyRoutersTo, applySecurity } from '../wiring/enqueue.ts';
import { CreatePorts, Ports, UpdatePort, type PortRow } from './ports.ts';
import { checkPairs, deletePort, groupsNeedSecurity, insertPort, options, setGroups } from './service.ts';

const guarded = ['mac_address', 'port_security_enabled', 'binding:host_id', 'binding:profile', 'allowed_address_pairs'];

export function portRoutes(rt: Runtime): Operation[] {
  return [
    ...reading(rt, Ports, { path: '/ports', one: 'a port', many: 'ports', hidden: 'ports' }),
    operation({
      id: 'ports.create', summary: 'Create ports', method: 'POST', path: '/ports', policy: 'create_port', permit: 'object', body: CreatePorts, status: 201,
      handler: async ctx => {
        const bodies = 'ports' in ctx.body ? ctx.body.ports : [ctx.body.port];
        const rows: PortRow[] = await transaction(rt.db, async trx => {
          const ids: string[] = [];
          for (const b of bodies) {
            const network = await find(trx, ctx as Context, Networks, b.network_id);
            const project = projectFor(ctx, b);
            permitAttributes(ctx as Context, 'create', 'port', b, guarded, { project_id: project, tenant_id: project, 'network:project_id': network.project_id, 'network:tenant_id': network.project_id, 'networks:shared': network.shared, shared: network.shared });
            if (b.fixed_ips?.some(f => f.ip_address !== undefined) && network.project_id !== ctx.caller.projectId) ctx.require('create_port:fixed_ips:ip_address', { project_id: project, 'network:project_id': network.project_id, 'networks:shared': network.shared });
            checkPairs(b.allowed_address_pairs, b.port_security_enabled ?? network.port_security_enabled);
            ids.push(await insertPort(trx, project, network, b));
            await applyNetwork(rt.tasks, trx, network.id);
          }
          return written(trx, ctx, Ports, ids);
        });
        return shownMade(ctx, Ports, rows);
      },
    }),
    operation({
      id: 'ports.update', summary: 'Update a port', method: 'PUT', path: '/ports/:id', policy: 'update_port', permit: 'object', body: UpdatePort,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Ports, ctx.params['id'] ?? '');
        const b = ctx.body.port;
        permitAttributes(ctx as Context, 'update', 'port', b, guarded, Ports.target(row));
        const security = b.port_security_enabled ?? row.port_security_enabled;
        checkPairs(b.allowed_address_pairs ?? row.allowed_address_pairs, security);
        if (!security && (b.security_groups ?? row.groups).length > 0) throw b.security_groups?.length ? groupsNeedSecurity() : new Conflict('Port has security group associated. Cannot disable port security or IP address until security group is removed.', { kind: 'PortSecurityPortHasSecurityGroup' });
        return transaction(rt.db, async trx => {
          const columns = {
            name: b.name, description: b.description, admin_state_up: b.admin_state_up, port_security_enabled: b.port_security_enabled, device_id: b.device_id === null ? '' : b.device_id, device_owner: b.device_owner === null ? '' : b.device_owner, mac_address: b.mac_address, dns_name: b.dns_name,
            binding_host: b['binding:host_id'] === null ? '' : b['binding:host_id'], binding_vnic_type: b['binding:vnic_type'],
            binding_profile: b['binding:profile'] === undefined ? undefined : JSON.stringify(b['binding:profile'] ?? {}), allowed_address_pairs: b.allowed_address_pairs === undefined ? undefined : JSON.stringify(b.allowed_address_pairs ?? []), extra_dhcp_opts: b.extra_dhcp_opts === undefined ? undefined : JSON.stringify(options(b.extra_dhcp_opts)),
          };
          await trx('ports').where({ id: row.id }).update({ ...Object.fromEntries(Object.entries(columns).filter(([, v]) => v !== undefined)), ...touched(trx) }).catch((error: unknown) => {
            throw duplicateOf(error) === 'ports_mac' ? new Conflict(`Unable to complete operation for network ${row.network_id}. The mac address ${b.mac_address} is in use.`, { kind: 'MacAddressInUse' }) : error;
          });
          if (b.fixed_ips || b.mac_address !== undefined) await readdress(trx, { id: row.id, network_id: row.network_id, mac: b.mac_address ?? row.mac, device_owner: b.device_owner ?? row.device_owner }, row.fixed_ips, b.fixed_ips);
          if (b.fixed_ips) {
            await applyRoutersTo(rt.tasks, trx, row.id);
            await trx('port_forwardings').where({ internal_port_id: row.id }).whereRaw('not exists (select 1 from ip_allocations a where a.port_id = internal_port_id and a.ip = internal_ip)').delete();
          }
          if (!security) await trx('port_security_groups').where({ port_id: row.id }).delete();
          else if (b.security_groups) await setGroups(trx, row.id, b.security_groups, row.project_id);
          await applyNetwork(rt.tasks, trx, row.network_id);
          await applySecurity(rt.tasks, trx, [...row.groups, ...(b.security_groups ?? [])], [row.id]);
          return { port: await writtenView(trx, ctx, Ports, row.id) };
        });
      },
    }),
    operation({
      id: 'ports.delete', summary: 'Delete a port', method: 'DELETE', path: '/ports/:id', policy: 'delete_port', permit: 'object', status: 204,
      handler: async ctx => {
        const row = await find(rt.db, ctx as Context, Ports, ctx.params['id'] ?? '');
        ctx.permit(Ports.target(row));
        await transaction(rt.db, async trx => {
          await applyRoutersTo(rt.tasks, trx, row.id);
          await applyNetwork(rt.tasks, trx, row.network_id);
          await deletePort(trx, row);
          await applySecurity(rt.tasks, trx, row.groups);
        });
        return new Reply(204);
      },
    }),
  ];
}
