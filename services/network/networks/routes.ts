import { duplicateOf, type Trx } from '@cumulet/db';
import type { Context, Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, newId } from '@cumulet/wire';
import { checkPolicy, defaultPolicy } from '../qos/binding.ts';
import { checkQuota } from '../quotas/quota.ts';
import { setNetworkAccess } from '../rbac/access.ts';
import { operationsOf } from '../rest/operations.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { applyNetwork, applyQos, applyRoutersOf } from '../wiring/enqueue.ts';
import { CreateNetworks, networkColumns, Networks, touched, UpdateNetwork, type NetworkCreate } from './networks.ts';

const guarded = ['shared', 'router:external', 'is_default', 'provider:network_type', 'provider:physical_network', 'provider:segmentation_id'];

export function networkRoutes(rt: Runtime): Operation[] {
  const networks = operationsOf(rt, Networks, { path: '/networks', one: 'a network', many: 'networks' });
  /** What a host's wires carry; guests of one network may sit on two. */
  const checkMtu = (mtu: number | undefined) => {
    const most = Math.max(1500, rt.settings.network.mtu);
    if (mtu !== undefined && mtu > most) throw new BadRequest(`Invalid input for operation: Requested MTU is too big, maximum is ${most}.`, { kind: 'InvalidInput' });
  };
  const insert = async (trx: Trx, ctx: Context, b: NetworkCreate): Promise<string> => {
    const project = projectFor(ctx, b);
    permitAttributes(ctx, 'create', 'network', b, guarded, { project_id: project, tenant_id: project });
    if (b['provider:network_type'] !== undefined && b['provider:network_type'] !== 'local') throw new BadRequest(`Invalid input for operation: network_type value '${b['provider:network_type']}' not supported.`);
    checkMtu(b.mtu);
    const id = newId();
    await checkPolicy(trx, ctx, { network: id }, b.qos_policy_id, null);
    const qos_policy_id = b.qos_policy_id ?? await defaultPolicy(trx, project, id);
    await trx('networks').insert({ id, project_id: project, mtu: rt.settings.network.mtu, tags: b.tags ?? [], ...networkColumns(b), qos_policy_id });
    await setNetworkAccess(trx, { id, project_id: project, name: b.name ?? '', external: false }, { shared: b.shared, external: b['router:external'] });
    await checkQuota(trx, project, ['network']);
    return id;
  };
  return [
    ...networks.reading(),
    networks.creating(CreateNetworks, {
      given: body => ('networks' in body ? body.networks : [body.network]), insert,
      refused: error => (duplicateOf(error) === 'networks_default' ? new Conflict('A default external network already exists.', { kind: 'DefaultExternalNetworkExists' }) : error),
    }),
    networks.updating(UpdateNetwork, {
      permit: (ctx, row, { network: b }) => permitAttributes(ctx, 'update', 'network', b, guarded, Networks.target(row)),
      async change(trx, ctx, row, { network: b }) {
        checkMtu(b.mtu);
        await checkMtuOfSubnets(trx, row.id, b.mtu);
        const now = await trx('networks').where({ id: row.id }).forUpdate().first('external', 'qos_policy_id') as { external: boolean; qos_policy_id: string | null };
        await checkPolicy(trx, ctx, { network: row.id }, b.qos_policy_id, now.qos_policy_id);
        await setNetworkAccess(trx, { ...row, external: now.external }, { shared: b.shared, external: b['router:external'] });
        await trx('networks').where({ id: row.id }).update({ ...networkColumns(b), ...touched(trx) });
        await applyNetwork(rt.tasks, trx, row.id);
        if (b.qos_policy_id !== undefined) await applyQos(rt.tasks, trx, { network: row.id });
        if (b.mtu !== undefined) await applyRoutersOf(rt.tasks, trx, 'network_id', row.id);
      },
    }),
    networks.deleting({
      async remove(trx, { id }) {
        await applyNetwork(rt.tasks, trx, id);
        // Floating IPs that nobody uses go with their network, as upstream.
        const idle: { floating_port_id: string }[] = await trx('floating_ips').where({ floating_network_id: id, port_id: null }).delete().returning('floating_port_id');
        await trx('ports').whereIn('id', idle.map(f => f.floating_port_id)).delete();
        // The network's own DHCP port goes with it; any other holds it.
        await trx('ports').where({ network_id: id, device_owner: 'network:dhcp' }).delete();
        await trx('networks').where({ id }).delete();
      },
      inUse: ({ id }) => new Conflict(`Unable to complete operation on network ${id}. There are one or more ports still in use on the network.`, { kind: 'NetworkInUse' }),
    }),
  ];
}

/** IPv6 asks for 1280 bytes (RFC 8200). */
async function checkMtuOfSubnets(trx: Trx, networkId: string, mtu: number | undefined): Promise<void> {
  if (mtu === undefined || mtu >= 1280 || !await trx('subnets').where({ network_id: networkId, ip_version: 6 }).first('id')) return;
  throw new Conflict(`Invalid MTU for network ${networkId}: its IPv6 subnets need 1280 bytes.`, { kind: 'NetworkMTUSubnetConflict' });
}
