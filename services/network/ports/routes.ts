import type { Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { Conflict, newId } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { checkPolicy } from '../qos/binding.ts';
import { find, given } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { readdress } from '../subnets/allocation.ts';
import { applyNetwork, applyRoutersTo, applySecurity } from '../wiring/enqueue.ts';
import { CreatePorts, Ports, UpdatePort } from './ports.ts';
import { checkPairs, deletePort, groupsNeedSecurity, insertPort, options, setGroups, withMac } from './service.ts';

const guarded = ['mac_address', 'port_security_enabled', 'binding:host_id', 'binding:profile', 'allowed_address_pairs'];

export function portRoutes(rt: Runtime): Operation[] {
  const ports = operationsOf(rt, Ports, { path: '/ports', one: 'a port', many: 'ports' });
  return [
    ...ports.reading(),
    ports.creating(CreatePorts, {
      given: body => ('ports' in body ? body.ports : [body.port]),
      async insert(trx, ctx, b) {
        const network = await find(trx, ctx, Networks, b.network_id);
        const project = projectFor(ctx, b);
        permitAttributes(ctx, 'create', 'port', b, guarded, { project_id: project, tenant_id: project, 'network:project_id': network.project_id, 'network:tenant_id': network.project_id, 'networks:shared': network.shared, shared: network.shared });
        if (b.fixed_ips?.some(f => f.ip_address !== undefined) && network.project_id !== ctx.caller.projectId) ctx.require('create_port:fixed_ips:ip_address', { project_id: project, 'network:project_id': network.project_id, 'networks:shared': network.shared });
        checkPairs(b.allowed_address_pairs, b.port_security_enabled ?? network.port_security_enabled);
        const id = newId();
        await checkPolicy(trx, ctx, { port: id, owner: b.device_owner ?? '' }, b.qos_policy_id, null);
        await insertPort(trx, project, network, { ...b, id });
        await applyNetwork(rt.tasks, trx, network.id);
        return id;
      },
    }),
    ports.updating(UpdatePort, {
      permit: (ctx, row, { port: b }) => permitAttributes(ctx, 'update', 'port', b, guarded, Ports.target(row)),
      async change(trx, ctx, row, { port: b }) {
        await checkPolicy(trx, ctx, { port: row.id, owner: b.device_owner ?? row.device_owner }, b.qos_policy_id, row.qos_policy_id);
        const security = b.port_security_enabled ?? row.port_security_enabled;
        checkPairs(b.allowed_address_pairs ?? row.allowed_address_pairs, security);
        if (!security && (b.security_groups ?? row.groups).length > 0) throw b.security_groups?.length ? groupsNeedSecurity() : new Conflict('Port has security group associated. Cannot disable port security or IP address until security group is removed.', { kind: 'PortSecurityPortHasSecurityGroup' });
        const columns = {
          name: b.name, description: b.description, admin_state_up: b.admin_state_up, port_security_enabled: b.port_security_enabled, device_id: b.device_id === null ? '' : b.device_id, device_owner: b.device_owner === null ? '' : b.device_owner, dns_name: b.dns_name, qos_policy_id: b.qos_policy_id,
          binding_host: b['binding:host_id'] === null ? '' : b['binding:host_id'], binding_vnic_type: b['binding:vnic_type'],
          binding_profile: b['binding:profile'] === undefined ? undefined : JSON.stringify(b['binding:profile'] ?? {}), allowed_address_pairs: b.allowed_address_pairs === undefined ? undefined : JSON.stringify(b.allowed_address_pairs ?? []), extra_dhcp_opts: b.extra_dhcp_opts === undefined ? undefined : JSON.stringify(options(b.extra_dhcp_opts)),
        };
        await trx('ports').where({ id: row.id }).update({ ...given(columns), ...touched(trx) });
        const mac = b.mac_address === undefined ? row.mac : await withMac(trx, row.network_id, b.mac_address ?? undefined, (inner, mac_address) => inner('ports').where({ id: row.id }).update({ mac_address }));
        if (b.fixed_ips || b.mac_address !== undefined) await readdress(trx, { id: row.id, network_id: row.network_id, mac, device_owner: b.device_owner ?? row.device_owner }, row.fixed_ips, b.fixed_ips);
        if (b.fixed_ips) {
          await applyRoutersTo(rt.tasks, trx, row.id);
          await trx('port_forwardings').where({ internal_port_id: row.id }).whereRaw('not exists (select 1 from ip_allocations a where a.port_id = internal_port_id and a.ip = internal_ip)').delete();
        }
        if (!security) await trx('port_security_groups').where({ port_id: row.id }).delete();
        else if (b.security_groups) await setGroups(trx, row.id, b.security_groups, row.project_id);
        await applyNetwork(rt.tasks, trx, row.network_id);
        await applySecurity(rt.tasks, trx, [...row.groups, ...(b.security_groups ?? [])], [row.id]);
      },
    }),
    ports.deleting({
      async remove(trx, row) {
        await applyRoutersTo(rt.tasks, trx, row.id);
        await applyNetwork(rt.tasks, trx, row.network_id);
        await deletePort(trx, row);
        await applySecurity(rt.tasks, trx, row.groups);
      },
    }),
  ];
}
